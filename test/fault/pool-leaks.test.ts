/** Connections that are not given back, and code that throws where it must not. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  createSessionFactory,
  NullPool,
  type Connection,
  type Engine,
  type PoolEvents,
  type Session,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useEngines } from './support.js'

const engine = useEngines()
let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.query('create table notes (text text)')
})
afterAll(() => db.drop())

function leaksOf(pool: Engine): PoolEvents['leak'][] {
  const leaks: PoolEvents['leak'][] = []
  pool.on('leak', (leak) => leaks.push(leak))
  return leaks
}

async function forgetful(pool: Engine): Promise<Connection> {
  const connection = await pool.connect()
  await connection.execute('select 1 as held')
  return connection
}

describe('a connection that is held for long', () => {
  test('is reported once, with the statement and the stack that acquired it, and again when it is released', async () => {
    const pool = engine({ url: db.url, leakDetectionMillis: 40 })
    const leaks = leaksOf(pool)
    const connection = await forgetful(pool)
    await waitUntil(() => leaks.length === 1)
    await connection.close()

    const [held, returned, ...others] = leaks
    expect(others).toEqual([])
    for (const [leak, stage] of [
      [held, 'held'],
      [returned, 'returned'],
    ] as const) {
      expect(leak).toMatchObject({ stage, connection: { id: 1 } })
      expect(leak?.heldMillis).toBeGreaterThanOrEqual(40)
      expect(leak?.stack).toContain('forgetful')
    }
    expect(held?.statement).toBe('select 1 as held')
    expect(pool.stats().counters.leaked).toBe(1)
  })

  test('by a session is reported with the line of the statement that needed it', async () => {
    const pool = engine({ url: db.url, leakDetectionMillis: 40 })
    const leaks = leaksOf(pool)
    await createSessionFactory({ bind: pool }).withSession(async function dawdles(session) {
      await session.execute('select 1')
      await waitUntil(() => leaks.length === 1)
    })
    expect(leaks.map(({ stage }) => stage)).toEqual(['held', 'returned'])
    expect(leaks[0]?.stack).toContain('dawdles')
  })

  test('is a process warning without a listener', async () => {
    const pool = engine({ url: db.url, name: 'songs', leakDetectionMillis: 40 })
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const connection = await forgetful(pool)
    await waitUntil(() => warn.mock.calls.length === 1)
    const [message, options] = warn.mock.calls[0] as unknown as [string, object]
    await connection.close()
    warn.mockRestore()
    expect(options).toEqual({ type: 'LifeguardWarning', code: 'LIFEGUARD_LEAK' })
    expect(message).toMatch(
      /^Pool 'songs': the lease of connection 1 is still checked out \(\d+ ms\); acquired\n/,
    )
    expect(message).toContain('forgetful')
  })
})

describe('a connection that was watched', () => {
  test('and was lost is freed on release, with all that refers to it', async () => {
    const pool = engine({ url: db.url, leakDetectionMillis: 20 })
    const leaks = leaksOf(pool)
    const refs: WeakRef<object>[] = []
    const holdAndBreak = async (): Promise<void> => {
      const connection = await forgetful(pool)
      await waitUntil(() => leaks.length === 1)
      refs.push(new WeakRef(connection))
      await connection.invalidate()
    }
    await holdAndBreak()
    leaks.length = 0
    await waitUntil(() => {
      globalThis.gc?.()
      return refs[0]?.deref() === undefined
    })
  })
})

describe('a statement that was cancelled', () => {
  test('is freed when it has ended, not at the deadline of its cancel', async () => {
    const { withSession } = createSessionFactory({ bind: engine({ url: db.url }) })
    const cancel = (): Promise<WeakRef<object>> =>
      withSession((session) => session.execute('select pg_sleep(60)', [], { timeoutMillis: 50 })).then(
        () => new WeakRef({}),
        (error: object) => new WeakRef(error),
      )
    await withSession((session) => session.execute('select'))
    // Through its stack the error leads to all that was there when it was thrown.
    const error = await cancel()
    await waitUntil(
      () => {
        globalThis.gc?.()
        return error.deref() === undefined
      },
      { deadlineMillis: 2000 },
    )
  })
})

describe('a connection that was forgotten for good', () => {
  const forget: readonly [name: string, forget: (pool: Engine) => Promise<unknown>][] = [
    [
      'a connection',
      async (pool) => {
        const connection = await forgetful(pool)
        await connection.execute("insert into notes values ('never committed')")
      },
    ],
    [
      'a session',
      async (pool) => {
        const session = createSessionFactory({ bind: pool })()
        await session.execute("insert into notes values ('never committed')")
      },
    ],
    [
      'a session with a signal and an open cursor',
      async (pool) => {
        const session = createSessionFactory({ bind: pool })({ signal: new AbortController().signal })
        await session.execute("insert into notes values ('never committed')")
        const rows = session.stream('select generate_series(1, 1000)', { batchSize: 1 })
        await rows[Symbol.asyncIterator]().next()
      },
    ],
    [
      'a transaction that was begun by hand',
      async (pool) => {
        const connection = await pool.connect()
        await connection.begin()
        await connection.execute("insert into notes values ('never committed')")
      },
    ],
  ]

  test.each(forget)(
    '(%s) is closed after garbage collection, and the next waiting caller gets its slot',
    async (_, leak) => {
      // The keep-alive has the housekeeper come often: it is who watches.
      const pool = engine({ url: db.url, poolSize: 1, maxOverflow: 0, keepAliveMillis: 40 })
      const leaks = leaksOf(pool)
      await leak(pool)
      let served = false
      const waiting = createSessionFactory({ bind: pool })
        .withSession((session) => session.scalar('select count(*)::int from notes'))
        .finally(() => (served = true))
      await waitUntil(
        () => {
          globalThis.gc?.()
          return served
        },
        { deadlineMillis: 15_000, message: () => pool.status() },
      )
      expect(await waiting).toBe(0)
      expect(leaks.map(({ stage }) => stage)).toEqual(['reclaimed'])
      expect(pool.stats()).toMatchObject({ size: 1, borrowed: 0, closed: { reclaimed: 1 } })
    },
  )

  test('in a NullPool is closed as well', async () => {
    const pool = engine({ url: db.url, poolClass: NullPool, leakDetectionMillis: 40 })
    const leaks = leaksOf(pool)
    await forgetful(pool)
    await waitUntil(
      () => {
        globalThis.gc?.()
        return pool.stats().size === 0
      },
      { deadlineMillis: 15_000, message: () => pool.status() },
    )
    expect(leaks.at(-1)?.stage).toBe('reclaimed')
  })
})

describe('code that throws', () => {
  const thrown: readonly [name: string, value: unknown][] = [
    ['an error', new Error('of mine')],
    ['a frozen error', Object.freeze(new Error('of mine'))],
    ['undefined', undefined],
    ['a string', 'of mine'],
  ]
  const blocks: readonly [
    name: string,
    run: (pool: Engine, fail: (on: Session | Connection) => Promise<never>) => Promise<unknown>,
  ][] = [
    ['withSession', (pool, fail) => createSessionFactory({ bind: pool }).withSession(fail)],
    [
      'a savepoint',
      (pool, fail) =>
        createSessionFactory({ bind: pool }).withSession((session) =>
          session.beginNested(() => fail(session)),
        ),
    ],
    [
      'autocommit',
      (pool, fail) => createSessionFactory({ bind: pool }).withSession(fail, { autocommit: true }),
    ],
    ['engine.begin', (pool, fail) => pool.begin(fail)],
  ]

  describe.each(blocks)('in a block of %s', (name, run) => {
    test.each(thrown)('(%s) costs no connection, and is what the caller gets', async (_, value) => {
      await db.query('truncate notes')
      const pool = engine({ url: db.url, poolSize: 2, maxOverflow: 0 })
      const outcomes = await Promise.allSettled(
        Array.from({ length: 10 }, () =>
          run(pool, async (on) => {
            await on.execute("insert into notes values ('undone')")
            throw value
          }),
        ),
      )
      expect(outcomes).toEqual(outcomes.map(() => ({ status: 'rejected', reason: value })))
      expect((outcomes[0] as PromiseRejectedResult).reason).toBe(value)
      expect(pool.stats().borrowed).toBe(0)
      expect(await db.query('select from notes')).toHaveLength(name === 'autocommit' ? 10 : 0)
      const inTransaction =
        "select from pg_stat_activity where datname = current_database() and state like '%transaction%'"
      expect(await db.query(inTransaction)).toEqual([])
    })

    test('at once, before it returns a promise, costs no connection either', async () => {
      const pool = engine({ url: db.url, poolSize: 1, maxOverflow: 0 })
      const value = new Error('at once')
      for (let call = 0; call < 3; call++) {
        await expect(
          run(pool, () => {
            throw value
          }),
        ).rejects.toBe(value)
      }
      expect(pool.stats().borrowed).toBe(0)
    })
  })

  test('in listeners of every event breaks nothing, and becomes a warning', async () => {
    const pool = engine({
      url: db.url,
      poolSize: 1,
      maxOverflow: 0,
      leakDetectionMillis: 20,
    })
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const heard = new Set<string>()
    const events = [
      'connect',
      'firstConnect',
      'acquire',
      'release',
      'reset',
      'invalidate',
      'close',
      'leak',
      'wait',
      'timeout',
      'generation',
    ] as const
    for (const event of events) {
      pool.on(event, () => {
        heard.add(event)
        throw new Error(`listener of ${event}`)
      })
    }
    const connection = await forgetful(pool)
    await expect(pool.connect({ poolTimeoutMillis: 50 })).rejects.toMatchObject({ code: 'POOL_TIMEOUT' })
    await waitUntil(() => heard.has('leak'))
    await connection.invalidate()
    const session = createSessionFactory({ bind: pool })()
    await session.execute('select 1')
    pool.refresh()
    await session.close()
    await waitUntil(() => pool.stats().size === 0)
    expect(await createSessionFactory({ bind: pool }).withSession((each) => each.scalar('select 1'))).toBe(1)
    expect(warnings).toHaveBeenCalledWith(expect.stringContaining("listener of 'leak' threw"), {
      type: 'LifeguardWarning',
      code: 'LIFEGUARD_LISTENER',
    })
    await pool.dispose()
    warnings.mockRestore()
    expect([...heard].sort()).toEqual(events.filter((event) => event !== 'reset').sort())
  })
})
