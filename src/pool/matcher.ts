/**
 * Matches connections with waiting callers: decides which caller gets a free connection, when more are opened, and which free
 * connections are kept idle or closed.
 *
 * 1. A free connection (opened, pinged, reset or released) goes to the caller that has waited longest, or becomes idle.
 * 2. After each event that frees a slot or ends a connect attempt, `pump` looks at the queue again, so no waiting caller is forgotten.
 */
import type { Closer } from './closer.js'
import type { Connector } from './connector.js'
import type { Eligibility } from './eligibility.js'
import type { HealthChecks } from './health-checks.js'
import type { Housekeeper } from './housekeeper.js'
import { PoolLease, type LeaseHost } from './lease.js'
import type { PoolContext } from './pool-context.js'
import type { AcquireOptions, Lease, LeaseReceiver } from './pool.js'
import type { ConnectionRecord } from './record.js'
import type { Waiter, WaitQueue, Wanted } from './wait-queue.js'

/** The parts of the pool between which connections move. */
export interface MatcherParts {
  readonly eligibility: Eligibility
  readonly waitQueue: WaitQueue
  readonly connector: Connector
  readonly healthChecks: HealthChecks
  readonly closer: Closer
  readonly housekeeper: Housekeeper
  /** Takes the connections back. */
  readonly releaser: LeaseHost
}

/** How many waiting callers are looked at to find some that share a connection: the search takes a bounded time. */
const MOST_LOOKED_AT = 64

export class Matcher {
  readonly #pool: PoolContext
  readonly #eligibility: Eligibility
  readonly #waitQueue: WaitQueue
  readonly #connector: Connector
  readonly #healthChecks: HealthChecks
  readonly #closer: Closer
  readonly #housekeeper: Housekeeper
  readonly #releaser: LeaseHost

  constructor(context: PoolContext, parts: MatcherParts) {
    this.#pool = context
    this.#eligibility = parts.eligibility
    this.#waitQueue = parts.waitQueue
    this.#connector = parts.connector
    this.#healthChecks = parts.healthChecks
    this.#closer = parts.closer
    this.#housekeeper = parts.housekeeper
    this.#releaser = parts.releaser
  }

  /** The next idle connection that may be handed out at once. If the next one needs a ping, it is pinged, and none is returned. */
  takeFit(now: number, options: AcquireOptions): ConnectionRecord | undefined {
    const { slots } = this.#pool
    for (let record = slots.take(); record !== undefined; record = slots.take()) {
      const reason = this.#eligibility.unfit(record, now)
      if (reason !== undefined) {
        this.#closer.close(record, reason)
      } else if (options.proof === 'caller' || !this.#eligibility.needsPing(record, now)) {
        return record
      } else {
        void this.#healthChecks.ping(record)
        return undefined
      }
    }
    return undefined
  }

  /** Hands a connection out. */
  checkOut(record: ConnectionRecord, now: number, { context, callSite }: Wanted): Lease {
    record.state = 'borrowed'
    record.acquiredAt = now
    record.uses += 1
    record.callSite = callSite
    record.context = context
    record.connection.ref()
    this.#pool.statistics.counters.acquired += 1
    const lease = new PoolLease(this.#releaser, record, !this.#eligibility.needsPing(record, now))
    record.lease = lease
    return lease
  }

  /** Slots whose connection is not being closed: a connection that is being closed must not be counted as excess again. */
  get open(): number {
    return this.#pool.slots.size - this.#closer.closing
  }

  /** Serves the queue with idle connections, and opens missing ones. */
  pump(): void {
    if (this.#eligibility.disposed || this.#waitQueue.suspended) return
    const now = this.#pool.clock.now()
    while (
      this.#waitQueue.first !== undefined &&
      this.#waitQueue.size > this.#healthChecks.pinging &&
      this.#pool.slots.idle > 0
    ) {
      const record = this.takeFit(now, this.#waitQueue.first.options)
      if (record !== undefined) this.#serve(this.#waitQueue.first, record, now)
    }
    this.#openMore(this.#waitQueue.size - this.#healthChecks.pinging, { urgent: true })
  }

  /** Opens connections up to `minIdle`, in the background, unless `openMinIdle` is false. */
  refill(): void {
    const { options, slots } = this.#pool
    if (this.#eligibility.disposed || !options.openMinIdle) return
    const missing = options.minIdle - slots.idle - this.#healthChecks.pinging
    if (missing > 0) this.#openMore(this.#waitQueue.size + missing, { urgent: false })
    if (options.minIdle > 0) this.#housekeeper.start()
  }

  #openMore(wanted: number, { urgent }: { readonly urgent: boolean }): void {
    const room = this.#pool.limits.capacity - this.#pool.slots.size
    this.#connector.open(Math.min(wanted - this.#connector.connecting, room), {
      urgent,
      generation: this.#eligibility.generation,
    })
    if (this.#pool.slots.size > 0) this.#housekeeper.start()
  }

  #serve(waiter: Waiter, record: ConnectionRecord, now: number): void {
    this.#waitQueue.leave(waiter)
    this.#pool.statistics.wait.record(now - waiter.since)
    waiter.resolve(this.checkOut(record, now, waiter))
  }

  /** See {@link Lease.takeAlong}. */
  takeAlong(lease: Lease, most: number, takes: (receiver: LeaseReceiver) => boolean): void {
    if (this.#waitQueue.suspended) return
    const now = this.#pool.clock.now()
    let taken = 0
    let next = this.#waitQueue.first
    for (let looked = 0; next !== undefined && taken < most && looked < MOST_LOOKED_AT; looked++) {
      const waiter = next
      next = waiter.next
      if (!takes(waiter.receiver)) continue
      this.#waitQueue.leave(waiter)
      this.#pool.statistics.wait.record(now - waiter.since)
      waiter.takenAlong(lease)
      taken += 1
    }
  }

  /** A connection is free: it goes to the oldest waiter, becomes idle, or is closed as excess. */
  offer(record: ConnectionRecord, now: number): void {
    const { slots } = this.#pool
    const { keep, capacity } = this.#pool.limits
    const reason = this.#eligibility.unfit(record, now)
    const waiter = this.#waitQueue.suspended ? undefined : this.#waitQueue.first
    if (reason !== undefined) {
      this.#closer.close(record, reason)
    } else if (this.open > capacity || (keep === 0 && record.uses > 0)) {
      this.#closer.close(record, 'overflow')
    } else if (waiter !== undefined) {
      this.#serve(waiter, record, now)
    } else if (slots.idle >= keep) {
      this.#closer.close(record, 'overflow')
    } else {
      record.connection.unref()
      slots.put(record)
      this.#housekeeper.becameIdle(now)
    }
  }

  /** See {@link Lease.wantedMillis}. */
  wantedMillis(record: ConnectionRecord, now: number): number | undefined {
    const waiter = this.#waitQueue.suspended ? undefined : this.#waitQueue.first
    if (waiter === undefined || waiter.impatient || this.#pool.limits.keep === 0) return undefined
    if (this.#eligibility.unfit(record, now) !== undefined || this.open > this.#pool.limits.capacity)
      return undefined
    return waiter.deadline === Infinity ? undefined : waiter.deadline - now
  }
}
