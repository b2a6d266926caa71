/** Commit, rollback and close of a session: the flush before them, their hooks, and the release of the connection. */
import type { BlockOwner, PendingCommit } from '../execution/block.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import type { Operation } from '../pipeline/operation.js'
import type { BatchEnd } from '../pipeline/operation-queue.js'
import type { StatementRunner } from '../execution/statement-runner.js'
import { TransactionAbortedError, UnreadableResultError } from '../errors.js'
import { abortedBy, onAbort } from '../internal/abort.js'
import { sendAfter } from '../internal/statements-ahead.js'
import type { Sealed } from '../unit/journal.js'
import type { FlushCoordinator } from './flush-coordinator.js'

export class SessionTransaction implements BlockOwner, BatchEnd, PendingCommit {
  readonly #entities: FlushCoordinator
  /** True while COMMIT waits for its answer. */
  #committing = false
  /** The error of a block that had joined the session: the transaction can only be rolled back. */
  #rollbackOnly: unknown = undefined
  /** Set while the closed session rolls back. */
  #closing: Promise<void> | undefined = undefined
  /** The COMMIT of a block that has returned its only statement; made when the batch of that statement is sent. */
  #atEnd: QueuedCommit | undefined = undefined
  /** Stops listening to the session's signal. */
  #unwatch: (() => void) | undefined = undefined

  constructor(entities: FlushCoordinator) {
    this.#entities = entities
  }

  get pipeline(): Pipeline {
    return this.runner.pipeline
  }

  get runner(): StatementRunner {
    return this.#entities.runner
  }

  /** True while COMMIT waits for its answer. */
  get committing(): boolean {
    return this.#committing
  }

  /** Abort ends the session. */
  watch(signal: AbortSignal): void {
    const abandon = (): void => this.pipeline.abandon(abortedBy(signal))
    if (signal.aborted) abandon()
    else this.#unwatch = onAbort(signal, abandon)
  }

  /** A block that had joined the session threw. */
  forbidCommit(reason: unknown): void {
    this.#rollbackOnly ??= reason
  }

  /** See `BlockOwner`. */
  commitWithoutWaiting(): boolean {
    if (!this.#entities.parts.setup.readOnly || this.#rollbackOnly !== undefined) return false
    if (
      this.#entities.hasHook('beforeCommit') ||
      this.#entities.hasHook('afterCommit') ||
      this.#entities.hasWork
    )
      return false
    if (!this.pipeline.commitWithoutWaiting()) return false
    this.#entities.committed(this.#entities.committing())
    return true
  }

  /** See `BlockOwner`. */
  queueCommit(): PendingCommit | undefined {
    if (this.#entities.hasHook('beforeCommit')) return undefined
    if (this.#rollbackOnly !== undefined || this.#entities.needsFlush) return alreadyPending(this.commit())
    this.#committing = true
    if (this.#entities.isUnused && !this.runner.hasScopes) {
      this.pipeline.endWith(this)
      return this
    }
    const commit = new QueuedCommit(this)
    commit.queue()
    return commit
  }

  /** See `BatchEnd`. */
  queued(): Operation {
    const operation = this.pipeline.makeCommit()
    this.#atEnd = new QueuedCommit(this, operation)
    return operation
  }

  /** See `PendingCommit`, for a COMMIT at the end of its batch. */
  settle(): Promise<boolean> {
    const commit = this.#atEnd
    this.#atEnd = undefined
    if (commit !== undefined) return commit.settle()
    // The statement was never sent.
    this.pipeline.endWith(undefined)
    if (!this.pipeline.quiet) return this.commit()
    this.#committing = false
    return Promise.resolve(false)
  }

  /** Waits for a queued COMMIT, and runs what follows it. @throws as `commit`. */
  async settleQueued(commit: QueuedCommit): Promise<boolean> {
    let committed: boolean
    try {
      committed = await commit.waitForAnswer()
    } catch (error) {
      throw this.#notCommitted(commit, error)
    } finally {
      this.#committing = false
    }
    const ended = this.#committed(commit)
    if (ended !== undefined) await ended
    return committed
  }

  /** See `Session.commit`. */
  async commit(): Promise<boolean> {
    if (this.#rollbackOnly !== undefined) throw joinedBlockThrew(this.#rollbackOnly)
    const { autoflushBlocks } = this.#entities
    const { rollbacks } = autoflushBlocks
    const hooked = this.#entities.hasHook('beforeCommit') ? this.#entities.hooks.beforeCommit() : undefined
    if (hooked !== undefined) await hooked
    const commit = new QueuedCommit(this)
    let answering: Promise<boolean> | undefined
    const send = (): Promise<boolean> => {
      autoflushBlocks.requireNoRollbackSince(rollbacks)
      // In autocommit mode, a later flush is a transaction of its own, which this commit must not end.
      if (this.#entities.ownTransaction !== undefined) return Promise.resolve(false)
      this.#committing = true
      commit.queue()
      return (answering = commit.waitForAnswer())
    }
    let committed: boolean
    let unreadable: unknown
    try {
      const flush = this.#entities.hasHooks ? await this.#entities.flushWithHooks() : this.#entities.flush()
      committed = await sendAfter(flush, send)
    } catch (error) {
      committed = (await answering?.catch(() => false)) ?? false
      if (!committed) {
        const isOvertaken = answering === undefined && autoflushBlocks.rollbacks !== rollbacks
        throw this.#notCommitted(commit, isOvertaken ? overtaken(error) : error)
      }
      // COMMIT has succeeded; only the answer of the flush cannot be read.
      unreadable = error
    } finally {
      this.#committing = false
    }
    const ended = this.#committed(commit)
    if (ended !== undefined) await ended
    if (unreadable !== undefined) throw committedUnread(unreadable)
    return committed
  }

  /** See `Session.rollback`. */
  rollback(): Promise<void> {
    return this.#rollback({ closes: false })
  }

  /** Undefined if there was nothing to wait for. */
  close(): Promise<void> | undefined {
    const { pipeline } = this
    // A hook that delays the end of the transaction must not wait for that end.
    if (pipeline.closed) return this.#entities.usedHooks?.ending === true ? undefined : this.#closing
    this.#entities.noteUnflushed()
    pipeline.closed = true
    this.#unwatch?.()
    this.#entities.autoflushBlocks.noteRollback()
    this.runner.abandonOpenWork()
    if (pipeline.quiet && this.#entities.usedHooks?.hasOwn('afterRollback') !== true) {
      pipeline.release()
      this.#entities.close()
      return undefined
    }
    this.#closing = this.#rollback({ closes: true })
      .catch(() => {
        // The connection is lost, so the transaction was rolled back; the pool has reported the loss.
      })
      .finally(() => pipeline.release())
    return this.#closing
  }

  /** Queues COMMIT: later statements belong to the next transaction. */
  queueEnd(commit: QueuedCommit): Operation | Promise<Operation> {
    return this.runner.queueEnd('commit', () => (commit.sealed = this.#entities.committing()))
  }

  /** PostgreSQL has confirmed COMMIT. */
  #committed({ sealed }: QueuedCommit): Promise<void> | undefined {
    this.#entities.parts.shared?.ended()
    this.#entities.committed(sealed)
    // Checked only now: a hook may have been added while COMMIT waited for its answer.
    if (this.#entities.hasHook('afterCommit')) return this.#entities.hooks.ended('afterCommit')
    this.#entities.usedHooks?.clear()
    return undefined
  }

  /** The error for the caller, whose stack leads to the line that commits. */
  #notCommitted({ sealed }: QueuedCommit, error: unknown): unknown {
    this.#entities.commitFailed(sealed)
    return this.runner.explain(error)
  }

  async #rollback({ closes }: { readonly closes: boolean }): Promise<void> {
    const { pipeline, runner } = this
    const entities = this.#entities
    const isBeside = !closes && runner.isBeside
    // Beside an open block, the rollback waits for the end of that block.
    if (!isBeside) entities.autoflushBlocks.noteRollback()
    const queued = (hadTransaction: boolean): void => {
      if (isBeside) entities.autoflushBlocks.noteRollback()
      entities.rollingBack({ hadTransaction, closes })
    }
    // If a COMMIT was never answered, it is unknown whether the transaction was rolled back.
    const { state, transaction, autocommit, quiet } = pipeline
    const { outcomeUnknown } = state
    const hadTransaction = !quiet
    const isOpen = state.inTransaction || entities.usedHooks?.hasOwn('afterRollback') === true
    // The batch that begins it may not have been sent yet.
    const begins = !autocommit && !quiet
    try {
      await runner.end('rollback', () => queued(hadTransaction))
    } finally {
      if (closes) entities.close()
    }
    this.#entities.parts.shared?.ended()
    const undone = isOpen || (begins && pipeline.transaction > transaction)
    if (undone && !outcomeUnknown && entities.hasHook('afterRollback'))
      await entities.hooks.ended('afterRollback')
    entities.usedHooks?.clear()
    this.#rollbackOnly = undefined
  }
}

/** A COMMIT that is queued, or will be. */
class QueuedCommit implements PendingCommit {
  /** The changes of objects that it commits. */
  sealed: Sealed | undefined = undefined
  readonly #transaction: SessionTransaction
  #operation: Operation | Promise<Operation> | undefined

  constructor(transaction: SessionTransaction, operation?: Operation) {
    this.#transaction = transaction
    this.#operation = operation
  }

  /** @throws IllegalStateError inside a nested block. */
  queue(): void {
    this.#operation = this.#transaction.queueEnd(this)
  }

  /** Resolves to true if a transaction was committed. */
  waitForAnswer(): Promise<boolean> {
    return this.#transaction.runner.endOf(this.#operation as Operation | Promise<Operation>)
  }

  settle(): Promise<boolean> {
    return this.#transaction.settleQueued(this)
  }
}

/** A COMMIT that is preceded by a flush or by hooks. */
function alreadyPending(committing: Promise<boolean>): PendingCommit {
  committing.catch(ignore)
  return { settle: () => committing }
}

function joinedBlockThrew(cause: unknown): TransactionAbortedError {
  const message =
    'A block that had joined this session threw (see cause), so its transaction can only be rolled back'
  return new TransactionAbortedError(message, { cause })
}

function overtaken(cause: unknown): TransactionAbortedError {
  const message =
    'rollback() or close() was called while commit() was waiting for its hooks or for generated keys: the ' +
    'transaction was rolled back, and nothing of it was stored'
  return new TransactionAbortedError(message, { cause })
}

function committedUnread(cause: unknown): UnreadableResultError {
  const message =
    'The transaction was committed, but the answer for some of its objects cannot be read (see cause)'
  return new UnreadableResultError(message, { cause })
}

function ignore(): void {
  // Awaited where the block's own outcome is known.
}
