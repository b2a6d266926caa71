/** BEGIN and SAVEPOINT of a client of the face: they are sent with the query after them, and what they promise holds. */
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Kysely, PostgresDialect } from 'kysely'
import Cursor from 'pg-cursor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine } from '../../src/engine/engine.js'
import { poolFrom, type PoolClient } from '../../src/integrations/pg-pool.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { warningsOf } from './pg-pool-support.js'
import { errorOf, terminate, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (text text primary key)')

let proxy: Proxy
beforeAll(async () => {
  proxy = await startProxy(fixture.db.url)
})
afterAll(() => proxy.close())

/** Round trips of `work` on a client, once its statements are prepared. */
async function roundTrips(work: (client: PoolClient) => Promise<unknown>): Promise<number> {
  const engine = createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
  const pool = poolFrom(engine)
  const once = async (): Promise<number> => {
    const client = await pool.connect()
    proxy.reset()
    await work(client)
    client.release()
    return proxy.roundTrips
  }
  await once()
  await once()
  const counted = await once()
  await engine.dispose()
  return counted
}

const rows = async (): Promise<unknown[]> => await fixture.db.query('select text from notes order by 1')

async function onClient(work: (client: PoolClient) => Promise<void>): Promise<void> {
  await fixture.db.query('truncate notes')
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const client = await poolFrom(engine).connect()
  try {
    await work(client)
  } finally {
    client.release()
  }
}

describe('round trips', () => {
  test.each<[number, string, readonly string[]]>([
    [2, 'a transaction of one statement', ['BEGIN', 'select 1', 'COMMIT']],
    [2, 'with modes', ['start transaction isolation level serializable, read only;', 'select 1', 'COMMIT']],
    [3, 'with a savepoint', ['begin', 'savepoint a', 'select 1', 'release savepoint a', 'commit']],
    [0, 'that does nothing', ['BEGIN', 'SAVEPOINT "a""b"', 'ROLLBACK']],
    [3, 'whose modes are no modes', ['begin read only', 'select 1', 'savepoint a', 'select 1', 'commit']],
  ])('%i for a transaction %s', async (count, _what, texts) => {
    const run = async (client: PoolClient): Promise<void> => {
      for (const text of texts) await client.query(text)
    }
    expect(await roundTrips(run)).toBe(count)
  })

  test('of Kysely and Drizzle on the face: 2 for a transaction of one query', async () => {
    const engine = createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0 })
    const pool = poolFrom(engine)
    const kysely = new Kysely<{ notes: { text: string } }>({ dialect: new PostgresDialect({ pool }) })
    const read = {
      kysely: () => kysely.transaction().execute((trx) => trx.selectFrom('notes').selectAll().execute()),
      drizzle: () => drizzle({ client: pool }).transaction((tx) => tx.execute(sql`select * from notes`)),
    }
    for (const work of [read.kysely, read.drizzle]) {
      for (let run = 0; run < 2; run++) await work()
      proxy.reset()
      await work()
      expect(proxy.roundTrips).toBe(2)
    }
    await engine.dispose()
  })
})

test('answers and the status are as in pg: the tags, T from BEGIN on', async () => {
  await onClient(async (client) => {
    const tags: string[] = []
    for (const text of ['begin', 'savepoint a', "insert into notes values ('a')", 'savepoint b', 'commit']) {
      const { command, rowCount } = await client.query(text)
      tags.push(`${command} ${String(rowCount)} ${String(client.getTransactionStatus())}`)
    }
    expect(tags).toEqual([
      'BEGIN null T',
      'SAVEPOINT null T',
      'INSERT 1 T',
      'SAVEPOINT null T',
      'COMMIT null I',
    ])
    for (const [text, command] of [
      ['begin', 'BEGIN'],
      ['end work;', 'COMMIT'],
      ['start transaction', 'BEGIN'],
      ['abort', 'ROLLBACK'],
    ] as const) {
      expect(await client.query(text)).toMatchObject({ command, rows: [] })
    }
    expect(client.getTransactionStatus()).toBe('I')
    expect(await rows()).toEqual([{ text: 'a' }])
  })
})

test('a statement that fails behind BEGIN or SAVEPOINT leaves the transaction failed, and can be rolled back to', async () => {
  await onClient(async (client) => {
    await client.query('begin')
    expect(await errorOf(client.query('select 1/0'))).toMatchObject({ code: '22012' })
    expect(client.getTransactionStatus()).toBe('E')
    expect(await errorOf(client.query('savepoint late'))).toMatchObject({ code: '25P02' })
    expect(await errorOf(client.query('commit'))).toMatchObject({ code: 'TRANSACTION_ABORTED' })
    await client.query('begin')
    await client.query("insert into notes values ('a')")
    await client.query('savepoint a')
    expect(await errorOf(client.query("insert into notes values ('a')"))).toMatchObject({ code: '23505' })
    await client.query('rollback to savepoint a')
    await client.query('commit')
    expect(await rows()).toEqual([{ text: 'a' }])
  })
})

test.each<[string, (client: PoolClient) => Promise<unknown>]>([
  ['a statement', (client) => client.query('insert into notes values ($1)', ['a'])],
  [
    'a statement behind a savepoint',
    (client) => client.query('savepoint a').then(() => client.query('select 1')),
  ],
  ['a cursor', (client) => client.query(new Cursor('select 1')).read(1)],
  ['several statements', (client) => client.query('select 1; select 2')],
])('a server that refuses BEGIN runs nothing behind it: %s', async (_what, work) => {
  using server = await startFakeServer({
    onStatement: (text) => (text === 'BEGIN' ? { code: '25001', message: 'not today' } : undefined),
  })
  const client = await poolFrom(fixture.engine({ url: server.url, poolSize: 1, maxOverflow: 0 })).connect()
  await client.query('BEGIN')
  expect(await errorOf(work(client))).toMatchObject({ code: '25001', message: 'not today' })
  expect(server.executed).toEqual([])
  expect(client.getTransactionStatus()).toBe('I')
  client.release()
})

test('a BEGIN that the backend has forgotten, with the statement behind it, runs once more', async () => {
  await onClient(async (client) => {
    const insert = async (): Promise<void> => {
      await client.query('begin')
      await client.query('insert into notes values ($1)', ['again'])
      await client.query('rollback')
    }
    for (let run = 0; run < 3; run++) await insert()
    await client.query('do $$ begin deallocate all; end $$')
    await insert()
    expect(await rows()).toEqual([])
  })
})

test('a cursor, several statements and COPY come inside of the transaction', async () => {
  await onClient(async (client) => {
    await client.query('begin')
    const cursor = client.query(new Cursor("insert into notes values ('cursor') returning text"))
    expect(await cursor.read(10)).toEqual([{ text: 'cursor' }])
    await cursor.close()
    expect(client.getTransactionStatus()).toBe('T')
    await client.query('rollback')
    await client.query('begin')
    await client.query("insert into notes values ('one'); insert into notes values ('two')")
    expect(client.getTransactionStatus()).toBe('T')
    await client.query('rollback')
    expect(await rows()).toEqual([])
  })
})

test('queries that are given in one go: all inside, in order', async () => {
  await onClient(async (client) => {
    const texts = ['begin', "insert into notes values ('a')", 'savepoint a', "insert into notes values ('b')"]
    await Promise.all([...texts, 'rollback to a', 'commit'].map((text) => client.query(text)))
    expect(await rows()).toEqual([{ text: 'a' }])
  })
})

test('a client that is released with nothing but BEGIN is clean, and is reported', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const pool = poolFrom(engine)
  const warnings = await warningsOf(async () => {
    const client = await pool.connect()
    await client.query('begin')
    client.release()
  })
  expect(warnings.join()).toContain('released inside a transaction')
  const client = await pool.connect()
  expect(client.getTransactionStatus()).toBe('I')
  client.release()
})

test('a connection that is lost behind BEGIN is told by the statement, and nothing runs on another one', async () => {
  await fixture.db.query('truncate notes')
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const client = await poolFrom(engine).connect()
  await client.query('begin')
  await terminate(fixture.db, client.processID)
  expect(await errorOf(client.query("insert into notes values ('lost')"))).toBeInstanceOf(Error)
  client.release()
  expect(await rows()).toEqual([])
})

test('long texts cost no time: BEGIN with 100,000 spaces is sent as it is', async () => {
  await onClient(async (client) => {
    const startedAt = performance.now()
    expect(await errorOf(client.query(`begin${' '.repeat(100_000)}x`))).toMatchObject({ code: '42601' })
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    expect(client.getTransactionStatus()).toBe('I')
  })
})
