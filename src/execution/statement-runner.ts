/** Runs statements on a pipeline: from the caller's arguments to rows, or to an error with the caller's line. */
import type { StatementResult } from '../driver/driver.js'
import { orAbort, requireNotAborted } from '../internal/abort.js'
import { statementChannel, type StatementSubject } from '../internal/channels.js'
import { sendAfter } from '../internal/statements-ahead.js'
import { Result } from '../result/result.js'
import { compileStatement } from '../sql.js'
import type { RawRow } from '../schema/entity-meta.js'
import { isWatched, watch } from './watched-statement.js'
import { checked, describe, encoded } from './encoded-statement.js'
import { noteMissing } from './missing-tables.js'
import { resultOf, rowsReaderFor, type RowsReader } from './entity-results.js'
import type { ExclusiveWork, Operation, OperationStatement } from '../pipeline/operation.js'
import { StatementTrace } from './statement-trace.js'
import { StatementQueue } from './statement-queue.js'
import { StatementCall, type CallHost, type ExecuteCall } from './statement-call.js'
import {
  NO_OPTIONS,
  STATEMENT_OPTION_NAMES,
  statementOptions,
  type StatementOptions,
} from './statement-options.js'
import { isArray } from '../internal/revoked.js'

export class StatementRunner extends StatementQueue implements CallHost {
  /** Runs a statement and reads its result. */
  execute<Read>(
    statement: unknown,
    valuesOrOptions: unknown,
    options: StatementOptions | undefined,
    read: (result: Result<never, never>) => Read,
  ): Promise<Read> {
    if (!statementChannel.hasSubscribers) return this.#call(statement, valuesOrOptions, options, read)
    const { text, subject } = describe(statement)
    const trace = new StatementTrace(this.pipeline, 'statement', text, subject)
    let call: StatementCall<Read> | undefined
    const running = trace.run((note) => {
      const noted = (result: Result<never, never>): Read => {
        note(result)
        return read(result)
      }
      return this.#call(statement, valuesOrOptions, options, noted, (begun) => (call = begun))
    })
    // The caller holds this promise.
    if (call !== undefined) call.outer = running
    return running
  }

  #call<Read>(
    statement: unknown,
    valuesOrOptions: unknown,
    options: StatementOptions | undefined,
    read: (result: Result<never, never>) => Read,
    begun?: (call: StatementCall<Read>) => void,
  ): Promise<Read> {
    const call = new StatementCall(this, read, this.callerScope)
    this.calls.began(call)
    begun?.(call)
    const running = this.#execute(call, statement, valuesOrOptions, options)
    call.outer = running
    return running
  }

  /** Runs a statement of the library itself, without a call of `execute` (a flush, a loading of relations). */
  run(statement: OperationStatement, subject?: StatementSubject): Promise<StatementResult> {
    const run = (): Promise<StatementResult> => this.send(statement, NO_OPTIONS, { ofEntities: true })
    if (!statementChannel.hasSubscribers) return run()
    return new StatementTrace(this.pipeline, 'statement', statement.text, subject).run(async (note) => {
      const result = await run()
      note(result)
      return result
    })
  }

  /**
   * Runs one statement that was not issued by `execute` (a page of a cursor).
   * @param options.ofEntities True: the library has made it of the declarations of entities.
   */
  send(
    statement: OperationStatement,
    options: StatementOptions,
    { ofEntities = false }: { readonly ofEntities?: boolean } = {},
  ): Promise<StatementResult> {
    const explained = (error: unknown): Promise<never> => {
      const shown = this.explain(error, statement.text)
      return Promise.reject(ofEntities ? noteMissing(shown) : shown)
    }
    // Not an async function: a flush calls it for each of its statements.
    try {
      this.owner.requireOpen()
    } catch (error) {
      return Promise.reject(error)
    }
    try {
      return this.#answer(statement, options).then(undefined, explained)
    } catch (error) {
      return explained(error)
    }
  }

  /** Lets `work` have the connection to itself, inside the transaction. */
  exclusive(kind: 'script' | 'copy' | 'submittable', what: string, work: ExclusiveWork): Promise<void> {
    const run = (): Promise<void> => this.#exclusive(what, work)
    return statementChannel.hasSubscribers ? new StatementTrace(this.pipeline, kind, what).run(run) : run()
  }

  async #exclusive(what: string, work: ExclusiveWork): Promise<void> {
    this.owner.requireOpen()
    const ahead = this.flushAhead()
    if (ahead !== undefined) await ahead
    const started = this.inTurn('exclusive', { text: what }, work)
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
      const values = isArray(valuesOrOptions) ? valuesOrOptions : undefined
      const chosen = statementOptions(
        options ?? (values === undefined ? valuesOrOptions : undefined),
        STATEMENT_OPTION_NAMES,
      )
      const reader = this.readerOf(statement)
      const query = reader?.query
      // More statements follow it, so COMMIT must not be sent with it.
      if (query !== undefined && query.load.length > 0) this.calls.separateCommit(call)
      const compiled = query ?? checked(compileStatement(statement, values))
      this.owner.requireOpen()
      const ahead = this.owner.beforeStatement?.()
      // The statement is not queued yet, so COMMIT cannot be sent with it.
      if (ahead?.sent !== undefined) this.calls.separateCommit(call)
      const sent = encoded(compiled, reader?.queued)
      if (ahead === undefined && reader === undefined && !isWatched(chosen))
        return this.#executePlain(call, sent)
      const answer = (): Promise<StatementResult> => sendAfter(ahead, () => this.#answer(sent, chosen, call))
      return this.#executeWaiting(call, sent.text, answer, reader)
    } catch (error) {
      return Promise.reject(this.explain(error))
    }
  }

  /** A statement without a flush before it, a signal or a timeout. */
  #executePlain<Read>(call: StatementCall<Read>, sent: OperationStatement): Promise<Read> {
    let started: Operation | Promise<Operation>
    try {
      started = this.inTurn('statement', sent)
    } catch (error) {
      return Promise.reject(this.failed(call, error, sent.text))
    }
    if (!(started instanceof Promise)) return call.follow(started)
    const answering = this.#watched(started, NO_OPTIONS, call)
    return this.#executeWaiting(call, sent.text, () => answering)
  }

  /**
   * A statement that has to wait for its place in the queue, or may be called off, or returns more than rows.
   * @param reader Makes entities or values of the rows of a builder's query.
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
      // The call can fail before its statement is queued, or after the answer, while relations are loaded.
      if (!call.queued || (reader?.query.load.length ?? 0) > 0) this.calls.add(call)
      result = await answering
    } catch (error) {
      const explained = this.failed(call, error, text)
      throw reader === undefined ? explained : noteMissing(explained, reader.query.meta.name)
    } finally {
      this.calls.separateCommit(call)
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
      this.calls.unread(call, explained)
      throw explained
    } finally {
      this.calls.answered(call)
    }
  }

  /** See `CallHost`. */
  answered(call: ExecuteCall): void {
    this.calls.answered(call)
  }

  /** See `CallHost`. */
  failed(call: ExecuteCall, error: unknown, text: string): unknown {
    // Before anything else is attached to the caller's promise: V8 follows it to the caller's line only while the
    // caller alone waits for it.
    const explained = this.explain(error, text)
    this.calls.failed(call, explained)
    return explained
  }

  /** See `rowsReaderFor`. */
  readerOf(statement: unknown): RowsReader | undefined {
    return rowsReaderFor(this.owner, statement)
  }

  /** Flushes changed entities before a statement that may read their rows. */
  flushAhead(): Promise<void> | undefined {
    return this.owner.beforeStatement?.()?.done
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
    const unwatch = watch(this.pipeline, this.host.clock, operation, options)
    try {
      return await operation.promise
    } finally {
      unwatch?.()
    }
  }

  #start(statement: OperationStatement, options: StatementOptions): Operation | Promise<Operation> {
    const { signal } = options
    requireNotAborted(signal)
    const started = this.inTurn('statement', statement, undefined, signal)
    return started instanceof Promise && signal !== undefined ? orAbort(started, signal) : started
  }
}
