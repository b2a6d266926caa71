/** The connection that a conversation holds, if it does. */
import type { DriverConnection } from '../driver/driver.js'
import type { Lease } from '../pool/pool.js'

export class LeaseHolder {
  #lease: Lease | undefined
  #proven = false
  #poison: unknown

  get lease(): Lease | undefined {
    return this.#lease
  }

  get connection(): DriverConnection | undefined {
    return this.#lease?.connection
  }

  /** False: it may be dead already; nothing has been heard of it since it was idle. */
  get proven(): boolean {
    return this.#proven
  }

  take(lease: Lease): void {
    this.#lease = lease
    this.#proven = lease.proven
  }

  /** The server has answered. */
  prove(): void {
    this.#proven = true
  }

  /** The connection must not serve anybody else; the first reason counts. */
  poison(reason: unknown): void {
    this.#poison ??= reason
  }

  /** Gives it back. What it was in the middle of is the pool's to clean. */
  release(): void {
    const lease = this.#lease
    const poison = this.#poison
    this.#lease = undefined
    this.#poison = undefined
    if (poison !== undefined) lease?.invalidate(poison)
    else lease?.release()
  }
}
