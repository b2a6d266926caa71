/** Collects the evidence by which `outcomeOf` decides the outcome of a failed operation. */
import { RowsUnreadable, StatementNotRun } from '../driver/driver.js'
import { arePlainReads, hasOpenCommit, type InFlightBatch } from './in-flight-batch.js'
import type { Operation } from './operation.js'
import { outcomeOf, seenIn, type Outcome, type Seen } from './outcome.js'
import { isPureRead } from './pure-reads.js'
import { mayEndTransaction, type ReadTracker } from './read-tracker.js'
import { endsSession } from './transaction-errors.js'

/** What is known of the transaction when one of its operations fails. */
export interface Circumstances {
  readonly inFlight: InFlightBatch | undefined
  /** True: the connection is lost already. */
  readonly isLost: boolean
  /** Every statement is its own transaction. */
  readonly alone: boolean
  /** The transaction can have something to store. */
  readonly stores: boolean
}

export interface Verdict {
  readonly outcome: Outcome
  readonly seen: Seen
  /** The error of the server or the socket, without the driver's wrapper. */
  readonly reason: Error
  /** True: the error has ended the session on the server. */
  readonly ends: boolean
}

export function judge(operation: Operation, error: Error, circumstances: Circumstances): Verdict {
  const { isLost } = circumstances
  const seen = seenIn(error, isLost)
  const outcome = outcomeOf({
    isRun: !(error instanceof StatementNotRun),
    commits: commits(operation, seen, circumstances),
    seen,
  })
  const isWrapped = error instanceof StatementNotRun || error instanceof RowsUnreadable
  const reason = isWrapped ? error.cause : error
  return { outcome, seen, reason, ends: isLost || endsSession(reason) }
}

/** True if the operation, or the COMMIT that was sent with it, may store something without a further message. */
function commits(operation: Operation, seen: Seen, { inFlight, alone, stores }: Circumstances): boolean {
  const { kind, text, work } = operation
  if (work?.incomplete === true) return false
  if (kind === 'exclusive' && (alone || mayEndTransaction(text))) return true
  if (!stores) return false
  if (alone) return true
  // Without an answer, the COMMIT behind it may have run as well.
  return seen === 'nothing' ? hasOpenCommit(inFlight) : kind === 'commit'
}

/** True unless the transaction has run pure reads only. Even a read-only transaction may have effects: NOTIFY. */
export function mayHaveStored(reads: ReadTracker | undefined, inFlight: InFlightBatch | undefined): boolean {
  return reads?.pure === false || !arePlainReads(inFlight?.operations ?? [], isPureRead)
}
