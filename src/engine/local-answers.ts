/** Answers that need no server, because the state of the transaction gives them. */
import { NOTHING, undoes, type Operation } from './operation.js'
import { afterLoss, transactionAborted } from './transaction-errors.js'
import type { TransactionState } from './transaction-state.js'

/**
 * Settles the operation if it need not be sent.
 *
 * @param abandoned Why nothing is sent any more but what undoes.
 * @param endedOnServer The transaction has failed and is over on the server already.
 * @returns false if the operation has to be sent.
 */
export function answerLocally(
  operation: Operation,
  state: TransactionState,
  abandoned: Error | undefined,
  endedOnServer: boolean,
): boolean {
  const { name, cause } = state
  if (operation.kind === 'rollback' && (name === 'idle' || name === 'lost' || endedOnServer)) {
    operation.succeed(NOTHING)
    return true
  }
  if (abandoned !== undefined && !undoes(operation)) {
    operation.fail(abandoned)
    return true
  }
  if (operation.kind === 'commit' && name === 'idle') {
    operation.succeed(NOTHING)
    return true
  }
  if (name === 'lost') {
    operation.fail(afterLoss(cause))
    return true
  }
  if (name === 'failed' && !undoes(operation)) {
    operation.fail(transactionAborted(cause))
    return true
  }
  return false
}

/** Fails what is queued, except what undoes. */
export function refuseQueued(queue: Operation[], reason: unknown): void {
  for (const operation of queue.splice(0)) {
    if (undoes(operation)) queue.push(operation)
    else operation.fail(reason)
  }
}
