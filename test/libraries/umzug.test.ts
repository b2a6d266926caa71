/** umzug, whose storage and steps are the application's own code on a pool. */
import { poolFrom, type Pool, type PoolClient } from 'lifeguard/pg-pool'
import { Umzug, type UmzugStorage } from 'umzug'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'

function storageOn(pool: Pool): UmzugStorage {
  return {
    async executed() {
      await pool.query('create table if not exists migrations (name text primary key)')
      const { rows } = await pool.query<{ name: string }>('select name from migrations order by name')
      return rows.map(({ name }) => name)
    },
    logMigration: ({ name }) =>
      pool.query('insert into migrations values ($1)', [name]).then(() => undefined),
    unlogMigration: ({ name }) =>
      pool.query('delete from migrations where name = $1', [name]).then(() => undefined),
  }
}

/** A step in a transaction of its own. */
async function inTransaction(pool: Pool, work: (client: PoolClient) => Promise<unknown>): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}

function on(pool: Pool, steps: Record<string, readonly [up: string, down: string]>): Umzug {
  const migrations = Object.entries(steps).map(([name, [up, down]]) => ({
    name,
    up: () => inTransaction(pool, (client) => client.query(up)),
    down: () => inTransaction(pool, (client) => client.query(down)),
  }))
  return new Umzug({ migrations, storage: storageOn(pool), logger: undefined })
}

const FAILING = 'insert into albums values (1); select nothing'

const fixture = checkLibrary('umzug', {
  oneAtATime: true,
  open: (pool) => {
    const umzug = on(pool, { one: ['create table job (id int)', 'drop table job'] })
    return {
      table: 'migrations',
      job: async () => {
        await umzug.up()
        await umzug.down()
      },
      failures: { 'a failing step': () => on(pool, { x: ['select nothing', ''] }).up() },
      transaction: (during) =>
        inTransaction(pool, async (client) => {
          await client.query("insert into migrations values ('a')")
          await during()
          await client.query("insert into migrations values ('b')")
        }),
    }
  },
})

test('umzug migrates up and down, and a failing step of several statements leaves nothing', async () => {
  const pool = poolFrom(fixture.engine({ poolSize: 1, maxOverflow: 0 }))
  const good = {
    '1': ['create table albums (id int); create index on albums (id)', 'drop table albums'],
  } as const
  expect((await on(pool, good).up()).map(({ name }) => name)).toEqual(['1'])
  await expect(on(pool, { ...good, '2': [FAILING, ''] }).up()).rejects.toThrow('nothing')
  expect((await pool.query('select * from albums')).rows).toEqual([])
  expect((await on(pool, good).executed()).map(({ name }) => name)).toEqual(['1'])
  await on(pool, good).down()
  expect((await pool.query("select to_regclass('albums') as there")).rows).toEqual([{ there: null }])
})
