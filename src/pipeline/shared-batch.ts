/**
 * Reads of several sessions in one batch on one connection, with a Sync each (see `shared-reads.ts`).
 *
 * 1. Each session has one read in the batch, so that the order of its statements is kept.
 * 2. A read is answered once: by its result, by its own error, or it goes back to its session, which sends it again on a connection of
 *    its own, as it would without a shared batch.
 * 3. It goes back only if PostgreSQL has refused it for a reason that is not its own (a cancel that was meant for another read, a
 *    stale plan), or if an earlier read of the batch was running when the connection was lost, or has changed settings. The read that
 *    runs goes back, too, if the connection was dropped because the server did not end it in time (see 4).
 * 4. The first read that is not answered is the one that runs. It is cancelled if its session has given it up, or if it holds up others
 *    for longer than `PATIENCE_MILLIS`. In that case it goes back, and its text does not share a batch for a while.
 * 5. The connection is released when everything is answered and no cancel is on its way.
 */
import { isDisconnect, isServerError } from '../database-errors.js'
import type { BatchStatement, DriverConnection, StatementResult } from '../driver/driver.js'
import { StatementNotRun } from '../driver/driver.js'
import type { Clock, Timer } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import { stalePlanOf } from '../internal/stale-plan.js'
import type { Lease, LeaseReceiver } from '../pool/pool.js'
import { Cancellation } from './cancellation.js'
import type { Operation } from './operation.js'
import { isReadingCommand } from './read-tracker.js'
import type { SharedReads } from './shared-reads.js'
import { endsSession } from './transaction-errors.js'

/** Reads in one batch at most. */
export const MOST_READS = 32
/** How long a read may run while others wait behind it, beyond two round trips. */
const PATIENCE_MILLIS = 200
const QUERY_CANCELED = '57014'

/** What an engine provides for its shared batches. */
export interface SharingHost {
  readonly clock: Clock
  /** How long the server may take to answer a cancel before the connection is dropped. */
  readonly cancelTimeoutMillis: number
  readonly reads: SharedReads
  /** The pool is disposed: a read that goes back gets no other connection. */
  readonly isDisposed: () => boolean
}

/** A session's side of a shared batch: its dispatcher. */
export interface Rider extends LeaseReceiver {
  /** The read that waits for a connection, if it may share a batch. */
  readonly read: Operation | undefined
  /** It has the lease for itself. */
  own(lease: Lease): void
  /** Its read is sent in this batch. */
  board(batch: SharedBatch, connection: DriverConnection): void
  /** Its read has ended, or goes back. */
  alight(end: 'ended' | 'back'): void
}

/** One read of the batch. */
class Seat implements BatchStatement {
  readonly rider: Rider
  readonly operation: Operation
  /** Its session was told, or has given it up. */
  isLeft = false
  readonly #batch: SharedBatch

  constructor(batch: SharedBatch, rider: Rider, operation: Operation) {
    this.#batch = batch
    this.rider = rider
    this.operation = operation
  }

  get text(): string {
    return this.operation.text
  }

  get values(): BatchStatement['values'] {
    return this.operation.values
  }

  get rowMode(): BatchStatement['rowMode'] {
    return this.operation.rowMode
  }

  get types(): BatchStatement['types'] {
    return this.operation.types
  }

  get prepare(): boolean | undefined {
    return this.operation.prepare
  }

  onResult(result: StatementResult): void {
    this.#batch.answered(this, result)
  }

  onError(error: Error): void {
    this.#batch.refused(this, error)
  }

  end(settle: (operation: Operation) => void): void {
    if (this.isLeft) return
    this.isLeft = true
    settle(this.operation)
    this.rider.alight('ended')
  }

  goBack(): void {
    if (this.isLeft) return
    this.isLeft = true
    this.rider.alight('back')
  }
}

export class SharedBatch {
  readonly #host: SharingHost
  readonly #lease: Lease
  readonly #seats: readonly Seat[]
  readonly #patienceMillis: number
  /** Number of the read that runs: the first one that is not answered. */
  #running = 0
  /** When the server has sent the last answer. */
  #heardAt = 0
  #timer: Timer | undefined
  #cancellation: Cancellation | undefined
  /** A cancel was sent: the server may refuse another read for it than the one that was meant. */
  #mayBeHit = false
  /** The read that ran when the connection was lost was told. */
  #isLossTold = false
  #isSuspect = false
  #poison: unknown
  /** Why the connection is dropped if the server does not end a read that was cancelled because others wait behind it. */
  #impatience: Error | undefined
  #isOver = false

  constructor(host: SharingHost, lease: Lease, riders: readonly Rider[]) {
    const { connection } = lease
    this.#host = host
    this.#lease = lease
    this.#seats = riders.map((rider) => new Seat(this, rider, rider.read as Operation))
    this.#patienceMillis = PATIENCE_MILLIS + 2 * (connection.roundTripMillis ?? 0)
  }

  send(): void {
    const { connection } = this.#lease
    for (const { rider } of this.#seats) rider.board(this, connection)
    this.#heardAt = this.#host.clock.now()
    this.#lease.describe(this.#seats[0]?.text ?? '')
    connection.submit({ statements: this.#seats, sync: 'separate', onEnd: () => this.#end() })
    // On a connection that was lost already, it is over.
    if (!this.#isOver) this.#watch(this.#patienceMillis)
  }

  /** The session of the rider has given its read up. */
  leave(rider: Rider, reason: Error): void {
    const at = this.#seats.findIndex((seat) => seat.rider === rider)
    this.#seats[at]?.end((operation) => operation.onError(operation.calledOff ?? reason))
    if (at === this.#running) this.#cancel(reason)
  }

  answered(seat: Seat, result: StatementResult): void {
    this.#moveOn()
    // What came before it on this connection may have changed how it was read.
    if (this.#isSuspect) return seat.goBack()
    this.#isSuspect = this.#hasLeftState(result)
    seat.end((operation) => operation.onResult(result))
  }

  refused(seat: Seat, error: Error): void {
    this.#moveOn()
    if (this.#isSuspect || this.#isOfAnother(error)) return seat.goBack()
    if (isDisconnect(error)) this.#poison ??= error
    // Where its rows could not be read, it was run.
    this.#isSuspect = this.#hasChangedSettings
    seat.end((operation) => operation.onError(error))
  }

  /** The next read runs. */
  #moveOn(): void {
    const now = this.#host.clock.now()
    const seat = this.#seats[this.#running]
    // The time of the first one contains the round trip.
    if (this.#running > 0 && seat !== undefined) this.#host.reads.noteTime(seat.text, now - this.#heardAt)
    this.#running += 1
    this.#heardAt = now
    this.#cancellation?.ended()
    const next = this.#seats[this.#running]
    if (next !== undefined) this.#lease.describe(next.text)
  }

  /** Whether the error is the fault of another read, or of none, so that the read can be sent again. */
  #isOfAnother(error: Error): boolean {
    const { lost } = this.#lease.connection
    if (lost !== undefined || error instanceof StatementNotRun) {
      const isFirst = !this.#isLossTold && !(error instanceof StatementNotRun)
      this.#isLossTold = true
      // It was dropped for the sake of others: alone, the read would go on.
      return !isFirst || (lost !== undefined && lost === this.#impatience)
    }
    if (!isServerError(error)) return false
    // The server says FATAL to the read that runs.
    if (endsSession(error)) this.#isLossTold = true
    if (error.code === QUERY_CANCELED) return this.#mayBeHit
    return stalePlanOf(error) !== undefined
  }

  /** By the answer, the read was none, or the connection is not as it was. */
  #hasLeftState({ command }: StatementResult): boolean {
    return !isReadingCommand(command) || this.#hasChangedSettings
  }

  /** By the reports with the last answer. What a COMMIT before the batch has reported does not count. */
  get #hasChangedSettings(): boolean {
    const { lost, hasReportedParameter } = this.#lease.connection
    return lost === undefined && hasReportedParameter === true
  }

  #watch(millis: number): void {
    this.#timer = setDeadline(this.#host.clock, () => this.#check(), millis)
  }

  /** The read that runs has taken long enough, if others wait or its own session does not. */
  #check(): void {
    if (this.#isOver) return
    const leftMillis = this.#heardAt + this.#patienceMillis - this.#host.clock.now()
    if (leftMillis <= 0) this.#interrupt()
    this.#watch(leftMillis > 0 ? leftMillis : this.#patienceMillis)
  }

  #interrupt(): void {
    const seat = this.#seats[this.#running]
    if (seat === undefined) return
    const isAwaited = this.#seats.some(({ isLeft }, at) => at > this.#running && !isLeft)
    if (!isAwaited && !seat.isLeft) return
    // `dispose()` waits for what is under way.
    if (!seat.isLeft && this.#host.isDisposed()) return
    this.#host.reads.noteSlow(seat.text)
    this.#impatience ??= new Error('The server did not end a read of a shared batch that was cancelled')
    this.#cancel(this.#impatience)
  }

  /** Cancels the read that runs. */
  #cancel(reason: Error): void {
    const { connection } = this.#lease
    if (this.#isOver || connection.lost !== undefined) return
    const { clock, cancelTimeoutMillis } = this.#host
    this.#mayBeHit = true
    this.#cancellation ??= new Cancellation(clock, cancelTimeoutMillis)
    this.#cancellation.start(connection, reason, () => this.#release())
  }

  #end(): void {
    this.#isOver = true
    this.#timer?.cancel()
    this.#cancellation?.ended()
    this.#release()
  }

  /** Releases the connection, unless it is in use, or a cancel that is on its way could hit its next holder. */
  #release(): void {
    const lease = this.#lease
    const { lost } = lease.connection
    if (!this.#isOver || (lost === undefined && this.#cancellation?.active === true)) return
    const reason = lost ?? this.#poison
    if (this.#isSuspect) lease.softInvalidate(new Error('A read of a shared batch has changed settings'))
    if (reason === undefined) lease.release()
    else lease.invalidate(reason)
  }
}
