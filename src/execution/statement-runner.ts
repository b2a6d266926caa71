/** Runs statements on a pipeline: from what the caller wrote to rows, or to an error that leads back to the caller. */
import type { StatementResult } from '../driver/driver.js'
import { AbortedError } from '../errors.js'
import { orAbort, requireNotAborted } from '../internal/abort.js'
import { statementChannel } from '../internal/channels.js'
import { scopeValueOf } from '../internal/async-scope.js'
import { sendAfter } from '../internal/statements-ahead.js'
import { Result } from '../result/result.js'
import { compileStatement } from '../sql.js'
import type { RawRow } from '../schema/entity-meta.js'
import { needsTransaction } from './autocommit.js'
import { requireRunningBlock } from './block-context.js'
import { isWatched, watch } from './watched-statement.js'
import { CallerErrors } from './caller-errors.js'
import type { PipelineHost } from '../pipeline/contract.js'
import type { ExecutionOwner } from './contract.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { checked, encoded, textOf } from './encoded-statement.js'
import { resultOf, rowsReaderFor, type RowsReader } from './entity-results.js'
import { OpenStreams } from './open-streams.js'
import { PendingCalls, type CallKind } from './pending-calls.js'
import type { ExclusiveWork, Operation, OperationStatement } from '../pipeline/operation.js'
import { Savepoints, type TransactionEnd, type TransactionScope } from './savepoints.js'
import { StatementCall, type CallHost, type ExecuteCall } from './statement-call.js'
import {
  NO_OPTIONS,
  STATEMENT_OPTION_NAMES,
  statementOptions,
  type StatementOptions,
} from './statement-options.js'

const ENDS = { commit: { text: 'COMMIT' }, rollback: { text: 'ROLLBACK' } } as const

export class StatementRunner implements CallHost {
  readonly pipeline: Pipeline
  readonly #host: PipelineHost
  readonly #owner: ExecutionOwner
  #scopes: Savepoints | undefined = undefined
  #calls: PendingCalls | undefined = undefined
  #streams: OpenStreams | undefined = undefined
  /** The call made last, until it settles. */
  #latest: ExecuteCall | undefined = undefined
  #errors: CallerErrors | undefined = undefined
  /** What statements fail with that a block has left running. */
  #givenUp: AbortedError | undefined = undefined

  constructor(pipeline: Pipeline, host: PipelineHost, owner: ExecutionOwner) {
    this.pipeline = pipeline
    this.#host = host
    this.#owner = owner
  }

  /** The savepoints; made when the first one is wanted. */
  get scopes(): Savepoints {
    this.#scopes ??= new Savepoints(this.pipeline, this.#owner.scopeHooks ?? {}, {
      explain: (error) => this.explain(error, ''),
      left: (error, operations) => this.giveUp(error, operations),
      reported: (scope) => this.#calls?.silence(scope),
    })
    return this.#scopes
  }

  /** The savepoints. @throws where none may be opened: InvalidOptionError where statements stand alone. */
  get nestable(): Savepoints {
    this.#owner.requireOpen()
    if (this.standsAlone) throw needsTransaction('beginNested()')
    return this.scopes
  }

  /** The calls that may have been forgotten; made when the first one is. */
  get calls(): PendingCalls {
    this.#calls ??= new PendingCalls(this.pipeline)
    return this.#calls
  }

  /** Statements of the streams that are being read. */
  get streamTexts(): string[] {
    return this.#streams?.texts ?? []
  }

  /** The streams that are being read; made when the first one is. */
  get streams(): OpenStreams {
    return (this.#streams ??= new OpenStreams())
  }

  /** Runs a call that is more than one statement, or none, and whose promise the caller may forget. */
  attend<Value>(kind: CallKind, work: () => Promise<Value>): Promise<Value> {
    return this.calls.run(kind, this.#callerScope, work)
  }

  /** Waits for a commit or rollback that nobody has awaited; undefined if there is none. @throws what they throw. */
  ended(within?: TransactionScope): Promise<void> | undefined {
    return this.#calls?.isEnding(within) === true ? this.#calls.ended(within) : undefined
  }

  /** Runs a statement and reads its result. */
  execute<Read>(
    statement: unknown,
    valuesOrOptions: unknown,
    options: StatementOptions | undefined,
    read: (result: Result<never, never>) => Read,
  ): Promise<Read> {
    const call = new StatementCall(this, read, this.#callerScope)
    this.#latest = call
    const run = (): Promise<Read> => this.#execute(call, statement, valuesOrOptions, options)
    const running = statementChannel.hasSubscribers ? this.#traced(run, textOf(statement)) : run()
    call.outer = running
    return running
  }

  /** True if the promise is that of the one statement that is queued or running. */
  isOnlyCall(promise: unknown): boolean {
    if (promise === undefined || this.#latest?.outer !== promise || this.#calls?.isEnding() === true)
      return false
    return this.pipeline.pending.length === 1
  }

  /**
   * True while a block inside is open or waits for its turn.
   * @param within The transaction of `begin()` that is asked about. Default: everything.
   */
  isNesting(within?: TransactionScope): boolean {
    return this.#scopes?.isBusy(within) === true || this.#calls?.isInBlock(within) === true
  }

  /** See `ExecutionOwner`. */
  get ownTransaction(): Promise<void> | undefined {
    return this.#owner.ownTransaction
  }

  /** True if a statement of the caller would be a transaction of its own. */
  get standsAlone(): boolean {
    const isOutside = this.#scopes?.isOutside === true || this.ownTransaction !== undefined
    return isOutside ? this.pipeline.autocommitMode : this.pipeline.autocommit
  }

  /** True if a nested block is open that the caller is outside of. */
  get isBeside(): boolean {
    return this.#scopes?.isBeside === true
  }

  /**
   * Gives up nested blocks and streams that nobody may ever end: they must not hold up the end of the transaction.
   * @param within Only those inside of this transaction of `begin()`.
   */
  letGo(cause?: unknown, within?: TransactionScope): void {
    this.#scopes?.abandon(within)
    if (this.pipeline.quiet) return
    this.pipeline.stopStreams(new AbortedError('The transaction of this stream has ended', { cause }))
  }

  /**
   * The block has thrown: its statements that still run are cancelled on the server, those that were not sent are refused.
   * @param operations Only these; default: all.
   */
  giveUp(cause: unknown, operations?: ReadonlySet<Operation>): void {
    if (this.pipeline.quiet) return
    this.#givenUp = new AbortedError(
      'The block ended while this statement was still running, so it was cancelled (see cause)',
      { cause },
    )
    this.pipeline.giveUp(this.#givenUp, operations)
  }

  /** @throws IllegalStateError inside a nested block, which must not end the transaction around it. */
  requireOutside(what: TransactionEnd): void {
    this.#scopes?.requireOutside(what)
  }

  /**
   * Ends the transaction, after everything that was given before. True if one was committed.
   * @param queued Called when the end takes its place in the queue: what is given from now on comes after it.
   */
  async end(kind: TransactionEnd, queued?: () => void): Promise<boolean> {
    return await this.endOf(this.queueEnd(kind, queued))
  }

  /** Queues the end of the transaction, as soon as it is the turn of the caller's block. See `end`. */
  queueEnd(kind: TransactionEnd, queued?: () => void): Operation | Promise<Operation> {
    if (kind === 'commit') requireRunningBlock(this.pipeline)
    this.requireOutside(kind)
    const scopes = this.#scopes
    const start = (): Operation => {
      const ending = this.pipeline.enqueue(kind, ENDS[kind])
      queued?.()
      // Only then: it wakes whoever waits behind this one.
      scopes?.endAll()
      return ending
    }
    return scopes?.active === true ? scopes.inTurn(start) : start()
  }

  /** Waits for an end that was queued. True if a transaction was committed. */
  async endOf(queued: Operation | Promise<Operation>): Promise<boolean> {
    const operation = queued instanceof Promise ? await queued : queued
    try {
      return (await operation.promise).command === 'COMMIT'
    } catch (error) {
      throw this.explain(error, operation.text)
    }
  }

  /** Runs a statement that is nobody's call of `execute`. */
  run(statement: OperationStatement): Promise<StatementResult> {
    const run = (): Promise<StatementResult> => this.send(statement, NO_OPTIONS)
    return statementChannel.hasSubscribers ? this.#traced(run, statement.text) : run()
  }

  #traced<Value>(run: () => Promise<Value>, text: string): Promise<Value> {
    return statementChannel.tracePromise(run, { connectionId: this.pipeline.connection?.id, text })
  }

  /** @throws IllegalStateError if the caller's block has ended, so that its statements would be refused. */
  requireRunning(): void {
    requireRunningBlock(this.pipeline)
    this.#scopes?.requireRunning()
  }

  /** Runs one exchange that is no plain statement (a page of a cursor). */
  async send(statement: OperationStatement, options: StatementOptions): Promise<StatementResult> {
    this.#owner.requireOpen()
    try {
      return await this.#answer(statement, options)
    } catch (error) {
      throw this.explain(error, statement.text)
    }
  }

  /** Lets `work` have the connection to itself, inside the transaction. */
  async exclusive(what: string, work: ExclusiveWork): Promise<void> {
    this.#owner.requireOpen()
    const ahead = this.flushAhead()
    if (ahead !== undefined) await ahead
    const started = this.#inTurn('exclusive', { text: what }, work)
    const operation = started instanceof Promise ? await started : started
    try {
      await operation.promise
    } catch (error) {
      throw this.explain(error, what)
    }
  }

  #execute<Read>(
    call: StatementCall<Read>,
    statement: unknown,
    valuesOrOptions: unknown,
    options: StatementOptions | undefined,
  ): Promise<Read> {
    // Not an async function: many calls wait at a time, and it would keep all of its variables for each.
    try {
      const values = Array.isArray(valuesOrOptions) ? valuesOrOptions : undefined
      const chosen = statementOptions(
        options ?? (values === undefined ? valuesOrOptions : undefined),
        STATEMENT_OPTION_NAMES,
      )
      const reader = this.readerOf(statement)
      const query = reader?.query
      // More statements follow it, so COMMIT must not travel with it.
      if (query !== undefined && query.load.length > 0) this.#latest = undefined
      const compiled = query ?? checked(compileStatement(statement, values))
      this.#owner.requireOpen()
      const ahead = this.#owner.beforeStatement?.()
      // It is not queued yet, so there is nothing that COMMIT could travel with.
      if (ahead?.sent !== undefined) this.#latest = undefined
      const sent = encoded(compiled, reader?.queued)
      if (ahead === undefined && reader === undefined && !isWatched(chosen))
        return this.#executePlain(call, sent)
      const answer = (): Promise<StatementResult> => sendAfter(ahead, () => this.#answer(sent, chosen, call))
      return this.#executeWaiting(call, sent.text, answer, reader)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** A statement that nothing comes before and that nothing may call off. */
  #executePlain<Read>(call: StatementCall<Read>, sent: OperationStatement): Promise<Read> {
    let started: Operation | Promise<Operation>
    try {
      started = this.#inTurn('statement', sent)
    } catch (error) {
      return Promise.reject(this.failed(call, error, sent.text))
    }
    if (!(started instanceof Promise)) return call.follow(started)
    const answering = this.#watched(started, NO_OPTIONS, call)
    return this.#executeWaiting(call, sent.text, () => answering)
  }

  /**
   * A statement that has to wait for its place in the queue, or may be called off, or gives more than rows.
   * @param reader Makes of the rows of a builder's query what it gives.
   */
  async #executeWaiting<Read>(
    call: StatementCall<Read>,
    text: string,
    answer: () => Promise<StatementResult>,
    reader?: RowsReader,
  ): Promise<Read> {
    let result: StatementResult
    try {
      const answering = answer()
      // More than its one place in the queue can fail.
      if (!call.queued || (reader?.query.load.length ?? 0) > 0) this.calls.add(call)
      result = await answering
    } catch (error) {
      throw this.failed(call, error, text)
    } finally {
      if (this.#latest === call) this.#latest = undefined
    }
    if (reader === undefined) {
      this.answered(call)
      return call.read(new Result<never, never>(result as never))
    }
    try {
      const rows = await reader.read(result.rows as RawRow[])
      return call.read(resultOf(reader.query, result, rows))
    } catch (error) {
      // Relations were loaded meanwhile: its stack shall lead to the caller's line.
      const explained = this.explain(error)
      this.#calls?.forgive(call, explained)
      throw explained
    } finally {
      this.#calls?.delete(call)
    }
  }

  /** See `CallHost`. */
  answered(call: ExecuteCall): void {
    this.#calls?.delete(call)
    if (this.#latest === call) this.#latest = undefined
  }

  /** See `CallHost`. */
  failed(call: ExecuteCall, error: unknown, text: string): unknown {
    // Before anything else is attached to the caller's promise: V8 follows it to the caller's line only while the
    // caller alone waits for it.
    const explained = this.explain(error, text)
    // In a transaction the failure is not forgotten: commit reports it, awaited or not.
    const isGivenUp = this.#givenUp !== undefined && isCausedBy(explained, this.#givenUp)
    if (isGivenUp || (call.queued && !this.pipeline.autocommit)) call.outer?.catch(ignore)
    else this.#calls?.forgive(call, explained)
    this.answered(call)
    return explained
  }

  /** The nested block whose code is running. */
  get #callerScope(): object | undefined {
    return this.#scopes && scopeValueOf(this.#scopes)
  }

  /** See `rowsReaderFor`. */
  readerOf(statement: unknown): RowsReader | undefined {
    return rowsReaderFor(this.#owner, statement)
  }

  /** Has changed entities flushed before something that may read their rows. */
  flushAhead(): Promise<void> | undefined {
    return this.#owner.beforeStatement?.()?.done
  }

  /** Queues a statement, unless it has to wait for its turn. @returns its answer. */
  #answer(
    statement: OperationStatement,
    options: StatementOptions,
    call?: ExecuteCall,
  ): Promise<StatementResult> {
    const started = this.#start(statement, options)
    if (started instanceof Promise || isWatched(options)) return this.#watched(started, options, call)
    if (call !== undefined) call.queued = true
    return started.promise
  }

  async #watched(
    started: Operation | Promise<Operation>,
    options: StatementOptions,
    call: ExecuteCall | undefined,
  ): Promise<StatementResult> {
    const operation = started instanceof Promise ? await started : started
    if (call !== undefined) call.queued = true
    const unwatch = watch(this.pipeline, this.#host.clock, operation, options)
    try {
      return await operation.promise
    } finally {
      unwatch?.()
    }
  }

  #start(statement: OperationStatement, options: StatementOptions): Operation | Promise<Operation> {
    const { signal } = options
    requireNotAborted(signal)
    const started = this.#inTurn('statement', statement, undefined, signal)
    return started instanceof Promise && signal !== undefined ? orAbort(started, signal) : started
  }

  /** Queues an operation when it is the turn of the caller's block, behind the SAVEPOINTs that it needs. */
  #inTurn(
    kind: 'statement' | 'exclusive',
    statement: OperationStatement,
    work?: ExclusiveWork,
    signal?: AbortSignal,
  ): Operation | Promise<Operation> {
    requireRunningBlock(this.pipeline)
    const scopes = this.#scopes
    if (scopes === undefined) return this.#enqueue(kind, statement, work)
    return scopes.inTurn(() => {
      // It may have waited.
      this.#owner.requireOpen()
      requireNotAborted(signal)
      scopes.establish()
      const operation = this.#enqueue(kind, statement, work)
      scopes.track(operation)
      return operation
    })
  }

  #enqueue(kind: 'statement' | 'exclusive', statement: OperationStatement, work?: ExclusiveWork): Operation {
    statement.queued?.()
    return this.pipeline.enqueue(kind, statement, work)
  }

  /**
   * The error that the caller sees. Call it in the caller's own asynchronous continuation, so that the stack leads to
   * the line that awaits the statement.
   */
  explain(error: unknown, statement?: string): unknown {
    this.#errors ??= new CallerErrors(this.pipeline, {
      hideParameters: this.#host.hideParameters,
      translate: (failure) => this.#owner.translate?.(failure),
    })
    return this.#errors.explain(error, statement, this.explain)
  }
}

function isCausedBy(error: unknown, reason: Error): boolean {
  return error === reason || (error instanceof Error && error.cause === reason)
}

function ignore(): void {
  // See where it is used.
}
