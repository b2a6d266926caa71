/** One slot of a pool: its connection, and the checkout that uses it. */
import type { DriverConnection } from '../driver/driver.js'
import type { CallSite } from './call-site.js'

/** `checking`: being pinged or reset by the pool. A slot that is `closing` still counts: its socket is open. */
export type RecordState = 'connecting' | 'idle' | 'borrowed' | 'checking' | 'closing'

/**
 * A slot is checked out of generic-pool from its creation to its end, except while it is idle. It is created empty, gets its
 * connection once, and ends with it.
 */
export class ConnectionRecord {
  state: RecordState = 'connecting'
  /** Set by {@link open}; not to be read before. */
  connection!: DriverConnection
  /** The pool's generation when the slot was created. */
  generation = 0
  /** When the connection exceeds its maximum lifetime. */
  recycleAt: number = Infinity
  /** When the connection last answered; -Infinity forces a ping before the next use. */
  lastAliveAt = 0
  idleSince = 0
  uses = 0
  /** True: the connection is closed as soon as it is released. */
  softInvalidated = false

  // The checkout. A lease knows its number, so the pool needs no reference to the lease.
  checkout = 0
  acquiredAt = 0
  statement: string | undefined = undefined
  /** Where the connection was acquired; only with `captureStacks`. */
  callSite: CallSite | undefined = undefined
  context: object | undefined = undefined
  leakReported = false
  /** The lease, until the housekeeper watches it for garbage collection: short leases cost nothing. */
  lease: object | undefined = undefined

  /** The connection was opened. */
  open(connection: DriverConnection, now: number, recycleMillis: number): void {
    this.connection = connection
    this.lastAliveAt = this.idleSince = now
    // Drawn once: if each check drew a new limit, the earliest one would win.
    const share = 1 - Math.random() / 10
    if (recycleMillis !== -1) this.recycleAt = connection.connectedAt + recycleMillis * share
  }

  /** Ends the checkout: calls on its lease have no effect from now on. */
  endCheckout(): void {
    this.checkout += 1
    this.statement = undefined
    this.callSite = undefined
    this.context = undefined
    this.lease = undefined
    this.leakReported = false
  }
}
