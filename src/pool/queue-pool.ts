/**
 * The pool: its public methods, and the wiring of its parts. `matcher.ts` decides which caller gets which connection.
 * An acquire that need not wait costs no timer, no listener and no place in the queue.
 */
import { isDisconnect } from '../database-errors.js'
import type { DriverConnection } from '../driver/driver.js'
import { acquireChannel } from '../internal/channels.js'
import { systemClock } from '../internal/clock.js'
import { Emitter } from '../internal/emitter.js'
import { AcquireTrace } from './acquire-trace.js'
import { Admission } from './admission.js'
import { HealthChecks } from './health-checks.js'
import { Closer } from './closer.js'
import { Connector } from './connector.js'
import { Diagnostics } from './diagnostics.js'
import { checkDisposeOptions, dispose } from './dispose.js'
import { Eligibility } from './eligibility.js'
import { acquireAborted, closedAtDeadline, poolDisposed, warnOfFirstFailure } from './errors.js'
import type { PoolEvents } from './events.js'
import { deadlineOf, Waiter, WaitQueue, type Wanted } from './wait-queue.js'
import { Housekeeper } from './housekeeper.js'
import { Matcher } from './matcher.js'
import { LeakWatch } from './leak-watch.js'
import { changeLimits, limitsOf, type LimitChange, type Limits } from './limits.js'
import type { PoolClass, PoolParts } from './options.js'
import { CallSites, captureCallSite, lineOf, readStack, type CallSite } from './call-site.js'
import type { AcquireOptions, DisposeOptions, DisposeReport, Lease, LeaseReceiver, Pool } from './pool.js'
import type { ConnectionRecord } from './record.js'
import { Releaser } from './release.js'
import type { PoolContext } from './pool-context.js'
import { Slots } from './slots.js'
import { Statistics, type PoolStats } from './stats.js'

const NO_OPTIONS: AcquireOptions = {}
/** Waiters whose call sites need not be read: unread, each takes several times as much memory as the rest of a waiter. */
const MOST_UNREAD = 64

/** Keeps `poolSize` connections open, opens up to `maxOverflow` more under load; further callers wait, first in, first out. */
export class QueuePool implements Pool {
  readonly name: string
  readonly events: Emitter<PoolEvents>
  readonly #pool: PoolContext
  readonly #eligibility: Eligibility
  readonly #waitQueue: WaitQueue
  readonly #connector: Connector
  readonly #healthChecks: HealthChecks
  readonly #closer: Closer
  readonly #releaser: Releaser
  readonly #housekeeper: Housekeeper
  readonly #diagnostics: Diagnostics
  readonly #admission: Admission
  readonly #matcher: Matcher
  #disposal: Promise<DisposeReport> | undefined = undefined
  /** True once another pool has taken over (`recreate()`). */
  #replaced = false
  #onEmpty: (() => void) | undefined = undefined
  /** The line that called `dispose()`. */
  #disposeLine: string | undefined = undefined

  constructor(parts: PoolParts, limits: Limits = limitsOf(parts.options)) {
    const { driver, options, name, clock = systemClock, engineId = 0 } = parts
    const { events = new Emitter<PoolEvents>() } = parts
    const slots = new Slots(options.poolUseLifo)
    const callSites = options.captureStacks ? new CallSites() : undefined
    const statistics = new Statistics()
    const shared = { name, engineId, driver, clock, options, events }
    const context: PoolContext = { ...shared, statistics, slots, limits, callSites }
    this.name = name
    this.events = events
    this.#pool = context
    this.#eligibility = new Eligibility(context)
    this.#waitQueue = new WaitQueue(clock, {
      expired: (waiter, position, lateMillis) => {
        const phase = this.#diagnostics.phaseAt(position)
        waiter.reject(this.#diagnostics.timedOut(waiter, phase, lateMillis))
      },
      aborted: (waiter) => {
        context.statistics.counters.aborted += 1
        waiter.reject(acquireAborted(this.name, waiter.options.signal))
      },
    })
    this.#connector = new Connector(context, {
      connected: (record, connection, durationMillis) => this.#connected(record, connection, durationMillis),
      failed: (error, fatal) => this.#connectFailed(error, fatal),
      ready: () => this.#matcher.pump(),
    })
    this.#closer = new Closer(context, () => this.#freed())
    this.#healthChecks = new HealthChecks(context, {
      passed: (record, now) => this.#matcher.offer(record, now),
      failed: (record, reason, error) => {
        if (reason === 'probe' || isDisconnect(error)) this.#eligibility.outdate(record, error)
        this.#closer.close(record, reason, error)
        this.#matcher.pump()
      },
    })
    const leaks = new LeakWatch(context, (record) => this.#releaser.reclaim(record))
    this.#releaser = new Releaser(context, this.#eligibility, this.#healthChecks, leaks, {
      wantedMillis: (record, now) => this.#matcher.wantedMillis(record, now),
      offer: (record, now) => this.#matcher.offer(record, now),
      close: (record, reason, error) => this.#closer.close(record, reason, error),
      takeAlong: (lease, most, takes) => this.#matcher.takeAlong(lease, most, takes),
      freed: () => this.#freed(),
    })
    this.#housekeeper = new Housekeeper(context, this.#eligibility, leaks, {
      close: (record, reason) => this.#closer.close(record, reason),
      ping: (record) => void this.#healthChecks.ping(record),
      refill: () => this.#matcher.refill(),
    })
    this.#diagnostics = new Diagnostics(context, {
      waitQueue: this.#waitQueue,
      connector: this.#connector,
      healthChecks: this.#healthChecks,
      closer: this.#closer,
      eligibility: this.#eligibility,
    })
    this.#admission = new Admission(context, {
      waitQueue: this.#waitQueue,
      connector: this.#connector,
      diagnostics: this.#diagnostics,
    })
    this.#matcher = new Matcher(context, {
      eligibility: this.#eligibility,
      waitQueue: this.#waitQueue,
      connector: this.#connector,
      healthChecks: this.#healthChecks,
      closer: this.#closer,
      housekeeper: this.#housekeeper,
      releaser: this.#releaser,
    })
    this.#matcher.refill()
  }

  acquire(options: AcquireOptions = NO_OPTIONS): Promise<Lease> {
    const { callSites } = this.#pool
    const callSite = callSites && (options.callSite ?? callSites.capture(QueuePool.prototype.acquire))
    return new Promise((leased, refused) =>
      this.#request({ leased, refused }, { options, context: options.context, callSite }),
    )
  }

  request(
    receiver: LeaseReceiver,
    options: AcquireOptions,
    context: object | undefined,
    callSite: CallSite | undefined,
  ): void {
    this.#request(receiver, { options, context, callSite })
  }

  #request(receiver: LeaseReceiver, wanted: Wanted): void {
    const now = this.#pool.clock.now()
    const isReported = acquireChannel.hasSubscribers || this.events.has('acquire')
    const trace = isReported ? new AcquireTrace(this.#pool, now) : undefined
    const outcome =
      trace === undefined
        ? this.#takeOrJoin(receiver, now, wanted, trace)
        : trace.run(() => this.#takeOrJoin(receiver, now, wanted, trace))
    if (outcome === undefined) return
    if (outcome instanceof Error) {
      trace?.refused(outcome)
      receiver.refused(outcome)
    } else {
      trace?.acquired(outcome)
      receiver.leased(outcome)
    }
  }

  /** @returns a free connection, or why there is none; undefined: the receiver waits. */
  #takeOrJoin(
    receiver: LeaseReceiver,
    now: number,
    wanted: Wanted,
    trace: AcquireTrace | undefined,
  ): Lease | Error | undefined {
    const { options } = wanted
    const refusal = this.#refusalOf(options)
    if (refusal !== undefined) return refusal
    const lease = this.#take(now, wanted)
    if (lease !== undefined) return lease
    return this.#join(new Waiter(receiver, now, this.#deadlineOf(options, now), wanted, trace))
  }

  #refusalOf({ signal }: AcquireOptions): Error | undefined {
    if (signal?.aborted === true) return acquireAborted(this.name, signal)
    return this.#disposal === undefined ? undefined : poolDisposed(this.name, this.#disposeLine)
  }

  /** An idle connection, if no caller is before this one. */
  #take(now: number, wanted: Wanted): Lease | undefined {
    const record = this.#waitQueue.open ? this.#matcher.takeFit(now, wanted.options) : undefined
    return record && this.#matcher.checkOut(record, now, wanted)
  }

  #deadlineOf({ timeoutMillis = this.#pool.options.poolTimeoutMillis }: AcquireOptions, now: number): number {
    return deadlineOf(timeoutMillis, now)
  }

  /** @returns why the waiter may not wait. */
  #join(waiter: Waiter): Error | undefined {
    const refusal = this.#admission.refusalOf(waiter)
    if (refusal !== undefined) return refusal
    const ahead = this.#waitQueue.size
    this.#waitQueue.join(waiter)
    if (ahead >= MOST_UNREAD) readStack(waiter.callSite)
    this.#pool.statistics.counters.waited += 1
    this.#matcher.pump()
    if (this.events.has('wait')) this.events.emit('wait', { ahead })
    return undefined
  }

  #connected(record: ConnectionRecord, connection: DriverConnection, durationMillis: number): void {
    const { clock, events, options, slots, statistics } = this.#pool
    record.open(connection, clock.now(), options.poolRecycleMillis)
    if (connection.supersedes === true) this.#eligibility.supersede(record)
    connection.onLost = () => {
      // The holder of a borrowed connection notices the loss itself, and so does a running check.
      if (record.state !== 'idle') return
      for (const idle of slots.takeIf((candidate) => candidate === record)) this.#closer.close(idle, 'lost')
    }
    statistics.connect.record(durationMillis)
    statistics.counters.connected += 1
    if (statistics.counters.connected === 1) events.emit('firstConnect', { connection, durationMillis })
    events.emit('connect', { connection, durationMillis })
    this.#matcher.offer(record, clock.now())
    this.#freed()
  }

  #connectFailed(error: Error, fatal: boolean): void {
    const { options, slots, statistics } = this.#pool
    if (this.#disposal !== undefined) return this.#freed()
    statistics.counters.connectFailed += 1
    const { connected, connectFailed } = statistics.counters
    const isUnheard = connected === 0 && connectFailed === 1 && !this.events.has('connectFailed')
    this.events.emit('connectFailed', { error, fatal })
    const isFinal = fatal || options.connectRetry === 'fail'
    const fails = (waiter: Waiter): boolean => isFinal || waiter.givesUpAt(slots.size)
    const rejected = this.#waitQueue.suspended ? 0 : this.#waitQueue.rejectIf(fails, () => error)
    // Without this warning, waiting callers would learn of the failure at their deadline only.
    if (isUnheard && rejected === 0) warnOfFirstFailure(this.name, error)
    // No refill here: the housekeeper repeats it after a failure in the background.
    this.#matcher.pump()
  }

  #freed(): void {
    this.#matcher.pump()
    this.#matcher.refill()
    if (this.#pool.slots.size === 0) this.#onEmpty?.()
  }

  stats(): PoolStats {
    return this.#diagnostics.stats()
  }

  status(): string {
    return this.#diagnostics.status()
  }

  holders(): readonly string[] {
    return this.#diagnostics.holders()
  }

  resize(change: LimitChange): void {
    const { options, slots } = this.#pool
    this.#pool.limits = changeLimits(this.#pool.limits, change, options.minIdle)
    const { keep, capacity } = this.#pool.limits
    let excess = Math.max(this.#matcher.open - capacity, slots.idle - keep)
    for (const record of slots.takeIf(() => excess-- > 0)) this.#closer.close(record, 'overflow')
    this.#freed()
    this.#admission.rejectImpatient()
  }

  suspend(): void {
    this.#waitQueue.suspend()
    this.#admission.rejectMovable()
  }

  resume(): void {
    this.#waitQueue.resume()
    this.#matcher.pump()
    this.#admission.rejectImpatient()
  }

  refresh(): void {
    this.#eligibility.nextGeneration('refresh')
    for (const record of this.#pool.slots.takeIf(() => true)) this.#closer.close(record, 'stale')
  }

  recreate(): Pool {
    const { driver, clock, engineId, options } = this.#pool
    const { poolSize, maxOverflow } = this.#pool.limits
    const Class = this.constructor as PoolClass
    const current = Object.freeze({ ...options, poolSize, maxOverflow })
    const next = new Class({
      driver,
      clock,
      options: current,
      name: this.name,
      engineId,
      events: this.events,
    })
    if (next instanceof QueuePool) next.#replace(this)
    return next
  }

  #replace(old: QueuePool): void {
    old.#replaced = true
    this.#pool.statistics.counters.waited += this.#waitQueue.adopt(old.#waitQueue)
    this.#matcher.pump()
  }

  async dispose(options: DisposeOptions = {}): Promise<DisposeReport> {
    checkDisposeOptions(options)
    this.#eligibility.disposed = true
    this.#disposeLine ??= lineOf(captureCallSite(QueuePool.prototype.dispose))
    // In a later microtask, so that listeners of events already see that the pool is disposed.
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
      () => poolDisposed(this.name, this.#disposeLine),
    )
    return dispose(this.#pool, options, {
      closer: this.#closer,
      rejected,
      revoke: (record) => void this.#releaser.endCheckout(record, this.#pool.clock.now()),
      onEmpty: (listener) => (this.#onEmpty = listener),
      reason: () => closedAtDeadline(this.#replaced, this.#disposeLine ?? 'an unknown place'),
    })
  }
}
