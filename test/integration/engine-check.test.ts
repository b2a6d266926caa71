/** `engine.check()`: what it finds, how long it takes, and what it leaves alone. */
import { expect, test } from 'vitest'
import { InvalidOptionError } from '../../src/errors.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

test('check is one round trip, says which server answers, and gives the connection back', async () => {
  const engine = fixture.engine()
  const check = await engine.check()
  expect(check).toMatchObject({
    ok: true,
    reason: undefined,
    serverVersion: expect.stringMatching(/^\d+/) as string,
    pool: { size: 1, capacity: 15, borrowed: 0, idle: 1, waiting: 0 },
  })
  expect(check.latencyMillis).toBeGreaterThan(0)
  expect(check.error).toBeUndefined()
})

test('check of an exhausted pool says saturated when its own time is over, and disturbs no caller', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const holder = await engine.connect()
  const check = await engine.check({ timeoutMillis: 30 })
  expect(check).toMatchObject({ ok: false, reason: 'saturated', pool: { borrowed: 1, waiting: 0 } })
  expect(check.latencyMillis).toBeLessThan(20_000)
  expect(await holder.scalar('select 1')).toBe(1)
  await holder.close()
  expect(await engine.check()).toMatchObject({ ok: true })
})

test('check waits behind the callers that came before it', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const holder = await engine.connect()
  const order: string[] = []
  const waiting = engine.connect().then(async (connection) => {
    order.push('caller')
    await connection.close()
  })
  await waitUntil(() => engine.stats().waiting === 1)
  const checking = engine.check({ timeoutMillis: 20_000 }).then(({ ok }) => order.push(`check ${ok}`))
  await holder.close()
  await Promise.all([waiting, checking])
  expect(order).toEqual(['caller', 'check true'])
})

test('check of a queue that is full says saturated at once', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0, maxWaiting: 0 })
  const holder = await engine.connect()
  expect(await engine.check({ timeoutMillis: 60_000 })).toMatchObject({ ok: false, reason: 'saturated' })
  await holder.close()
})

test('check without a server says unreachable, and its error is not part of what is printed', async () => {
  const proxy = await startProxy(fixture.db.url)
  const engine = fixture.engine({ url: proxy.url })
  await engine.check()
  proxy[Symbol.dispose]()
  const check = await engine.check({ timeoutMillis: 2_000 })
  expect(check).toMatchObject({ ok: false, reason: 'unreachable' })
  expect(check.error).toBeInstanceOf(Error)
  expect(Object.keys(check)).toEqual(['ok', 'reason', 'latencyMillis', 'serverVersion', 'pool'])
})

test('check uses another connection if the idle one died unnoticed', async () => {
  using proxy = await startProxy(fixture.db.url)
  const engine = fixture.engine({ url: proxy.url, prePingSkipMillis: 60_000 })
  await engine.check()
  const cut = proxy.cutAt({ from: 'client', when: 'before', message: () => true })
  expect(await engine.check({ timeoutMillis: 20_000 })).toMatchObject({ ok: true })
  await cut
})

test('check of a server that is silent says timeout', async () => {
  using proxy = await startProxy(fixture.db.url)
  const engine = fixture.engine({ url: proxy.url, prePingSkipMillis: 60_000 })
  await engine.check()
  proxy.blackHole()
  expect(await engine.check({ timeoutMillis: 50 })).toMatchObject({ ok: false, reason: 'timeout' })
  proxy.pass()
})

test('check of an engine that is suspended or disposed answers at once', async () => {
  const engine = fixture.engine()
  engine.suspend()
  expect(await engine.check({ timeoutMillis: 60_000 })).toMatchObject({ ok: false, reason: 'suspended' })
  engine.resume()
  await engine.dispose()
  expect(await engine.check({ timeoutMillis: 60_000 })).toMatchObject({ ok: false, reason: 'disposed' })
})

test('check ends in its own time if the pool is suspended while it waits', async () => {
  const engine = fixture.engine({ poolSize: 1, maxOverflow: 0 })
  const holder = await engine.connect()
  const checking = engine.check({ timeoutMillis: 200 })
  engine.suspend()
  expect(await checking).toMatchObject({ ok: false, reason: 'suspended' })
  engine.resume()
  await holder.close()
})

test('a wrong option of check is refused', async () => {
  const engine = fixture.engine()
  expect(await errorOf(engine.check({ timeoutMillis: 0 }))).toBeInstanceOf(InvalidOptionError)
  expect((await errorOf(engine.check({ timeout: 5 } as never))).message).toContain("'timeoutMillis'")
})
