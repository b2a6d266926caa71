/**
 * The pool: takes in acquires, hands out leases, and decides what becomes of each connection that comes back.
 *
 * 1. An acquire that need not wait costs no timer, no listener and no trip through the queue.
 * 2. A supply (a connection opened, proved, reset or released) goes to the oldest waiter; without one it becomes idle.
 * 3. After whatever frees a slot or ends an attempt, `#pump` looks at the queue again: no waiter is ever forgotten.
 */
import type { Driver, DriverConnection, ResetMode } from '../driver/driver.js'
import { isDisconnect } from '../database-errors.js'
import { AbortedError, ConnectionClosedError, EngineDisposedError } from '../errors.js'
import {
  acquireChannel,
  releaseChannel,
  type AcquireMessage,
  type ReleaseMessage,
} from '../internal/channels.js'
import { systemClock, type Clock } from '../internal/clock.js'
import { Emitter } from '../internal/emitter.js'
import { Closer } from './closer.js'
import { Connector } from './connector.js'
import { PoolQueueFullError, type AcquirePhase } from './errors.js'
import type { PoolEvents } from './events.js'
import { Gate, Waiter } from './gate.js'
import { Housekeeper } from './housekeeper.js'
import { LeakWatch } from './leak-watch.js'
import { PoolLease, type LeaseHost } from './lease.js'
import { changeLimits, limitsOf, type Limits } from './limits.js'
import type { PoolClass, ResolvedPoolOptions } from './options.js'
import type { AcquireOptions, DisposeReport, Lease, Pool } from './pool.js'
import type { ConnectionRecord } from './record.js'
import { Slots } from './slots.js'
import { describeStats, Statistics, type CloseReason, type PoolStats } from './stats.js'
import { poolTimeoutError } from './timeout-error.js'

const DISPOSE_MILLIS = 10_000
const RESET_MILLIS = 5_000
const NO_OPTIONS: AcquireOptions = {}

/** Closing for these reasons ends a session that is well; for any other the socket is dropped. */
const SAYS_GOODBYE: ReadonlySet<CloseReason> = new Set(['overflow', 'recycled', 'idle', 'disposed'])

/** What a pool is made of. */
export interface PoolParts {
  readonly driver: Driver
  readonly options: ResolvedPoolOptions
  /** Stands in messages and statistics. */
  readonly name: string
  /** Default: the clock of the machine. */
  readonly clock?: Clock | undefined
  /** Default: an emitter of its own. A pool that replaces another one goes on with its emitter. */
  readonly events?: Emitter<PoolEvents> | undefined
}

/** Keeps `poolSize` connections open, opens up to `maxOverflow` more under load, and makes the others wait their turn. */
export class QueuePool implements Pool {
  readonly name: string
  readonly events: Emitter<PoolEvents>
  readonly #driver: Driver
  readonly #clock: Clock
  readonly #options: ResolvedPoolOptions
  readonly #statistics = new Statistics()
  readonly #slots: Slots
  readonly #gate: Gate
  readonly #connector: Connector
  readonly #closer: Closer
  readonly #housekeeper: Housekeeper
  readonly #leaks: LeakWatch
  #limits: Limits
  #generation = 0
  /** Connections being pinged; each will serve a waiter, if it is alive. */
  #probing = 0
  #resetting = 0
  #lastConnectError: Error | undefined = undefined
  #disposal: Promise<DisposeReport> | undefined = undefined
  #onEmpty: (() => void) | undefined = undefined

  constructor(parts: PoolParts, limits: Limits = limitsOf(parts.options)) {
    const { driver, options, name, clock = systemClock, events = new Emitter<PoolEvents>() } = parts
    this.name = name
    this.events = events
    this.#driver = driver
    this.#clock = clock
    this.#options = options
    this.#limits = limits
    const slots = (this.#slots = new Slots(options.poolUseLifo))
    this.#gate = new Gate(clock, {
      expired: (waiter, position, lateMillis) => this.#expired(waiter, position, lateMillis),
    })
    this.#connector = new Connector(
      {
        driver,
        clock,
        slots,
        name,
        connectTimeoutMillis: options.connectTimeoutMillis,
        maxConnecting: options.maxConnecting,
      },
      {
        connected: (record, connection, durationMillis) =>
          this.#connected(record, connection, durationMillis),
        failed: (error, fatal) => this.#connectFailed(error, fatal),
        ready: () => this.#pump(),
      },
    )
    const freed = (): void => this.#freed()
    this.#closer = new Closer({ pool: name, clock, slots, statistics: this.#statistics, events, freed })
    this.#housekeeper = new Housekeeper(clock, options, {
      tidy: (now) => this.#tidy(now),
      overslept: () => this.#suspectIdle(),
    })
    this.#leaks = new LeakWatch({
      pool: name,
      events,
      leakDetectionMillis: options.leakDetectionMillis,
      reclaim: (record) => this.#reclaim(record),
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
    if (options.signal?.aborted === true) return Promise.reject(this.#abortedError(options.signal))
    if (this.#disposal !== undefined) return Promise.reject(this.#disposedError())
    const origin = this.#options.captureStacks ? captureOrigin() : undefined
    const now = this.#clock.now()
    if (this.#gate.open) {
      const record = this.#takeFit(now, options)
      if (record !== undefined) {
        const lease = this.#lend(record, now, options, origin)
        if (this.events.has('acquire'))
          this.events.emit('acquire', { connection: record.connection, waitedMillis: 0 })
        return Promise.resolve(lease)
      }
    }
    return this.#queue(now, options, origin)
  }

  /** The next idle connection that may be lent as it is. One that has to be proved is sent a ping instead. */
  #takeFit(now: number, options: AcquireOptions): ConnectionRecord | undefined {
    for (let record = this.#slots.take(); record !== undefined; record = this.#slots.take()) {
      const reason = this.#unfit(record, now)
      if (reason !== undefined) {
        this.#retire(record, reason)
      } else if (options.proof === 'caller' || !this.#needsProof(record, now)) {
        return record
      } else {
        void this.#probe(record)
        return undefined
      }
    }
    return undefined
  }

  #needsProof(record: ConnectionRecord, now: number): boolean {
    return this.#options.poolPrePing && now - record.provenAt >= this.#options.prePingSkipMillis
  }

  /** Why a connection must not be lent any more. */
  #unfit(record: ConnectionRecord, now: number): CloseReason | undefined {
    if (this.#disposal !== undefined) return 'disposed'
    if (record.doomed !== undefined) return record.doomed
    if (record.connection.lost !== undefined) return 'lost'
    if (record.generation !== this.#generation) return 'stale'
    return now >= record.recycleAt ? 'recycled' : undefined
  }

  #lend(
    record: ConnectionRecord,
    now: number,
    options: AcquireOptions,
    origin: ConnectionRecord['origin'],
  ): Lease {
    const proven = !this.#needsProof(record, now)
    record.state = 'borrowed'
    record.acquiredAt = now
    record.uses += 1
    record.origin = origin
    record.context = options.context
    record.connection.ref()
    this.#statistics.counters.acquired += 1
    const lease = new PoolLease(this.#loans, record, proven)
    record.lease = lease
    return lease
  }

  #queue(now: number, options: AcquireOptions, origin: ConnectionRecord['origin']): Promise<Lease> {
    const { timeoutMillis = this.#options.poolTimeoutMillis } = options
    const deadline = timeoutMillis === null ? Infinity : timeoutMillis === 0 ? -Infinity : now + timeoutMillis
    const waiter = new Waiter(now, deadline, options, origin)
    const refusal = this.#gate.suspended ? undefined : this.#refusal(waiter)
    if (refusal !== undefined) return Promise.reject(refusal)
    this.#gate.join(waiter)
    this.#statistics.counters.waited += 1
    const { signal } = options
    if (signal !== undefined) {
      waiter.onAbort = () => {
        this.#gate.leave(waiter)
        this.#statistics.counters.aborted += 1
        waiter.reject(this.#abortedError(signal))
      }
      signal.addEventListener('abort', waiter.onAbort)
    }
    this.#pump()
    if (this.events.has('wait')) this.events.emit('wait', { ahead: this.#gate.size - 1 })
    if (!this.events.has('acquire')) return waiter.promise
    // Told in the waiter's own continuation: no listener runs on the stack of whoever released the connection.
    return waiter.promise.then((lease) => {
      this.events.emit('acquire', {
        connection: lease.connection,
        waitedMillis: this.#clock.now() - waiter.since,
      })
      return lease
    })
  }

  /** Why an acquire may not even wait. */
  #refusal(waiter: Waiter): Error | undefined {
    const behindReleases = this.#gate.size - (this.#limits.capacity - this.#borrowed)
    if (behindReleases >= 0 && waiter.impatient) return this.#timeoutError(waiter, 'wait', 0)
    if (behindReleases >= this.#options.maxWaiting) {
      this.#statistics.counters.refused += 1
      const limit = String(this.#options.maxWaiting)
      return new PoolQueueFullError(
        `${this.status()}: no more than ${limit} acquires may wait (maxWaiting)`,
        this.stats(),
      )
    }
    // A pause after a failure to connect is a wait as well, and not one for somebody's release.
    return waiter.impatient && this.#connector.pausing ? this.#lastConnectError : undefined
  }

  /** Serves the queue with what is idle, and has opened what is missing. */
  #pump(): void {
    if (this.#disposal !== undefined || this.#gate.suspended) return
    const now = this.#clock.now()
    for (
      let waiter = this.#gate.first;
      waiter !== undefined && this.#gate.size > this.#probing;
      waiter = this.#gate.first
    ) {
      if (this.#slots.idle === 0) break
      const record = this.#takeFit(now, waiter.options)
      if (record !== undefined) this.#serve(waiter, record, now)
    }
    this.#open(this.#gate.size - this.#probing, true)
  }

  #open(wanted: number, urgent: boolean): void {
    const room = this.#limits.capacity - this.#slots.size
    this.#connector.open(Math.min(wanted - this.#connector.connecting, room), urgent, this.#generation)
    if (this.#slots.size > 0) this.#housekeeper.start()
  }

  /** Opens what `minIdle` asks for, in the background. */
  #refill(): void {
    if (this.#disposal !== undefined) return
    const missing = this.#options.minIdle - this.#slots.idle - this.#probing
    if (missing > 0) this.#open(this.#gate.size + missing, false)
  }

  #serve(waiter: Waiter, record: ConnectionRecord, now: number): void {
    this.#gate.leave(waiter)
    this.#statistics.wait.record(now - waiter.since)
    waiter.resolve(this.#lend(record, now, waiter.options, waiter.origin))
  }

  /** A connection is free and well: the oldest waiter gets it, or it becomes idle, or it is one too many. */
  #offer(record: ConnectionRecord, now: number): void {
    const reason = this.#unfit(record, now)
    const { keep, capacity } = this.#limits
    const waiter = this.#gate.suspended ? undefined : this.#gate.first
    if (reason !== undefined) {
      this.#retire(record, reason)
    } else if (this.#slots.size > capacity || (keep === 0 && record.uses > 0)) {
      this.#retire(record, 'overflow')
    } else if (waiter !== undefined) {
      this.#serve(waiter, record, now)
    } else if (this.#slots.idle >= keep) {
      this.#retire(record, 'overflow')
    } else {
      record.connection.unref()
      this.#slots.put(record)
    }
  }

  #connected(record: ConnectionRecord, connection: DriverConnection, durationMillis: number): void {
    const now = this.#clock.now()
    const { poolRecycleMillis } = this.#options
    record.connection = connection
    record.provenAt = record.idleSince = now
    // Drawn once: a number drawn anew at each look would let the earliest chance win.
    if (poolRecycleMillis !== -1)
      record.recycleAt = connection.connectedAt + poolRecycleMillis * (1 - Math.random() / 10)
    connection.onLost = () => this.#lost(record)
    this.#lastConnectError = undefined
    this.#statistics.connect.record(durationMillis)
    this.#statistics.counters.connected += 1
    if (this.#statistics.counters.connected === 1)
      this.events.emit('firstConnect', { connection, durationMillis })
    this.events.emit('connect', { connection, durationMillis })
    this.#offer(record, now)
    this.#pump()
    this.#refill()
  }

  #connectFailed(error: Error, fatal: boolean): void {
    this.#statistics.counters.connectFailed += 1
    this.#lastConnectError = error
    this.events.emit('connectFailed', { error, fatal })
    if (!this.#gate.suspended) {
      const hopeless = fatal || this.#options.connectRetry === 'fail'
      this.#gate.rejectIf(
        (waiter) => hopeless || waiter.impatient,
        () => error,
      )
    }
    // Not `freed`: what fails in the background waits for the housekeeper.
    this.#pump()
    this.#announceEmpty()
  }

  #lost(record: ConnectionRecord): void {
    // A borrowed one is its holder's business until it comes back, one being checked is found out by the check.
    if (record.state !== 'idle') return
    for (const idle of this.#slots.takeIf((candidate) => candidate === record)) this.#retire(idle, 'lost')
  }

  async #probe(record: ConnectionRecord): Promise<void> {
    record.state = 'checking'
    this.#probing += 1
    this.#statistics.counters.pinged += 1
    const error = await failureOf(record.connection.ping(this.#options.prePingTimeoutMillis))
    this.#probing -= 1
    if (isClosing(record)) return
    if (error === undefined) {
      record.provenAt = this.#clock.now()
      this.#offer(record, record.provenAt)
    } else {
      this.#outdate(record, error)
      this.#retire(record, 'probe', error)
    }
    this.#pump()
  }

  readonly #loans: LeaseHost = {
    release: (record) => this.#release(record),
    invalidate: (record, reason) => {
      const { connection } = record
      const heldMillis = this.#endLoan(record, this.#clock.now())
      if (isDisconnect(reason)) this.#outdate(record, reason)
      this.events.emit('invalidate', { connection, reason })
      this.#announceRelease(connection, heldMillis)
      this.#retire(record, 'invalidated', reason instanceof Error ? reason : undefined)
    },
    softInvalidate: (record, reason) => {
      if (record.doomed !== undefined) return
      record.doomed = 'invalidated'
      this.events.emit('softInvalidate', { connection: record.connection, reason })
    },
    detach: (record) => {
      const { connection } = record
      this.#announceRelease(connection, this.#endLoan(record, this.#clock.now()))
      connection.onLost = undefined
      this.#slots.remove(record)
      this.events.emit('detach', { connection })
      this.#freed()
    },
  }

  #release(record: ConnectionRecord): void {
    const now = this.#clock.now()
    const heldMillis = this.#endLoan(record, now)
    const { connection } = record
    const mode = this.#options.poolResetOnReturn
    if (connection.busy && connection.lost === undefined) {
      this.#announceRelease(connection, heldMillis)
      this.#retire(
        record,
        'busy',
        new ConnectionClosedError('The connection was released while a statement was running'),
      )
    } else if (
      mode === false ||
      (mode === 'rollback' && connection.transactionStatus === 'idle') ||
      !this.#worthReset(record, now)
    ) {
      this.#returned(record, heldMillis, now)
    } else {
      void this.#reset(record, mode, heldMillis)
    }
  }

  /** What will be closed anyway takes its transaction with it. */
  #worthReset(record: ConnectionRecord, now: number): boolean {
    return this.#limits.keep > 0 && this.#unfit(record, now) === undefined
  }

  async #reset(record: ConnectionRecord, mode: ResetMode, heldMillis: number): Promise<void> {
    const { connection } = record
    record.state = 'checking'
    this.#resetting += 1
    this.#statistics.counters.reset += 1
    const error = await failureOf(connection.reset(mode, RESET_MILLIS))
    this.#resetting -= 1
    if (isClosing(record)) return
    this.events.emit('reset', error === undefined ? { connection, mode } : { connection, mode, error })
    if (error === undefined) return this.#returned(record, heldMillis, this.#clock.now())
    this.#announceRelease(connection, heldMillis)
    if (isDisconnect(error)) this.#outdate(record, error)
    this.#retire(record, 'reset', error)
  }

  #returned(record: ConnectionRecord, heldMillis: number, now: number): void {
    record.provenAt = record.idleSince = now
    this.#announceRelease(record.connection, heldMillis)
    this.#offer(record, now)
  }

  #endLoan(record: ConnectionRecord, now: number): number {
    const heldMillis = now - record.acquiredAt
    this.#statistics.counters.released += 1
    this.#statistics.use.record(heldMillis)
    if (record.leakReported) this.#leaks.report(record, 'returned', now)
    record.endLoan()
    return heldMillis
  }

  #announceRelease(connection: DriverConnection, heldMillis: number): void {
    if (releaseChannel.hasSubscribers) {
      const message: ReleaseMessage = { pool: this.name, connectionId: connection.id, heldMillis }
      releaseChannel.publish(message)
    }
    if (this.events.has('release')) this.events.emit('release', { connection, heldMillis })
  }

  #reclaim(record: ConnectionRecord): void {
    this.#leaks.report(record, 'reclaimed', this.#clock.now())
    record.leakReported = false
    this.#endLoan(record, this.#clock.now())
    this.#retire(record, 'reclaimed')
  }

  /** Once per incident: connections that were opened before it are replaced before they are lent again. */
  #outdate(record: ConnectionRecord, reason: unknown): void {
    if (record.generation === this.#generation) this.#nextGeneration(reason)
  }

  #nextGeneration(reason: unknown): void {
    this.#generation += 1
    this.events.emit('generation', { generation: this.#generation, reason })
  }

  #retire(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    if (SAYS_GOODBYE.has(reason) && record.connection.lost === undefined) this.#closer.close(record, reason)
    else this.#closer.drop(record, reason, error)
  }

  #freed(): void {
    this.#pump()
    this.#refill()
    this.#announceEmpty()
  }

  #announceEmpty(): void {
    if (this.#slots.size === 0) this.#onEmpty?.()
  }

  #tidy(now: number): boolean {
    const { minIdle, idleTimeoutMillis, keepAliveMillis } = this.#options
    let spare = this.#slots.idle - minIdle
    const passed = (millis: number, since: number): boolean => millis !== -1 && now - since >= millis
    const done = this.#slots.takeIf((record) => {
      const chosen =
        this.#unfit(record, now) !== undefined || (spare > 0 && passed(idleTimeoutMillis, record.idleSince))
      if (chosen) spare -= 1
      return chosen
    })
    for (const record of done) this.#retire(record, this.#unfit(record, now) ?? 'idle')
    const quiet = this.#slots.takeIf((record) => passed(keepAliveMillis, record.provenAt))
    for (const record of quiet) void this.#probe(record)
    for (const record of this.#slots.all()) {
      if (record.state === 'borrowed' && this.#leaks.inspect(record, now))
        this.#statistics.counters.leaked += 1
    }
    this.#refill()
    return this.#slots.size > 0 || minIdle > 0
  }

  #suspectIdle(): void {
    for (const record of this.#slots.all()) if (record.state === 'idle') record.provenAt = -Infinity
  }

  #expired(waiter: Waiter, position: number, lateMillis: number): void {
    waiter.reject(this.#timeoutError(waiter, this.#phaseAt(position), lateMillis))
  }

  /** What the waiter at that place of the queue was about to get. */
  #phaseAt(position: number): AcquirePhase {
    if (position < this.#probing) return 'ping'
    if (position < this.#probing + this.#resetting) return 'reset'
    const { connecting, failing } = this.#connector
    const stuck = failing && this.#slots.size < this.#limits.capacity
    return stuck || position < this.#probing + this.#resetting + connecting ? 'connect' : 'wait'
  }

  #timeoutError(waiter: Waiter, phase: AcquirePhase, lateMillis: number): Error {
    const now = this.#clock.now()
    this.#statistics.counters.timedOut += 1
    const borrowed = [...this.#slots.all()].filter(({ state }) => state === 'borrowed')
    const acquire = { phase, waitedMillis: now - waiter.since, context: waiter.options.context, lateMillis }
    const error = poolTimeoutError(acquire, this.stats(), this.#driver.target, borrowed, now)
    this.events.emit('timeout', { error })
    return error
  }

  get #borrowed(): number {
    const { size, idle } = this.#slots
    return size - idle - this.#connector.connecting - this.#probing - this.#resetting - this.#closer.closing
  }

  stats(): PoolStats {
    const { counters, closed, wait, use, connect } = this.#statistics
    const { poolSize, maxOverflow, keep, capacity } = this.#limits
    const { size, idle } = this.#slots
    return {
      name: this.name,
      poolSize,
      maxOverflow,
      capacity,
      size,
      idle,
      borrowed: this.#borrowed,
      connecting: this.#connector.connecting,
      checking: this.#probing + this.#resetting,
      closing: this.#closer.closing,
      overflow: Math.max(0, size - keep),
      waiting: this.#gate.size,
      suspended: this.#gate.suspended,
      disposed: this.#disposal !== undefined,
      generation: this.#generation,
      lastConnectError: this.#lastConnectError,
      counters: { ...counters },
      closed: { ...closed },
      wait: wait.snapshot(),
      use: use.snapshot(),
      connect: connect.snapshot(),
    }
  }

  status(): string {
    return describeStats(this.stats())
  }

  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void {
    this.#limits = changeLimits(this.#limits, limits, this.#options.minIdle)
    const { keep, capacity } = this.#limits
    let excess = Math.max(this.#slots.size - capacity, this.#slots.idle - keep)
    for (const record of this.#slots.takeIf(() => excess-- > 0)) this.#retire(record, 'overflow')
    this.#freed()
  }

  suspend(): void {
    this.#gate.suspend()
  }

  resume(): void {
    this.#gate.resume()
    this.#pump()
    const served = this.#limits.capacity - this.#borrowed
    this.#gate.rejectIf(
      (waiter, position) => waiter.impatient && position >= served,
      (waiter) => this.#timeoutError(waiter, 'wait', 0),
    )
  }

  refresh(): void {
    this.#nextGeneration('refresh')
    for (const record of this.#slots.takeIf(() => true)) this.#retire(record, 'stale')
  }

  recreate(): Pool {
    const { poolSize, maxOverflow } = this.#limits
    const Class = this.constructor as PoolClass
    return new Class({
      driver: this.#driver,
      options: Object.freeze({ ...this.#options, poolSize, maxOverflow }),
      name: this.name,
      clock: this.#clock,
      events: this.events,
    })
  }

  dispose({
    timeoutMillis = DISPOSE_MILLIS,
  }: { readonly timeoutMillis?: number | null | undefined } = {}): Promise<DisposeReport> {
    // A turn later, so that whatever happens meanwhile already finds the pool disposed.
    return (this.#disposal ??= Promise.resolve().then(() => this.#dispose(timeoutMillis)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #dispose(timeoutMillis: number | null): Promise<DisposeReport> {
    const startedAt = this.#clock.now()
    const closedBefore = this.#statistics.closedCount
    this.#housekeeper.stop()
    this.#connector.stop()
    const rejected = this.#gate.rejectIf(
      () => true,
      () => this.#disposedError(),
    )
    for (const record of this.#slots.takeIf(() => true)) this.#retire(record, 'disposed')
    await this.#emptied(timeoutMillis)
    let forced = 0
    for (const record of [...this.#slots.all()]) {
      if (record.state !== 'borrowed' && record.state !== 'checking') continue
      forced += 1
      if (record.state === 'borrowed') this.#endLoan(record, this.#clock.now())
      this.#closer.drop(record, 'disposed', this.#disposedError())
    }
    await this.#emptied(null)
    const closed = this.#statistics.closedCount - closedBefore - forced
    return { closed, forced, rejected, durationMillis: this.#clock.now() - startedAt }
  }

  /** Resolves when no slot is left, or after the time. */
  #emptied(timeoutMillis: number | null): Promise<void> {
    if (this.#slots.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = timeoutMillis === null ? undefined : this.#clock.setTimer(resolve, timeoutMillis)
      this.#onEmpty = () => {
        timer?.cancel()
        resolve()
      }
    })
  }

  #disposedError(): EngineDisposedError {
    return new EngineDisposedError(`Pool '${this.name}' was disposed`)
  }

  #abortedError(signal: AbortSignal): AbortedError {
    return new AbortedError(`The wait for a connection of pool '${this.name}' was aborted`, {
      cause: signal.reason,
    })
  }
}

/** The stack of whoever called `acquire`; V8 formats it only when it is read. */
function captureOrigin(): { readonly stack?: string } {
  const origin = {}
  Error.captureStackTrace(origin, QueuePool.prototype.acquire)
  return origin
}

function failureOf(work: Promise<void>): Promise<Error | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  )
}

/** True if somebody closed it while it was being checked. */
function isClosing(record: ConnectionRecord): boolean {
  return record.state === 'closing'
}
