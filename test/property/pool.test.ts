/**
 * A pool under everything that can happen to it, in any order. After each step the invariants of `pool.ts` are checked;
 * in the end nothing may be left. `FC_RUNS` sets the number of histories; a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LifeguardError } from '../../src/errors.js'
import type { PoolOptions } from '../../src/pool/options.js'
import { resolvePoolOptions } from '../../src/pool/resolve-options.js'
import type { Lease } from '../../src/pool/pool.js'
import { QueuePool } from '../../src/pool/queue-pool.js'
import { byLength } from '../helpers/length.js'
import {
  disconnect,
  FakeDriver,
  fatal,
  Pending,
  transient,
  type FakeConnection,
  type Outcome,
} from '../unit/pool/fake-driver.js'
import { ManualClock, settle } from '../unit/pool/manual-clock.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(100, 300))

type Mode = 'works' | 'fails' | 'hangs' | 'dies'

/** One acquire, from its call to the end of its lease. */
interface Client {
  readonly number: number
  readonly abort: AbortController
  settled: number
  lease: Lease | undefined
}

class History {
  readonly clock = new ManualClock()
  readonly driver = new FakeDriver(this.clock)
  readonly pool: QueuePool
  readonly clients: Client[] = []
  readonly detached = new Set<FakeConnection>()
  readonly complaints: string[] = []
  connect: Mode = 'works'
  ping: Mode = 'works'
  reset: Mode = 'works'
  close: Mode = 'works'
  #hanging: Pending[] = []

  constructor(options: PoolOptions) {
    this.pool = new QueuePool({
      driver: this.driver,
      clock: this.clock,
      name: 'property',
      options: resolvePoolOptions({ captureStacks: false, ...options }),
    })
    this.driver.onConnect = () => {
      const { capacity } = this.pool.stats()
      const sockets = this.sockets
      if (sockets > capacity) this.complaints.push(`${String(sockets)} sockets, ${String(capacity)} allowed`)
      return this.#outcome(this.connect, this.connect === 'dies' ? fatal() : transient())
    }
    this.pool.events.on('connect', ({ connection }) => {
      const fake = connection as FakeConnection
      fake.onPing = () => this.#outcome(this.ping, disconnect())
      fake.onReset = () =>
        this.#outcome(this.reset, this.reset === 'dies' ? disconnect() : new Error('no reset'))
      fake.onClose = () => this.#outcome(this.close, new Error('no goodbye'))
    })
  }

  /** Sockets that are the pool's: opening, open or not yet closed. */
  get sockets(): number {
    return (
      this.driver.opening + this.driver.open.filter((connection) => !this.detached.has(connection)).length
    )
  }

  get pending(): Client[] {
    return this.clients.filter(({ settled }) => settled === 0)
  }

  get holding(): (Client & { lease: Lease })[] {
    return this.clients.filter((client): client is Client & { lease: Lease } => client.lease?.active === true)
  }

  acquire(timeoutMillis: number | null | undefined, proof: 'pool' | 'caller'): void {
    const abort = new AbortController()
    const client: Client = { number: this.clients.length, abort, settled: 0, lease: undefined }
    this.clients.push(client)
    const options = { signal: abort.signal, timeoutMillis, proof }
    this.pool.acquire(options).then(
      (lease) => {
        const overtaken = this.pending.find(({ number }) => number < client.number)
        if (overtaken !== undefined)
          this.complaints.push(`${String(client.number)} overtook ${String(overtaken.number)}`)
        client.settled += 1
        client.lease = lease
        if (lease.connection.lost !== undefined && proof === 'pool') {
          this.complaints.push(`${String(client.number)} was lent a dead connection`)
        }
        const sharing = this.holding.filter((other) => other.lease.connection === lease.connection)
        if (sharing.length > 1) this.complaints.push('two leases share a connection')
      },
      (error: unknown) => {
        client.settled += 1
        if (!(error instanceof LifeguardError)) this.complaints.push(`strange error ${String(error)}`)
      },
    )
  }

  endHanging(): void {
    for (const pending of this.#hanging.splice(0)) pending.resolve()
  }

  check(): void {
    const stats = this.pool.stats()
    const { size, idle, borrowed, connecting, checking, closing, waiting, overflow, counters } = stats
    expect(this.complaints).toEqual([])
    for (const gauge of [size, idle, borrowed, connecting, checking, closing, waiting, overflow]) {
      expect(gauge).toBeGreaterThanOrEqual(0)
    }
    expect(size).toBe(idle + borrowed + connecting + checking + closing)
    expect(this.clients.filter(({ settled }) => settled > 1)).toEqual([])
    expect(waiting).toBe(this.pending.length)
    expect(borrowed).toBe(this.holding.length)
    expect(counters.acquired - counters.released).toBe(borrowed)
    if (waiting > 0 && !stats.suspended && !stats.disposed) {
      expect(idle, 'idle connections while a caller waits').toBe(0)
      const somethingHappens = connecting + checking + closing > 0 || size >= stats.capacity
      expect(somethingHappens || this.clock.timers.keepAlive > 0, 'a waiter was forgotten').toBe(true)
    }
  }

  /** Whatever happened before: once all works again everybody is served, and in the end nothing is left. */
  async end(timeoutMillis: number): Promise<void> {
    this.connect = this.ping = this.reset = this.close = 'works'
    this.endHanging()
    this.pool.resume()
    for (let round = 0; this.pending.length > 0 || this.holding.length > 0; round += 1) {
      expect(round, `still waiting: ${this.pool.status()}`).toBeLessThan(this.clients.length + 10)
      for (const { lease } of this.holding) lease.release()
      await this.clock.advance(3_000)
      this.check()
    }
    this.acquire(undefined, 'pool')
    await this.clock.advance(3_000)
    const disposed = this.pool.dispose({ timeoutMillis })
    this.acquire(undefined, 'pool')
    await this.clock.advance(timeoutMillis + 5_000)
    const report = await disposed
    this.check()
    expect(report.forced).toBeLessThanOrEqual(1)
    expect(this.pool.stats()).toMatchObject({
      size: 0,
      idle: 0,
      borrowed: 0,
      waiting: 0,
      connecting: 0,
      closing: 0,
    })
    expect(this.sockets).toBe(0)
    expect(this.clock.timers.all).toBe(0)
  }

  #outcome(mode: Mode, failure: Error): Outcome {
    if (mode === 'works') return undefined
    if (mode !== 'hangs') return failure
    const pending = new Pending()
    this.#hanging.push(pending)
    return pending
  }
}

/** One step of a history. */
interface Step {
  readonly name: string
  run(history: History): unknown
}

const index = fc.nat({ max: 20 })
const mode = fc.constantFrom<Mode>('works', 'works', 'fails', 'hangs', 'dies')

function step(name: string, run: Step['run']): Step {
  return { name, run }
}

/** Does something to one of the leases that are out. */
function onLease(name: string, act: (lease: Lease, history: History) => unknown): fc.Arbitrary<Step> {
  return index.map((at) =>
    step(`${name} lease ${String(at)}`, (history) => {
      const { holding } = history
      const client = holding[at % Math.max(1, holding.length)]
      if (client !== undefined) act(client.lease, history)
    }),
  )
}

function setMode(operation: 'connect' | 'ping' | 'reset' | 'close'): fc.Arbitrary<Step> {
  return mode.map((to) => step(`${operation} ${to}`, (history) => (history[operation] = to)))
}

function weighted(weight: number, arbitrary: fc.Arbitrary<Step>): fc.WeightedArbitrary<Step> {
  return { weight, arbitrary }
}

const acquire = fc
  .tuple(fc.constantFrom(undefined, undefined, 0, 50, 5_000, null), fc.constantFrom('pool', 'caller'))
  .map(([timeoutMillis, proof]) =>
    step(`acquire ${String(timeoutMillis)} ${proof}`, (history) => history.acquire(timeoutMillis, proof)),
  )

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  weighted(8, acquire),
  weighted(
    6,
    onLease('release', (lease) => lease.release()),
  ),
  weighted(
    1,
    onLease('release twice', (lease) => {
      lease.release()
      lease.release()
      lease.invalidate(disconnect())
    }),
  ),
  weighted(
    2,
    onLease('release in transaction', (lease) => {
      ;(lease.connection as FakeConnection).transactionStatus = 'failed'
      lease.release()
    }),
  ),
  weighted(
    1,
    onLease('release busy', (lease) => {
      ;(lease.connection as FakeConnection).busy = true
      lease.release()
    }),
  ),
  weighted(
    1,
    onLease('invalidate', (lease) => lease.invalidate(new Error('application error'))),
  ),
  weighted(
    1,
    onLease('lose', (lease) => lease.invalidate(disconnect())),
  ),
  weighted(
    1,
    onLease('soft invalidate', (lease) => lease.softInvalidate()),
  ),
  weighted(
    1,
    onLease('detach', (lease, history) => {
      history.detached.add(lease.connection as FakeConnection)
      lease.detach()
    }),
  ),
  weighted(
    2,
    index.map((at) =>
      step(`abort ${String(at)}`, ({ pending }) => pending[at % Math.max(1, pending.length)]?.abort.abort()),
    ),
  ),
  weighted(
    2,
    index.map((at) =>
      step(`kill ${String(at)}`, ({ driver }) => driver.open[at % Math.max(1, driver.open.length)]?.kill()),
    ),
  ),
  weighted(
    1,
    fc.constant(step('kill all', ({ driver }) => driver.open.forEach((connection) => connection.kill()))),
  ),
  weighted(2, setMode('connect')),
  weighted(1, setMode('ping')),
  weighted(1, setMode('reset')),
  weighted(1, setMode('close')),
  weighted(2, fc.constant(step('end what hangs', (history) => history.endHanging()))),
  weighted(
    6,
    fc
      .constantFrom(1, 20, 60, 600, 1_500, 6_000, 31_000)
      .map((millis) => step(`advance ${String(millis)}`, ({ clock }) => clock.advance(millis))),
  ),
  weighted(
    1,
    fc
      .constantFrom(100, 40_000)
      .map((millis) => step(`freeze ${String(millis)}`, ({ clock }) => clock.freeze(millis))),
  ),
  weighted(
    1,
    fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: -1, max: 3 }))
      .map(([poolSize, maxOverflow]) =>
        step(`resize ${String(poolSize)} + ${String(maxOverflow)}`, ({ pool }) =>
          pool.resize({ poolSize, maxOverflow }),
        ),
      ),
  ),
  weighted(1, fc.constant(step('suspend', ({ pool }) => pool.suspend()))),
  weighted(2, fc.constant(step('resume', ({ pool }) => pool.resume()))),
  weighted(1, fc.constant(step('refresh', ({ pool }) => pool.refresh()))),
)

const anyOptions: fc.Arbitrary<PoolOptions> = fc.record({
  poolSize: fc.integer({ min: 1, max: 3 }),
  maxOverflow: fc.integer({ min: 0, max: 2 }),
  minIdle: fc.constantFrom(0, 0, 1),
  maxConnecting: fc.integer({ min: 1, max: 3 }),
  maxWaiting: fc.constantFrom(Infinity, Infinity, 2),
  poolTimeoutMillis: fc.constantFrom(100, 5_000, 30_000),
  poolUseLifo: fc.boolean(),
  poolPrePing: fc.boolean(),
  poolResetOnReturn: fc.constantFrom<PoolOptions['poolResetOnReturn']>('rollback', 'session', false),
  connectRetry: fc.constantFrom<PoolOptions['connectRetry']>('wait', 'wait', 'fail'),
  poolRecycleMillis: fc.constantFrom(-1, 2_000, 60_000),
  idleTimeoutMillis: fc.constantFrom(-1, 1_000),
  keepAliveMillis: fc.constantFrom(-1, 700),
})

describe('A pool, whatever happens to it', () => {
  it('keeps its promises', { timeout: 600_000 }, async () => {
    const unheard: unknown[] = []
    const listener = (reason: unknown): void => void unheard.push(reason)
    process.on('unhandledRejection', listener)
    await fc.assert(
      fc.asyncProperty(
        anyOptions,
        fc.array(anyStep, { maxLength: 60 }),
        fc.constantFrom(0, 200),
        async (options, steps, timeoutMillis) => {
          const history = new History(options)
          for (const { run } of steps) {
            await run(history)
            await settle()
            history.check()
          }
          await history.end(timeoutMillis)
          expect(unheard).toEqual([])
        },
      ),
      { numRuns: RUNS },
    )
    process.off('unhandledRejection', listener)
  })
})
