/** Coordinates the flushes of a session with its queries, hooks and transaction. */
import type { DatabaseError } from '../database-errors.js'
import { whenAlone } from '../execution/begun-transaction.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import type { ExecutionOwner, EntityReader, ScopeHooks } from '../execution/contract.js'
import type { PipelineOpener } from '../execution/executor.js'
import type { StatementRunner } from '../execution/statement-runner.js'
import { IllegalStateError, LifeguardError, SessionClosedError } from '../errors.js'
import { addHint } from '../internal/error-hint.js'
import { sendAfter, type StatementsAhead } from '../internal/statements-ahead.js'
import type { EntityQuery } from '../query/entity-statement.js'
import type { Sealed } from '../unit/journal.js'
import { staleDataError } from '../unit/flush/apply.js'
import { UnitOfWork } from '../unit/unit-of-work.js'
import { AutoflushBlocks } from './autoflush-blocks.js'
import { type FactoryHooks, HookOwner } from './session-hooks.js'
import type { Replay } from '../pipeline/in-flight-batch.js'
import type { ReplicaParts } from './read-route.js'
import type { SharedUse } from './shared-use.js'
import { readStack } from '../pool/call-site.js'
import { warnOfUnflushed, type UnstoredChanges } from './unstored-changes.js'

/** The parts of a session. Sessions that are opened without options share one object. */
export interface EntityParts extends ReplicaParts {
  readonly engine: PipelineOpener
  readonly setup: PipelineSetup
  readonly hooks: FactoryHooks
  readonly options: {
    readonly autoflush?: boolean | undefined
    readonly expireOnCommit?: boolean | undefined
  }
  /** Notices that several requests use the session; undefined if `detectSharing` is off. */
  readonly shared?: SharedUse | undefined
  /** Notices changes that nothing stores; undefined in production. */
  readonly unstored?: UnstoredChanges | undefined
}

/** What a rollback means for the objects of the session. */
export interface RollbackOptions {
  /** False: no transaction was open, and only changes of objects are undone. */
  readonly hadTransaction: boolean
  /** True: the session is being closed, and expunges its objects after the answer. */
  readonly closes: boolean
}

/** A flush in autocommit mode, which is a transaction of its own. */
interface OwnFlush extends StatementsAhead {
  /** How many rollbacks were called before it. */
  readonly rollbacks: number
}

// Hooks may change objects again, and so make another flush necessary.
const MOST_FLUSHES = 100

/** Owns the pipeline of a session, for the session and its unit of work. */
export class FlushCoordinator extends HookOwner<EntityParts> implements ExecutionOwner {
  readonly runner: StatementRunner
  #autoflushBlocks: AutoflushBlocks | undefined = undefined
  /** Made when the session uses its first entity: many sessions use none. */
  #unit: UnitOfWork | undefined = undefined
  /** In autocommit mode: the last flush, until it has ended. */
  #ownFlush: OwnFlush | undefined = undefined

  constructor(parts: EntityParts) {
    super(parts)
    this.runner = (parts.route ?? parts.engine).openPipeline(parts.setup, this)
  }

  /** The error text of a use after the end, if the session belongs to a block (`withSession`) and is closed with it. */
  afterBlock: string | undefined = undefined

  /** Made when they are needed, because many sessions may wait for a connection at the same time. */
  get autoflushBlocks(): AutoflushBlocks {
    return (this.#autoflushBlocks ??= new AutoflushBlocks())
  }

  /** The unit of work. Made at the first use. */
  get unit(): UnitOfWork {
    return (this.#unit ??= new UnitOfWork(
      (statement, subject) => this.runner.run(statement, subject),
      () => this.beforeStatement(),
      () => this.runner.requireRunning(),
      this.runner.hidesParameters,
      this.runner.pipeline.source,
    ))
  }

  /** @throws SessionClosedError, IllegalStateError in a hook of an ended transaction. */
  requireOpen(): void {
    if (this.runner.pipeline.closed)
      throw new SessionClosedError(
        this.afterBlock ?? 'The session is closed (close() was called); take a new one from the factory',
      )
    if (this.usedHooks?.ending === true)
      throw new IllegalStateError(
        'This session is finishing its transaction: use a new session in afterCommit and afterRollback hooks',
      )
  }

  began(): void {
    if (this.hasHook('begin')) this.hooks.began()
  }

  moved(replay: Replay): void {
    this.parts.route?.moved(replay)
  }

  /** Undefined if no later read depends on it: then the position is not queried. */
  get storing(): ExecutionOwner['storing'] {
    return this.parts.causality?.storing
  }

  /** Autoflush. Undefined if there is nothing to flush, or if autoflush is off. */
  beforeStatement(): StatementsAhead | undefined {
    this.parts.shared?.use()
    this.#autoflushBlocks?.requireCurrentHook()
    if (this.#unit === undefined) return undefined
    if (this.autoflushBlocks.isInside || this.parts.options.autoflush === false) {
      return this.#ownFlush === undefined || this.#isInTransaction ? undefined : settled(this.#ownFlush)
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
    // A caller that fails before it waits for `done` would leave an unhandled rejection.
    done.catch(ignore)
    return { sent: flush.sent, done }
  }

  entityReader(query: EntityQuery): EntityReader {
    return this.unit.reader(query)
  }

  translate(error: DatabaseError): LifeguardError | undefined {
    return staleDataError(error)
  }

  /** Changes of objects in a savepoint are rolled back with it. */
  get scopeHooks(): ScopeHooks {
    return {
      entering: () => this.flush()?.done,
      entered: () => this.unit.savepointEntered(),
      releasing: () => this.flush()?.done,
      released: (depth) => this.unit.savepointReleased(depth),
      rolledBack: (depth) => this.unit.savepointRolledBack(depth),
    }
  }

  /** True if the session has had no object. */
  get isUnused(): boolean {
    return this.#unit === undefined
  }

  /** True if a flush would write something. */
  get hasWork(): boolean {
    return this.#unit?.hasWork === true
  }

  /**
   * Writes all changes, and runs the hooks of the flush around it. Undefined if nothing has changed.
   * @throws InvalidValueError, MappingError, IllegalStateError: nothing was sent, and nothing has changed.
   */
  flush(): StatementsAhead | undefined {
    const unit = this.#unit
    if (unit === undefined) return undefined
    this.autoflushBlocks.requireCurrentHook()
    // The call is part of the flush whose hook makes it.
    if (this.autoflushBlocks.inFlushHook) return unit.flush()
    const alone = this.runner.pipeline.setup.autocommit && !this.#isInTransaction
    if (!alone && !this.hasHooks) return unit.flush()
    const before = this.#ownFlush
    const { rollbacks } = this.autoflushBlocks
    // After a rollback, the failure of an earlier flush does not concern the caller.
    if (!unit.hasWork && alone) return before && before.rollbacks !== rollbacks ? settled(before) : before
    if (!unit.hasWork) return undefined
    const done = alone ? this.#flushOwn(unit, before, rollbacks) : this.#flushBetweenHooks(unit, rollbacks)
    done.catch(ignore)
    const flush = { sent: done, done, rollbacks }
    if (alone) {
      this.#ownFlush = flush
      const ended = (): void => {
        if (this.#ownFlush === flush) this.#ownFlush = undefined
      }
      done.then(ended, ended)
    }
    return flush
  }

  /** @throws IllegalStateError beside a nested block: its rollback would undo all changes since it began. */
  requireNotBeside(what: 'add' | 'delete' | 'merge'): void {
    this.parts.shared?.use()
    this.autoflushBlocks.requireCurrentHook()
    if (!this.runner.isBeside) return
    throw new IllegalStateError(
      `${what}() was called outside of an open nested block, whose rollback would undo it: call it inside the block, or await the block first`,
    )
  }

  /** True if the caller's code is part of a transaction: in a block of `begin()`, or in the hook of a flush. */
  get #isInTransaction(): boolean {
    return this.autoflushBlocks.inFlushHook || this.runner.scopes.isInside
  }

  /** In autocommit mode: the running flush, which is a transaction of its own, if the caller is outside of it. */
  get ownTransaction(): Promise<void> | undefined {
    return this.#ownFlush === undefined || this.#isInTransaction ? undefined : settled(this.#ownFlush).done
  }

  /** True if the flush has hooks: they run before COMMIT is sent. */
  get hasHooks(): boolean {
    return this.hasHook('beforeFlush') || this.hasHook('afterFlush')
  }

  /** True if COMMIT has to wait for a flush. */
  get needsFlush(): boolean {
    return this.#ownFlush !== undefined || this.hasWork || this.hasHooks
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

  /** COMMIT was queued: later changes belong to the next transaction. */
  committing(): Sealed | undefined {
    return this.#unit?.committing()
  }

  committed(sealed: Sealed | undefined): void {
    if (sealed !== undefined) this.#unit?.committed(sealed, this.parts.options.expireOnCommit === true)
  }

  commitFailed(sealed: Sealed | undefined): void {
    if (sealed !== undefined) this.#unit?.commitFailed(sealed)
  }

  /** ROLLBACK was queued: later changes belong to the next transaction. */
  rollingBack({ hadTransaction, closes }: RollbackOptions): void {
    this.#unit?.interrupt()
    if (!closes) this.#unit?.rolledBack(hadTransaction)
  }

  close(): void {
    const { callSite } = this.runner.pipeline
    if (this.#unit === undefined) return callSite?.forget?.()
    // If a timer of this block starts another block, that one keeps this session alive, and the session its call site.
    readStack(callSite)
    this.parts.unstored?.watch(this.#unit.attached, callSite)
    this.#unit.close()
  }

  /** A session that was made by hand is being closed: warns of changes that were neither flushed nor rolled back. */
  noteUnflushed(): void {
    const { shared } = this.parts
    if (this.afterBlock !== undefined || shared === undefined) return
    const { name } = this.runner.pipeline.state
    if ((name === 'idle' || name === 'active') && this.hasWork) warnOfUnflushed(shared.made)
  }

  /** A flush in autocommit mode is a transaction of its own, so it waits for all statements before it. */
  async #flushOwn(unit: UnitOfWork, before: OwnFlush | undefined, rollbacks: number): Promise<void> {
    const failed = await before?.done.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const begins = await whenAlone(this.runner, () => {
      this.requireOpen()
      this.autoflushBlocks.requireNoRollbackSince(rollbacks)
      const isNeeded = before === undefined || unit.hasWork
      if (isNeeded) this.runner.pipeline.beginOnce()
      return isNeeded
    })
    if (begins) await this.#flushAlone(unit, rollbacks)
    // The flush before it has written these changes.
    else if (failed !== undefined) throw failed.error
  }

  async #flushAlone(unit: UnitOfWork, rollbacks: number): Promise<void> {
    const { runner } = this
    let sealed: Sealed | undefined
    // After a rollback the statements would not run in this transaction, even if it had not begun yet.
    const requireTransaction = (): void => this.autoflushBlocks.requireNoRollbackSince(rollbacks)
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
      // If nothing was sent, the objects keep their changes, so the caller can fix them. After a rollback they are undone already.
      const isUndone = runner.pipeline.quiet || this.autoflushBlocks.rollbacks !== rollbacks
      const undo = (): void => {
        if (!isUndone) this.rollingBack({ hadTransaction: true, closes: false })
      }
      await runner.end('rollback', undo).catch(ignore)
      throw error
    }
  }

  async #flushBetweenHooks(unit: UnitOfWork, rollbacks: number): Promise<void> {
    const work = async (): Promise<void> => {
      await this.hooks.aroundFlush('beforeFlush')
      this.autoflushBlocks.requireNoRollbackSince(rollbacks)
      await unit.flush()?.done
      this.autoflushBlocks.requireNoRollbackSince(rollbacks)
      await this.hooks.aroundFlush('afterFlush')
      this.autoflushBlocks.requireNoRollbackSince(rollbacks)
    }
    // Queries in the hooks must not start another flush.
    await this.autoflushBlocks.runFlushHooks(work, rollbacks)
  }
}

/** Waits for statements of another caller, without their error. */
function settled({ done }: StatementsAhead): StatementsAhead {
  const ended = done.catch(ignore)
  return { sent: ended, done: ended }
}

const HINT = ' (while changes were flushed before a query: autoflush)'

/** Adds to an error that it came from the flush before the query, not from the query. */
function withHint(error: unknown): unknown {
  if (error instanceof LifeguardError) addHint(error, HINT)
  return error
}

function ignore(): void {
  // The caller of the flush waits for `done`, and gets the error there.
}
