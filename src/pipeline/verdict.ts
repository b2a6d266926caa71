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
  /** The connection is lost already. */
  readonly isLost: boolean
  /** Every statement is its own transaction. */
  readonly alone: boolean
  /** The transaction can have something to store. */
  readonly stores: boolean
}

export interface Verdict {
  readonly outcome: Outcome
  readonly seen: Seen
  /** The error itself, without what the driver has wrapped it in. */
  readonly reason: Error
  /** The session has ended with it. */
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

/** What the operation does, or what was sent with it, may be stored without anything else being sent. */
function commits(operation: Operation, seen: Seen, { inFlight, alone, stores }: Circumstances): boolean {
  const { kind, text, work } = operation
  if (work?.incomplete === true) return false
  if (kind === 'exclusive' && (alone || mayEndTransaction(text))) return true
  if (!stores) return false
  if (alone) return true
  // Where nothing was heard of it, COMMIT behind it may have been run as well.
  return seen === 'nothing' ? hasOpenCommit(inFlight) : kind === 'commit'
}

/** The COMMIT of a transaction matters, unless it has run pure reads only: also in a read-only one, which may NOTIFY. */
export function mayHaveStored(reads: ReadTracker | undefined, inFlight: InFlightBatch | undefined): boolean {
  return reads?.pure === false || !arePlainReads(inFlight?.operations ?? [], isPureRead)
}
