/**
 * The end of a loan: release, invalidation, detaching, garbage collection. It decides whether the connection is clean;
 * whether there is use for it is the pool's question.
 */
import { isDisconnect } from '../database-errors.js'
import type { DriverConnection } from '../driver/driver.js'
import { ConnectionClosedError } from '../errors.js'
import { releaseChannel, type ReleaseMessage } from '../internal/channels.js'
import type { HealthChecks } from './health-checks.js'
import type { LeakWatch } from './leak-watch.js'
import type { LeaseHost } from './lease.js'
import type { Lease } from './pool.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'

export interface ReleaserHost {
  /** See {@link Lease.wantedMillis}. */
  wantedMillis(record: ConnectionRecord, now: number): number | undefined
  /** False if it is closed when it comes back, whatever its state: then nothing has to be cleaned. */
  keeps(record: ConnectionRecord, now: number): boolean
  /** The connection is free and well. */
  offer(record: ConnectionRecord, now: number): void
  retire(record: ConnectionRecord, reason: CloseReason, error?: Error): void
  /** Connections as old as this one, or older, are not to be lent again. */
  outdate(record: ConnectionRecord, reason: unknown): void
  /** Its slot is free. */
  freed(): void
}

export class Releaser implements LeaseHost {
  readonly #pool: PoolContext
  readonly #healthChecks: HealthChecks
  readonly #leaks: LeakWatch
  readonly #host: ReleaserHost

  constructor(pool: PoolContext, healthChecks: HealthChecks, leaks: LeakWatch, host: ReleaserHost) {
    this.#pool = pool
    this.#healthChecks = healthChecks
    this.#leaks = leaks
    this.#host = host
  }

  wantedMillis(record: ConnectionRecord): number | undefined {
    const { clock, options } = this.#pool
    // What resets it comes first.
    return options.poolResetOnReturn === 'session' ? undefined : this.#host.wantedMillis(record, clock.now())
  }

  release(record: ConnectionRecord, isWanted: boolean): void {
    const now = this.#pool.clock.now()
    const heldMillis = this.endLoan(record, now)
    const { connection } = record
    const mode = this.#pool.options.poolResetOnReturn
    if (connection.busy && connection.lost === undefined) {
      this.#announce(connection, heldMillis)
      const error = new ConnectionClosedError('The connection was released while a statement was running')
      this.#host.retire(record, 'busy', error)
    } else if (connection.commitHandoff?.awaited === true && !isWanted) {
      // Lent and not used: its next user would wait for somebody else's COMMIT, whatever their patience.
      this.#announce(connection, heldMillis)
      void this.#healthChecks.settle(record)
    } else if (mode !== false && this.#isDirty(connection) && this.#host.keeps(record, now)) {
      void this.#healthChecks.reset(record, mode, () => this.#announce(connection, heldMillis))
    } else {
      record.provenAt = record.idleSince = now
      this.#announce(connection, heldMillis)
      this.#host.offer(record, now)
    }
  }

  invalidate(record: ConnectionRecord, reason: unknown): void {
    const { clock, events } = this.#pool
    const { connection } = record
    const heldMillis = this.endLoan(record, clock.now())
    if (isDisconnect(reason)) this.#host.outdate(record, reason)
    events.emit('invalidate', { connection, reason })
    this.#announce(connection, heldMillis)
    this.#host.retire(record, 'invalidated', reason instanceof Error ? reason : undefined)
  }

  softInvalidate(record: ConnectionRecord, reason: unknown): void {
    if (record.doomed) return
    record.doomed = true
    this.#pool.events.emit('softInvalidate', { connection: record.connection, reason })
  }

  detach(record: ConnectionRecord): void {
    const { clock, events, slots } = this.#pool
    const { connection } = record
    const heldMillis = this.endLoan(record, clock.now())
    connection.onLost = undefined
    slots.remove(record)
    this.#announce(connection, heldMillis)
    events.emit('detach', { connection })
    this.#host.freed()
  }

  /** Nobody can release it any more. What its transaction was worth nobody knows, so it is not used again. */
  reclaim(record: ConnectionRecord): void {
    const now = this.#pool.clock.now()
    this.#leaks.report(record, 'reclaimed', now)
    record.leakReported = false
    this.#announce(record.connection, this.endLoan(record, now))
    this.#host.retire(record, 'reclaimed')
  }

  /** Takes the connection from its lease. Returns how long the lease had it. */
  endLoan(record: ConnectionRecord, now: number): number {
    const { statistics } = this.#pool
    const heldMillis = now - record.acquiredAt
    statistics.counters.released += 1
    statistics.use.record(heldMillis)
    if (record.leakReported) this.#leaks.report(record, 'returned', now)
    this.#leaks.forget(record)
    record.endLoan()
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
