/** Settles operations that need not be sent, because the state of the transaction decides their answer. */
import type { InFlightBatch } from './in-flight-batch.js'
import { NOTHING, undoes, type Operation } from './operation.js'
import type { OperationQueue } from './operation-queue.js'
import { notRun, type RefusedBegin } from './refused-begin.js'
import { afterLoss } from './transaction-errors.js'
import type { CurrentState, TransactionState } from './transaction-state.js'

/** What the server's answers have led to. */
export interface TransactionAnswers {
  readonly state: CurrentState
  /** The same, to be changed. */
  readonly mutableState: TransactionState
  readonly autocommit: boolean
  /** The transaction has failed and is over on the server already. */
  readonly endedOnServer: boolean
  /** The refusal of BEGIN, if there was one. */
  readonly refusedBegin: RefusedBegin | undefined
}

/**
 * Settles the operation if it need not be sent.
 *
 * @param abandoned Why no operation is sent any more, except ROLLBACK: the caller has given up, or no connection was acquired.
 * @returns false if the operation has to be sent.
 */
export function answerLocally(
  operation: Operation,
  answers: TransactionAnswers,
  abandoned: unknown,
): boolean {
  const { state, autocommit, endedOnServer, refusedBegin } = answers
  const { name, cause } = state
  if (operation.kind === 'rollback' && (name === 'idle' || name === 'lost' || endedOnServer)) {
    operation.succeed(NOTHING)
    return true
  }
  // `idle` means that nothing was refused either. A session that has stored nothing gets the abort as its error.
  if (operation.kind === 'commit' && name === 'idle' && (abandoned === undefined || state.hasStored)) {
    operation.succeed(NOTHING)
    return true
  }
  // ROLLBACK TO is refused as well: no statement will use the state that it would restore.
  if (abandoned !== undefined && operation.kind !== 'rollback') {
    // The transaction must not be committed without this operation.
    if (!autocommit && operation.kind !== 'commit') answers.mutableState.fail(abandoned)
    operation.fail(abandoned)
    return true
  }
  if (name === 'lost') {
    operation.fail(afterLoss(cause))
    return true
  }
  if (name === 'failed' && (endedOnServer || !undoes(operation))) {
    operation.fail(notRun(refusedBegin, cause))
    return true
  }
  return false
}

/** The server skipped the operation, because an earlier one of the same batch had failed with `cause`. */
export function passOver(
  operation: Operation,
  inFlight: InFlightBatch | undefined,
  cause: unknown,
  refusedBegin: RefusedBegin | undefined,
): void {
  // ROLLBACK (TO) was issued for exactly that failure, and the operations after it expect the state after it.
  const follows = inFlight !== undefined && inFlight.undoing.length > 0 && operation.calledOff === undefined
  if (undoes(operation) || follows) inFlight?.undoing.push(operation)
  // The pipeline's own steps have no caller to reject.
  else
    operation.fail(
      operation.calledOff ??
        (operation.kind === 'step' || operation.kind === 'check' ? cause : notRun(refusedBegin, cause)),
    )
}

/** Fails the queued operations. @param isSpared Exceptions; default: ROLLBACK and ROLLBACK TO. */
export function refuseQueued(
  queue: OperationQueue,
  reason: unknown,
  isSpared: (operation: Operation) => boolean = undoes,
): void {
  for (const operation of queue.takeAll()) {
    if (isSpared(operation)) queue.push(operation)
    else operation.fail(reason)
  }
}
