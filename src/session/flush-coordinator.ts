/** The unit of work of a session, as its transaction sees it: when it is flushed, and what comes of a flush that fails. */
import type { DatabaseError } from '../database-errors.js'
import { whenAlone } from '../execution/begun-transaction.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import type { ExecutionOwner, EntityReader, ScopeHooks } from '../execution/contract.js'
import type { PipelineOpener } from '../execution/executor.js'
import type { StatementRunner } from '../execution/statement-runner.js'
import { AbortedError, IllegalStateError, LifeguardError, SessionClosedError } from '../errors.js'
import { scopeValueOf, runInScope } from '../internal/async-scope.js'
import { addHint } from '../internal/error-hint.js'
import { sendAfter, type StatementsAhead } from '../internal/statements-ahead.js'
import type { EntityQuery } from '../query/entity-statement.js'
import type { Sealed } from '../unit/journal.js'
import { staleDataError } from '../unit/flush/apply.js'
import { UnitOfWork } from '../unit/unit-of-work.js'
import type { EntityHooks } from './session-hooks.js'
import type { SharedUse } from './shared-use.js'

/** What the entities of a session are made of. One object for all sessions that are opened without options. */
export interface EntityParts {
  readonly engine: PipelineOpener
  readonly setup: PipelineSetup
  readonly options: {
    readonly autoflush?: boolean | undefined
    readonly expireOnCommit?: boolean | undefined
  }
  /** Notices that several requests use the session; undefined where nobody looks. */
  readonly shared?: SharedUse | undefined
}

/** A block in which queries do not flush. */
interface QuietBlock {
  /** It is one of the hooks of a flush: what they ask for is part of it. */
  readonly isHook: boolean
  /** The rollbacks that it knows of: after any other, what its code asks for is part of nothing. */
  rollbacks: number
  closed: boolean
}

/** A flush in autocommit mode. */
interface Turn extends StatementsAhead {
  /** The rollbacks that were given before it. */
  readonly rollbacks: number
}

// Hooks may change what was flushed, and so make another flush necessary.
const MOST_FLUSHES = 100

/** Owns the pipeline of a session, on behalf of the session and of its unit of work. */
export class FlushCoordinator implements ExecutionOwner {
  readonly runner: StatementRunner
  /** Set by the session, before anything else is called. */
  hooks!: EntityHooks
  readonly #parts: EntityParts
  /** Made when the first entity comes: many sessions never see one. */
  #unit: UnitOfWork | undefined = undefined
  /** In autocommit mode: the flush that was given last, until it has ended. */
  #turn: Turn | undefined = undefined
  /** Counts the rollbacks: a flush that was waiting then stores nothing. */
  #rollbacks = 0

  constructor(parts: EntityParts) {
    this.#parts = parts
    this.runner = parts.engine.openPipeline(parts.setup, this)
  }

  /** The unit of work; made now, if need be. */
  get unit(): UnitOfWork {
    this.#unit ??= new UnitOfWork(
      (statement) => this.runner.run(statement),
      () => this.beforeStatement(),
      () => this.runner.requireRunning(),
    )
    return this.#unit
  }

  /** @throws SessionClosedError, IllegalStateError in a hook of an ended transaction. */
  requireOpen(): void {
    if (this.runner.pipeline.closed) {
      throw new SessionClosedError(
        'The session is closed (close() was called); take a new one from the factory',
      )
    }
    if (this.hooks.ending) {
      throw new IllegalStateError('The session is ending its transaction: take another session in this hook')
    }
  }

  began(): void {
    this.hooks.began()
  }

  /** Autoflush. Undefined if there is nothing to flush, or it is not wanted. */
  beforeStatement(): StatementsAhead | undefined {
    this.#parts.shared?.use()
    this.#requireCurrentHook()
    if (this.#unit === undefined) return undefined
    if (this.#quietBlock !== undefined || this.#parts.options.autoflush === false) {
      return this.#turn === undefined || this.#isInTransaction ? undefined : settled(this.#turn)
    }
    let flush: StatementsAhead | undefined
    try {
      flush = this.flush()
    } catch (error) {
      throw this.runner.explain(withHint(error))
    }
    if (flush === undefined) return undefined
    const done = flush.done.catch((error: unknown) => {
      throw withHint(error)
    })
    // Whoever waits for `sent` first, or gives up before, never asks for it.
    done.catch(ignore)
    return { sent: flush.sent, done }
  }

  entityReader(query: EntityQuery): EntityReader {
    return this.unit.reader(query)
  }

  translate(error: DatabaseError): LifeguardError | undefined {
    return staleDataError(error)
  }

  /** What happens to objects in a savepoint is undone with it. */
  get scopeHooks(): ScopeHooks {
    return {
      entering: () => this.flush()?.done,
      entered: () => this.unit.savepointEntered(),
      releasing: () => this.flush()?.done,
      released: (depth) => this.unit.savepointReleased(depth),
      rolledBack: (depth) => this.unit.savepointRolledBack(depth),
    }
  }

  /** True if a flush would find something. */
  get hasWork(): boolean {
    return this.#unit?.hasWork === true
  }

  /** Runs a block in which queries do not flush. */
  async withoutAutoflush<Value>(
    work: () => Value | Promise<Value>,
    isHook: boolean = this.#quietBlock?.isHook ?? false,
    rollbacks: number = this.#quietBlock?.rollbacks ?? this.#rollbacks,
  ): Promise<Value> {
    const block: QuietBlock = { isHook, rollbacks, closed: false }
    try {
      return await runInScope(this, block, work)
    } finally {
      block.closed = true
    }
  }

  /** The one that the current call is part of. */
  get #quietBlock(): QuietBlock | undefined {
    const block = scopeValueOf(this) as QuietBlock | undefined
    return block?.closed === true ? undefined : block
  }

  /**
   * Sends what has changed, with the hooks around it. Undefined if nothing has.
   * @throws InvalidValueError, MappingError, IllegalStateError: nothing was sent, and nothing has changed.
   */
  flush(): StatementsAhead | undefined {
    const unit = this.#unit
    if (unit === undefined) return undefined
    this.#requireCurrentHook()
    // It is part of the flush that is waiting for the hook.
    if (this.inFlushHook) return unit.flush()
    const alone = this.runner.pipeline.autocommitMode && !this.#isInTransaction
    if (!alone && !this.hasHooks) return unit.flush()
    const before = this.#turn
    const rollbacks = this.#rollbacks
    // The failure of one that was rolled back says nothing about what comes after the rollback.
    if (!unit.hasWork && alone) return before && before.rollbacks !== rollbacks ? settled(before) : before
    if (!unit.hasWork) return undefined
    const done = alone ? this.#flushInTurn(unit, before, rollbacks) : this.#flushBetweenHooks(unit, rollbacks)
    done.catch(ignore)
    const flush = { sent: done, done, rollbacks }
    if (alone) {
      this.#turn = flush
      const ended = (): void => {
        if (this.#turn === flush) this.#turn = undefined
      }
      done.then(ended, ended)
    }
    return flush
  }

  /** The current call is made by a hook of a flush. */
  get inFlushHook(): boolean {
    return this.#quietBlock?.isHook === true
  }

  /** How many rollbacks were given: whatever waits has to know of one. */
  get rollbacks(): number {
    return this.#rollbacks
  }

  /** A rollback is given. The hook of a flush that gives it goes on behind it; what others do for that flush is over. */
  noteRollback(): void {
    this.#rollbacks++
    const block = this.#quietBlock
    if (block?.isHook === true) block.rollbacks = this.#rollbacks
  }

  /** @throws AbortedError if a rollback was called since then: what came before it must not be stored. */
  requireNoRollbackSince(rollbacks: number): void {
    if (this.#rollbacks === rollbacks) return
    throw new AbortedError(
      'The transaction was rolled back while the flush waited (for its hooks, or for its turn): nothing of it was stored',
    )
  }

  /** @throws AbortedError if the current call is made by the hook of a flush that was rolled back meanwhile. */
  #requireCurrentHook(): void {
    const block = this.#quietBlock
    if (block?.isHook === true) this.requireNoRollbackSince(block.rollbacks)
  }

  /** @throws IllegalStateError beside a nested block: a rollback undoes whatever came to the session since it began. */
  requireTurn(what: 'add' | 'delete' | 'merge'): void {
    this.#parts.shared?.use()
    this.#requireCurrentHook()
    if (!this.runner.isBeside) return
    throw new IllegalStateError(
      `${what}() was called beside a nested block that is open, and would be undone with it: call it inside, or await the block first`,
    )
  }

  /** The caller's code is part of a transaction: of one of `begin()`, or of the flush whose hook it is. */
  get #isInTransaction(): boolean {
    return this.#quietBlock?.isHook === true || this.runner.scopes.isInside
  }

  /** The flush that is under way in autocommit mode, as a transaction of its own, and that the caller is outside of. */
  get ownTransaction(): Promise<void> | undefined {
    return this.#turn === undefined || this.#isInTransaction ? undefined : settled(this.#turn).done
  }

  /** True if the flush has hooks: what these do has to be known before COMMIT. */
  get hasHooks(): boolean {
    return this.hooks.has('beforeFlush', 'afterFlush')
  }

  /** True if COMMIT cannot go without a look at what has changed. */
  get needsFlush(): boolean {
    return this.#turn !== undefined || this.hasWork || this.hasHooks
  }

  /** Flushes until the hooks change nothing any more. */
  async flushWithHooks(): Promise<undefined> {
    for (let round = 0; round < MOST_FLUSHES; round++) {
      const flush = this.flush()
      if (flush === undefined) return
      await flush.done
    }
    throw new IllegalStateError(
      `The hooks of the flush were still changing objects after ${MOST_FLUSHES} rounds`,
    )
  }

  /** COMMIT is on its way: what comes now belongs to the next transaction. */
  committing(): Sealed | undefined {
    return this.#unit?.committing()
  }

  committed(sealed: Sealed | undefined): void {
    if (sealed !== undefined) this.#unit?.committed(sealed, this.#parts.options.expireOnCommit === true)
  }

  commitFailed(sealed: Sealed | undefined): void {
    if (sealed !== undefined) this.#unit?.commitFailed(sealed)
  }

  /**
   * ROLLBACK is on its way: what comes now belongs to the next transaction.
   * @param hadTransaction False: there are only changes to take back.
   * @param closing True: the objects are let go of when it has been answered.
   */
  rollingBack(hadTransaction: boolean, closing: boolean): void {
    this.#unit?.interrupt()
    if (!closing) this.#unit?.rolledBack(hadTransaction)
  }

  close(): void {
    this.#unit?.close()
  }

  /** Nothing else may get into the transaction of a flush that stands alone: it waits for whatever was given before. */
  async #flushInTurn(unit: UnitOfWork, before: Turn | undefined, rollbacks: number): Promise<void> {
    const failed = await before?.done.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const { runner } = this
    const { pipeline } = runner
    const begins = await whenAlone(runner, () => {
      this.requireOpen()
      this.requireNoRollbackSince(rollbacks)
      const isNeeded = before === undefined || unit.hasWork
      if (isNeeded) pipeline.beginOnce()
      return isNeeded
    })
    if (begins) await this.#flushAlone(unit, rollbacks)
    // What it was to write was part of the one before.
    else if (failed !== undefined) throw failed.error
  }

  async #flushAlone(unit: UnitOfWork, rollbacks: number): Promise<void> {
    const { runner } = this
    const { pipeline } = runner
    let sealed: Sealed | undefined
    // A rollback has ended the transaction, also one that had not begun: what is sent behind it would stand alone.
    const requireTransaction = (): void => this.requireNoRollbackSince(rollbacks)
    try {
      requireTransaction()
      if (this.hasHooks) await this.#flushBetweenHooks(unit, rollbacks)
      await sendAfter(unit.flush(), () => {
        requireTransaction()
        return runner.end('commit', () => (sealed = this.committing()))
      })
      this.committed(sealed)
    } catch (error) {
      this.commitFailed(sealed)
      // Where nothing was sent, the objects stay as they are: to be mended. A rollback that came has undone what was.
      const isUndone = pipeline.quiet || this.#rollbacks !== rollbacks
      const undo = (): void => {
        if (!isUndone) this.rollingBack(true, false)
      }
      await runner.end('rollback', undo).catch(ignore)
      throw error
    }
  }

  async #flushBetweenHooks(unit: UnitOfWork, rollbacks: number): Promise<void> {
    const work = async (): Promise<void> => {
      await this.hooks.aroundFlush('beforeFlush')
      this.requireNoRollbackSince(rollbacks)
      await unit.flush()?.done
      this.requireNoRollbackSince(rollbacks)
      await this.hooks.aroundFlush('afterFlush')
      this.requireNoRollbackSince(rollbacks)
    }
    // What the hooks ask for must not flush again.
    await this.withoutAutoflush(work, true, rollbacks)
  }
}

/** Waits for statements whose error is somebody else's. */
function settled({ done }: StatementsAhead): StatementsAhead {
  const ended = done.catch(ignore)
  return { sent: ended, done: ended }
}

const HINT = ' (while changes were flushed before a query: autoflush)'

/** Tells whoever sees the error of a query that it is not the query's. */
function withHint(error: unknown): unknown {
  if (error instanceof LifeguardError) addHint(error, HINT)
  return error
}

function ignore(): void {
  // Whoever asked for the flush waits for `done`.
}
