/**
 * The end of a checkout: release, invalidation, detaching, garbage collection of the lease. Decides whether the connection must be
 * reset or closed; `matcher.ts` decides who uses it next.
 */
import { isDisconnect } from '../database-errors.js'
import type { DriverConnection } from '../driver/driver.js'
import { ConnectionClosedError } from '../errors.js'
import { releaseChannel, type ReleaseMessage } from '../internal/channels.js'
import type { Eligibility } from './eligibility.js'
import type { HealthChecks } from './health-checks.js'
import type { LeakWatch } from './leak-watch.js'
import type { LeaseHost } from './lease.js'
import type { Lease, LeaseReceiver, ReleaseOptions } from './pool.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'
import { isInstance } from '../internal/revoked.js'

export interface ReleaserHost {
  /** See {@link Lease.wantedMillis}. */
  wantedMillis(record: ConnectionRecord, now: number): number | undefined
  /** See {@link Lease.takeAlong}. */
  takeAlong(lease: Lease, most: number, takes: (receiver: LeaseReceiver) => boolean): void
  /** The connection is healthy and free for the next caller. */
  offer(record: ConnectionRecord, now: number): void
  close(record: ConnectionRecord, reason: CloseReason, error?: Error): void
  /** A slot is free. */
  freed(): void
}

export class Releaser implements LeaseHost {
  readonly #pool: PoolContext
  readonly #eligibility: Eligibility
  readonly #healthChecks: HealthChecks
  readonly #leaks: LeakWatch
  readonly #host: ReleaserHost

  constructor(
    context: PoolContext,
    eligibility: Eligibility,
    healthChecks: HealthChecks,
    leaks: LeakWatch,
    host: ReleaserHost,
  ) {
    this.#pool = context
    this.#eligibility = eligibility
    this.#healthChecks = healthChecks
    this.#leaks = leaks
    this.#host = host
  }

  wantedMillis(record: ConnectionRecord): number | undefined {
    const { clock, options } = this.#pool
    // The connection is reset before the next caller gets it.
    return options.poolResetOnReturn === 'session' ? undefined : this.#host.wantedMillis(record, clock.now())
  }

  release(record: ConnectionRecord, { beforeCommitIsAnswered = false }: ReleaseOptions): void {
    const now = this.#pool.clock.now()
    const heldMillis = this.endCheckout(record, now)
    const { connection } = record
    const mode = this.#pool.options.poolResetOnReturn
    if (connection.busy && connection.lost === undefined) {
      this.#announce(connection, heldMillis)
      const error = new ConnectionClosedError('The connection was released while a statement was running')
      this.#host.close(record, 'busy', error)
    } else if (connection.commitHandoff?.awaited === true && !beforeCommitIsAnswered) {
      // The lease was released without a batch after the COMMIT. The next caller would wait for that COMMIT, beyond its timeout.
      this.#announce(connection, heldMillis)
      void this.#healthChecks.settle(record)
    } else if (mode !== false && this.#isDirty(connection) && this.#eligibility.keeps(record, now)) {
      void this.#healthChecks.reset(record, mode, () => this.#announce(connection, heldMillis))
    } else {
      record.lastAliveAt = record.idleSince = now
      this.#announce(connection, heldMillis)
      this.#host.offer(record, now)
    }
  }

  invalidate(record: ConnectionRecord, reason: unknown): void {
    const { clock, events } = this.#pool
    const { connection } = record
    const heldMillis = this.endCheckout(record, clock.now())
    if (isDisconnect(reason)) this.#eligibility.outdate(record, reason)
    events.emit('invalidate', { connection, reason })
    this.#announce(connection, heldMillis)
    this.#host.close(record, 'invalidated', isInstance(reason, Error) ? reason : undefined)
  }

  softInvalidate(record: ConnectionRecord, reason: unknown): void {
    if (record.softInvalidated) return
    record.softInvalidated = true
    this.#pool.events.emit('softInvalidate', { connection: record.connection, reason })
  }

  takeAlong(lease: Lease, most: number, takes: (receiver: LeaseReceiver) => boolean): void {
    this.#host.takeAlong(lease, most, takes)
  }

  detach(record: ConnectionRecord): void {
    const { clock, events, slots } = this.#pool
    const { connection } = record
    const heldMillis = this.endCheckout(record, clock.now())
    connection.onLost = undefined
    slots.remove(record)
    this.#announce(connection, heldMillis)
    events.emit('detach', { connection })
    this.#host.freed()
  }

  /** The lease was garbage-collected without release. The state of its transaction is unknown, so the connection is closed. */
  reclaim(record: ConnectionRecord): void {
    const now = this.#pool.clock.now()
    this.#leaks.report(record, 'reclaimed', now)
    record.leakReported = false
    this.#announce(record.connection, this.endCheckout(record, now))
    this.#host.close(record, 'reclaimed')
  }

  /** Takes the connection from its lease. @returns how many milliseconds the lease held it. */
  endCheckout(record: ConnectionRecord, now: number): number {
    const { statistics } = this.#pool
    const heldMillis = now - record.acquiredAt
    statistics.counters.released += 1
    statistics.use.record(heldMillis)
    if (record.leakReported) this.#leaks.report(record, 'returned', now)
    this.#leaks.forget(record)
    record.endCheckout()
    return heldMillis
  }

  #isDirty(connection: DriverConnection): boolean {
    return connection.transactionStatus !== 'idle' || this.#pool.options.poolResetOnReturn === 'session'
  }

  #announce(connection: DriverConnection, heldMillis: number): void {
    const { name, events } = this.#pool
    if (releaseChannel.hasSubscribers) {
      const message: ReleaseMessage = { pool: name, connectionId: connection.id, heldMillis }
      releaseChannel.publish(message)
    }
    if (events.has('release')) events.emit('release', { connection, heldMillis })
  }
}
