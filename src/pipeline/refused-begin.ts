/**
 * The refusal of BEGIN or of its settings. The caller has not issued BEGIN, so the first operation after it fails with the error.
 */
import { EndedBehindError } from './script.js'
import { transactionAborted } from './transaction-errors.js'

export interface RefusedBegin {
  readonly error: Error
  /** Text of BEGIN, or of the setting after it. */
  readonly text: string
  /** True: the operation after it has failed with the error. */
  told: boolean
}

/**
 * The error of an operation that was not run.
 * @param cause Why its transaction has failed.
 */
export function notRun(refused: RefusedBegin | undefined, cause: unknown): unknown {
  if (cause instanceof EndedBehindError) {
    return new EndedBehindError(cause.message, cause.isStored, cause.cause)
  }
  if (refused === undefined || refused.told || refused.error !== cause) return transactionAborted(cause)
  refused.told = true
  return refused.error
}
