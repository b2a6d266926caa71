/** One slot of a pool: what it holds, and who has it. */
import type { DriverConnection } from '../driver/driver.js'
import type { CallSite } from './call-site.js'

/** `checking`: being pinged or reset by the pool. A slot that is `closing` still counts: its socket is open. */
export type RecordState = 'connecting' | 'idle' | 'borrowed' | 'checking' | 'closing'

/**
 * A slot is on loan from generic-pool from its creation to its end, except while it is parked as idle. It is made empty,
 * gets its connection once, and ends with it.
 */
export class ConnectionRecord {
  state: RecordState = 'connecting'
  /** Not to be read before the connect has ended. */
  connection!: DriverConnection
  /** The pool's generation at birth. */
  generation = 0
  /** When it is too old; drawn once, at birth. */
  recycleAt: number = Infinity
  /** When it last showed that it is alive; -Infinity makes it suspect. */
  provenAt = 0
  idleSince = 0
  uses = 0
  /** True: it was invalidated softly, so it is closed as soon as it is back. */
  doomed = false

  // The loan. Its number is what a lease is compared with, so that the pool needs no reference to the lease.
  loan = 0
  acquiredAt = 0
  statement: string | undefined = undefined
  /** Where it was asked for; only with `captureStacks`. */
  origin: CallSite | undefined = undefined
  context: object | undefined = undefined
  leakReported = false
  /** Held until the housekeeper watches it for garbage collection, so that short leases cost nothing. */
  lease: object | undefined = undefined

  /** Ends the loan: whatever its lease does from now on has no effect. */
  endLoan(): void {
    this.loan += 1
    this.statement = undefined
    this.origin = undefined
    this.context = undefined
    this.lease = undefined
    this.leakReported = false
  }
}
