/**
 * Puts statements, and the ends of transactions, into the pipeline's queue when it is the turn of the caller's block; and explains
 * their errors to the caller.
 */
import type { StatementResult } from '../driver/driver.js'
import { AbortedError } from '../errors.js'
import { requireNotAborted } from '../internal/abort.js'
import { scopeValueOf } from '../internal/async-scope.js'
import { captureUnread } from '../internal/own-frames.js'
import type { PipelineHost } from '../pipeline/contract.js'
import type { ExclusiveWork, Operation, OperationStatement } from '../pipeline/operation.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { needsTransaction } from './autocommit.js'
import { requireRunningBlock } from './block-context.js'
import { CallTracker } from './call-tracker.js'
import { CallerErrors } from './caller-errors.js'
import type { ExecutionOwner } from './contract.js'
import type { CallKind } from './pending-calls.js'
import { Savepoints, type TransactionEnd } from './savepoints.js'
import type { TransactionScope } from './scope.js'

/** What the caller has issued. */
interface Issued {
  readonly kind: 'statement' | 'exclusive'
  readonly statement: OperationStatement
  readonly work: ExclusiveWork | undefined
  readonly issued: Operation['issued']
}

const ENDS = { commit: { text: 'COMMIT' }, rollback: { text: 'ROLLBACK' } } as const

export class StatementQueue {
  readonly pipeline: Pipeline
  /** The calls that have not settled. */
  readonly calls: CallTracker
  protected readonly host: PipelineHost
  protected readonly owner: ExecutionOwner
  #scopes: Savepoints | undefined = undefined
  #errors: CallerErrors | undefined = undefined

  constructor(pipeline: Pipeline, host: PipelineHost, owner: ExecutionOwner) {
    this.pipeline = pipeline
    this.calls = new CallTracker(pipeline)
    this.host = host
    this.owner = owner
  }

  /** The savepoints; made when the first one is wanted. */
  get scopes(): Savepoints {
    this.#scopes ??= new Savepoints(this.pipeline, this.owner.scopeHooks ?? {}, {
      explain: (error) => this.explain(error, ''),
      left: (error, operations) => this.calls.giveUp(error, operations),
      reported: (scope) => this.calls.silence(scope),
      nests: (scope) => this.calls.isInBlock(scope),
    })
    return this.#scopes
  }

  /** True if a savepoint, or the transaction of `begin()`, was asked for before. */
  get hasScopes(): boolean {
    return this.#scopes !== undefined
  }

  /** The savepoints. @throws where none may be opened: InvalidOptionError in autocommit mode. */
  get nestable(): Savepoints {
    this.owner.requireOpen()
    if (this.standsAlone) throw needsTransaction('beginNested()')
    return this.scopes
  }

  /** Runs a call that is more than one statement, or none, and whose promise the caller may forget. */
  attend<Value>(kind: CallKind, work: () => Promise<Value>): Promise<Value> {
    return this.calls.pending.run(kind, this.callerScope, work)
  }

  /**
   * True while a block inside is open or waits for its turn.
   * @param within The transaction of `begin()` that is asked about. Default: everything.
   */
  isNesting(within?: TransactionScope): boolean {
    return this.#scopes?.isBusy(within) === true || this.calls.isInBlock(within)
  }

  /** See `ExecutionOwner`. */
  get ownTransaction(): Promise<void> | undefined {
    return this.owner.ownTransaction
  }

  /** Messages show no value, not even of a key. */
  get hidesParameters(): boolean {
    return this.host.hideParameters
  }

  /** True if a statement of the caller would be a transaction of its own. */
  get standsAlone(): boolean {
    const isOutside = this.#scopes?.isOutside === true || this.ownTransaction !== undefined
    return isOutside ? this.pipeline.setup.autocommit : this.pipeline.autocommit
  }

  /** True if a nested block is open that the caller is outside of. */
  get isBeside(): boolean {
    return this.#scopes?.isBeside === true
  }

  /**
   * Gives up open nested blocks and streams, which the caller may have forgotten: they must not delay the end of the transaction.
   * @param within Only those inside of this transaction of `begin()`.
   */
  abandonOpenWork(cause?: unknown, within?: TransactionScope): void {
    this.#scopes?.abandon(within)
    if (this.pipeline.quiet) return
    this.pipeline.stopStreams(new AbortedError('The transaction of this stream has ended', { cause }))
  }

  /** @throws IllegalStateError inside a nested block, which must not end the transaction around it. */
  requireOutside(what: TransactionEnd): void {
    this.#scopes?.requireOutside(what)
  }

  /**
   * Ends the transaction, after everything that was issued before. @returns true if one was committed.
   * @param queued Called when the end takes its place in the queue: what is issued from now on comes after it.
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
      // Only after that: it starts the actions that wait for their turn.
      scopes?.endAll()
      return ending
    }
    return scopes?.active === true ? scopes.inTurn(start) : start()
  }

  /** Waits for an end that was queued. True if a transaction was committed. */
  endOf(queued: Operation | Promise<Operation>): Promise<boolean> {
    if (queued instanceof Promise) return queued.then((operation) => this.endOf(operation))
    return queued.promise.then(isCommitted, (error: unknown) => {
      throw this.explain(error, queued.text)
    })
  }

  /** @throws IllegalStateError if the caller's block has ended, so that its statements would be refused. */
  requireRunning(): void {
    requireRunningBlock(this.pipeline)
    this.#scopes?.requireRunning()
  }

  /** The nested block whose code is running. */
  protected get callerScope(): TransactionScope | undefined {
    return this.#scopes && (scopeValueOf(this.#scopes) as TransactionScope | undefined)
  }

  /** Queues an operation when it is the turn of the caller's block, after the SAVEPOINTs that it needs. */
  protected inTurn(
    kind: 'statement' | 'exclusive',
    statement: OperationStatement,
    work?: ExclusiveWork,
    signal?: AbortSignal,
  ): Operation | Promise<Operation> {
    requireRunningBlock(this.pipeline, statement.text)
    const scopes = this.#scopes
    // The pipeline itself captures the call that needs a connection. Many calls may wait for one, so they share that text.
    const isNoted = this.host.callSites === undefined || this.pipeline.notesCallSite
    const issued = isNoted ? undefined : {}
    if (issued !== undefined) captureUnread(issued, StatementQueue.prototype.inTurn)
    if (scopes === undefined) return this.#enqueue({ kind, statement, work, issued })
    return scopes.inTurn(() => {
      // It may have waited.
      this.owner.requireOpen()
      requireNotAborted(signal)
      scopes.establish()
      const operation = this.#enqueue({ kind, statement, work, issued })
      scopes.track(operation)
      return operation
    })
  }

  #enqueue({ kind, statement, work, issued }: Issued): Operation {
    statement.queued?.()
    const operation = this.pipeline.enqueue(kind, statement, work)
    if (!operation.settled) operation.issued = issued ?? this.pipeline.callSite
    return operation
  }

  /**
   * The error that the caller sees. Call it in the caller's own asynchronous continuation, so that the stack leads to
   * the line that awaits the statement.
   */
  explain(error: unknown, statement?: string): unknown {
    this.#errors ??= new CallerErrors(this.pipeline, {
      hideParameters: this.host.hideParameters,
      translate: (failure) => this.owner.translate?.(failure),
    })
    return this.#errors.explain(error, statement, this.explain)
  }
}

function isCommitted({ command }: StatementResult): boolean {
  return command === 'COMMIT'
}
