/**
 * The pool: takes in acquires, hands out leases, and decides who gets which connection.
 *
 * 1. An acquire that need not wait costs no timer, no listener and no trip through the queue.
 * 2. A connection that is free (opened, proved, reset or released) goes to the oldest waiter, or becomes idle.
 * 3. After whatever frees a slot or ends an attempt `#pump` looks at the queue again: no waiter is forgotten.
 */
import { isDisconnect } from '../database-errors.js'
import type { DriverConnection } from '../driver/driver.js'
import { acquireChannel, type AcquireMessage } from '../internal/channels.js'
import { systemClock } from '../internal/clock.js'
import { Emitter } from '../internal/emitter.js'
import { HealthChecks } from './health-checks.js'
import { Closer } from './closer.js'
import { Connector } from './connector.js'
import { Diagnostics } from './diagnostics.js'
import { checkDisposeOptions, dispose } from './dispose.js'
import {
  acquireAborted,
  closedAtDeadline,
  poolDisposed,
  PoolQueueFullError,
  type AcquirePhase,
  warnOfFirstFailure,
} from './errors.js'
import type { PoolEvents } from './events.js'
import { deadlineOf, WaitQueue, Waiter } from './wait-queue.js'
import { Housekeeper } from './housekeeper.js'
import { LeakWatch } from './leak-watch.js'
import { PoolLease } from './lease.js'
import { changeLimits, limitsOf, type LimitChange, type Limits } from './limits.js'
import type { PoolClass, PoolParts } from './options.js'
import { CallSites, type CallSite } from './call-site.js'
import type { AcquireOptions, DisposeOptions, DisposeReport, Lease, Pool } from './pool.js'
import type { ConnectionRecord } from './record.js'
import { Releaser } from './release.js'
import type { PoolContext } from './pool-context.js'
import { Slots } from './slots.js'
import { describeStats, Statistics, type CloseReason, type PoolStats } from './stats.js'

const NO_OPTIONS: AcquireOptions = {}

/** Keeps `poolSize` connections open, opens up to `maxOverflow` more under load, and lets the others wait in order. */
export class QueuePool implements Pool {
  readonly name: string
  readonly events: Emitter<PoolEvents>
  readonly #pool: PoolContext
  readonly #waitQueue: WaitQueue
  readonly #connector: Connector
  readonly #healthChecks: HealthChecks
  readonly #closer: Closer
  readonly #releaser: Releaser
  readonly #housekeeper: Housekeeper
  readonly #diagnostics: Diagnostics
  #limits: Limits
  /** Bumped once per disconnect: connections of an older generation are not lent again. */
  #generation = 0
  #disposal: Promise<DisposeReport> | undefined = undefined
  /** Another pool has taken over. */
  #replaced = false
  #onEmpty: (() => void) | undefined = undefined

  constructor(parts: PoolParts, limits: Limits = limitsOf(parts.options)) {
    const { driver, options, name, clock = systemClock, events = new Emitter<PoolEvents>() } = parts
    const slots = new Slots(options.poolUseLifo)
    const origins = options.captureStacks ? new CallSites() : undefined
    const context = { name, driver, clock, options, events, statistics: new Statistics(), slots, origins }
    this.name = name
    this.events = events
    this.#pool = context
    this.#limits = limits
    this.#waitQueue = new WaitQueue(clock, {
      expired: (waiter, position, lateMillis) => {
        const phase = this.#diagnostics.phaseAt(position, this.#limits)
        waiter.reject(this.#timeoutError(waiter, phase, lateMillis))
      },
      aborted: (waiter) => {
        context.statistics.counters.aborted += 1
        waiter.reject(acquireAborted(this.name, waiter.options.signal))
      },
    })
    this.#connector = new Connector(context, {
      connected: (record, connection, durationMillis) => this.#connected(record, connection, durationMillis),
      failed: (error, fatal) => this.#connectFailed(error, fatal),
      ready: () => this.#pump(),
    })
    this.#closer = new Closer(context, () => this.#freed())
    this.#healthChecks = new HealthChecks(context, {
      passed: (record, now) => this.#offer(record, now),
      failed: (record, reason, error) => {
        if (reason === 'probe' || isDisconnect(error)) this.#outdate(record, error)
        this.#closer.close(record, reason, error)
        this.#pump()
      },
    })
    const leaks = new LeakWatch(context, (record) => this.#releaser.reclaim(record))
    this.#releaser = new Releaser(context, this.#healthChecks, leaks, {
      wantedMillis: (record, now) => this.#wantedMillis(record, now),
      keeps: (record, now) => this.#limits.keep > 0 && this.#unfit(record, now) === undefined,
      offer: (record, now) => this.#offer(record, now),
      retire: (record, reason, error) => this.#closer.close(record, reason, error),
      outdate: (record, reason) => this.#outdate(record, reason),
      freed: () => this.#freed(),
    })
    this.#housekeeper = new Housekeeper(context, leaks, {
      unfit: (record, now) => this.#unfit(record, now),
      close: (record, reason) => this.#closer.close(record, reason),
      probe: (record) => void this.#healthChecks.probe(record),
      refill: () => this.#refill(),
    })
    this.#diagnostics = new Diagnostics(context, {
      waitQueue: this.#waitQueue,
      connector: this.#connector,
      healthChecks: this.#healthChecks,
      closer: this.#closer,
    })
    this.#refill()
  }

  acquire(options: AcquireOptions = NO_OPTIONS): Promise<Lease> {
    if (!acquireChannel.hasSubscribers) return this.#acquire(options)
    const message: AcquireMessage = { pool: this.name }
    return acquireChannel.tracePromise(async () => {
      const lease = await this.#acquire(options)
      message.connectionId = lease.connection.id
      return lease
    }, message)
  }

  #acquire(options: AcquireOptions): Promise<Lease> {
    if (options.signal?.aborted === true) return Promise.reject(acquireAborted(this.name, options.signal))
    if (this.#disposal !== undefined) return Promise.reject(poolDisposed(this.name))
    const { origins } = this.#pool
    const origin = origins && (options.origin ?? origins.capture(QueuePool.prototype.acquire))
    const now = this.#pool.clock.now()
    const record = this.#waitQueue.open ? this.#takeFit(now, options) : undefined
    if (record === undefined) {
      const { timeoutMillis = this.#pool.options.poolTimeoutMillis } = options
      return this.#queue(new Waiter(now, deadlineOf(timeoutMillis, now), options, origin))
    }
    const lease = this.#lend(record, now, options, origin)
    if (this.events.has('acquire'))
      this.events.emit('acquire', { connection: record.connection, waitedMillis: 0 })
    return Promise.resolve(lease)
  }

  /** The next idle connection that may be lent as it is. One that has to be proved first is sent a ping instead. */
  #takeFit(now: number, options: AcquireOptions): ConnectionRecord | undefined {
    const { slots } = this.#pool
    for (let record = slots.take(); record !== undefined; record = slots.take()) {
      const reason = this.#unfit(record, now)
      if (reason !== undefined) {
        this.#closer.close(record, reason)
      } else if (options.proof === 'caller' || !this.#needsProof(record, now)) {
        return record
      } else {
        void this.#healthChecks.probe(record)
        return undefined
      }
    }
    return undefined
  }

  #needsProof(record: ConnectionRecord, now: number): boolean {
    const { poolPrePing, prePingSkipMillis } = this.#pool.options
    return poolPrePing && now - record.provenAt >= prePingSkipMillis
  }

  /** Why a connection must not be lent any more. */
  #unfit(record: ConnectionRecord, now: number): CloseReason | undefined {
    if (this.#disposal !== undefined) return 'disposed'
    if (record.connection.lost !== undefined) return 'lost'
    if (record.doomed) return 'invalidated'
    if (record.generation !== this.#generation) return 'stale'
    return now >= record.recycleAt ? 'recycled' : undefined
  }

  #lend(record: ConnectionRecord, now: number, options: AcquireOptions, origin: CallSite | undefined): Lease {
    record.state = 'borrowed'
    record.acquiredAt = now
    record.uses += 1
    record.origin = origin
    record.context = options.context
    record.connection.ref()
    this.#pool.statistics.counters.acquired += 1
    const lease = new PoolLease(this.#releaser, record, !this.#needsProof(record, now))
    record.lease = lease
    return lease
  }

  #queue(waiter: Waiter): Promise<Lease> {
    const refusal = this.#waitQueue.suspended ? undefined : this.#refusalOf(waiter)
    if (refusal !== undefined) return Promise.reject(refusal)
    const ahead = this.#waitQueue.size
    this.#waitQueue.join(waiter)
    this.#pool.statistics.counters.waited += 1
    this.#pump()
    if (this.events.has('wait')) this.events.emit('wait', { ahead })
    if (!this.events.has('acquire')) return waiter.promise
    // Told in the waiter's own continuation: no listener runs on the stack of whoever released the connection.
    return waiter.promise.then((lease) => {
      const waitedMillis = this.#pool.clock.now() - waiter.since
      this.events.emit('acquire', { connection: lease.connection, waitedMillis })
      return lease
    })
  }

  /** Why an acquire may not even wait. */
  #refusalOf(waiter: Waiter): Error | undefined {
    const { options, statistics } = this.#pool
    const behindReleases = this.#waitQueue.size - this.#diagnostics.reachable(this.#limits)
    if (behindReleases >= 0 && waiter.impatient) return this.#timeoutError(waiter, 'wait', 0)
    if (behindReleases >= options.maxWaiting) {
      statistics.counters.refused += 1
      const message = `No more than ${String(options.maxWaiting)} acquires may wait (maxWaiting). ${this.status()}`
      return new PoolQueueFullError(message, this.stats())
    }
    // A pause after a failure to connect is a wait as well.
    return waiter.impatient && this.#connector.pausing ? this.#connector.lastError : undefined
  }

  /** Connections that are not on their way out; those that are must not be counted as too many a second time. */
  get #open(): number {
    return this.#pool.slots.size - this.#closer.closing
  }

  /** Serves the queue with what is idle, and has opened what is missing. */
  #pump(): void {
    if (this.#disposal !== undefined || this.#waitQueue.suspended) return
    const now = this.#pool.clock.now()
    while (
      this.#waitQueue.first !== undefined &&
      this.#waitQueue.size > this.#healthChecks.probing &&
      this.#pool.slots.idle > 0
    ) {
      const record = this.#takeFit(now, this.#waitQueue.first.options)
      if (record !== undefined) this.#serve(this.#waitQueue.first, record, now)
    }
    this.#openMore(this.#waitQueue.size - this.#healthChecks.probing, true)
  }

  /** Opens what `minIdle` asks for, in the background. */
  #refill(): void {
    if (this.#disposal !== undefined) return
    const { options, slots } = this.#pool
    const missing = options.minIdle - slots.idle - this.#healthChecks.probing
    if (missing > 0) this.#openMore(this.#waitQueue.size + missing, false)
    if (options.minIdle > 0) this.#housekeeper.start()
  }

  #openMore(wanted: number, urgent: boolean): void {
    const room = this.#limits.capacity - this.#pool.slots.size
    this.#connector.open(Math.min(wanted - this.#connector.connecting, room), urgent, this.#generation)
    if (this.#pool.slots.size > 0) this.#housekeeper.start()
  }

  #serve(waiter: Waiter, record: ConnectionRecord, now: number): void {
    this.#waitQueue.leave(waiter)
    this.#pool.statistics.wait.record(now - waiter.since)
    waiter.resolve(this.#lend(record, now, waiter.options, waiter.origin))
  }

  /** A connection is free: the oldest waiter gets it, or it becomes idle, or it is one too many. */
  #offer(record: ConnectionRecord, now: number): void {
    const { slots } = this.#pool
    const { keep, capacity } = this.#limits
    const reason = this.#unfit(record, now)
    const waiter = this.#waitQueue.suspended ? undefined : this.#waitQueue.first
    if (reason !== undefined) {
      this.#closer.close(record, reason)
    } else if (this.#open > capacity || (keep === 0 && record.uses > 0)) {
      this.#closer.close(record, 'overflow')
    } else if (waiter !== undefined) {
      this.#serve(waiter, record, now)
    } else if (slots.idle >= keep) {
      this.#closer.close(record, 'overflow')
    } else {
      record.connection.unref()
      slots.put(record)
    }
  }

  /** How long the waiter waits still who gets a connection when it comes back now. */
  #wantedMillis(record: ConnectionRecord, now: number): number | undefined {
    const waiter = this.#waitQueue.suspended ? undefined : this.#waitQueue.first
    if (waiter === undefined || waiter.impatient || this.#limits.keep === 0) return undefined
    if (this.#unfit(record, now) !== undefined || this.#open > this.#limits.capacity) return undefined
    return waiter.deadline === Infinity ? undefined : waiter.deadline - now
  }

  #connected(record: ConnectionRecord, connection: DriverConnection, durationMillis: number): void {
    const { clock, events, options, slots, statistics } = this.#pool
    const { poolRecycleMillis } = options
    record.connection = connection
    record.provenAt = record.idleSince = clock.now()
    // Drawn once: if each look drew anew, the earliest chance would win.
    const share = 1 - Math.random() / 10
    if (poolRecycleMillis !== -1) record.recycleAt = connection.connectedAt + poolRecycleMillis * share
    connection.onLost = () => {
      // A borrowed one is its holder's business until it comes back; one being checked is found out by the check.
      if (record.state !== 'idle') return
      for (const idle of slots.takeIf((candidate) => candidate === record)) this.#closer.close(idle, 'lost')
    }
    statistics.connect.record(durationMillis)
    statistics.counters.connected += 1
    if (statistics.counters.connected === 1) events.emit('firstConnect', { connection, durationMillis })
    events.emit('connect', { connection, durationMillis })
    this.#offer(record, clock.now())
    this.#freed()
  }

  #connectFailed(error: Error, fatal: boolean): void {
    const { options, statistics } = this.#pool
    if (this.#disposal !== undefined) return this.#freed()
    statistics.counters.connectFailed += 1
    const { connected, connectFailed } = statistics.counters
    const isUnheard = connected === 0 && connectFailed === 1 && !this.events.has('connectFailed')
    this.events.emit('connectFailed', { error, fatal })
    const fails = (waiter: Waiter): boolean => fatal || options.connectRetry === 'fail' || waiter.impatient
    const told = this.#waitQueue.suspended ? 0 : this.#waitQueue.rejectIf(fails, () => error)
    // Callers that wait would learn of it at their deadline only.
    if (isUnheard && told === 0) warnOfFirstFailure(this.name, error)
    // No refill here: what fails in the background waits for the housekeeper.
    this.#pump()
  }

  #freed(): void {
    this.#pump()
    this.#refill()
    if (this.#pool.slots.size === 0) this.#onEmpty?.()
  }

  /** Once per incident, however many connections notice it. */
  #outdate(record: ConnectionRecord, reason: unknown): void {
    if (record.generation === this.#generation) this.#nextGeneration(reason)
  }

  #nextGeneration(reason: unknown): void {
    this.#generation += 1
    this.events.emit('generation', { generation: this.#generation, reason })
  }

  #timeoutError(waiter: Waiter, phase: AcquirePhase, lateMillis: number): Error {
    this.#pool.statistics.counters.timedOut += 1
    const error = this.#diagnostics.timeoutError(waiter, phase, lateMillis, this.stats())
    this.events.emit('timeout', { error })
    return error
  }

  stats(): PoolStats {
    const disposed = this.#disposal !== undefined
    return this.#diagnostics.stats({ limits: this.#limits, generation: this.#generation, disposed })
  }

  status(): string {
    return describeStats(this.stats())
  }

  resize(change: LimitChange): void {
    const { options, slots } = this.#pool
    this.#limits = changeLimits(this.#limits, change, options.minIdle)
    const { keep, capacity } = this.#limits
    let excess = Math.max(this.#open - capacity, slots.idle - keep)
    for (const record of slots.takeIf(() => excess-- > 0)) this.#closer.close(record, 'overflow')
    this.#freed()
    this.#rejectImpatient()
  }

  suspend(): void {
    this.#waitQueue.suspend()
  }

  resume(): void {
    this.#waitQueue.resume()
    this.#pump()
    this.#rejectImpatient()
  }

  /** Those who would now have to wait for a release, which they said they would not. */
  #rejectImpatient(): void {
    if (this.#waitQueue.suspended) return
    const reachable = this.#diagnostics.reachable(this.#limits)
    this.#waitQueue.rejectIf(
      (waiter, position) => waiter.impatient && position >= reachable,
      (waiter) => this.#timeoutError(waiter, 'wait', 0),
    )
  }

  refresh(): void {
    this.#nextGeneration('refresh')
    for (const record of this.#pool.slots.takeIf(() => true)) this.#closer.close(record, 'stale')
  }

  recreate(): Pool {
    const { driver, clock, options } = this.#pool
    const { poolSize, maxOverflow } = this.#limits
    const Class = this.constructor as PoolClass
    const current = Object.freeze({ ...options, poolSize, maxOverflow })
    const next = new Class({ driver, clock, options: current, name: this.name, events: this.events })
    if (next instanceof QueuePool) next.#replace(this)
    return next
  }

  #replace(old: QueuePool): void {
    old.#replaced = true
    this.#pool.statistics.counters.waited += this.#waitQueue.adopt(old.#waitQueue)
    this.#pump()
  }

  async dispose(options: DisposeOptions = {}): Promise<DisposeReport> {
    checkDisposeOptions(options)
    // A turn later, so that whatever happens meanwhile already finds the pool disposed.
    return (this.#disposal ??= Promise.resolve().then(() => this.#dispose(options)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #dispose(options: DisposeOptions): Promise<DisposeReport> {
    this.#housekeeper.stop()
    this.#connector.stop()
    const rejected = this.#waitQueue.rejectIf(
      () => true,
      () => poolDisposed(this.name),
    )
    return dispose(this.#pool, options, {
      closer: this.#closer,
      rejected,
      revoke: (record) => void this.#releaser.endLoan(record, this.#pool.clock.now()),
      onEmpty: (listener) => (this.#onEmpty = listener),
      reason: () => closedAtDeadline(this.#replaced),
    })
  }
}
