/** Removes operations from the queue, or cancels them on the server if they were sent. */
import type { Dispatcher } from './dispatcher.js'
import { hasOpenCommit } from './in-flight-batch.js'
import { refuseQueued } from './local-answers.js'
import type { Operation } from './operation.js'
import type { OperationQueue } from './operation-queue.js'

/** Takes the operation out of the queue, or cancels it on the server. It fails with `reason`. */
export function callOff(
  queue: OperationQueue,
  dispatcher: Dispatcher,
  operation: Operation,
  reason: Error,
): void {
  if (operation.settled || operation.calledOff !== undefined) return
  if (queue.remove(operation)) operation.fail(reason)
  else cancelAll(dispatcher, [operation], reason)
}

/** Cancels operations that were sent. They fail with `reason`, unless their answer decides otherwise (a COMMIT that was stored). */
export function cancelAll(dispatcher: Dispatcher, operations: readonly Operation[], reason: Error): void {
  for (const operation of operations) operation.callOff(reason)
  dispatcher.cancel(reason)
}

/**
 * The block of these operations is over: removes operations that were not sent, and cancels running ones, unless the
 * cancel could hit something else.
 * @param alone Every statement is its own transaction.
 * @param mine The operations of the block; default: all.
 */
export function giveUp(
  queue: OperationQueue,
  dispatcher: Dispatcher,
  alone: boolean,
  reason: Error,
  mine?: ReadonlySet<Operation>,
): void {
  const isMine = (operation: Operation): boolean => mine?.has(operation) ?? true
  refuseQueued(queue, reason, (operation) => operation.kind === 'rollback' || !isMine(operation))
  const { inFlight } = dispatcher
  const running = inFlight?.operations.filter(({ outstanding }) => outstanding) ?? []
  if (running.length === 0 || hasOpenCommit(inFlight) || inFlight?.alone !== alone) return
  if (running.every(isMine)) cancelAll(dispatcher, running, reason)
}
