/** What an acquire returns: a handle on one checkout of a connection, without effect once the checkout has ended. */
import type { DriverConnection } from '../driver/driver.js'
import { IllegalStateError } from '../errors.js'
import type { Lease, LeaseReceiver, ReleaseOptions } from './pool.js'
import type { ConnectionRecord } from './record.js'

const NO_OPTIONS: ReleaseOptions = {}

/** The part of the pool that takes released connections back. */
export interface LeaseHost {
  /** See {@link Lease.wantedMillis}. */
  wantedMillis(record: ConnectionRecord): number | undefined
  release(record: ConnectionRecord, options: ReleaseOptions): void
  invalidate(record: ConnectionRecord, reason: unknown): void
  softInvalidate(record: ConnectionRecord, reason: unknown): void
  detach(record: ConnectionRecord): void
  /** See {@link Lease.takeAlong}. */
  takeAlong(lease: Lease, most: number, takes: (receiver: LeaseReceiver) => boolean): void
}

/**
 * The lease is active as long as its checkout number is the record's. So a second release cannot end another caller's checkout,
 * and the pool can end a checkout without knowing the lease.
 */
export class PoolLease implements Lease {
  readonly connection: DriverConnection
  readonly proven: boolean
  readonly #host: LeaseHost
  readonly #record: ConnectionRecord
  readonly #checkout: number

  constructor(host: LeaseHost, record: ConnectionRecord, proven: boolean) {
    this.connection = record.connection
    this.proven = proven
    this.#host = host
    this.#record = record
    this.#checkout = record.checkout
  }

  get active(): boolean {
    return this.#record.checkout === this.#checkout
  }

  get wantedMillis(): number | undefined {
    return this.active ? this.#host.wantedMillis(this.#record) : undefined
  }

  release(options: ReleaseOptions = NO_OPTIONS): void {
    if (this.active) this.#host.release(this.#record, options)
  }

  invalidate(reason?: unknown): void {
    if (this.active) this.#host.invalidate(this.#record, reason)
  }

  softInvalidate(reason?: unknown): void {
    if (this.active) this.#host.softInvalidate(this.#record, reason)
  }

  takeAlong(most: number, takes: (receiver: LeaseReceiver) => boolean): void {
    if (this.active) this.#host.takeAlong(this, most, takes)
  }

  detach(): DriverConnection {
    if (!this.active)
      throw new IllegalStateError(
        'Cannot detach the connection: its lease has ended (released, invalidated or detached)',
      )
    this.#host.detach(this.#record)
    return this.connection
  }

  describe(statement: string): void {
    if (this.active) this.#record.statement = statement
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
