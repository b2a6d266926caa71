/** Transactions that `begin()` begins, instead of the first statement: in autocommit mode as well. */
import { begunAlready } from './transaction-errors.js'

/** A transaction that was asked for. */
export interface AskedTransaction {
  /** It has ended. */
  over: boolean
}

export class AskedTransactions {
  #asked: AskedTransaction | undefined
  #inBlock = false

  /** One was asked for, and has not ended. */
  get open(): boolean {
    return this.#asked !== undefined
  }

  /** @throws IllegalStateError while another one is open. */
  begin(inBlock: boolean): AskedTransaction {
    if (this.#asked !== undefined) throw begunAlready()
    this.#inBlock = inBlock
    return (this.#asked = { over: false })
  }

  /** A transaction has ended; that of a block goes on with the next one. */
  ended(): void {
    if (this.#inBlock || this.#asked === undefined) return
    this.#asked.over = true
    this.#asked = undefined
  }

  /** @param inTransaction One is open still, and ends as if it had been asked for by itself. */
  leaveBlock(inTransaction: boolean): void {
    this.#inBlock = false
    if (!inTransaction) this.ended()
  }
}
