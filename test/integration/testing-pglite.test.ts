/** `startDatabase({ source: 'pglite' })`: PGlite behind a port, for engines that are made from a url. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { createEngine, createSessionFactory, type Engine, type EngineOptions } from 'lifeguard'
import {
  createTestDatabase,
  expectNoLeaks,
  startDatabase,
  withRollback,
  type StartedDatabase,
} from 'lifeguard/testing'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf } from './session-support.js'

let server: StartedDatabase
const engines: Engine[] = []

function engineOf(options: EngineOptions = {}): Engine {
  const engine = createEngine({ url: server.url, ...options })
  engines.push(engine)
  return engine
}

beforeAll(async () => {
  server = await startDatabase({ source: 'pglite' })
  await using engine = createEngine({ url: server.url })
  await engine.begin((connection) => connection.execute('create table things (id int primary key)'))
})
beforeEach(async () => {
  await engineOf().begin((connection) => connection.execute('truncate things'))
})
afterEach(async () => {
  for (const engine of engines.splice(0)) {
    await expectNoLeaks(engine)
    await engine.dispose()
  }
})
afterAll(() => server.stop())

const count = 'select count(*)::int from things'

test('an engine with its usual pool runs blocks side by side, each in a transaction of its own', async () => {
  expect(server.source).toBe('pglite')
  const { withSession } = createSessionFactory({ bind: engineOf() })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, id) =>
      withSession(async (session) => {
        await session.execute('insert into things values ($1)', [id])
        await session.execute('select 1')
        if (id % 2 === 1) throw new Error('no')
      }),
    ),
  )
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
  expect(await withSession((session) => session.scalar(count))).toBe(10)
})

test('each connection has prepared statements of its own, which end with it', async () => {
  const [one, other] = [engineOf(), engineOf({ statementCacheSize: 10 })]
  for (let run = 0; run < 4; run++) {
    for (const [engine, expected] of [
      [one, 1],
      [other, 'one'],
    ] as const) {
      // The same names, for different texts.
      const text = typeof expected === 'number' ? 'select $1::int' : 'select $1::text'
      expect(await engine.begin((connection) => connection.scalar(text, [expected]))).toBe(expected)
    }
  }
  const prepared = 'select count(*)::int from pg_prepared_statements'
  const before = await other.begin((connection) => connection.scalar<number>(prepared))
  expect(before).toBeGreaterThan(1)
  await one.dispose()
  expect(await other.begin((connection) => connection.scalar(prepared))).toBeLessThan(before ?? 0)
})

test('a transaction of another connection is waited for, and its rollback undoes nothing else', async () => {
  const [one, other] = [engineOf(), engineOf()]
  const connection = await one.connect()
  await connection.execute('insert into things values (1)')
  const waiting = other.begin((later) => later.execute('insert into things values (2)'))
  let done = false
  void waiting.then(() => (done = true))
  await waitUntil(() => other.stats().borrowed === 1 || other.stats().connecting === 1)
  expect(done).toBe(false)
  await connection.rollback()
  await connection.close()
  await waiting
  expect(await one.begin((next) => next.execute('select id from things')).then((r) => r.all())).toEqual([
    { id: 2 },
  ])
})

test('a connection that is cut inside of its transaction leaves nothing behind', async () => {
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.query('begin')
  await client.query('insert into things values (1)')
  client.connection.stream.destroy()
  await client.end().catch(() => undefined)
  expect(await engineOf().begin((connection) => connection.scalar(count))).toBe(0)
})

test('a test is rolled back, with code that opens its own blocks', async () => {
  const engine = engineOf()
  const { withSession } = createSessionFactory({ bind: engine })
  await withRollback(engine, async () => {
    await withSession((session) => session.execute('insert into things values (1)'))
    expect(await withSession((session) => session.scalar(count))).toBe(1)
  })
  expect(await withSession((session) => session.scalar(count))).toBe(0)
})

test('a client that asks for TLS is told that there is none', async () => {
  const client = new pg.Client({ connectionString: server.url, ssl: true })
  expect((await errorOf(client.connect())).message).toContain('does not support SSL')
  const engine = engineOf({ connectArgs: { sslmode: 'prefer' } })
  expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
})

test('PGlite has one database, so another one is refused', async () => {
  expect((await errorOf(createTestDatabase(server.url))).message).toContain('PGlite has one database')
})

test('stopping it twice closes it once, and its port', async () => {
  const own = await startDatabase({ source: 'pglite' })
  const engine = createEngine({ url: own.url, connectRetry: 'fail' })
  expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
  await Promise.all([own.stop(), own.stop()])
  expect(await errorOf(engine.begin((connection) => connection.scalar('select 1')))).toBeInstanceOf(Error)
  await engine.dispose()
})

test('an unknown source is refused, and one that is not there is named', async () => {
  expect((await errorOf(startDatabase({ source: 'sqlite' as never }))).message).toContain("'pglite'")
  vi.stubEnv('DATABASE_URL', '')
  const missing = await errorOf(startDatabase({ source: 'DATABASE_URL' }))
  vi.unstubAllEnvs()
  expect(missing).toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringContaining('no DATABASE_URL in the environment') as string,
  })
})
