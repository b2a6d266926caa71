/**
 * The queries of one checked-out client, in the order in which they were issued, as in pg. Waiting statements are sent as one batch,
 * each with its own Sync, so that a failed statement does not prevent the next one from running.
 *
 * 1. Every query settles exactly once, also when the connection is lost.
 * 2. A Submittable uses the connection alone until it has ended.
 */
import type { BatchStatement, DriverConnection, StatementResult } from '../../driver/driver.js'
import type { PipelineObserver } from '../../pipeline/contract.js'
import { InvalidStatementError } from '../../index.js'
import {
  isCommit,
  isRolledBackInstead,
  lostError,
  resultOf,
  rolledBackInstead,
  shorten,
  statementError,
} from './answers.js'
import type { BatchQuery } from './query-arguments.js'
import type { QueryResult, Submittable } from './types.js'

/** Told how a query ended. */
export type Settle = (error: Error | null, result?: QueryResult) => void

/** What the queue tells its client. */
export interface QueueHost {
  readonly connection: DriverConnection
  readonly observer: PipelineObserver | undefined
  /** Names what runs, for the errors of a pool whose connections are all in use. */
  describe(text: string): void
  /** Nothing is under way any more. */
  idle(): void
}

/** A Submittable, and what has to be told beside it. */
export interface SubmittedQuery {
  readonly submittable: Submittable
  readonly text: string
  /** Told its end: the error of a transaction that was not stored as its text asks for. */
  onEnd?: ((error: Error | undefined) => void) | undefined
}

type Queued = SentQuery | SubmittedQuery

export class QueryQueue {
  readonly #host: QueueHost
  #waiting: Queued[] = []
  #running = false
  /** What failed first in the transaction that is open. */
  #firstFailure: Error | undefined

  constructor(host: QueueHost) {
    this.#host = host
  }

  get busy(): boolean {
    return this.#running || this.#waiting.length > 0
  }

  /** Every query that is under way, or waits, is a statement. */
  get onlyStatements(): boolean {
    return this.#waiting.every((item) => item instanceof SentQuery) && !this.#submitted
  }

  #submitted = false

  addStatement(query: BatchQuery, settle: Settle): void {
    this.#add(new SentQuery(query, settle, this))
  }

  addSubmittable(query: SubmittedQuery): void {
    this.#add(query)
  }

  /** See `SentQuery`. */
  answered(query: SentQuery, result: StatementResult): Error | undefined {
    this.#observe(query, result)
    const { command } = result
    if (isRolledBackInstead(query.text, command)) return this.#rolledBack(query.text)
    if (ENDS.has(command)) this.#firstFailure = undefined
    return undefined
  }

  /** See `SentQuery`. */
  refused(query: SentQuery, error: Error): Error {
    this.#observe(query, error)
    this.#firstFailure ??= error
    return statementError(error, query)
  }

  #add(item: Queued): void {
    this.#waiting.push(item)
    if (!this.#running) this.#pump()
  }

  #pump(): void {
    const [first] = this.#waiting
    if (first === undefined) {
      this.#host.idle()
      return
    }
    const { connection } = this.#host
    if (connection.transactionStatus === 'idle') this.#firstFailure = undefined
    this.#running = true
    if (first instanceof SentQuery) this.#sendBatch(connection)
    else {
      this.#waiting.shift()
      void this.#submit(first, connection)
    }
  }

  #sendBatch(connection: DriverConnection): void {
    const end = this.#waiting.findIndex((item) => !(item instanceof SentQuery))
    const statements = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end) as SentQuery[]
    const isAlone = connection.transactionStatus === 'idle'
    // Whether one behind another is in a transaction is only known when that has run: the careful answer is that it is not.
    for (const statement of statements) statement.isAlone = isAlone
    this.#host.describe((statements[statements.length - 1] as SentQuery).text)
    connection.submit({
      statements,
      sync: 'separate',
      mayRepeat: () => statements.length === 1,
      onEnd: () => this.#ended(),
    })
  }

  async #submit({ submittable, text, onEnd }: SubmittedQuery, connection: DriverConnection): Promise<void> {
    this.#submitted = true
    this.#host.describe(text)
    const isFailed = connection.transactionStatus === 'failed'
    let firstTag: string | undefined
    const end = (error: Error | undefined): void => {
      this.#submitted = false
      if (error !== undefined) this.#firstFailure ??= error
      const isUndone = isFailed && firstTag !== undefined && isRolledBackInstead(text, firstTag)
      const undone = isUndone ? this.#rolledBack(text) : undefined
      onEnd?.(undone)
      if (undone !== undefined && onEnd === undefined) warnOfRollback(undone)
      this.#ended()
    }
    try {
      const { submittables } = connection
      if (submittables === undefined) {
        throw new InvalidStatementError(
          `The driver of this engine runs one statement at a time, and no cursors or streams of pg: ${shorten(text)}`,
        )
      }
      // A stream of COPY reads the socket itself, and would take the answer to that COMMIT for its own.
      const settled = connection.commitHandoff?.settled
      if (settled !== undefined) await settled
      submittables.start(submittable, { onEnd: end, onTag: (tag) => (firstTag ??= tag) })
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause))
      refuse(submittable, error.name === 'StatementNotRun' ? lostError(error.cause as Error) : error)
      end(undefined)
    }
  }

  #ended(): void {
    this.#running = false
    this.#pump()
  }

  #rolledBack(text: string): Error {
    const error = rolledBackInstead(text, this.#firstFailure)
    this.#firstFailure = undefined
    return error
  }

  #observe(query: SentQuery, outcome: StatementResult | Error): void {
    const { observer, connection } = this.#host
    if (observer === undefined) return
    const durationMillis = performance.now() - query.sentAt
    const operation = { kind: 'statement' as const, text: query.text, values: query.values }
    if (outcome instanceof Error) observer.refused(operation, connection, outcome, durationMillis)
    else observer.answered(operation, connection, outcome, durationMillis)
  }
}

/** Tags after which what failed before is over. */
const ENDS = new Set(['COMMIT', 'ROLLBACK'])

/** One statement, in its batch. */
class SentQuery implements BatchStatement {
  readonly text: string
  readonly values: BatchQuery['values']
  readonly rowMode: BatchQuery['rowMode']
  readonly types: BatchQuery['types']
  readonly commits: boolean
  isAlone = true
  readonly sentAt: number = performance.now()
  readonly #settle: Settle
  readonly #queue: QueryQueue

  constructor({ text, values, rowMode, types }: BatchQuery, settle: Settle, queue: QueryQueue) {
    this.text = text
    this.values = values
    this.rowMode = rowMode
    this.types = types
    this.commits = isCommit(text)
    this.#settle = settle
    this.#queue = queue
  }

  onResult(result: StatementResult): void {
    const error = this.#queue.answered(this, result)
    if (error === undefined) this.#settle(null, resultOf(result))
    else this.#settle(error)
  }

  onError(error: Error): void {
    this.#settle(this.#queue.refused(this, error))
  }
}

/** Tells a Submittable that it will not run, as pg does. */
export function refuse(submittable: Submittable, error: Error): void {
  const { handleError } = submittable as { handleError?: (error: Error, connection?: unknown) => void }
  process.nextTick(() => handleError?.call(submittable, error, undefined))
}

function warnOfRollback({ message }: Error): void {
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_COMMIT_ROLLED_BACK' })
}
