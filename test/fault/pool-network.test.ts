/** The network between the pool and its server: resets, black holes, silence. */
import { describe, expect, test } from 'vitest'
import {
  AbortedError,
  createEngine,
  createSessionFactory,
  EngineDisposedError,
  NullPool,
  PoolTimeoutError,
  StatementTimeoutError,
  type Engine,
  type EngineOptions,
} from '../../src/index.js'
import { serverUrl } from '../helpers/database.js'
import { createImpatientEngine } from '../helpers/impatient-engine.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines } from './support.js'

const engine = useEngines()

function sessionsOf(pool: Engine): ReturnType<typeof createSessionFactory> {
  return createSessionFactory({ bind: pool })
}

function select(pool: Engine): Promise<unknown> {
  return sessionsOf(pool).withSession((session) => session.scalar('select 1'))
}

/** An engine with so many idle connections behind a proxy. */
async function idle(
  proxy: Proxy,
  count: number,
  options: EngineOptions = {},
  make: (options: EngineOptions) => Engine = createEngine,
): Promise<Engine> {
  const pool = engine({ url: proxy.url, poolSize: count, maxOverflow: 0, ...options }, make)
  const held = await Promise.all(Array.from({ length: count }, () => pool.connect()))
  await Promise.all(held.map((connection) => connection.close()))
  expect(pool.stats().idle).toBe(count)
  return pool
}

describe('idle connections', () => {
  test.each(['reset', 'end'] as const)(
    'that are cut (%s) leave the pool at once and in silence',
    async (style) => {
      using proxy = await startProxy(serverUrl())
      const pool = await idle(proxy, 3)
      const reasons: string[] = []
      pool.on('close', ({ reason }) => reasons.push(reason))
      await proxy.cut(style)
      await waitUntil(() => pool.stats().size === 0)
      expect(reasons).toEqual(['lost', 'lost', 'lost'])
      expect(await Promise.all([select(pool), select(pool), select(pool)])).toEqual([1, 1, 1])
    },
  )

  test('whose packets vanish cost one pre-ping, not one each, and no call fails', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 5, { prePingSkipMillis: 0, prePingTimeoutMillis: 1500 })
    for (const connection of proxy.connections) connection.hold()
    for (let call = 0; call < 5; call++) expect(await select(pool)).toBe(1)
    // Five in a row; the first one's failure is enough to distrust the others.
    expect(pool.stats()).toMatchObject({ generation: 1, closed: { invalidated: 1, stale: 4 } })
  })

  test('whose packets vanish fail none of several concurrent calls', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 5, { prePingSkipMillis: 0, prePingTimeoutMillis: 200 })
    for (const connection of proxy.connections) connection.hold()
    const calls = Array.from({ length: 10 }, () => select(pool))
    expect(await Promise.all(calls)).toEqual(calls.map(() => 1))
  })

  test('whose packets vanish fail no call in autocommit either', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 5, { prePingSkipMillis: 0, prePingTimeoutMillis: 200 })
    for (const connection of proxy.connections) connection.hold()
    const { withSession } = sessionsOf(pool)
    const calls = Array.from({ length: 10 }, () =>
      withSession((session) => session.scalar('select 1'), { autocommit: true }),
    )
    expect(await Promise.all(calls)).toEqual(calls.map(() => 1))
  })

  test('are found out by the keep-alive probe before anybody needs them', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 3, { keepAliveMillis: 50, prePingTimeoutMillis: 1500, minIdle: 3 })
    for (const connection of proxy.connections) connection.hold()
    await waitUntil(() => pool.stats().idle === 3 && proxy.connections.length === 6)
    expect(pool.stats().closed.probe).toBeGreaterThan(0)
    expect(await select(pool)).toBe(1)
    expect(pool.stats().counters.connected).toBe(6)
  })
})

describe('a connect that is cut', () => {
  test.each(
    (['client', 'server'] as const).flatMap((from) =>
      (['before', 'after'] as const).flatMap((when) =>
        (['reset', 'end'] as const).map((style) => ({ from, when, style })),
      ),
    ),
  )(
    '$when each message of the $from ($style) is tried again, and the call succeeds',
    async ({ from, when, style }) => {
      using proxy = await startProxy(serverUrl())
      const failed: string[] = []
      for (let nth = 1, fired = true; fired; nth++) {
        let seen = 0
        fired = false
        void proxy.cutAt({ from, when, style, message: () => (fired = ++seen === nth) })
        const pool = engine({ url: proxy.url, maxConnecting: 1 })
        pool.on('connectFailed', ({ error, fatal }) => {
          if (fatal) failed.push(`message ${String(nth)}: ${error.message}`)
        })
        const connection = await pool.connect().catch(() => undefined)
        await connection?.close()
        await pool.dispose()
        expect(nth).toBeLessThan(50)
        if (nth === 1) expect(fired).toBe(true)
      }
      expect(failed).toEqual([])
    },
  )
})

describe('a network through which nothing gets', () => {
  test('ends a call within its time, with where the time went, and is over when it is over', async () => {
    using proxy = await startProxy(serverUrl())
    const options = { prePingSkipMillis: 0, prePingTimeoutMillis: 100, connectTimeoutMillis: 300 }
    const pool = await idle(proxy, 2, options)
    proxy.blackHole()
    const error = await failureOf(
      sessionsOf(pool).withSession((session) => session.scalar('select 1'), { poolTimeoutMillis: 500 }),
    )
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error).toMatchObject({ phase: 'connect' })
    const patient = select(pool)
    // Longer than one attempt may take, so that the attempt that is under way now is one that can succeed.
    await waitUntil(() => pool.stats().counters.connectFailed >= 3)
    proxy.pass()
    expect(await patient).toBe(1)
  })

  test.each(['both', 'server'] as const)(
    'ends a statement soon after its timeoutMillis (held back: what %s sends)',
    async (direction) => {
      using proxy = await startProxy(serverUrl())
      const pool = await idle(proxy, 1, {}, createImpatientEngine)
      const work = sessionsOf(pool).withSession(async (session) => {
        await session.execute('select 1')
        proxy.blackHole(direction)
        await session.execute('select 2', [], { timeoutMillis: 100 })
      })
      const error = await failureOf(work)
      expect(error).toBeInstanceOf(StatementTimeoutError)
      expect(pool.stats().borrowed).toBe(0)
      proxy.pass()
      expect(await select(pool)).toBe(1)
    },
  )

  test('ends a block soon after its signal', async () => {
    using proxy = await startProxy(serverUrl())
    // As it is by itself: three seconds.
    const pool = await idle(proxy, 1)
    const signal = AbortSignal.timeout(200)
    const work = sessionsOf(pool).withSession(
      async (session) => {
        await session.execute('select 1')
        proxy.blackHole()
        await session.execute('select 2')
      },
      { signal },
    )
    const error = await failureOf(work)
    expect(error).toBeInstanceOf(AbortedError)
    expect(error.cause).toMatchObject({ name: 'TimeoutError' })
    expect(pool.stats().borrowed).toBe(0)
  })

  test.each([
    ['idle', async () => Promise.resolve()],
    ['busy', (pool: Engine) => failureOf(select(pool))],
  ] as const)('does not hold up dispose (%s connection)', async (state, call) => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 1)
    proxy.blackHole()
    const failed = call(pool)
    await waitUntil(() => pool.stats().borrowed === (state === 'busy' ? 1 : 0))
    const report = await pool.dispose({ timeoutMillis: 100 })
    expect(report).toMatchObject(state === 'busy' ? { forced: 1, closed: 0 } : { forced: 0, closed: 1 })
    const error = await failed
    if (state === 'busy') expect((error as Error).cause).toMatchObject({ code: 'ENGINE_DISPOSED' })
    expect(pool.stats().size).toBe(0)
  })

  test('does not hold up recreate, and the engine goes on with new connections', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 2)
    for (const each of proxy.connections) each.hold()
    // It calls a function, which could write.
    const text = 'select txid_current()'
    const failed = failureOf(sessionsOf(pool).withSession((session) => session.scalar(text)))
    await waitUntil(() => pool.stats().borrowed === 1)
    const recreated = pool.recreate({ timeoutMillis: 100 })
    expect(await select(pool)).toBe(1)
    expect(await recreated).toMatchObject({ forced: 1, closed: 1 })
    // Its only statement, and COMMIT with it: what became of them cannot be known.
    expect(await failed).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
  })

  test('is not waited for by the COMMIT of a transaction that may be stored: its outcome is unknown', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = await idle(proxy, 1, { statementCacheSize: 0 }, createImpatientEngine)
    const controller = new AbortController()
    const held = proxy.holdAt({ from: 'client', when: 'before', message: ({ text }) => text === 'COMMIT' })
    const work = failureOf(
      sessionsOf(pool).withSession(
        async (session) => {
          await session.execute('select txid_current()')
        },
        { signal: controller.signal },
      ),
    )
    await held
    controller.abort()
    const error = await work
    expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
    expect(error.message).toContain('look whether its work was stored before you retry')
  })

  test('does not hold up a NullPool', async () => {
    using proxy = await startProxy(serverUrl())
    const pool = engine({ url: proxy.url, poolClass: NullPool, connectTimeoutMillis: 300 })
    const connection = await pool.connect()
    expect(await connection.scalar('select 1')).toBe(1)
    proxy.blackHole()
    const error = await failureOf(pool.connect({ poolTimeoutMillis: 200 }))
    expect(error).toBeInstanceOf(PoolTimeoutError)
    const failed = failureOf(connection.scalar('select 2'))
    expect(await pool.dispose({ timeoutMillis: 0 })).toMatchObject({ forced: 1 })
    expect(await failed).toBeInstanceOf(EngineDisposedError)
  })
})
