/** What operators do to a pool while it works: dispose, recreate, suspend, refresh, resize. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createSessionFactory,
  EngineDisposedError,
  NullPool,
  type DisposeReport,
  type Engine,
  type EngineOptions,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf, gate } from '../integration/session-support.js'
import { failureOf, Load, useEngines } from './support.js'

const makeEngine = useEngines()
let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.query('create table marks (name text)')
})
afterAll(() => db.drop())

const APPLICATION = 'operated'

function engine(options: EngineOptions = {}): Engine {
  return makeEngine({
    url: db.url,
    connectArgs: { serverSettings: { application_name: APPLICATION } },
    ...options,
  })
}

async function backends(): Promise<number> {
  return (await backendsOf(db, APPLICATION)).length
}

const sleeping = async (count: number): Promise<void> => {
  await waitUntil(
    async () =>
      (await backendsOf(db, APPLICATION)).filter(({ query }) => query.includes('pg_sleep(60)')).length ===
      count,
  )
}

describe('dispose', () => {
  test('cancels unfinished statements on the server at the deadline, rejects waiting callers, and reports', async () => {
    const pool = engine({ poolSize: 3, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const idleInTransaction = await pool.connect()
    await idleInTransaction.execute("insert into marks values ('never')")
    const running = [1, 2].map(() =>
      // It calls a function that could write.
      failureOf(withSession((session) => session.execute('select pg_sleep(60), txid_current()'))),
    )
    await sleeping(2)
    const waiting = [1, 2, 3].map(() => failureOf(withSession((session) => session.execute('select 1'))))
    await waitUntil(() => pool.stats().waiting === 3)

    const report = await pool.dispose({ timeoutMillis: 100 })
    expect(report).toMatchObject({ closed: 0, forced: 3, rejected: 3 })
    // They were told to end; on a busy machine that takes them a moment.
    await waitUntil(async () => (await backends()) === 0)
    for (const error of await Promise.all(waiting)) {
      expect(error).toBeInstanceOf(EngineDisposedError)
      expect(error.message).toContain('takes no new work')
    }
    for (const error of await Promise.all(running)) {
      // COMMIT was on its way with the only statement.
      expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN', cause: { code: 'ENGINE_DISPOSED' } })
    }
    const late = await failureOf(idleInTransaction.execute('select 1'))
    expect(late).toBeInstanceOf(EngineDisposedError)
    expect(late.message).toContain('dispose() closed the connection')
    await idleInTransaction.close()
    expect(await db.query("select from marks where name = 'never'")).toEqual([])
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, waiting: 0, disposed: true })
    expect(await failureOf(pool.connect())).toBeInstanceOf(EngineDisposedError)
    expect(await pool.dispose()).toBe(report)
  })

  test('fails a statement that it ends with ENGINE_DISPOSED, which no retry repeats', async () => {
    const pool = engine()
    const { withSession } = createSessionFactory({ bind: pool })
    let runs = 0
    const work = withSession(
      async (session) => {
        runs += 1
        await session.execute('select pg_sleep(60)')
        return 'unreachable'
      },
      { retry: { attempts: 3, backoff: () => 0 } },
    )
    const failed = failureOf(work)
    await sleeping(1)
    await pool.dispose({ timeoutMillis: 0 })
    const error = await failed
    expect(error).toBeInstanceOf(EngineDisposedError)
    expect(error.message).toContain('Nothing of its transaction was stored')
    expect(runs).toBe(1)
  })

  test('waits for what ends in time, and closes it in good order', async () => {
    const pool = engine({ poolSize: 3, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const holding = gate()
    const done = gate()
    const work = withSession(async (session) => {
      await session.execute("insert into marks values ('in time')")
      holding.open()
      await done.opened
      await session.execute("insert into marks values ('in time')")
    })
    await holding.opened
    const disposed = pool.dispose()
    done.open()
    await work
    expect(await disposed).toMatchObject({ closed: 1, forced: 0, rejected: 0 })
    expect(await db.query("select from marks where name = 'in time'")).toHaveLength(2)
    expect(await backends()).toBe(0)
  })

  test('at once (timeoutMillis 0), in the middle of everything, leaves nothing', async () => {
    const pool = engine({ poolSize: 4, maxOverflow: 2 })
    const { withSession } = createSessionFactory({ bind: pool })
    const load = new Load(20, () => withSession((session) => session.execute('select pg_sleep(0.002)')))
    await load.more(100)
    await pool.dispose({ timeoutMillis: 0 })
    await waitUntil(async () => (await backends()) === 0)
    await load.stop()
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, waiting: 0 })
  })

  test('while connections are being opened leaves nothing', async () => {
    const pool = engine({ poolSize: 10, maxConnecting: 10 })
    const calls = Array.from({ length: 10 }, () => failureOf(pool.connect()))
    await waitUntil(() => pool.stats().connecting > 0)
    await pool.dispose({ timeoutMillis: 0 })
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(EngineDisposedError)
    await waitUntil(async () => (await backends()) === 0)
  })

  test('of a NullPool leaves nothing', async () => {
    const pool = engine({ poolClass: NullPool })
    const { withSession } = createSessionFactory({ bind: pool })
    const running = [1, 2].map(() =>
      failureOf(withSession((session) => session.execute('select pg_sleep(60)'))),
    )
    await sleeping(2)
    expect(await pool.dispose({ timeoutMillis: 50 })).toMatchObject({ forced: 2 })
    await Promise.all(running)
    await waitUntil(async () => (await backends()) === 0)
  })
})

describe('under load', () => {
  /** Ten callers on an engine, and what they saw. */
  async function underLoad(
    pool: Engine,
    operate: (load: Load) => Promise<void>,
  ): Promise<readonly unknown[]> {
    const { withSession } = createSessionFactory({ bind: pool })
    const load = new Load(10, () =>
      withSession(async (session) => {
        await session.execute('select 1')
        await session.execute('select 2')
      }),
    )
    await load.more(100)
    await operate(load)
    await load.more(100)
    await load.stop()
    return load.failures.map(({ error }) => error)
  }

  test('refresh replaces every connection and fails no call', async () => {
    const pool = engine({ poolSize: 4, maxOverflow: 0 })
    const failures = await underLoad(pool, async (load) => {
      for (let time = 0; time < 5; time++) {
        pool.refresh()
        await load.more(20)
      }
    })
    expect(failures).toEqual([])
    expect(pool.stats()).toMatchObject({ generation: 5, borrowed: 0 })
    expect(pool.stats().closed.stale).toBeGreaterThanOrEqual(5)
    await waitUntil(async () => (await backends()) === pool.stats().size)
  })

  test('suspend and resume fail no call', async () => {
    const pool = engine({ poolSize: 4, maxOverflow: 0, poolTimeoutMillis: 1_000 })
    const failures = await underLoad(pool, async () => {
      for (let time = 0; time < 5; time++) {
        pool.suspend()
        await waitUntil(() => pool.stats().borrowed === 0 && pool.stats().waiting === 10)
        const { acquired } = pool.stats().counters
        pool.resume()
        await waitUntil(() => pool.stats().counters.acquired > acquired)
      }
    })
    expect(failures).toEqual([])
  })

  test('resize fails no call, up or down, and the server never sees more than the limit', async () => {
    const pool = engine({ poolSize: 2, maxOverflow: 0 })
    const failures = await underLoad(pool, async (load) => {
      for (const poolSize of [8, 1, 5, 3, 10, 2]) {
        pool.resize({ poolSize })
        await load.more(30)
        await waitUntil(() => pool.stats().size <= poolSize)
      }
    })
    expect(failures).toEqual([])
    await waitUntil(async () => (await backends()) === pool.stats().size)
    expect(pool.stats().size).toBeLessThanOrEqual(2)
  })

  test('recreate fails no call, neither of waiting callers nor of holders', async () => {
    const pool = engine({ poolSize: 4, maxOverflow: 0 })
    const reports: DisposeReport[] = []
    const failures = await underLoad(pool, async (load) => {
      for (let time = 0; time < 3; time++) {
        reports.push(await pool.recreate())
        await load.more(20)
      }
    })
    expect(reports).toMatchObject(Array(3).fill({ forced: 0, rejected: 0 }))
    expect(failures).toEqual([])
    await waitUntil(async () => (await backends()) === pool.stats().size)
  })

  test('resizing and suspending never open more sockets than they may, those being closed included', async () => {
    using fake = await startFakeServer()
    const pool = makeEngine({ url: fake.url, poolSize: 3, maxOverflow: 2, poolRecycleMillis: 20 })
    const failures = await underLoad(pool, async (load) => {
      for (let time = 0; time < 40; time++) {
        if (time % 4 === 0) pool.suspend()
        pool.resize({ poolSize: 1 + (time % 4) })
        pool.resume()
        await load.more(20)
      }
    })
    expect(failures).toEqual([])
    expect(pool.stats().closed.recycled).toBeGreaterThan(0)
    expect(fake.acceptedSockets).toBeGreaterThan(6)
    expect(fake.mostSockets).toBeLessThanOrEqual(4 + 2)
  })

  test('all of these at once, with a server that closes all connections now and then, lose no slot and no caller', async () => {
    using fake = await startFakeServer()
    const pool = makeEngine({ url: fake.url, poolSize: 3, maxOverflow: 2, prePingSkipMillis: 0 })
    const failures = await underLoad(pool, async (load) => {
      for (let time = 0; time < 20; time++) {
        if (time % 4 === 0) pool.suspend()
        pool.refresh()
        pool.resize({ poolSize: 1 + (time % 4) })
        pool.resume()
        if (time % 5 === 0) fake.dropAll()
        await load.more(20)
      }
    })
    const told = new Set(failures.map((error) => (error as Error).name))
    expect(['ConnectionLostError', 'CommitOutcomeUnknownError']).toEqual(expect.arrayContaining([...told]))
    await waitUntil(() => pool.stats().size === pool.stats().idle && fake.openSockets === pool.stats().size)
  })
})

describe('a NullPool', () => {
  test('gives each call a backend of its own, and keeps none', async () => {
    const pool = engine({ poolClass: NullPool })
    const { withSession } = createSessionFactory({ bind: pool })
    const pids = await Promise.all(
      Array.from({ length: 10 }, () =>
        withSession((session) => session.scalar<number>('select pg_backend_pid()')),
      ),
    )
    expect(new Set(pids).size).toBe(10)
    await waitUntil(async () => (await backends()) === 0)
    // The server closes its side first.
    await waitUntil(() => pool.stats().size === 0)
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, counters: { connected: 10 } })
  })
})
