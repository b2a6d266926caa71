/** What each library has to stand on a pool of ours, whatever its own job is. */
import pg from 'pg'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { describe, expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import { socketsAreRead, waitUntil } from '../helpers/wait-until.js'
import { useDatabase, type Fixture } from '../integration/session-support.js'

/** A library that has been opened on a pool. */
export interface Library {
  /** A small part of its main job, which can be done at any time and often. It has to wait for a lock of `table`. */
  job(): PromiseLike<unknown>
  /** A table that the job uses. */
  readonly table: string
  /** Mistakes that the library itself refuses or passes on, by their names. */
  readonly failures: Readonly<Record<string, () => PromiseLike<unknown>>>
  /** A transaction of the library, if it has some: a row is stored in `table`, `during` runs, and another row is stored. */
  transaction?(during: () => Promise<void>): PromiseLike<unknown>
  /** Ends the library, and not the pool. */
  close?(): Promise<unknown>
}

export interface Description {
  /** Statements that make the tables. */
  readonly schema?: readonly string[]
  /** The fewest connections with which it can work. Default 1. */
  readonly connections?: number
  /** It refuses to do two jobs at the same time. */
  readonly oneAtATime?: boolean
  /** It tries a job again by itself, so that a killed backend may go unnoticed. */
  readonly retries?: boolean
  open(pool: Pool, url: string): Promise<Library> | Library
}

/** Which of the database's other backends is meant. */
const OTHERS = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
const WAITS = "wait_event_type = 'Lock'"

/**
 * Runs the checks. The job of the library is tested in full by tests beside them.
 * @returns The database, for these tests.
 */
export function checkLibrary(name: string, description: Description): Fixture {
  const { schema = [], connections = 1, oneAtATime = false, retries = false } = description
  const fixture = useDatabase(...schema)

  interface Opened extends Library {
    readonly pool: Pool
    readonly engine: Engine
  }

  const open = async (poolSize = connections): Promise<Opened> => {
    const engine = fixture.engine({ poolSize, maxOverflow: 0, poolTimeoutMillis: 15_000 })
    const pool = poolFrom(engine)
    return { ...(await description.open(pool, fixture.db.url)), pool, engine }
  }

  describe(`${name}, as every library`, () => {
    test('does its job with the fewest connections, many times side by side, and returns them', async () => {
      const library = await open()
      if (oneAtATime) for (let time = 0; time < 5; time++) await library.job()
      else await Promise.all(Array.from({ length: 20 }, () => library.job()))
      await expectReturned(library)
      await end(library)
    })

    test('returns its connection after each of its own failures', async () => {
      const library = await open()
      for (const [mistake, run] of Object.entries(library.failures)) {
        for (let time = 0; time < 2; time++) expect(await failureOf(run), mistake).toBeInstanceOf(Error)
        await expectReturned(library)
        await library.job()
      }
      await end(library)
    })

    test('returns its connection after a transaction that threw, and stores nothing of it', async () => {
      const library = await open()
      const mine = new Error('mine')
      const { transaction } = library
      if (transaction !== undefined) {
        const before = await countRows(library)
        expect(await failureOf(() => transaction(() => Promise.reject(mine)))).toBe(mine)
        await expectReturned(library)
        expect(await countRows(library)).toBe(before)
      }
      await library.job()
      await end(library)
    })

    test('does not notice that its idle connections were killed', async () => {
      const library = await open(Math.max(2, connections))
      await Promise.all(Array.from({ length: oneAtATime ? 1 : 2 }, () => library.job()))
      // One connection may have done both jobs while the other was still being opened.
      await waitUntil(() => library.engine.stats().connecting === 0)
      await kill('true')
      // A connection that was used a moment ago is not pinged, so its loss must have arrived.
      await waitUntil(() => library.engine.stats().idle === 0)
      await library.job()
      await expectReturned(library)
      await end(library)
    })

    test('goes on after its backend was killed at work', async () => {
      const library = await open()
      await library.job()
      const locker = new pg.Client(fixture.db.url)
      await locker.connect()
      await locker.query(`begin; lock table ${library.table} in access exclusive mode`)
      const failure = failureOf(() => library.job())
      await waitUntil(async () => (await fixture.db.query(`select ${OTHERS} and ${WAITS}`)).length > 0)
      await kill(WAITS)
      await locker.end()
      if (retries) await failure
      else expect(await failure).toBeInstanceOf(Error)
      await library.job()
      await expectReturned(library)
      await end(library)
    })

    test('goes on after its backend was killed between two statements of a transaction', async () => {
      const library = await open()
      await library.job()
      const { transaction } = library
      if (transaction !== undefined) {
        const lost = await failureOf(() => transaction(() => kill("state = 'idle in transaction'")))
        expect(lost).toBeInstanceOf(Error)
      }
      await library.job()
      await expectReturned(library)
      await end(library)
    })
  })

  /** Nothing is lent, and no transaction is open on the server. */
  async function expectReturned({ engine }: Opened): Promise<void> {
    const message = (): string => `${name} to return its connections: ${JSON.stringify(engine.stats())}`
    await waitUntil(() => engine.stats().borrowed <= connections - 1 && engine.stats().waiting === 0, {
      message,
    })
    await waitUntil(
      async () => (await fixture.db.query(`select ${OTHERS} and xact_start is not null`)).length === 0,
      { message: 'no open transaction' },
    )
  }

  /** What it is rejected with; undefined if it is not. It is awaited once: each `await` of a query builder would run it again. */
  async function failureOf(run: () => PromiseLike<unknown>): Promise<unknown> {
    try {
      await run()
      return undefined
    } catch (error) {
      return error
    }
  }

  async function countRows({ table }: Opened): Promise<unknown> {
    return (await fixture.db.query(`select count(*) as count from ${table}`))[0]?.['count']
  }

  async function kill(which: string): Promise<void> {
    const killed = await fixture.db.query<{ pid: number }>(
      `select pid, pg_terminate_backend(pid) ${OTHERS} and ${which}`,
    )
    expect(killed.length, 'killed backends').toBeGreaterThan(0)
    const pids = killed.map(({ pid }) => pid)
    await waitUntil(
      async () => (await fixture.db.query(`select ${OTHERS} and pid = any($1)`, [pids])).length === 0,
    )
    await socketsAreRead()
  }

  /** The library, the pool and the engine end, and leave nothing on the server. */
  async function end({ close, pool, engine }: Opened): Promise<void> {
    await close?.()
    if (!pool.ending) await pool.end()
    expect(engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
    await engine.dispose()
    await waitUntil(async () => (await fixture.db.query(`select ${OTHERS}`)).length === 0, {
      message: 'no backend of a disposed engine',
    })
  }

  return fixture
}
