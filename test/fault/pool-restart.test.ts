/** The server goes away and comes back. The process stays. */
import { describe, expect, test } from 'vitest'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  createSessionFactory,
  NullPool,
  PoolTimeoutError,
  type EngineOptions,
} from '../../src/index.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { expectNamed, failureOf, Load, pass, useEngines, useServer } from './support.js'

const engine = useEngines()
const server = useServer()

describe('a server that restarts under load', () => {
  test.each(['immediate', 'fast'] as const)(
    '(%s) fails only calls that were in flight, one per connection at most, and other callers wait',
    async (mode) => {
      const pool = engine({ url: server().url, poolSize: 5, maxOverflow: 0 })
      const { withSession } = createSessionFactory({ bind: pool })
      const load = new Load(20, () =>
        withSession(async (session) => {
          await session.execute('select 1')
          await session.execute('select pg_sleep(0.002)')
        }),
      )
      await load.more(200)
      await server().stop(mode)
      const goneAt = performance.now()
      await server().start()
      await load.more(200)
      await load.stop()

      console.log(`restart (${mode}): ${String(load.done)} calls, ${String(load.failures.length)} failed`)
      expect(load.failures.length).toBeLessThanOrEqual(5)
      for (const { error, startedAt } of load.failures) {
        expectNamed(error)
        expect([ConnectionLostError, CommitOutcomeUnknownError]).toContain((error as Error).constructor)
        expect(startedAt).toBeLessThan(goneAt)
      }
      const { generation, counters } = pool.stats()
      expect(generation).toBeGreaterThan(0)
      expect(counters.timedOut).toBe(0)
    },
  )

  test('fails no call whose block may be repeated (retry)', async () => {
    const pool = engine({ url: server().url, poolSize: 5, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const load = new Load(10, () =>
      withSession(
        async (session) => {
          await session.execute('select 1')
          await session.execute('select pg_sleep(0.002)')
        },
        { retry: { attempts: 3 }, readOnly: true },
      ),
    )
    await load.more(100)
    await server().stop('immediate')
    await server().start()
    await load.more(100)
    await load.stop()
    expect(load.failures).toEqual([])
  })

  test('fails no call while all connections are idle', async () => {
    const pool = engine({ url: server().url, poolSize: 5 })
    const { withSession } = createSessionFactory({ bind: pool })
    const select = (): Promise<unknown> => withSession((session) => session.scalar('select 1'))
    await Promise.all(Array.from({ length: 5 }, select))
    await waitUntil(() => pool.stats().borrowed === 0)
    await server().stop('immediate')
    await server().start()
    expect(await Promise.all(Array.from({ length: 5 }, select))).toEqual([1, 1, 1, 1, 1])
  })

  test('is survived by a NullPool as well', async () => {
    const pool = engine({ url: server().url, poolClass: NullPool })
    const { withSession } = createSessionFactory({ bind: pool })
    const load = new Load(5, () =>
      withSession(async (session) => {
        await session.execute('select 1')
        await session.execute('select pg_sleep(0.002)')
      }),
    )
    await load.more(20)
    await server().stop('immediate')
    const goneAt = performance.now()
    await server().start()
    await load.more(20)
    await load.stop()
    expect(load.failures.length).toBeLessThanOrEqual(5)
    for (const { error, startedAt } of load.failures) {
      expectNamed(error)
      expect(startedAt).toBeLessThan(goneAt)
    }
  })
})

describe('a server that is down for 1.5 s', () => {
  const DOWN_MILLIS = 1500
  const CASES: readonly [name: string, options: EngineOptions][] = [
    ['an empty pool', {}],
    ['a pool with idle connections', { minIdle: 5 }],
  ]

  test.each(CASES)('%s: 20 callers wait, with at most 20 connects, and all succeed', async (_, options) => {
    using proxy = await startProxy(server().url)
    const pool = engine({ url: proxy.url, poolSize: 5, maxOverflow: 0, ...options })
    const { withSession } = createSessionFactory({ bind: pool })
    await waitUntil(() => pool.stats().idle === (options.minIdle ?? 0))
    await server().stop('immediate')
    await waitUntil(() => pool.stats().idle === 0)
    proxy.reset()
    const calls = Array.from({ length: 20 }, () => withSession((session) => session.scalar('select 1')))
    await pass(DOWN_MILLIS)
    expect(pool.stats().waiting).toBe(20)
    await server().start()
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 20 }, () => 1))

    console.log(
      `down for ${String(DOWN_MILLIS)} ms, 20 callers: ${String(proxy.connections.length)} connects`,
    )
    expect(proxy.connections.length).toBeLessThanOrEqual(20)
    expect(pool.stats().counters.timedOut).toBe(0)
  })

  test('fails a caller when its own time is over, and says where, why and what to look at', async () => {
    await server().stop('immediate')
    const pool = engine({ url: server().url })
    const { withSession } = createSessionFactory({ bind: pool })
    const patient = withSession((session) => session.scalar('select 1'))
    const error = await failureOf(
      withSession((session) => session.scalar('select 1'), { poolTimeoutMillis: 200 }),
    )
    await server().start()
    expect(await patient).toBe(1)

    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error).toMatchObject({ phase: 'connect', cause: { code: 'CONNECT_FAILED', fatal: false } })
    expect(error.message).toContain('none could be opened in time')
    expect(error.message).toContain(`lifeguard@127.0.0.1:${String(server().port)}/postgres`)
    expect(error.message).toContain('nothing listens there (ECONNREFUSED). Is PostgreSQL running')
    expect(error.message).not.toContain(server().password)
  })

  test('rejects waiting callers at once with connectRetry fail', async () => {
    await server().stop('immediate')
    const pool = engine({ url: server().url, connectRetry: 'fail' })
    const error = await failureOf(pool.connect())
    await server().start()
    expect(error).toMatchObject({ name: 'ConnectError', fatal: false, cause: { code: 'ECONNREFUSED' } })
    await (await pool.connect()).close()
  })
})
