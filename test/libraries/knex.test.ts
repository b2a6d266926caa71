/**
 * Knex with `connectionPool`: queries, transactions with savepoints, migrations. No streams: for them Knex 3.3.0 releases the client of any
 * `connectionPool` twice, pg's own included, which throws where the caller cannot catch it.
 */
import knex, { type Knex } from 'knex'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { afterEach, expect, test, vi } from 'vitest'
import { waitUntil } from '../helpers/wait-until.js'
import { checkLibrary } from './checks.js'

const SCHEMA = [
  'create table artists (id serial primary key, name text not null unique)',
  'create table songs (id serial primary key, artist_id int references artists, title text not null, plays int not null default 0)',
]

const on = (pool: Pool): Knex => knex({ client: 'pg', connectionPool: pool })

const fixture = checkLibrary('Knex', {
  schema: SCHEMA,
  open: (pool) => {
    const db = on(pool)
    return {
      table: 'songs',
      job: () => db('songs').insert({ title: 'Help!' }).returning('id'),
      failures: {
        'a wrong query': () => db.raw('select 1 / 0'),
        'a violated constraint': () => db('songs').insert({ title: null }),
        'a failing transaction': () =>
          db.transaction((trx) => trx('songs').insert({ artist_id: -1, title: 'x' })),
      },
      transaction: (during) =>
        db.transaction(async (trx) => {
          await trx('songs').insert({ title: 'in' })
          await during()
          await trx('songs').insert({ title: 'in' })
        }),
      close: () => db.destroy(),
    }
  },
})

afterEach(() => {
  vi.unstubAllEnvs()
})

function opened(options: Parameters<typeof fixture.engine>[0] = {}): Knex {
  return on(poolFrom(fixture.engine(options)))
}

test('Knex builds, joins, and gives rows back', async () => {
  const db = opened()
  const [artist] = await db('artists').insert({ name: 'The Beatles' }).returning<{ id: number }[]>('id')
  await db('songs').insert(['Yesterday', 'Michelle'].map((title) => ({ title, artist_id: artist?.id })))
  await db('songs').where({ title: 'Michelle' }).increment('plays', 3)
  const rows: unknown = await db('songs')
    .join('artists', 'artists.id', 'artist_id')
    .orderBy('title')
    .select('title', 'name', 'plays')
  expect(rows).toEqual([
    { title: 'Michelle', name: 'The Beatles', plays: 3 },
    { title: 'Yesterday', name: 'The Beatles', plays: 0 },
  ])
  expect(await db('songs').where({ artist_id: artist?.id }).del()).toBe(2)
  await db.destroy()
})

test('Knex nests transactions as savepoints, and keeps what the outer one stored', async () => {
  const db = opened({ poolSize: 1, maxOverflow: 0 })
  await db('songs').del()
  await db.transaction(
    async (trx) => {
      await trx('songs').insert({ title: 'outer' })
      await trx
        .transaction(async (inner) => {
          await inner('songs').insert({ title: 'inner' })
          throw new Error('no')
        })
        .catch(() => undefined)
      expect(await trx.raw('show transaction_isolation').then(({ rows }) => rows)).toEqual([
        { transaction_isolation: 'serializable' },
      ])
    },
    { isolationLevel: 'serializable' },
  )
  expect(await db('songs').pluck('title')).toEqual(['outer'])
  await db.destroy()
})

test('Knex migrates up, refuses a failing migration as a whole, and migrates down', async () => {
  const db = opened()
  const steps: Record<string, Knex.Migration> = {
    '1': {
      up: (on) => on.schema.createTable('albums', (table) => table.increments()),
      down: (on) => on.schema.dropTable('albums'),
    },
    '2': {
      up: (on) => on.schema.alterTable('albums', (table) => table.string('title')),
      down: () => Promise.resolve(),
    },
  }
  const migrationSource = {
    getMigrations: () => Promise.resolve(Object.keys(steps)),
    getMigrationName: (name: string) => name,
    getMigration: (name: string) => Promise.resolve(steps[name] as Knex.Migration),
  }
  const config = { migrationSource }
  expect(await db.migrate.latest(config)).toEqual([1, ['1', '2']])
  steps['3'] = {
    up: async (on) => {
      await on('albums').insert({ title: 'half' })
      await on.raw('select nothing')
    },
    down: () => Promise.resolve(),
  }
  await expect(db.migrate.latest(config)).rejects.toMatchObject({ code: '42703' })
  expect(await db('albums').select()).toEqual([])
  delete steps['3']
  expect(await db.migrate.rollback(config, true)).toEqual([1, ['2', '1']])
  expect(await db.schema.hasTable('albums')).toBe(false)
  await db.destroy()
})

test('a timeout of Knex with `cancel` ends the query on the server, and the connection goes on', async () => {
  // For the cancel Knex opens a connection of its own, and knows no more of the server than the environment says.
  const { hostname, port, username, password, pathname } = new URL(fixture.db.url)
  const where = {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  }
  for (const [name, value] of Object.entries(where)) vi.stubEnv(name, value)
  const db = opened({ poolSize: 2, maxOverflow: 0 })
  await expect(db.raw('select pg_sleep(60)').timeout(50, { cancel: true })).rejects.toMatchObject({
    name: 'KnexTimeoutError',
  })
  await waitUntil(async () => {
    const rows = await fixture.db.query(
      `select from pg_stat_activity where query like 'select pg_sleep%' and state = 'active' and datname = current_database()`,
    )
    return rows.length === 0
  })
  expect(await db('songs').where({ id: -1 }).select()).toEqual([])
  await db.destroy()
})
