/**
 * Many leases, and everything that can go wrong now and then. In the end nothing may be lost, nothing may have grown, and
 * what callers were told must be true.
 *
 * `LIFEGUARD_SOAK_LEASES` (default 100000, in a short run 15000) says how long, `LIFEGUARD_SOAK_SEED` repeats the choices of another run.
 */
import { getEventListeners, setMaxListeners } from 'node:events'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  AbortedError,
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  createSessionFactory,
  LifeguardError,
  PoolTimeoutError,
  StatementTimeoutError,
  type Engine,
  type SessionFactory,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import type { ProxiedConnection } from '../helpers/proxied-connection.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { backendsOf } from '../integration/session-support.js'
import { Load, useEngines } from './support.js'
import { Random } from './support-random.js'

const LEASES = Number(process.env['LIFEGUARD_SOAK_LEASES'] ?? byLength(15_000, 100_000))
const SEED = Number(process.env['LIFEGUARD_SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
/** Leases between two faults. */
const PERIOD = 250
const CALLERS = 20
const APPLICATION = 'soak'
const GROWTH_BYTES = 2.5 * 2 ** 20

const engine = useEngines()
let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.query('create table pairs (id int, part int)')
})
afterAll(() => db.drop())

/** What a caller does with a lease. Throws what it was told, unless that was wanted. */
type Call = (soak: Soak) => Promise<unknown>

class Mine extends Error {}

async function unless(
  wanted: readonly (abstract new (...parameters: never[]) => Error)[],
  work: Promise<unknown>,
): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!wanted.some((kind) => error instanceof kind)) throw error
  }
}

/** Never aborted, and used by many callers: each of them must remove its listener. */
const patience = new AbortController().signal
setMaxListeners(0, patience)

const CALLS: readonly (readonly [weight: number, call: Call])[] = [
  [7000, async ({ pool }) => (await pool.connect()).close()],
  [1000, ({ sessions }) => sessions.withSession((session) => session.execute('select 1'))],
  [
    500,
    ({ sessions }) =>
      sessions.withSession((session) => session.execute('select 1'), { readOnly: true, signal: patience }),
  ],
  [
    300,
    ({ sessions }) => sessions.withSession((session) => session.scalar('select 1'), { autocommit: true }),
  ],
  [500, (soak) => soak.insertPair()],
  [100, (soak) => soak.insertPair(async () => Promise.reject(new Mine()))],
  [
    100,
    async ({ pool }) => {
      const connection = await pool.connect()
      await connection.execute('select 1').finally(() => connection.close())
    },
  ],
  [50, async ({ pool }) => (await pool.connect()).invalidate()],
  [
    100,
    // Does not wait for a release, so it may be told why a connect failed.
    ({ pool }) =>
      unless(
        [PoolTimeoutError, ConnectError],
        pool.connect({ poolTimeoutMillis: 0 }).then((one) => one.close()),
      ),
  ],
  [
    100,
    ({ pool }) =>
      unless(
        [PoolTimeoutError],
        pool.connect({ poolTimeoutMillis: 1 }).then((one) => one.close()),
      ),
  ],
  [
    100,
    ({ pool }) => {
      const ending = new AbortController()
      const work = pool.connect({ signal: ending.signal }).then((one) => one.close())
      setImmediate(() => ending.abort())
      return unless([AbortedError], work)
    },
  ],
  [
    40,
    ({ sessions }) =>
      unless(
        [AbortedError],
        sessions.withSession((session) => session.execute('select pg_sleep(1)'), {
          signal: AbortSignal.timeout(5),
        }),
      ),
  ],
  [
    40,
    ({ sessions }) =>
      unless(
        [StatementTimeoutError],
        sessions.withSession((session) => session.execute('select pg_sleep(1)', [], { timeoutMillis: 5 })),
      ),
  ],
  // Forgotten: the garbage collector has to bring it back.
  [2, async ({ pool }) => (await pool.connect()).execute('select 1')],
]

const FAULTS: readonly (readonly [weight: number, fault: (soak: Soak) => unknown])[] = [
  [4, ({ random, proxy }) => random.one(proxy.connections.filter(({ open }) => open))?.cut('reset')],
  [4, ({ random, proxy }) => random.one(proxy.connections.filter(({ open }) => open))?.cut('end')],
  [4, (soak) => soak.terminateOne()],
  [1, ({ proxy }) => proxy.cut()],
  [2, (soak) => soak.holdOne()],
  [1, ({ pool }) => pool.refresh()],
  [1, ({ pool, random }) => pool.resize({ poolSize: 3 + Math.floor(random.next() * 4) })],
]

class Soak {
  readonly pool: Engine
  readonly proxy: Proxy
  readonly random = new Random(SEED)
  readonly sessions: SessionFactory
  /** What was told about the pairs of rows. */
  readonly pairs = { stored: new Set<number>(), unknown: new Set<number>() }
  /** How often callers were told what. */
  readonly failures: Record<string, number> = {}
  /** What no fault explains. */
  readonly unexplained: string[] = []
  faults = 0
  #nextPair = 1
  #held: ProxiedConnection | undefined

  constructor(pool: Engine, proxy: Proxy) {
    this.pool = pool
    this.proxy = proxy
    this.sessions = createSessionFactory({ bind: pool })
  }

  call(): Promise<unknown> {
    return this.random.weighted(CALLS)(this)
  }

  async fault(): Promise<void> {
    this.faults++
    this.#held?.resume()
    this.#held = undefined
    await this.random.weighted(FAULTS)(this)
    // What the proxy remembers is not what is measured.
    this.proxy.reset()
    if (this.faults % 10 === 0) globalThis.gc?.()
  }

  /** Back to a healthy network and the usual size. */
  calm(): void {
    this.#held?.resume()
    this.#held = undefined
    this.pool.resize({ poolSize: 5 })
  }

  /** Keeps of a failure no more than words: the error itself leads to everything that was there when it was made. */
  note(error: unknown): void {
    const kind = error instanceof LifeguardError ? error.code : 'foreign'
    this.failures[kind] = (this.failures[kind] ?? 0) + 1
    const explained = [ConnectionLostError, CommitOutcomeUnknownError].some((known) => error instanceof known)
    if (!explained) this.unexplained.push(inspect(error))
  }

  async insertPair(then?: () => Promise<never>): Promise<void> {
    const id = this.#nextPair++
    const work = this.sessions.withSession(async (session) => {
      await session.execute('insert into pairs values ($1, 1)', [id])
      await session.execute('insert into pairs values ($1, 2)', [id])
      await then?.()
    })
    try {
      await work
      this.pairs.stored.add(id)
    } catch (error) {
      if (error instanceof CommitOutcomeUnknownError) this.pairs.unknown.add(id)
      if (!(error instanceof Mine)) throw error
    }
  }

  async terminateOne(): Promise<void> {
    const backend = this.random.one(await backendsOf(db, APPLICATION))
    if (backend !== undefined) await db.query('select pg_terminate_backend($1)', [backend.pid])
  }

  /** Its packets vanish until the next fault. */
  holdOne(): void {
    this.#held = this.random.one(this.proxy.connections.filter(({ open }) => open))
    this.#held?.hold()
  }
}

/** Bytes in use when no caller works: what grows between two calls of this has been leaked. */
async function heapAtRest({ pool, proxy }: Soak): Promise<number> {
  await waitUntil(
    () => {
      globalThis.gc?.()
      const { borrowed, waiting, connecting, closing, checking } = pool.stats()
      return borrowed + waiting + connecting + closing + checking === 0
    },
    { deadlineMillis: 20_000, message: () => pool.status() },
  )
  proxy.reset()
  for (let time = 0; time < 3; time++) {
    globalThis.gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

/** Callers until so many leases were had in all, with a fault now and then. */
async function run(soak: Soak, until: number): Promise<void> {
  const { pool } = soak
  const load = new Load(CALLERS, () => soak.call())
  for (let next = pool.stats().counters.acquired; next < until; next += PERIOD) {
    await waitUntil(() => pool.stats().counters.acquired >= next, {
      deadlineMillis: 30_000,
      message: () => pool.status(),
    })
    await soak.fault()
  }
  await waitUntil(() => pool.stats().counters.acquired >= until, { deadlineMillis: 30_000 })
  soak.calm()
  await load.stop()
  for (const { error } of load.failures) soak.note(error)
}

test(
  `${String(LEASES)} leases with faults: no slot is lost, memory does not grow, every report is correct`,
  { timeout: 600_000 },
  async () => {
    console.log(`soak: LIFEGUARD_SOAK_SEED=${String(SEED)} LIFEGUARD_SOAK_LEASES=${String(LEASES)}`)
    using proxy = await startProxy(db.url)
    const pool = engine({
      url: proxy.url,
      poolSize: 5,
      maxOverflow: 3,
      // Its housekeeper comes ten times a second.
      keepAliveMillis: 200,
      prePingSkipMillis: 20,
      prePingTimeoutMillis: 250,
      captureStacks: false,
      connectArgs: { serverSettings: { application_name: APPLICATION } },
    })
    pool.on('leak', () => undefined)
    const soak = new Soak(pool, proxy)
    const startedAt = performance.now()

    await run(soak, LEASES * 0.2)
    const heapBefore = await heapAtRest(soak)
    await run(soak, LEASES)
    const heapAfter = await heapAtRest(soak)

    const seconds = (performance.now() - startedAt) / 1000
    const { counters, closed, generation } = pool.stats()
    const figures = {
      leases: counters.acquired,
      seconds: Math.round(seconds),
      faults: soak.faults,
      connected: counters.connected,
      generation,
      closed,
      failures: soak.failures,
      heapMiB: [heapBefore, heapAfter].map((bytes) => Math.round((bytes / 2 ** 20) * 100) / 100),
    }
    console.log(`soak: ${JSON.stringify(figures)}`)

    // No caller gets an error that the faults do not explain.
    expect(soak.unexplained).toEqual([])
    // Nothing is lost.
    expect(counters.acquired).toBeGreaterThanOrEqual(LEASES)
    expect(counters.released).toBe(counters.acquired)
    await waitUntil(async () => {
      const { size, idle } = pool.stats()
      return size === idle && (await backendsOf(db, APPLICATION)).length === idle
    })
    expect(getEventListeners(patience, 'abort')).toEqual([])
    expect(closed.reclaimed).toBeGreaterThan(0)
    // Nothing grows.
    expect(heapAfter - heapBefore).toBeLessThan(GROWTH_BYTES)
    // What each caller was told is what is stored.
    const rows = await db.query<{ id: number; parts: number }>(
      'select id, count(*)::int as parts from pairs group by id',
    )
    expect(rows.filter(({ parts }) => parts !== 2)).toEqual([])
    const stored = new Set(rows.map(({ id }) => id))
    expect([...soak.pairs.stored].filter((id) => !stored.has(id))).toEqual([])
    expect([...stored].filter((id) => !soak.pairs.stored.has(id) && !soak.pairs.unknown.has(id))).toEqual([])
  },
)
