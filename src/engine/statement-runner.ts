/** Runs statements on a conversation: from what the caller wrote to rows, or to an error that leads back to the caller. */
import { databaseErrorFrom, isServerError } from '../database-errors.js'
import type { StatementResult } from '../driver/driver.js'
import { AbortedError, InvalidStatementError, LifeguardError } from '../errors.js'
import { abortedBy, onAbort, orAbort, requireNotAborted } from '../internal/abort.js'
import { statementChannel } from '../internal/channels.js'
import type { Timer } from '../internal/clock.js'
import { ambientOf } from '../internal/ambient.js'
import { behind } from '../internal/statements-ahead.js'
import { Result } from '../result/result.js'
import { compileStatement } from '../sql.js'
import type { RawRow } from '../schema/entity-meta.js'
import { entityQueryOf, readRow, scalarOf, type EntityQuery } from '../schema/entity-statement.js'
import { needsTransaction } from './autocommit.js'
import { requireRunningBlock } from './block-context.js'
import type { ConversationHost, ConversationOwner } from './conversation-setup.js'
import type { Conversation } from './conversation.js'
import { checked, encoded, textOf } from './encoded-statement.js'
import { OpenStreams } from './open-streams.js'
import { OpenCalls, type CallKind, type OpenCall } from './open-calls.js'
import type { ExclusiveWork, Operation, OperationStatement } from './operation.js'
import { SavepointScopes, type TransactionEnd, type TransactionScope } from './savepoint-scopes.js'
import {
  NO_OPTIONS,
  STATEMENT_OPTION_NAMES,
  statementOptions,
  timedOut,
  type StatementOptions,
} from './statement-options.js'

/** One call of `execute`. */
interface Call extends OpenCall {
  /** Its statement has its place in the queue. */
  queued: boolean
}

/** Reads the rows of a query of a builder. */
interface RowsReader {
  readonly queued: OperationStatement['queued']
  read(rows: readonly RawRow[]): Promise<readonly unknown[]>
}

export class StatementRunner {
  readonly conversation: Conversation
  readonly #host: ConversationHost
  readonly #owner: ConversationOwner
  #scopes: SavepointScopes | undefined = undefined
  #calls: OpenCalls | undefined = undefined
  readonly streams: OpenStreams = new OpenStreams()
  /** The call made last, until it settles. */
  #latest: Call | undefined = undefined
  /** What became of PostgreSQL's errors, so that whatever follows from one names the same as its cause. */
  #explained: WeakMap<Error, LifeguardError> | undefined = undefined
  /** What statements fail with that a block has left running. */
  #givenUp: AbortedError | undefined = undefined

  constructor(conversation: Conversation, host: ConversationHost, owner: ConversationOwner) {
    this.conversation = conversation
    this.#host = host
    this.#owner = owner
  }

  /** The savepoints; made when the first one is wanted. */
  get scopes(): SavepointScopes {
    this.#scopes ??= new SavepointScopes(this.conversation, this.#owner.scopeHooks ?? {}, {
      explain: (error) => this.explain(error, ''),
      left: (error, operations) => this.giveUp(error, operations),
      reported: (scope) => this.#calls?.silence(scope),
    })
    return this.#scopes
  }

  /** The savepoints. @throws where none may be opened: InvalidOptionError where statements stand alone. */
  get nestable(): SavepointScopes {
    this.#owner.requireOpen()
    if (this.standsAlone) throw needsTransaction('beginNested()')
    return this.scopes
  }

  /** The calls that may have been forgotten; made when the first one is. */
  get calls(): OpenCalls {
    this.#calls ??= new OpenCalls(this.conversation)
    return this.#calls
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
    const call: Call = { outer: undefined, queued: false, scope: this.#callerScope }
    this.#latest = call
    const run = (): Promise<Read> => this.#execute(statement, valuesOrOptions, options, read, call)
    const running = statementChannel.hasSubscribers ? this.#traced(run, textOf(statement)) : run()
    call.outer = running
    return running
  }

  /** True if the promise is that of the one statement that is queued or running. */
  isOnlyCall(promise: unknown): boolean {
    if (promise === undefined || this.#latest?.outer !== promise || this.#calls?.isEnding() === true)
      return false
    return this.conversation.pending.length === 1
  }

  /**
   * True while a block inside is open or waits for its turn.
   * @param within The transaction of `begin()` that is asked about. Default: everything.
   */
  isNesting(within?: TransactionScope): boolean {
    return this.#scopes?.isBusy(within) === true || this.#calls?.isInBlock(within) === true
  }

  /** See `ConversationOwner`. */
  get ownTransaction(): Promise<void> | undefined {
    return this.#owner.ownTransaction
  }

  /** True if a statement of the caller would be a transaction of its own. */
  get standsAlone(): boolean {
    const isOutside = this.#scopes?.isOutside === true || this.ownTransaction !== undefined
    return isOutside ? this.conversation.autocommitMode : this.conversation.autocommit
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
    if (this.conversation.quiet) return
    this.conversation.stopStreams(new AbortedError('The transaction of this stream has ended', { cause }))
  }

  /**
   * The block has thrown: its statements that still run are cancelled on the server, those that were not sent are refused.
   * @param operations Only these; default: all.
   */
  giveUp(cause: unknown, operations?: ReadonlySet<Operation>): void {
    if (this.conversation.quiet) return
    this.#givenUp = new AbortedError(
      'The block ended while this statement was still running, so it was cancelled (see cause)',
      { cause },
    )
    this.conversation.giveUp(this.#givenUp, operations)
  }

  /** @throws IllegalStateError inside a nested block, which must not end the transaction around it. */
  requireOutside(what: TransactionEnd): void {
    this.#scopes?.requireOutside(what)
  }

  /**
   * Ends the transaction, after everything that was given before. True if one was committed.
   * @param queued Called when the end takes its place in the queue: what is given from now on comes after it.
   */
  async end(kind: 'commit' | 'rollback', queued?: () => void): Promise<boolean> {
    if (kind === 'commit') requireRunningBlock(this.conversation)
    this.requireOutside(kind)
    const scopes = this.#scopes
    const text = kind === 'commit' ? 'COMMIT' : 'ROLLBACK'
    const start = (): Operation => {
      const ending = this.conversation.enqueue(kind, { text })
      queued?.()
      // Only then: it wakes whoever waits behind this one.
      scopes?.endAll()
      return ending
    }
    const operation = scopes?.active === true ? await scopes.inTurn(start) : start()
    try {
      return (await operation.promise).command === 'COMMIT'
    } catch (error) {
      throw this.explain(error, text)
    }
  }

  /** Runs a statement that is nobody's call of `execute`. */
  run(statement: OperationStatement): Promise<StatementResult> {
    const run = (): Promise<StatementResult> => this.send(statement, NO_OPTIONS)
    return statementChannel.hasSubscribers ? this.#traced(run, statement.text) : run()
  }

  #traced<Value>(run: () => Promise<Value>, text: string): Promise<Value> {
    return statementChannel.tracePromise(run, { connectionId: this.conversation.connection?.id, text })
  }

  /** @throws IllegalStateError if the caller's block has ended, so that its statements would be refused. */
  requireRunning(): void {
    requireRunningBlock(this.conversation)
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

  async #execute<Read>(
    statement: unknown,
    valuesOrOptions: unknown,
    options: StatementOptions | undefined,
    read: (result: Result<never, never>) => Read,
    call: Call,
  ): Promise<Read> {
    const values = Array.isArray(valuesOrOptions) ? valuesOrOptions : undefined
    const chosen = statementOptions(
      options ?? (values === undefined ? valuesOrOptions : undefined),
      STATEMENT_OPTION_NAMES,
    )
    const query = this.entityQuery(statement)
    // More statements follow it, so COMMIT must not travel with it.
    if (query !== undefined && query.load.length > 0) this.#latest = undefined
    const compiled = query ?? checked(compileStatement(statement, values))
    const reader = query && this.readerOf(query)
    this.#owner.requireOpen()
    const ahead = this.#owner.beforeStatement?.()
    // It is not queued yet, so there is nothing that COMMIT could travel with.
    if (ahead?.sent !== undefined) this.#latest = undefined
    const sent = encoded(compiled, reader?.queued)
    let result: StatementResult
    try {
      const answering =
        ahead === undefined
          ? this.#answer(sent, chosen, call)
          : behind(ahead, () => this.#answer(sent, chosen, call))
      // More than its one place in the queue can fail.
      if (!call.queued || (query?.load.length ?? 0) > 0) this.calls.add(call)
      result = await answering
    } catch (error) {
      // Before anything else is attached to the caller's promise: V8 follows it to the caller's line only while the
      // caller alone waits for it.
      const explained = this.explain(error, compiled.text)
      // In a transaction the failure is not forgotten: commit reports it, awaited or not.
      const isGivenUp = this.#givenUp !== undefined && isCausedBy(explained, this.#givenUp)
      if (isGivenUp || (call.queued && !this.conversation.autocommit)) call.outer?.catch(ignore)
      else this.#calls?.forgive(call, explained)
      this.#calls?.delete(call)
      throw explained
    } finally {
      if (this.#latest === call) this.#latest = undefined
    }
    if (query === undefined || reader === undefined) {
      this.#calls?.delete(call)
      return read(new Result<never, never>(result as never))
    }
    try {
      const rows = await reader.read(result.rows as RawRow[])
      const readScalar = (item: unknown): unknown => scalarOf(query.reading, item)
      return read(new Result<never, never>({ ...result, rows, scalarOf: readScalar } as never))
    } catch (error) {
      // Relations were loaded meanwhile: its stack shall lead to the caller's line.
      const explained = this.explain(error)
      this.#calls?.forgive(call, explained)
      throw explained
    } finally {
      this.#calls?.delete(call)
    }
  }

  /** The nested block whose code is running. */
  get #callerScope(): object | undefined {
    return this.#scopes && ambientOf(this.#scopes)
  }

  /** The query of a builder of entities; undefined for any other statement. @throws InvalidStatementError */
  entityQuery(statement: unknown): EntityQuery | undefined {
    const query = entityQueryOf(statement)
    if (query?.reading.kind === 'entity' && this.#owner.entityReader === undefined) {
      throw new InvalidStatementError(
        'A connection keeps no entities: load them in a session, or select some of their columns',
      )
    }
    return query
  }

  /** Makes of the rows of such a query what they are. */
  readerOf(query: EntityQuery): RowsReader {
    const { reading } = query
    const entities = reading.kind === 'entity' ? this.#owner.entityReader?.(query) : undefined
    return (
      entities ?? {
        queued: undefined,
        read: (rows) => Promise.resolve(rows.map((row) => readRow(reading, row))),
      }
    )
  }

  /** Has changed entities flushed before something that may read their rows. */
  flushAhead(): Promise<void> | undefined {
    return this.#owner.beforeStatement?.()?.done
  }

  /** Queues a statement, unless it has to wait for its turn. @returns its answer. */
  #answer(statement: OperationStatement, options: StatementOptions, call?: Call): Promise<StatementResult> {
    const started = this.#start(statement, options)
    const isWatched = options.signal !== undefined || options.timeoutMillis !== undefined
    if (started instanceof Promise || isWatched) return this.#watched(started, options, call)
    if (call !== undefined) call.queued = true
    return started.promise
  }

  async #watched(
    started: Operation | Promise<Operation>,
    options: StatementOptions,
    call: Call | undefined,
  ): Promise<StatementResult> {
    const operation = started instanceof Promise ? await started : started
    if (call !== undefined) call.queued = true
    const unwatch = this.#watch(operation, options)
    try {
      return await operation.promise
    } finally {
      unwatch?.()
    }
  }

  #start(statement: OperationStatement, options: StatementOptions): Operation | Promise<Operation> {
    const { signal } = options
    requireNotAborted(signal)
    if (signal === undefined) return this.#inTurn('statement', statement)
    const started = this.#inTurn('statement', statement, undefined, signal)
    return started instanceof Promise ? orAbort(started, signal) : started
  }

  /** Queues an operation when it is the turn of the caller's block, behind the SAVEPOINTs that it needs. */
  #inTurn(
    kind: 'statement' | 'exclusive',
    statement: OperationStatement,
    work?: ExclusiveWork,
    signal?: AbortSignal,
  ): Operation | Promise<Operation> {
    requireRunningBlock(this.conversation)
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
    return this.conversation.enqueue(kind, statement, work)
  }

  /**
   * The error that the caller sees. Call it in the caller's own asynchronous continuation, so that the stack leads to
   * the line that awaits the statement.
   */
  explain(error: unknown, statement?: string): unknown {
    if (error instanceof LifeguardError) {
      Error.captureStackTrace(error, this.explain)
      const { cause } = error
      if (isServerError(cause)) {
        const explained = this.#explained?.get(cause) ?? this.#databaseError(cause, undefined)
        if (explained === error) return error
        Object.defineProperty(error, 'cause', { value: explained, configurable: true, writable: true })
      }
      return error
    }
    if (!isServerError(error)) return error
    return (
      this.#explained?.get(error) ??
      this.#databaseError(error, this.conversation.originOf(error) ?? statement)
    )
  }

  #databaseError(error: ServerError, statement: string | undefined): LifeguardError {
    const failure = databaseErrorFrom(error, {
      statement,
      hideParameters: this.#host.hideParameters,
      sessionMayWrite: this.conversation.mayWrite,
    })
    const explained = this.#owner.translate?.(failure) ?? failure
    this.#explained ??= new WeakMap()
    this.#explained.set(error, explained)
    return explained
  }

  /** Calls the operation off when its signal or its time says so. Returns what ends the watch. */
  #watch(operation: Operation, { signal, timeoutMillis }: StatementOptions): (() => void) | undefined {
    if (signal === undefined && timeoutMillis === undefined) return undefined
    const { clock } = this.#host
    operation.cancellable = true
    const unlisten = signal && onAbort(signal, () => this.conversation.callOff(operation, abortedBy(signal)))
    let timer: Timer | undefined
    if (timeoutMillis !== undefined) {
      timer = clock.setTimer(
        () => this.conversation.callOff(operation, timedOut(operation.text, timeoutMillis)),
        timeoutMillis,
      )
    }
    return () => {
      unlisten?.()
      timer?.cancel()
    }
  }
}

type ServerError = Parameters<typeof databaseErrorFrom>[0]

function isCausedBy(error: unknown, reason: Error): boolean {
  return error === reason || (error instanceof Error && error.cause === reason)
}

function ignore(): void {
  // See where it is used.
}
