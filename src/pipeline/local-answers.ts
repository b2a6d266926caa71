/** Settles operations that need not be sent, because the state of the transaction decides their answer. */
import type { InFlightBatch } from './in-flight-batch.js'
import { NOTHING, undoes, type Operation } from './operation.js'
import type { OperationQueue } from './operation-queue.js'
import { notRun, type RefusedBegin } from './refused-begin.js'
import { afterLoss } from './transaction-errors.js'
import type { TransactionState } from './transaction-state.js'

/**
 * Settles the operation if it need not be sent.
 *
 * @param abandoned Why nothing is sent any more but what undoes.
 * @param endedOnServer The transaction has failed and is over on the server already.
 * @param refusedBegin What begins the transaction, if that was refused.
 * @returns false if the operation has to be sent.
 */
export function answerLocally(
  operation: Operation,
  { state, autocommit }: { readonly state: TransactionState; readonly autocommit: boolean },
  abandoned: Error | undefined,
  endedOnServer: boolean,
  refusedBegin: RefusedBegin | undefined,
): boolean {
  const { name, cause } = state
  if (operation.kind === 'rollback' && (name === 'idle' || name === 'lost' || endedOnServer)) {
    operation.succeed(NOTHING)
    return true
  }
  // After an abort only what was stored before it makes that true: something else may be missing.
  if (operation.kind === 'commit' && name === 'idle' && (abandoned === undefined || state.hasStored)) {
    operation.succeed(NOTHING)
    return true
  }
  if (abandoned !== undefined && !undoes(operation)) {
    // It is missing in the transaction, which must not be committed without it.
    if (!autocommit && operation.kind !== 'commit') state.fail(abandoned)
    operation.fail(abandoned)
    return true
  }
  if (name === 'lost') {
    operation.fail(afterLoss(cause))
    return true
  }
  if (name === 'failed' && !undoes(operation)) {
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
  // What undoes was meant for exactly that failure, and whatever follows it for the state after it.
  const follows = inFlight !== undefined && inFlight.undoing.length > 0 && operation.calledOff === undefined
  if (undoes(operation) || follows) inFlight?.undoing.push(operation)
  // Steps are the pipeline's own: they are told nothing.
  else
    operation.fail(operation.calledOff ?? (operation.kind === 'step' ? cause : notRun(refusedBegin, cause)))
}

/** Fails what is queued, except what undoes, or other exceptions. */
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
