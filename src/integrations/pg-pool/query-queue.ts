/**
 * The queries of one checked-out client, in the order in which they were issued, as in pg. Waiting statements are sent as one batch,
 * each with its own Sync, so that a failed statement does not prevent the next one from running.
 *
 * 1. Every query settles exactly once, also when the connection is lost.
 * 2. A Submittable uses the connection alone until it has ended.
 * 3. BEGIN and SAVEPOINT wait for the statement after them (`held-statements.ts`): they cost no round trip.
 */
import type { DriverConnection, StatementResult } from '../../driver/driver.js'
import type { PipelineObserver } from '../../pipeline/contract.js'
import { InvalidStatementError } from '../../index.js'
import { isRolledBackInstead, lostError, rolledBackInstead, shorten, statementError } from './answers.js'
import { heldKindOf, tagOf, type HeldKind } from './held-statements.js'
import type { BatchQuery } from './query-arguments.js'
import { SavepointNames } from './savepoint-names.js'
import { SentQuery, type SentQueryOwner, type Settle } from './sent-query.js'
import type { Submittable } from './types.js'

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

export class QueryQueue implements SentQueryOwner {
  readonly #host: QueueHost
  #waiting: Queued[] = []
  /** Answered already, and sent with the next query. */
  #held: SentQuery[] = []
  /** Why the server did not take what was held. */
  #heldFailure: Error | undefined
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
  readonly #savepoints = new SavepointNames()

  /** A transaction was begun, and nothing of it was sent. */
  get holdsBegin(): boolean {
    return this.#held[0] !== undefined && heldKindOf(this.#held[0].text) === 'begin'
  }

  addStatement(query: BatchQuery, settle: Settle): void {
    const reused = query.values === undefined ? this.#savepoints.note(query.text) : undefined
    if (reused !== undefined) warnOfSavepoint(reused)
    const sent = new SentQuery(query, settle, this)
    const kind = this.busy || query.values !== undefined ? undefined : heldKindOf(query.text)
    if (kind === undefined || !this.#answersAhead(sent, kind)) this.#add(sent)
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
  refused(query: SentQuery, given: Error): Error {
    // The server has skipped it, because what was held before it had failed.
    const error = given.name === 'StatementSkipped' ? (this.#heldFailure ?? given) : given
    this.#observe(query, given)
    this.#heldFailure ??= error
    this.#firstFailure ??= error
    return statementError(error, query)
  }

  /** Holds what can wait for the next query; drops a transaction that ends before it was sent. @returns false: send it. */
  #answersAhead(sent: SentQuery, kind: HeldKind): boolean {
    const { connection } = this.#host
    const isInside = this.#held.length > 0 || connection.transactionStatus === 'transaction'
    if (connection.lost !== undefined) return false
    if (kind === 'end') {
      if (!this.holdsBegin) return false
      this.#held = []
    } else {
      // BEGIN inside of a transaction is a warning of the server, SAVEPOINT outside of one an error.
      if (isInside !== (kind === 'savepoint')) return false
      this.#held.push(sent)
      this.#host.describe(sent.text)
    }
    sent.answerAhead(tagOf(sent.text, kind))
    return true
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
      if (this.#held.length > 0) this.#sendHeldBefore(first, connection)
      else void this.#submit(first, connection)
    }
  }

  /** A Submittable writes for itself, so what was held has to be answered before. */
  #sendHeldBefore(query: SubmittedQuery, connection: DriverConnection): void {
    const statements = this.#takeHeld()
    const sentAt = this.#now()
    for (const statement of statements) statement.sentAt = sentAt
    const onEnd = (): void => {
      const failure = this.#heldFailure
      if (failure === undefined) return void this.#submit(query, connection)
      refuse(query.submittable, statementError(failure, { text: query.text, isAlone: false }))
      query.onEnd?.(undefined)
      this.#ended()
    }
    connection.submit({ statements, sync: 'shared', onEnd })
  }

  #takeHeld(): SentQuery[] {
    const held = this.#held
    this.#held = []
    this.#heldFailure = undefined
    return held
  }

  #sendBatch(connection: DriverConnection): void {
    const begins = this.holdsBegin
    const held = this.#takeHeld()
    const statements = [
      ...held,
      ...this.#waiting.splice(0, held.length > 0 ? 1 : this.#statementsAhead()),
    ] as SentQuery[]
    // Whether one behind another is in a transaction is only known when that has run: the careful answer is that it is not.
    const isAlone = held.length === 0 && connection.transactionStatus === 'idle'
    const sentAt = this.#now()
    for (const statement of statements) {
      statement.isAlone = isAlone
      statement.sentAt = sentAt
    }
    this.#host.describe((statements[statements.length - 1] as SentQuery).text)
    connection.submit({
      statements,
      sync: held.length > 0 ? 'shared' : 'separate',
      mayRepeat: () => begins || statements.length === 1,
      onEnd: () => this.#ended(),
    })
  }

  /** How many of those that wait are statements, up to the first Submittable. */
  #statementsAhead(): number {
    const end = this.#waiting.findIndex((item) => !(item instanceof SentQuery))
    return end === -1 ? this.#waiting.length : end
  }

  async #submit({ submittable, text, onEnd }: SubmittedQuery, connection: DriverConnection): Promise<void> {
    this.#submitted = true
    this.#host.describe(text)
    const isFailed = connection.transactionStatus === 'failed'
    let firstTag: string | undefined
    const sent = { text, values: undefined, sentAt: this.#now() }
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
      submittables.start(submittable, {
        onEnd: (error) => {
          this.#observe(sent, error ?? { ...NO_ROWS, command: firstTag ?? '' })
          end(error)
        },
        onTag: (tag) => (firstTag ??= tag),
      })
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

  /** Only if an observer wants to know how long it takes. */
  #now(): number {
    return this.#host.observer === undefined ? 0 : performance.now()
  }

  #observe(query: Pick<SentQuery, 'text' | 'values' | 'sentAt'>, outcome: StatementResult | Error): void {
    const { observer, connection } = this.#host
    if (observer === undefined) return
    const durationMillis = performance.now() - query.sentAt
    const operation = { kind: 'statement' as const, text: query.text, values: query.values }
    if (outcome instanceof Error) observer.refused(operation, connection, outcome, durationMillis)
    else observer.answered(operation, connection, outcome, durationMillis)
  }
}

/** What is known here of the result of a Submittable. */
const NO_ROWS: StatementResult = { command: '', rowCount: null, fields: [], rows: [], suspended: false }

/** Tags after which what failed before is over. */
const ENDS = new Set(['COMMIT', 'ROLLBACK'])

/** Tells a Submittable that it will not run, as pg does. */
export function refuse(submittable: Submittable, error: Error): void {
  const { handleError } = submittable as { handleError?: (error: Error, connection?: unknown) => void }
  process.nextTick(() => handleError?.call(submittable, error, undefined))
}

function warnOfRollback({ message }: Error): void {
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_COMMIT_ROLLED_BACK' })
}

function warnOfSavepoint(name: string): void {
  process.emitWarning(
    `SAVEPOINT '${name}' was sent inside of an open savepoint of the same name. If these are two nested transactions side by side ` +
      '(Promise.all), ROLLBACK TO of one undoes the work of the other: await one after the other, or use lifeguard/drizzle, which does. ' +
      'A savepoint that is no longer needed is ended by RELEASE',
    { type: 'LifeguardWarning', code: 'LIFEGUARD_SAVEPOINT_REUSED' },
  )
}
