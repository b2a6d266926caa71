import { expect, test } from 'vitest'
import { EngineDisposedError } from '../../src/errors.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

async function backends(name: string): Promise<number> {
  const rows = await fixture.db.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity where application_name = '${name}'`,
  )
  return rows[0]?.count ?? 0
}

const named = (name: string) => ({ connectArgs: { serverSettings: { application_name: name } } })

test('recreate keeps limits that were changed at run time, and starts empty', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  engine.resize({ poolSize: 2, maxOverflow: 1 })
  await engine.begin((connection) => connection.execute('select 1'))
  const report = await engine.recreate()
  expect(report.closed).toBe(1)
  const { poolSize, maxOverflow, size } = engine.stats()
  expect({ poolSize, maxOverflow, size }).toEqual({ poolSize: 2, maxOverflow: 1, size: 0 })
  await engine.begin((connection) => connection.execute('select 1'))
})

test('what recreate ends at its deadline was a lost connection, which a retry makes good on the new pool', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })
  const errors: unknown[] = []
  const value = await withSession(
    async (session) => {
      await session.execute('select 1')
      if (errors.length === 0) await engine.recreate({ timeoutMillis: 0 })
      return session.scalar('select 2').catch((error: unknown) => {
        errors.push(error)
        throw error
      })
    },
    { retry: { attempts: 2, backoff: () => 0 } },
  )
  expect(value).toBe(2)
  expect(errors).toMatchObject([{ code: 'CONNECTION_LOST' }])
  expect((errors[0] as Error).cause).toMatchObject({ code: 'CONNECTION_LOST' })
  expect(((errors[0] as Error).cause as Error).message).toContain('recreate()')
})

test('dispose waits for a pool that was replaced and still had connections out', async () => {
  const engine = fixture.engine(named('ends-recreated'))
  const connection = await engine.connect()
  await connection.execute('select 1')
  const replaced = engine.recreate({ timeoutMillis: null })
  const disposed = engine.dispose()
  let done = false
  void disposed.then(() => (done = true))
  await fixture.db.query('select 1')
  expect(done).toBe(false)
  await connection.close()
  await Promise.all([replaced, disposed])
  expect(await backends('ends-recreated')).toBe(0)
})

test('dispose closes the connection of listen, also while its reader is busy elsewhere', async () => {
  const engine = fixture.engine(named('ends-listening'))
  let connected = false
  const listening = engine.listen('news', { onConnect: () => (connected = true) })
  const first = listening.next()
  // What is notified before LISTEN is in force is not heard.
  await waitUntil(() => connected)
  await fixture.db.query(`select pg_notify('news', 'first')`)
  expect((await first).value).toMatchObject({ payload: 'first' })
  await engine.dispose()
  expect(await backends('ends-listening')).toBe(0)
  expect(await listening.next()).toEqual({ done: true, value: undefined })
})

test('listen finds out by its pings that the network has swallowed its connection', async () => {
  using proxy = await startProxy(fixture.db.url)
  const engine = fixture.engine({ url: proxy.url, keepAliveMillis: 50, prePingTimeoutMillis: 100 })
  const stop = new AbortController()
  let connects = 0
  const listening = engine.listen('news', { signal: stop.signal, onConnect: () => (connects += 1) })
  const first = listening.next()
  await waitUntil(() => connects === 1)
  proxy.blackHole()
  await waitUntil(() => proxy.connections.length > 1)
  proxy.pass()
  await waitUntil(() => connects === 2)
  await fixture.db.query(`select pg_notify('news', 'heard')`)
  expect((await first).value).toMatchObject({ payload: 'heard' })
  stop.abort()
})

test('a disposed engine refuses everything, and disposing again gives the same report', async () => {
  const engine = fixture.engine()
  const report = await engine.dispose()
  expect(await engine.dispose({ timeoutMillis: 1 })).toBe(report)
  expect(await errorOf(engine.connect())).toBeInstanceOf(EngineDisposedError)
  expect(await errorOf(engine.begin(() => 1))).toBeInstanceOf(EngineDisposedError)
})

test('an error of connect leads to the line that asked for the connection', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
  await using held = await engine.connect()
  expect(held.closed).toBe(false)
  expect((await errorOf(engine.connect())).stack).toContain('engine-ends.test.ts')
  expect((await errorOf(engine.begin(() => 1))).stack).toContain('engine-ends.test.ts')
})
