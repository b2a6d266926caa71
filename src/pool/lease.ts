/** What an acquire hands out: a handle on one loan, worthless once the loan has ended. */
import type { DriverConnection } from '../driver/driver.js'
import { IllegalStateError } from '../errors.js'
import type { Lease } from './pool.js'
import type { ConnectionRecord } from './record.js'

/** Where a lease goes back to. */
export interface LeaseHost {
  /** See {@link Lease.wantedMillis}. */
  wantedMillis(record: ConnectionRecord): number | undefined
  release(record: ConnectionRecord, isWanted: boolean): void
  invalidate(record: ConnectionRecord, reason: unknown): void
  softInvalidate(record: ConnectionRecord, reason: unknown): void
  detach(record: ConnectionRecord): void
}

/**
 * The number of the loan decides whether the lease still has a say: a second release cannot end somebody else's loan,
 * and the pool can end a loan without knowing the lease.
 */
export class PoolLease implements Lease {
  readonly connection: DriverConnection
  readonly proven: boolean
  readonly #host: LeaseHost
  readonly #record: ConnectionRecord
  readonly #loan: number

  constructor(host: LeaseHost, record: ConnectionRecord, proven: boolean) {
    this.connection = record.connection
    this.proven = proven
    this.#host = host
    this.#record = record
    this.#loan = record.loan
  }

  get active(): boolean {
    return this.#record.loan === this.#loan
  }

  get wantedMillis(): number | undefined {
    return this.active ? this.#host.wantedMillis(this.#record) : undefined
  }

  release(isWanted = false): void {
    if (this.active) this.#host.release(this.#record, isWanted)
  }

  invalidate(reason?: unknown): void {
    if (this.active) this.#host.invalidate(this.#record, reason)
  }

  softInvalidate(reason?: unknown): void {
    if (this.active) this.#host.softInvalidate(this.#record, reason)
  }

  detach(): DriverConnection {
    if (!this.active) throw new IllegalStateError('A lease that has ended has no connection to detach')
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
