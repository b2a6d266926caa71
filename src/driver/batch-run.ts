/**
 * One batch on its way: writes all its statements as one buffer and matches the answers to them, in order.
 *
 * node-postgres's client never sees the batch: in its view the connection is idle meanwhile. That saves a tenth of the CPU time
 * of a small transaction.
 *
 * 1. Statements under one Sync settle as soon as their answer is complete, the last one at ReadyForQuery, which comes with its answer:
 *    as long as the batch is on its way, one statement has not settled, and an abort or a timeout ends the wait. The first failure
 *    skips the rest.
 * 2. A statement with a Sync of its own settles at its ReadyForQuery, because its implicit commit can still fail then
 *    (deferred constraints).
 * 3. A refusal is reported when ReadyForQuery follows it, as the protocol demands, or when the connection ends. Any other message
 *    after it shows that it answered something else.
 */
import { isFromBackend } from '../database-errors.js'
import {
  CLOSE_COMPLETE,
  READY_FOR_QUERY,
  ProtocolError,
  STATUS_IDLE,
  STATUS_TRANSACTION,
  isFatal,
  unexpected,
} from './backend-messages.js'
import type { BatchContext } from './batch-context.js'
import type { BatchStep } from './batch-step.js'
import { BatchWriter } from './batch-writer.js'
import type { Batch, BatchStatement, EndCommand, ServerNotice } from './driver.js'
import { StandbyWaitEnded, StatementNotRun, StatementSkipped } from './driver.js'
import { markStalePlan } from '../internal/stale-plan.js'
import { isTaken, stalenessOf, type Suspect } from './stale-plan.js'
import type { WireReader } from './wire-connection.js'

/** The state of the connection in which a batch begins. */
export interface BatchStart {
  readonly ahead?: EndCommand | undefined
  readonly isIdle?: boolean | undefined
}

export class BatchRun implements WireReader {
  readonly #batch: Batch
  readonly #context: BatchContext
  readonly #ahead: EndCommand | undefined
  readonly #separate: boolean
  /** Empty if the batch was refused before it was written. */
  #steps: readonly BatchStep[] = []
  #current = 0
  /** True: no transaction was open before the batch. */
  readonly #startsIdle: boolean
  /** When the batch was written, on the policy's clock. */
  #sentAt = 0
  /** True: the server refused a statement, and skips the following ones until the next ReadyForQuery. */
  #failed = false
  /** Something in it began or ended a transaction since the last ReadyForQuery. */
  #control = false
  /** How many CloseComplete messages are to come for forgotten statements, which belong to no step. */
  #closesExpected = 0
  #readiesExpected = 1
  /** The batch was written to the socket. */
  #sent = false
  /**
   * The statement that was refused for its stale plan and can be sent again, because nothing else was undone: alone (`separate`),
   * or with its whole batch.
   */
  repeated: BatchStatement | undefined
  /** A statement that may have been refused for its stale plan, and cannot be sent once more. */
  suspect: Suspect | undefined
  /** Why the end ahead of the batch was refused: the server ran nothing of the batch, which has to be submitted again. */
  refusedAhead: Error | undefined
  /** The server's FATAL error, if it ended the session. */
  lastError: Error | undefined
  #onEnd: (() => void) | undefined

  /**
   * @param start.ahead Ends the transaction before the batch, under the Sync of the batch.
   * @param start.isIdle No transaction is open when it begins.
   */
  constructor(batch: Batch, context: BatchContext, onEnd: () => void, { ahead, isIdle }: BatchStart = {}) {
    this.#startsIdle = isIdle === true
    this.#batch = batch
    this.#context = context
    this.#ahead = ahead
    this.#separate = batch.sync === 'separate'
    this.#onEnd = onEnd
  }

  /** @throws RangeError if it is longer than a Buffer: nothing was sent, and the connection must be closed. */
  submit(): void {
    const writer = new BatchWriter(this.#context, this.#separate)
    const bytes = writer.write(this.#batch, this.#ahead)
    this.#steps = writer.steps
    this.#closesExpected = writer.closes
    if (this.#separate) this.#readiesExpected = writer.steps.length
    const { wire, policy } = this.#context
    this.#sentAt = policy.now()
    wire.addReader(this)
    this.#sent = true
    wire.stream.write(bytes)
  }

  // WireReader ----------------------------------------------------------------------------------------------------

  receive(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === READY_FOR_QUERY) {
      this.#checkReady(buffer[start] as number)
      this.#ready()
      return
    }
    const step = this.#failed ? undefined : this.#steps[this.#current]
    if (step === undefined || step.isOver) {
      throw unexpected(type, 'after the server has answered everything')
    }
    if (this.#closesExpected > 0) {
      if (type !== CLOSE_COMPLETE) throw unexpected(type, 'before the answer to Close')
      this.#closesExpected--
      return
    }
    const { prepared } = step
    const wasParsed = step.isParsed
    step.receive(type, buffer, start, end)
    if (!wasParsed && prepared !== undefined) this.#context.cache.confirm(prepared)
    if (step.isOver) this.#over(step)
  }

  receiveRows(buffer: Buffer, start: number): number {
    if (this.#failed || this.#closesExpected > 0) return start
    return this.#steps[this.#current]?.receiveRows(buffer, start) ?? start
  }

  receiveError(error: Error): void {
    const isLast = isFatal(error)
    if (isLast) this.lastError = error
    this.#context.view.refused()
    const step = this.#failed ? undefined : this.#steps[this.#current]
    this.#failed = true
    this.#closesExpected = 0
    // A complete answer stands, except that the implicit commit of a statement with its own Sync can still fail.
    if (step === undefined || (step.isOver && !this.#separate)) return
    step.refusal = error
    // No message comes after it.
    if (isLast) this.confirm('ended')
  }

  /**
   * Reports the refusal, which the next message could have disproved until now (see 3), and the answer to the last statement. If the
   * connection has ended, only an answer that cannot fail any more is reported (see 2).
   */
  confirm(connection: 'ready' | 'ended'): void {
    const step = this.#steps[this.#current]
    if (step === undefined || step.isSettled) return
    if (step.refusal !== undefined) this.#refuse(step, step.refusal, connection)
    else if (step.isOver && (connection === 'ready' || !this.#separate)) {
      if (!this.#separate) this.#current++
      step.settle()
    }
  }

  #refuse(step: BatchStep, error: Error, connection: 'ready' | 'ended'): void {
    const isAhead = this.#ahead !== undefined && step === this.#steps[0]
    if (isAhead) this.refusedAhead = error
    if (this.#noteStale(step, error, !isAhead && connection === 'ready')) return
    step.isSettled = true
    // With a Sync of its own, the step ends at its ReadyForQuery. Otherwise no more messages of it will come.
    if (!this.#separate) this.#current++
    // The whole batch is submitted again.
    if (!isAhead) step.statement.onError(error)
  }

  /** Forgets a plan that may be stale. @returns true if the statement is sent again, so that the refusal is not reported. */
  #noteStale(step: BatchStep, error: Error, mayRepeat: boolean): boolean {
    const { cache, view, policy } = this.#context
    const { prepared, statement } = step
    if (prepared === undefined || prepared.name === '' || step.isBound) return false
    // A name can be taken only if a pooler gives one backend to several connections.
    const staleness = step.kept || isTaken(error) ? stalenessOf(error) : undefined
    // If one statement is missing, all are: a pooler changed the backend, or a function ran DEALLOCATE ALL.
    if (staleness === 'missing') {
      cache.clear()
      policy.missing(error)
    } else if (staleness === 'stale') view.outdated()
    if (staleness !== undefined || !prepared.parsed) cache.forget(prepared)
    if (staleness === undefined || !mayRepeat) return false
    if (this.#mayRepeat(step)) {
      this.repeated = statement
      return true
    }
    const stale = { certain: staleness !== 'suspect' }
    markStalePlan(error, stale)
    if (!stale.certain && view.isLasting) this.suspect = { statement, stale }
    return false
  }

  /** Sends again only the statements that were rolled back or never run, in their old order. */
  #mayRepeat({ statement }: BatchStep): boolean {
    if (this.#separate && statement !== this.#batch.statements[this.#batch.statements.length - 1])
      return false
    return this.#startsIdle && this.#batch.mayRepeat?.(statement) === true
  }

  receiveNotice(notice: ServerNotice): void {
    const step = this.#steps[this.#current]
    if (step !== undefined) step.standbyWaitEnded ??= StandbyWaitEnded.from(notice)
  }

  /** True if the server may be running a COMMIT, which a cancel that is sent now could hit. */
  get mayBeCommitting(): boolean {
    const at = this.#steps.findIndex(({ statement }, index) => index >= this.#current && statement.commits)
    if (at === -1) return false
    // Otherwise the answer of the step before it would have come.
    return at === this.#current || this.#steps[at - 1]?.statement.flushAfter !== true
  }

  /** Fails everything that has not settled: the connection is lost. */
  fail(error: Error): void {
    this.#context.wire.removeReader(this)
    // PostgreSQL answers in order: its FATAL error answers the statement that it was running, and it runs no later one.
    const { lastError } = this
    const isEnded = lastError !== undefined && isFromBackend(lastError) && !(error instanceof ProtocolError)
    const isTold = error instanceof StatementNotRun || (this.#sent && !isEnded)
    this.#settleRest(isTold ? error : new StatementNotRun(error))
    this.#end()
  }

  // Reading -------------------------------------------------------------------------------------------------------

  #over(step: BatchStep): void {
    if (step.isControl) this.#control = true
    const { cache, policy, view } = this.#context
    const command = step.result?.command ?? ''
    if (command === 'DEALLOCATE ALL' || command === 'DISCARD ALL') cache.clear()
    view.completed(command, step.returnsRows, step.prepared?.effect)
    if (step.kept && step.prepared !== undefined && step.statement.values !== undefined) {
      cache.ran(step.prepared, policy.now() - this.#sentAt)
    }
    // It settles at its ReadyForQuery (see 1 and 2).
    if (this.#separate || this.#current === this.#steps.length - 1) return
    this.#current++
    step.settle()
  }

  /**
   * Checks that everything under its Sync is answered or was refused, and that its status fits these answers.
   * @throws ProtocolError
   */
  #checkReady(status: number): void {
    const step = this.#steps[this.#current]
    const answered = step === undefined ? this.#steps.length === 0 : step.isOver
    if (!this.#failed && (!answered || this.#closesExpected > 0)) {
      throw unexpected(READY_FOR_QUERY, 'before the answer to a statement')
    }
    const { previousStatus } = this.#context.wire
    if (this.#control || mayFollow(previousStatus, status, this.#failed)) return
    throw new ProtocolError('The server reports a transaction state that no sent statement can have caused')
  }

  /** ReadyForQuery: the answer to a Sync. The last one ends the batch; in autocommit mode each statement has its own. */
  #ready(): void {
    this.#failed = false
    this.#control = false
    this.confirm('ready')
    if (this.#separate) this.#current++
    if (--this.#readiesExpected > 0) return
    this.#context.view.ready(this.#context.wire.status === STATUS_IDLE)
    if (this.refusedAhead === undefined && this.repeated === undefined) this.#settleRest(undefined)
    this.#context.wire.removeReader(this)
    this.#end()
  }

  #settleRest(error: Error | undefined): void {
    // Without steps, the batch was refused before it was written.
    const statements =
      this.#steps.length === 0
        ? this.#batch.statements
        : this.#steps
            .slice(this.#current)
            .filter(({ isSettled }) => !isSettled)
            .map(({ statement }) => statement)
    this.#current = this.#steps.length
    for (const statement of statements) {
      statement.onError(error ?? new StatementSkipped('An earlier statement of the same batch failed'))
    }
  }

  #end(): void {
    const onEnd = this.#onEnd
    this.#onEnd = undefined
    onEnd?.()
  }
}

/** Whether a status of the transaction can follow the previous one when no statement began or ended a transaction. */
function mayFollow(previous: number, status: number, isFailed: boolean): boolean {
  // A refused COMMIT ends the transaction; any other refusal makes it fail.
  if (isFailed && previous === STATUS_TRANSACTION) return status !== STATUS_TRANSACTION
  return status === previous
}
