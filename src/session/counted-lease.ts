/** A lease of a replica that is counted while it is in use. */
import type { DriverConnection } from '../driver/driver.js'
import type { Lease, ReleaseOptions } from '../pool/pool.js'
import type { Replica } from './replicas.js'

/** A lease that counts as in flight until it is released. */
export class CountedLease implements Lease {
  readonly #lease: Lease
  readonly #replica: Replica
  #isHeld = true

  constructor(lease: Lease, replica: Replica) {
    this.#lease = lease
    this.#replica = replica
  }

  get connection(): DriverConnection {
    return this.#lease.connection
  }

  get proven(): boolean {
    return this.#lease.proven
  }

  get wantedMillis(): number | undefined {
    return this.#lease.wantedMillis
  }

  get active(): boolean {
    return this.#lease.active
  }

  release(options?: ReleaseOptions): void {
    this.#ended()
    this.#lease.release(options)
  }

  invalidate(reason?: unknown): void {
    this.#ended()
    this.#lease.invalidate(reason)
  }

  softInvalidate(reason?: unknown): void {
    this.#lease.softInvalidate(reason)
  }

  detach(): DriverConnection {
    this.#ended()
    return this.#lease.detach()
  }

  describe(statement: string): void {
    this.#lease.describe(statement)
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #ended(): void {
    if (this.#isHeld) this.#replica.inFlight -= 1
    this.#isHeld = false
  }
}
