/** Transactions that `begin()` begins, instead of the first statement: in autocommit mode as well. */
import { begunAlready } from './transaction-errors.js'

/** A transaction of `begin()`. */
export interface AskedTransaction {
  /** The transaction has ended. */
  over: boolean
}

export class AskedTransactions {
  #asked: AskedTransaction | undefined
  #inBlock = false

  /** `begin()` was called, and its transaction has not ended. */
  get open(): boolean {
    return this.#asked !== undefined
  }

  /** @throws IllegalStateError while another one is open. */
  begin(inBlock: boolean): AskedTransaction {
    if (this.#asked !== undefined) throw begunAlready()
    this.#inBlock = inBlock
    return (this.#asked = { over: false })
  }

  /** A transaction has ended. The transaction of a block goes on: its next statement begins again. */
  ended(): void {
    if (this.#inBlock || this.#asked === undefined) return
    this.#asked.over = true
    this.#asked = undefined
  }

  /** @param inTransaction A transaction is still open: it ends with its own COMMIT or ROLLBACK. */
  leaveBlock(inTransaction: boolean): void {
    this.#inBlock = false
    if (!inTransaction) this.ended()
  }
}
