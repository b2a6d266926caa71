/** What begins a transaction was refused: nobody has asked for BEGIN, so its failure is that of the first operation behind it. */
import { EndedBehindError } from './script.js'
import { transactionAborted } from './transaction-errors.js'

export class RefusedBegin {
  #refused: { readonly error: Error; readonly text: string; told: boolean } | undefined

  note(error: Error, text: string): void {
    this.#refused = { error, text, told: false }
  }

  /** Where the error comes from, if not from the statement that failed with it: BEGIN, or the settings behind it. */
  textOf(error: unknown): string | undefined {
    return this.#refused?.error === error ? this.#refused?.text : undefined
  }

  /**
   * What an operation fails with that is not run.
   * @param cause Why its transaction has failed.
   */
  notRun(cause: unknown): unknown {
    if (cause instanceof EndedBehindError) {
      return new EndedBehindError(cause.message, cause.isStored, cause.cause)
    }
    const refused = this.#refused
    if (refused === undefined || refused.told || refused.error !== cause) return transactionAborted(cause)
    refused.told = true
    return refused.error
  }
}
