/** One statement of a client, in its batch. */
import type { BatchStatement, StatementResult } from '../../driver/driver.js'
import { isCommit, resultOf } from './answers.js'
import type { BatchQuery } from './query-arguments.js'
import type { QueryResult } from './types.js'

/** Told how a query ended. */
export type Settle = (error: Error | null, result?: QueryResult) => void

/** What a statement tells its queue. */
export interface SentQueryOwner {
  /** @returns the error of its caller, if the answer is none that it wanted. */
  answered(query: SentQuery, result: StatementResult): Error | undefined
  /** @returns the error as its caller gets it. */
  refused(query: SentQuery, error: Error): Error
}

export class SentQuery implements BatchStatement {
  readonly text: string
  readonly values: BatchQuery['values']
  readonly rowMode: BatchQuery['rowMode']
  readonly types: BatchQuery['types']
  readonly commits: boolean
  /** No transaction was open when it was sent. */
  isAlone = true
  /** Only if an observer wants to know how long it took. */
  sentAt = 0
  #settle: Settle | undefined
  readonly #owner: SentQueryOwner

  constructor({ text, values, rowMode, types }: BatchQuery, settle: Settle, owner: SentQueryOwner) {
    this.text = text
    this.values = values
    this.rowMode = rowMode
    this.types = types
    this.commits = isCommit(text)
    this.#settle = settle
    this.#owner = owner
  }

  /** Tells the caller the tag that the server will answer with, in the next tick. */
  answerAhead(tag: string): void {
    const settle = this.#settle
    this.#settle = undefined
    process.nextTick(() => settle?.(null, resultOf({ ...NOTHING, command: tag })))
  }

  onResult(result: StatementResult): void {
    const error = this.#owner.answered(this, result)
    if (this.#settle === undefined) return
    if (error === undefined) this.#settle(null, resultOf(result))
    else this.#settle(error)
  }

  onError(error: Error): void {
    const told = this.#owner.refused(this, error)
    this.#settle?.(told)
  }
}

const NOTHING: StatementResult = { command: '', rowCount: null, fields: [], rows: [], suspended: false }
