import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TestDatabase, database } from './database.js'
import { type Proxy, startProxy } from './proxy.js'
import { waitUntil } from './wait-until.js'

let db: TestDatabase
let proxy: Proxy
let client: pg.Client

beforeEach(async () => {
  db = await database()
  proxy = await startProxy(db.url)
  client = await connect()
  await db.query('CREATE TABLE t (id int)')
})
afterEach(async () => {
  proxy.close()
  await db.drop()
})

async function connect(): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: proxy.url })
  made.on('error', () => {})
  await made.connect()
  return made
}

test('round trips and messages are counted per connection, connecting excluded', async () => {
  proxy.delay(3)
  await client.query('SELECT 1')
  await client.query('SELECT $1::int', [1])
  expect(proxy.roundTrips).toBe(2)
  const [connection] = proxy.connections
  expect(connection?.names('client').slice(-6)).toEqual([
    'Query',
    'Parse',
    'Bind',
    'Describe',
    'Execute',
    'Sync',
  ])
  expect(connection?.messages.filter(({ name }) => name === 'CommandComplete')).toMatchObject([
    { text: 'SELECT 1' },
    { text: 'SELECT 1' },
  ])

  proxy.reset()
  expect(proxy.roundTrips).toBe(0)
})

test('a black hole is silent, and gives back what it swallowed when it ends', async () => {
  proxy.blackHole()
  let answered = false
  const query = client.query('INSERT INTO t VALUES (1)').then(() => (answered = true))
  const hanging = connect()
  await waitUntil(() => proxy.connections.length === 2)
  expect(await db.query('SELECT * FROM t')).toEqual([])
  expect(answered).toBe(false)

  proxy.blackHole('server')
  await waitUntil(async () => (await db.query('SELECT * FROM t')).length === 1)
  expect(answered).toBe(false)

  proxy.pass()
  await query
  await (await hanging).end()
})

test('a refusing proxy can listen again on its port', async () => {
  proxy.refuse()
  await expect(connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await client.query('SELECT 1')
  await proxy.accept()
  await (await connect()).end()
})

test.each(['reset', 'end'] as const)('new and old connections can be cut (%s)', async (style) => {
  const lost = client.query('SELECT pg_sleep(0.1)').catch((error: unknown) => error)
  const cut = proxy.cut(style)
  expect(String(await lost)).toMatch(style === 'reset' ? /ECONNRESET/ : /terminated unexpectedly/)
  await cut
  await waitUntil(() => proxy.openConnections === 0)

  proxy.cutNew(style)
  await expect(connect()).rejects.toThrow(style === 'reset' ? /ECONNRESET|EPIPE/ : /terminated unexpectedly/)
  proxy.pass()
  await (await connect()).end()
})

test.each([
  ['before the server hears COMMIT', { from: 'client', when: 'before' }, 0],
  ['after the server heard COMMIT', { from: 'client', when: 'after' }, 1],
  ['before the client hears of COMMIT', { from: 'server', when: 'before' }, 1],
] as const)('cutting %s leaves a known number of rows', async (_name, place, rows) => {
  await client.query('BEGIN')
  await client.query('INSERT INTO t VALUES (1)')
  const cut = proxy.cutAt({ ...place, message: ({ text }) => text === 'COMMIT' })
  await expect(client.query('COMMIT')).rejects.toThrow()
  await cut
  expect(await db.query('SELECT * FROM t')).toHaveLength(rows)
})

test('cutting after an answer lets the client have it', async () => {
  const cut = proxy.cutAt({
    from: 'server',
    when: 'after',
    message: ({ name }) => name === 'ReadyForQuery',
    style: 'end',
  })
  expect((await client.query('SELECT 7 AS seven')).rows).toEqual([{ seven: 7 }])
  await cut
  await expect(client.query('SELECT 1')).rejects.toThrow()
})

test('cutting at the n-th message counts from the call', async () => {
  const cut = proxy.cutAt({ from: 'client', when: 'before', message: 2 })
  await client.query('SELECT 1')
  await expect(client.query('SELECT 2')).rejects.toThrow()
  expect((await cut).messages.filter(({ name }) => name === 'Query')).toMatchObject([{ text: 'SELECT 1' }])
})

test('a held connection goes on exactly where it was stopped', async () => {
  const holding = proxy.holdAt({
    from: 'client',
    when: 'after',
    message: ({ text }) => text.startsWith('SELECT 8'),
  })
  const eight = client.query('SELECT 8 AS eight')
  const held = await holding
  expect(held.messages.at(-1)).toMatchObject({ from: 'client', text: 'SELECT 8 AS eight' })
  held.resume()
  expect((await eight).rows).toEqual([{ eight: 8 }])
})

test("a connection ends with a pooler's FATAL, though the server has committed", async () => {
  const place = {
    from: 'server',
    when: 'before',
    message: ({ text }: { text: string }) => text === 'COMMIT',
  } as const
  await client.query('BEGIN')
  await client.query('INSERT INTO t VALUES (1)')
  const cut = proxy.cutAt({ ...place, style: 'fatal' })
  await expect(client.query('COMMIT')).rejects.toMatchObject({
    severity: 'FATAL',
    code: '08P01',
    message: 'server conn crashed?',
  })
  await cut
  expect(await db.query('SELECT * FROM t')).toHaveLength(1)
})

test('a rule that was not met can be forgotten', async () => {
  void proxy.cutAt({ from: 'client', when: 'before', message: 2 })
  await client.query('SELECT 1')
  proxy.disarm()
  expect((await client.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }])
})
