/** No connection is left: who holds them, since when, from where, and whether a waiting caller waits for itself. */
import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import {
  createSessionFactory,
  PoolQueueFullError,
  PoolTimeoutError,
  type Engine,
  type EngineOptions,
} from '../../src/index.js'
import { serverUrl } from '../helpers/database.js'
import { query } from '../helpers/databases.js'
import { waitUntil } from '../helpers/wait-until.js'
import { gate } from '../integration/session-support.js'
import { failureOf, useEngines } from './support.js'

const engine = useEngines()

/** One connection. Callers do not wait for it; opening it takes as long as it takes. */
function small(options: EngineOptions = {}): Engine {
  return engine({ url: serverUrl(), poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0, ...options })
}

const ACTIVE = "select from pg_stat_activity where pid = $1 and state = 'active'"
const OWN = 'The waiting code holds 1 of them itself'

/** A name that a stack can lead to. */
async function inSession(
  { withSession }: ReturnType<typeof createSessionFactory>,
  work: () => Promise<unknown>,
): Promise<unknown> {
  return withSession(async function holdsInSession(session) {
    await session.execute('select 1 as held')
    return work()
  })
}

async function holdsOfEngine(pool: Engine, work: () => Promise<unknown>): Promise<unknown> {
  const connection = await pool.connect({ poolTimeoutMillis: 60_000 })
  await connection.execute('select 1 as held')
  return work().finally(() => connection.close())
}

async function holdsInBegin(pool: Engine, work: () => Promise<unknown>): Promise<unknown> {
  return pool.begin(async (connection) => {
    await connection.execute('select 1 as held')
    return work()
  })
}

describe('a pool timeout names the holders of the connections, with statement and stack', () => {
  const holders: readonly [
    name: string,
    hold: (pool: Engine, work: () => Promise<unknown>) => Promise<unknown>,
  ][] = [
    ['holdsInSession', (pool, work) => inSession(createSessionFactory({ bind: pool }), work)],
    ['holdsOfEngine', holdsOfEngine],
    ['holdsInBegin', holdsInBegin],
  ]

  test.each(holders)('%s', async (name, hold) => {
    const pool = small()
    const holding = gate()
    const done = gate()
    const held = hold(pool, () => {
      holding.open()
      return done.opened
    })
    await holding.opened
    const error = await failureOf(
      createSessionFactory({ bind: pool }).withSession((session) => session.execute('select 2')),
    )
    done.open()
    await held

    expect(error).toBeInstanceOf(PoolTimeoutError)
    const timeout = error as unknown as PoolTimeoutError
    expect(timeout).toMatchObject({
      phase: 'wait',
      stats: { borrowed: 1, waiting: 0 },
      eventLoopDelayMillis: 0,
    })
    const [holder, ...others] = timeout.holders
    expect(others).toEqual([])
    expect(holder).toMatchObject({ statement: 'select 1 as held', sameContext: false })
    expect(holder?.heldMillis).toBeGreaterThan(0)
    expect(holder?.stack).toContain(name)
    expect(error.message).toContain('every connection was in use')
    expect(error.message).toContain(`(backend ${String(holder?.processId)}) held for`)
    expect(error.message).toContain('last statement: select 1 as held, acquired\n')
    expect(error.message).toContain(name)
    expect(error.message).not.toContain('holds 1 of them itself')
  })

  test('without stacks where they are off', async () => {
    const pool = small({ captureStacks: false })
    const error = await holdsOfEngine(pool, () => failureOf(pool.connect()))
    expect((error as PoolTimeoutError).holders).toMatchObject([{ stack: undefined }])
    expect((error as Error).message).not.toContain('acquired')
  })
})

describe('a caller that waits for itself gets an error that says so', () => {
  test('a session inside a session', async () => {
    const sessions = createSessionFactory({ bind: small() })
    const error = await inSession(sessions, () =>
      failureOf(
        sessions.withSession((session) => session.execute('select 2'), { propagation: 'requiresNew' }),
      ),
    )
    expect((error as Error).message).toContain(OWN)
    expect((error as PoolTimeoutError).holders).toMatchObject([{ sameContext: true }])
  })

  test('a session inside a session, deep in a savepoint and behind a timer', async () => {
    const { withSession } = createSessionFactory({ bind: small() })
    const error = await withSession((outer) =>
      outer.beginNested(async () => {
        await outer.execute('select 1')
        await new Promise((resolve) => setTimeout(resolve))
        return failureOf(
          withSession((session) => session.execute('select 2'), { propagation: 'requiresNew' }),
        )
      }),
    )
    expect(error.message).toContain(OWN)
  })

  test('a session inside engine.begin, and a connection inside a session', async () => {
    const pool = small()
    const sessions = createSessionFactory({ bind: pool })
    const first = await holdsInBegin(pool, () =>
      failureOf(sessions.withSession((session) => session.execute('select 2'))),
    )
    expect((first as Error).message).toContain(OWN)
    const second = await inSession(sessions, () => failureOf(pool.connect()))
    expect((second as Error).message).toContain(OWN)
  })

  test('but two blocks side by side do not wait for themselves', async () => {
    const sessions = createSessionFactory({ bind: small() })
    const holding = gate()
    const done = gate()
    const held = inSession(sessions, () => {
      holding.open()
      return done.opened
    })
    await holding.opened
    const error = await failureOf(sessions.withSession((session) => session.execute('select 2')))
    done.open()
    await held
    expect(error.message).not.toContain('itself')
  })
})

/** Blocks this process, as busy code does, until the backend has run its statement. */
function blockUntilIdle(pid: number | undefined): void {
  const script = `
    const client = new (require('pg').Client)({ connectionString: process.argv[1] })
    const look = async () => {
      const { rows } = await client.query(process.argv[2], [process.argv[3]])
      return rows.length === 0 ? client.end() : look()
    }
    client.connect().then(look)`
  const { status } = spawnSync(process.execPath, ['-e', script, serverUrl(), ACTIVE, String(pid)])
  expect(status).toBe(0)
}

describe('the event loop', () => {
  test('that was blocked is named as what was slow', async () => {
    const pool = small({ poolTimeoutMillis: 100 })
    const error = await holdsOfEngine(pool, () => {
      const failed = failureOf(pool.connect())
      const until = performance.now() + 400
      while (performance.now() < until);
      return failed
    })
    const timeout = error as PoolTimeoutError
    expect(timeout.eventLoopDelayMillis).toBeGreaterThan(200)
    expect(timeout.message).toMatch(
      /The event loop was blocked for about \d+ ms: the delay may be in this process/,
    )
  })

  test('that was blocked fails no caller for which a connection became available meanwhile', async () => {
    const pool = small({ poolTimeoutMillis: 100 })
    const holder = await pool.connect({ autocommit: true, poolTimeoutMillis: 60_000 })
    const working = holder.scalar('select pg_backend_pid() from pg_sleep(1)')
    const closing = working.then(() => holder.close())
    const pid = holder.processId
    await waitUntil(async () => (await query(serverUrl(), ACTIVE, [pid])).length === 1)
    const waiting = pool.connect()
    // Meanwhile the answer comes, and the time of the waiter is over.
    const until = performance.now() + 200
    blockUntilIdle(pid)
    while (performance.now() < until);
    await closing
    await (await waiting).close()
  })
})

describe('a queue that is full', () => {
  test('refuses one more at once, and says how long it is', async () => {
    const pool = small({ maxWaiting: 2, poolTimeoutMillis: 10_000 })
    await holdsOfEngine(pool, async () => {
      const waiting = [pool.connect(), pool.connect()]
      const error = await failureOf(pool.connect())
      expect(error).toBeInstanceOf(PoolQueueFullError)
      expect(error.message).toMatch(/No more than 2 acquires may wait \(maxWaiting\).*1 in use.*2 waiting/)
      void waiting.map(async (one) => (await one).close())
    })
  })
})
