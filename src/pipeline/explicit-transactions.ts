/** Transactions that begin with an explicit `begin()` instead of the first statement, also in autocommit mode. */
import { begunAlready } from './transaction-errors.js'

/** How a transaction has ended. */
export type TransactionEnding = 'committed' | 'rolled back' | 'unknown'

/** A transaction of `begin()`. */
export interface ExplicitTransaction {
  /** How it has ended; undefined while it has not. */
  ending: TransactionEnding | undefined
}

export class ExplicitTransactions {
  #open: ExplicitTransaction | undefined
  #inBlock = false

  /** `begin()` was called, and its transaction has not ended. */
  get open(): boolean {
    return this.#open !== undefined
  }

  /** @throws IllegalStateError while another one is open. */
  begin({ inBlock }: { readonly inBlock: boolean }): ExplicitTransaction {
    if (this.#open !== undefined) throw begunAlready()
    this.#inBlock = inBlock
    return (this.#open = { ending: undefined })
  }

  /** A transaction has ended. The block of `begin()` stays open: its next statement begins another transaction. */
  ended(ending: TransactionEnding): void {
    if (this.#inBlock || this.#open === undefined) return
    this.#open.ending = ending
    this.#open = undefined
  }

  /** @param options.transactionOpen True: the transaction ends later, with its own COMMIT or ROLLBACK. */
  leaveBlock({ transactionOpen }: { readonly transactionOpen: boolean }): void {
    this.#inBlock = false
    // No caller has a handle to the transaction of a block, so no caller asks how it has ended.
    if (!transactionOpen) this.ended('unknown')
  }
}
