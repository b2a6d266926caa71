/** What begins a transaction was refused: nobody has asked for BEGIN, so its failure is that of the first operation behind it. */
import { EndedBehindError } from './script.js'
import { transactionAborted } from './transaction-errors.js'

export interface RefusedBegin {
  readonly error: Error
  /** BEGIN, or the settings behind it. */
  readonly text: string
  /** The operation behind it has failed with the error. */
  told: boolean
}

/**
 * What an operation fails with that is not run.
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
