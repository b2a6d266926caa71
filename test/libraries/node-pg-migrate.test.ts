/** node-pg-migrate with `dbClient`, a client of the pool: up, down, a step that fails. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { runner } from 'node-pg-migrate'
import { afterAll, expect, test } from 'vitest'
import { warningsOf } from '../integration/pg-pool-support.js'
import { checkLibrary } from './checks.js'

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })))

/** A folder with these migrations, each an up and a down in SQL. */
function folderOf(...steps: readonly (readonly [up: string, down: string])[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-migrations-'))
  folders.push(folder)
  for (const [index, [up, down]] of steps.entries()) {
    writeFileSync(
      join(folder, `170000000000${index}_step.sql`),
      `-- Up Migration\n${up};\n-- Down Migration\n${down};\n`,
    )
  }
  return folder
}

async function migrate(
  pool: Pool,
  dir: string,
  direction: 'up' | 'down',
  singleTransaction = true,
): Promise<string[]> {
  const client = await pool.connect()
  try {
    const done = await runner({
      dbClient: client,
      dir,
      direction,
      singleTransaction,
      count: Infinity,
      migrationsTable: 'steps',
      log: () => undefined,
    })
    return done.map(({ name }) => name)
  } finally {
    client.release()
  }
}

const ALBUMS = ['create table albums (id int); create index on albums (id)', 'drop table albums'] as const

const fixture = checkLibrary('node-pg-migrate', {
  oneAtATime: true,
  schema: [
    'create table steps (id serial primary key, name varchar(255) not null, run_on timestamp not null)',
  ],
  open: (pool) => {
    const good = folderOf(['create table job (id int)', 'drop table job'])
    const bad = folderOf(['create table half (id int); select nothing', ''])
    return {
      table: 'steps',
      job: async () => {
        await migrate(pool, good, 'up')
        await migrate(pool, good, 'down')
      },
      failures: { 'a failing step': () => migrate(pool, bad, 'up') },
    }
  },
})

test('node-pg-migrate migrates up and down, and a failing step leaves nothing, not even its lock', async () => {
  const pool = poolFrom(fixture.engine())
  const good = folderOf(ALBUMS)
  expect(await migrate(pool, good, 'up')).toHaveLength(1)
  const bad = folderOf(ALBUMS, ['insert into albums values (1); select nothing', ''])
  await expect(migrate(pool, bad, 'up')).rejects.toMatchObject({ code: '42703' })
  expect((await pool.query('select * from albums')).rows).toEqual([])
  expect(await locks()).toEqual([])
  expect(await migrate(pool, good, 'down')).toHaveLength(1)
})

/** Without `singleTransaction`, a failing step leaves the client in its aborted transaction, and the lock of the run cannot be given back. */
test('the aborted client that node-pg-migrate gives back is cleaned, which a warning says', async () => {
  const pool = poolFrom(fixture.engine({ poolSize: 1, maxOverflow: 0 }))
  const dir = folderOf(['select nothing', ''])
  const warnings = await warningsOf(() => migrate(pool, dir, 'up', false).catch(() => undefined))
  expect(warnings).toEqual([expect.stringContaining('released inside a transaction')])
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  expect(await migrate(pool, folderOf(['create table after (id int)', '']), 'up')).toHaveLength(1)
})

function locks(): Promise<unknown[]> {
  return fixture.db.query(
    "select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
  )
}
