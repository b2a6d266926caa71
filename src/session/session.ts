/** The session: one transaction after the other, each with a connection that is acquired late and released early. */
import { runTransaction } from '../execution/begun-transaction.js'
import { ownedByBlock, runBlock } from '../execution/block.js'
import { joinBlock } from '../execution/block-context.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import type { PipelineOpener } from '../execution/executor.js'
import { IllegalStateError } from '../errors.js'
import type { Unsubscribe } from '../internal/emitter.js'
import { checkCallback, requireMade } from '../internal/validate.js'
import type { HookSet, SessionEvent, SessionHook } from './session-hooks.js'
import type { SessionOptions } from './session-options.js'
import { EntitySession } from './entity-methods.js'
import { FlushCoordinator } from './flush-coordinator.js'
import type { ReplicaParts } from './read-route.js'
import type { SharedUse } from './shared-use.js'
import type { UnstoredChanges } from './unstored-changes.js'
import { SessionTransaction } from './session-transaction.js'

const AFTER_BLOCK =
  'The block of this session has ended, and the session with it: use the session, and read its streams, inside of the block; ' +
  'withSession(fn) or the factory makes another one'

/** The argument of the constructor of a session, made by the factory. A constructor of your own passes it to `super`. */
export interface SessionParts extends ReplicaParts {
  readonly engine: PipelineOpener
  readonly setup: PipelineSetup
  readonly options: SessionOptions
  /** The factory's hooks. */
  readonly hooks: HookSet<Session>
  /** Notices that several requests use the session; undefined if `detectSharing` is off. */
  readonly shared?: SharedUse | undefined
  /** Notices changes that nothing stores; undefined in production. */
  readonly unstored?: UnstoredChanges | undefined
  /** True: made in a block that writes, so its reads stay on the primary. */
  readonly isInWriting?: boolean | undefined
}

/**
 * Runs one transaction at a time, and tracks the objects that it loads and changes. The connection is acquired at the first
 * statement, and released at commit, rollback or close. The first statement begins a transaction in the same batch; the first
 * statement after `commit()` or `rollback()` begins another one.
 *
 * Statements may be issued concurrently: they are sent in order, those of one tick in one batch. Commit, rollback and close
 * never overtake them.
 *
 * Made by a {@link SessionFactory}. Prefer `withSession(fn)`, which always closes it; or `await using session = sessionFactory()`.
 */
export class Session extends EntitySession implements AsyncDisposable {
  readonly #entities: FlushCoordinator
  readonly #parts: SessionParts
  readonly #transaction: SessionTransaction
  #info: Record<string, unknown> | undefined = undefined
  /** True if a `withSession` block owns the session: the block is a transaction from its start. */
  #owned = false

  /** Use a session factory. */
  constructor(parts: SessionParts) {
    requireMade(parts, 'setup', 'A session', 'createSessionFactory({ bind: engine })')
    const { signal } = parts.options
    const entities = new FlushCoordinator(parts)
    super(entities)
    this.#entities = entities
    this.#parts = parts
    entities.session = this
    this.#transaction = new SessionTransaction(entities)
    if (signal !== undefined) this.#transaction.watch(signal)
  }

  /** The caller's own data: a copy of the option `info`. */
  get info(): Record<string, unknown> {
    return (this.#info ??= { ...this.#parts.options.info })
  }

  /**
   * A token for what the causal flow of this session has written so far. Pass it to `withSession(fn, { after })` in another
   * process, and reads there show at least these writes. Opaque, shorter than 100 characters, safe in headers and cookies.
   * Undefined before the first write, and unless the factory has replicas and `consistency: 'session'`.
   */
  get causalityToken(): string | undefined {
    return this.#parts.causality?.token
  }

  get expireOnCommit(): boolean {
    return this.#parts.options.expireOnCommit ?? false
  }

  get autoflush(): boolean {
    return this.#parts.options.autoflush ?? true
  }

  get autocommit(): boolean {
    return this.#parts.options.autocommit ?? false
  }

  get closed(): boolean {
    return this.#entities.runner.pipeline.closed
  }

  /**
   * Runs a block in a transaction of this session: committed when it returns, rolled back when it throws. Needed in autocommit
   * mode; otherwise the first statement begins a transaction. Statements of code outside of the block, and other calls of
   * `begin()`, wait until the block has ended.
   * @throws IllegalStateError inside a transaction, because its COMMIT would also commit the outer work: use `beginNested()`.
   *   Otherwise what the block throws, or as `commit`.
   */
  async begin<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    checkCallback('begin', work)
    this.#requireNoHook('begin')
    this.#entities.requireOpen()
    if (this.#owned) throw ownedByBlock('withSession()')
    const { runner } = this.#entities
    return await runner.attend('block', async () => {
      const flushing = this.#entities.ownTransaction
      if (flushing !== undefined) await flushing
      return await runTransaction(runner, (scope) => {
        this.#entities.requireOpen()
        return runBlock(this.#transaction, work, {
          scope,
          asyncScope: { owner: runner.scopes, value: scope },
        })
      })
    })
  }

  /**
   * Writes all changes of the session's objects and commits, after all statements issued before. COMMIT is sent in the same batch
   * as the flush and the statements of the same tick. Nothing is sent if there are no changes and no open transaction.
   *
   * @throws what `flush` throws, and TransactionAbortedError if a statement had failed (also if PostgreSQL answered COMMIT
   *   with ROLLBACK), or if `rollback()` or `close()` was called while its hooks ran: nothing was stored.
   *   CommitOutcomeUnknownError if the answer never came. DatabaseError for deferred constraints and serialization
   *   failures. HookError if an `afterCommit` hook threw, UnreadableResultError if an answer cannot be read: everything was
   *   stored. After all of these except the last two, call `rollback()`.
   */
  commit(): Promise<void> {
    return this.#entities.runner.attend('end', async () => {
      this.#entities.requireOpen()
      this.#requireNoHook('commit')
      this.#parts.shared?.end()
      await this.#transaction.commit()
    })
  }

  /**
   * Rolls the transaction back after all statements issued before; a failed transaction becomes usable again. New objects become
   * transient, the others expire (see `refresh`), as soon as ROLLBACK is queued.
   */
  rollback(): Promise<void> {
    return this.#entities.runner.attend('end', async () => {
      this.#entities.requireOpen()
      this.#entities.runner.requireOutside('rollback')
      this.#parts.shared?.end()
      await this.#transaction.rollback()
    })
  }

  /**
   * Closes the session after all statements issued before; rolls back an open transaction and expunges the objects. Idempotent:
   * later calls wait for the first. Never rejects: a connection that cannot be reset is closed.
   */
  async close(): Promise<void> {
    await this.#transaction.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Calls `hook` before this transaction commits; see {@link SessionEvent}. Removed when the transaction ends. */
  beforeCommit(hook: SessionHook<this>): Unsubscribe {
    if (this.#transaction.committing)
      throw new IllegalStateError('COMMIT has been sent: a beforeCommit hook comes too late')
    return this.#entities.hooks.add('beforeCommit', hook as SessionHook<object>)
  }

  /** Calls `hook` after this transaction was committed, and only then. Removed when the transaction ends. */
  afterCommit(hook: SessionHook<this>): Unsubscribe {
    return this.#entities.hooks.add('afterCommit', hook as SessionHook<object>)
  }

  /** Calls `hook` after this transaction was rolled back, and only then. Removed when the transaction ends. */
  afterRollback(hook: SessionHook<this>): Unsubscribe {
    return this.#entities.hooks.add('afterRollback', hook as SessionHook<object>)
  }

  /**
   * Runs a block that owns this session, and closes it.
   * @param options.factory The factory whose `current()` returns the session.
   * @param options.afterBlock The error text of a use after the end. Default: that the block has ended.
   * @internal
   */
  runOwned<Value>(
    work: () => Value | Promise<Value>,
    options: { readonly commit: boolean; readonly factory: object; readonly afterBlock?: string },
  ): Promise<Value> {
    const { commit, factory, afterBlock = AFTER_BLOCK } = options
    this.#owned = !this.autocommit
    this.#entities.afterBlock = afterBlock
    const { signal } = this.#parts.options
    const asyncScope = { owner: factory, value: this }
    return runBlock(this.#transaction, work, { signal, commit, asyncScope, closes: true })
  }

  /**
   * Runs a block that takes part in this session's transaction. If it throws, the transaction cannot be committed; that
   * reports the failure, also if the block is not awaited.
   * @internal
   */
  join<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    const joined = joinBlock(this.#transaction.pipeline, work)
    joined.catch((error: unknown) => this.#transaction.forbidCommit(error))
    return joined
  }

  /**
   * True once it has stored something, by a commit or by a statement in autocommit mode.
   * @internal
   */
  get hasStored(): boolean {
    return this.#transaction.pipeline.state.hasStored
  }

  /**
   * True if the session may write, or was made in a block that may.
   * @internal
   */
  get isWriting(): boolean {
    return !this.#parts.setup.readOnly || this.#parts.isInWriting === true
  }

  /**
   * True if a statement of the caller would be a transaction of its own.
   * @internal
   */
  get standsAlone(): boolean {
    return this.#entities.runner.standsAlone
  }

  /** @throws IllegalStateError in a hook that a flush or a commit waits for. */
  #requireNoHook(what: 'commit' | 'begin'): void {
    const inBeforeCommit = this.#entities.usedHooks?.inBeforeCommit === true
    if (!inBeforeCommit && !this.#entities.autoflushBlocks.inFlushHook) return
    const hook = inBeforeCommit ? 'a beforeCommit hook' : 'a hook of a flush'
    throw new IllegalStateError(
      `${what}() was called in ${hook}: the commit or flush that waits for the hook is already running, and includes what ` +
        'the hook does. Return to continue it; throw or call rollback() to cancel it.',
    )
  }
}
