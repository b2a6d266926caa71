/** The session: a transaction with a lifetime, whose connection is taken late and given back early. */
import { runInside, runTransaction } from '../engine/begun-transaction.js'
import type { BlockOwner } from '../engine/block.js'
import { ownedByBlock, runBlock } from '../engine/block.js'
import { joinBlock } from '../engine/block-context.js'
import type { ConversationSetup, Converser } from '../engine/conversation-setup.js'
import type { Conversation } from '../engine/conversation.js'
import type { StatementRunner } from '../engine/statement-runner.js'
import {
  IllegalStateError,
  SessionClosedError,
  TransactionAbortedError,
  UnreadableResultError,
} from '../errors.js'
import { abortedBy, onAbort } from '../internal/abort.js'
import type { Ambient } from '../internal/ambient.js'
import type { Unsubscribe } from '../internal/emitter.js'
import { behind } from '../internal/statements-ahead.js'
import { checkFunction } from '../internal/validate.js'
import type { Sealed } from '../unit/journal.js'
import type { HookSet, SessionEvent, SessionHook } from './session-hooks.js'
import type { SessionOptions } from './session-options.js'
import { EntitySession } from './entity-session.js'
import { SessionEntities } from './session-entities.js'
import type { SharedUse } from './shared-use.js'
import { TransactionHooks } from './transaction-hooks.js'

/** What a session is made of. Made by the factory; a class of your own passes it on. */
export interface SessionParts {
  readonly engine: Converser
  readonly setup: ConversationSetup
  readonly options: SessionOptions
  /** The factory's hooks. */
  readonly hooks: HookSet<Session>
  /** Notices that several requests use the session; undefined where nobody looks. */
  readonly shared?: SharedUse | undefined
}

/**
 * One unit of work with the database: a transaction, and the objects that it loads and changes. No connection is taken
 * before the first statement; it goes back at commit, rollback or close. The first statement begins a transaction in the
 * same packet; after `commit()` or `rollback()` the next one begins another.
 *
 * Statements may be issued concurrently: they are sent in order, those of one tick in one packet; commit, rollback and
 * close never overtake them.
 *
 * Made by a {@link SessionFactory}. Prefer `withSession(fn)`, which cannot be forgotten; or
 * `await using session = sessionFactory()`.
 */
export class Session extends EntitySession implements AsyncDisposable {
  /** Anything of the caller's own. */
  readonly info: Record<string, unknown>
  readonly #conversation: Conversation
  readonly #runner: StatementRunner
  readonly #entities: SessionEntities
  readonly #setup: ConversationSetup
  readonly #options: SessionOptions
  readonly #hooks: TransactionHooks<Session>
  readonly #shared: SharedUse | undefined
  #closed: string | undefined = undefined
  /** It rolls back still. */
  #closing: Promise<void> | undefined = undefined
  /** COMMIT is on its way. */
  #committing = false
  /** A block that had joined this session threw: what it did must not be stored. */
  #rollbackOnly: unknown = undefined
  /** A block has the session, and is a transaction from its first moment on. */
  #owned = false
  /** Stops listening to the session's signal. */
  #unwatch: (() => void) | undefined = undefined

  /** Use a session factory. */
  constructor(parts: SessionParts) {
    const { expireOnCommit = false, autoflush = true } = parts.options
    // Nothing of it is called before this constructor has returned.
    const entities = new SessionEntities(parts.engine, parts.setup, {
      expireOnCommit,
      autoflush,
      requireOpen: () => this.#requireOpen(),
      used: () => this.#shared?.use(),
      began: () => this.#hooks.began(),
      hasFlushHooks: () => this.#hooks.has('beforeFlush', 'afterFlush'),
      runFlushHooks: (event) => this.#hooks.aroundFlush(event),
    })
    super(entities)
    this.#entities = entities
    this.#conversation = entities.parts.conversation
    this.#runner = entities.parts.runner
    this.#setup = parts.setup
    this.#shared = parts.shared
    this.#options = parts.options
    this.#hooks = new TransactionHooks<Session>(this, parts.hooks)
    this.info = { ...parts.options.info }
    const { signal } = parts.options
    if (signal !== undefined) this.#watch(signal)
  }

  get expireOnCommit(): boolean {
    return this.#options.expireOnCommit ?? false
  }

  get autoflush(): boolean {
    return this.#options.autoflush ?? true
  }

  get autocommit(): boolean {
    return this.#options.autocommit ?? false
  }

  get closed(): boolean {
    return this.#closed !== undefined
  }

  /**
   * Runs a block in a transaction of this session: committed when it returns, rolled back when it throws. Needed in
   * autocommit mode; otherwise the first statement begins by itself. What code outside of the block asks for meanwhile, another
   * `begin()` included, waits until the block has ended.
   * @throws IllegalStateError inside of a transaction, which the COMMIT of another one would end: there it is `beginNested()`;
   *   otherwise what the block throws, or as `commit`.
   */
  async begin<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    checkFunction('begin', work)
    this.#requireNoHook('begin')
    this.#requireOpen()
    if (this.#owned) throw ownedByBlock('withSession()')
    const runner = this.#runner
    return await runner.attend('block', async () => {
      const flushing = this.#entities.ownTransaction
      if (flushing !== undefined) await flushing
      return await runTransaction(runner, (scope) => {
        this.#requireOpen()
        return runBlock(this.#owner({ scope, ambient: { owner: runner.scopes, value: scope } }), work)
      })
    })
  }

  /**
   * Writes what has changed about the session's objects and commits, after everything that was given before. COMMIT travels
   * with the flush and with statements of the same tick. Where there is nothing to write and no transaction, nothing is sent.
   *
   * @throws what `flush` throws, and TransactionAbortedError if a statement had failed (also if PostgreSQL answered COMMIT
   *   with ROLLBACK), or if `rollback()` or `close()` was called while its hooks ran: nothing was stored.
   *   CommitOutcomeUnknownError if the answer never came. DatabaseError for deferred constraints and serialization
   *   failures. HookError if an `afterCommit` hook threw, UnreadableResultError if an answer cannot be read: everything was
   *   stored. After any of them but these two, call `rollback()`.
   */
  commit(): Promise<void> {
    return this.#runner.attend('end', async () => {
      this.#requireOpen()
      this.#requireNoHook('commit')
      this.#shared?.end()
      await this.#commit()
    })
  }

  /**
   * Undoes the transaction, and any failure in it, after everything that was given before. New objects are as they were
   * before they were added; the others expire (see `refresh`), as soon as ROLLBACK has its place behind what came before.
   */
  rollback(): Promise<void> {
    return this.#runner.attend('end', async () => {
      this.#requireOpen()
      this.#runner.requireOutside('rollback')
      this.#shared?.end()
      await this.#rollback()
    })
  }

  /**
   * Closes the session for good, after everything that was given before; rolls back an open transaction, and lets go of its
   * objects. Idempotent; whoever calls it again waits for the same end.
   * Never rejects: a connection that cannot be cleaned is dropped.
   */
  async close(): Promise<void> {
    await this.#close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Calls `hook` before this transaction commits; see {@link SessionEvent}. Forgotten when the transaction ends. */
  beforeCommit(hook: SessionHook<this>): Unsubscribe {
    if (this.#committing)
      throw new IllegalStateError('COMMIT has been sent: a beforeCommit hook comes too late')
    return this.#hooks.add('beforeCommit', hook as SessionHook<Session>)
  }

  /** Calls `hook` after this transaction was committed, and only then. Forgotten when the transaction ends. */
  afterCommit(hook: SessionHook<this>): Unsubscribe {
    return this.#hooks.add('afterCommit', hook as SessionHook<Session>)
  }

  /** Calls `hook` after this transaction was rolled back, and only then. Forgotten when the transaction ends. */
  afterRollback(hook: SessionHook<this>): Unsubscribe {
    return this.#hooks.add('afterRollback', hook as SessionHook<Session>)
  }

  /**
   * Runs a block that owns this session, and closes it.
   * @internal
   */
  runOwned<Value>(work: () => Value | Promise<Value>, commit: boolean, ambient: Ambient): Promise<Value> {
    this.#owned = !this.autocommit
    const owner = this.#owner({ ambient, close: () => this.#close() })
    return runBlock(owner, work, this.#options.signal, commit)
  }

  /**
   * Runs a block that takes part in this session's transaction. If it throws, the transaction cannot be committed; that
   * reports the failure, also where nobody awaits the block.
   * @internal
   */
  join<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    const joined = joinBlock(this.#conversation, work)
    joined.catch((error: unknown) => (this.#rollbackOnly ??= error))
    return joined
  }

  /**
   * True once it has stored something: a transaction was committed, or a statement that was one by itself.
   * @internal
   */
  get hasStored(): boolean {
    return this.#conversation.state.hasStored
  }

  /**
   * True if a statement of the caller would be a transaction of its own.
   * @internal
   */
  get standsAlone(): boolean {
    return this.#runner.standsAlone
  }

  #requireOpen(): void {
    if (this.#closed !== undefined) {
      throw new SessionClosedError(`The session is closed (${this.#closed}); take a new one from the factory`)
    }
    if (this.#hooks.ending) {
      throw new IllegalStateError('The session is ending its transaction: take another session in this hook')
    }
  }

  /** @throws IllegalStateError in a hook that a flush or a commit waits for. */
  #requireNoHook(what: 'commit' | 'begin'): void {
    const { holdUpCommit } = this.#hooks
    if (!holdUpCommit && !this.#entities.inFlushHook) return
    const hook = holdUpCommit ? 'a beforeCommit hook' : 'a hook of a flush'
    throw new IllegalStateError(
      `${what}() was called in ${hook}, which is a part of what is going on: what the hook does goes with it. Return to let ` +
        'it go on, throw or call rollback() to prevent it.',
    )
  }

  #watch(signal: AbortSignal): void {
    const abandon = (): void => this.#conversation.abandon(abortedBy(signal))
    if (signal.aborted) abandon()
    else this.#unwatch = onAbort(signal, abandon)
  }

  #owner({ scope, ambient, close }: Pick<BlockOwner, 'scope' | 'ambient' | 'close'>): BlockOwner {
    const runner = this.#runner
    return {
      scope,
      ambient,
      close,
      conversation: this.#conversation,
      runner,
      commit: () => runInside(runner, scope, () => this.#commit()),
      rollback: () => runInside(runner, scope, () => this.#rollback()),
      rides: () => !this.#hooks.has('beforeCommit'),
      conclude: () => this.#conclude(),
    }
  }

  /** Ends a read-only transaction without waiting, if nothing but COMMIT is left to do. */
  #conclude(): boolean {
    if (!this.#setup.readOnly || this.#rollbackOnly !== undefined) return false
    if (this.#hooks.has('beforeCommit', 'afterCommit') || this.#entities.hasWork) return false
    if (!this.#conversation.conclude()) return false
    this.#entities.committed(this.#entities.committing())
    return true
  }

  #commit(): Promise<boolean> {
    if (this.#rollbackOnly !== undefined) {
      const message =
        'A block that had joined this session threw (see cause), so its transaction can only be rolled back'
      return Promise.reject(new TransactionAbortedError(message, { cause: this.#rollbackOnly }))
    }
    return this.#commitWithHooks()
  }

  async #commitWithHooks(): Promise<boolean> {
    const { rollbacks } = this.#entities
    const hooked = this.#hooks.beforeCommit()
    if (hooked !== undefined) await hooked
    let ending: Promise<boolean> | undefined
    let sealed: Sealed | undefined
    const end = (): Promise<boolean> => {
      this.#entities.requireNoRollbackSince(rollbacks)
      // The transaction of a flush that was given later (autocommit) is not this one's to end.
      if (this.#entities.ownTransaction !== undefined) return Promise.resolve(false)
      this.#committing = true
      return (ending = this.#runner.end('commit', () => (sealed = this.#entities.committing())))
    }
    let committed: boolean
    let unreadable: unknown
    try {
      const flush = this.#entities.hasHooks ? await this.#entities.flushWithHooks() : this.#entities.flush()
      committed = await behind(flush, end)
    } catch (error) {
      committed = (await ending?.catch(() => false)) ?? false
      if (!committed) {
        this.#entities.commitFailed(sealed)
        if (ending === undefined && this.#entities.rollbacks !== rollbacks)
          throw this.#runner.explain(overtaken(error))
        // Its stack shall lead to the line that commits.
        throw this.#runner.explain(error)
      }
      // Only the answer of the flush cannot be read.
      unreadable = error
    } finally {
      this.#committing = false
    }
    this.#shared?.ended()
    this.#entities.committed(sealed)
    // Asked only now: one may have been added while COMMIT was on its way.
    if (this.#hooks.has('afterCommit')) await this.#hooks.ended('afterCommit')
    else this.#hooks.clear()
    if (unreadable !== undefined) throw committedUnread(unreadable)
    return committed
  }

  /** Undefined if there was nothing to wait for. */
  #close(): Promise<void> | undefined {
    // A hook that the end waits for must not wait for the end.
    if (this.#closed !== undefined) return this.#hooks.ending ? undefined : this.#closing
    this.#closed = 'close() was called'
    this.#conversation.closed = true
    this.#unwatch?.()
    this.#entities.noteRollback()
    this.#runner.letGo()
    if (this.#conversation.quiet && !this.#hooks.hasOwn('afterRollback')) {
      this.#conversation.release()
      this.#entities.close()
      return undefined
    }
    this.#closing = this.#rollback(true)
      .catch(() => {
        // The connection is lost, and the transaction with it; the pool has reported it.
      })
      .finally(() => this.#conversation.release())
    return this.#closing
  }

  async #rollback(closing = false): Promise<void> {
    const isBeside = !closing && this.#runner.isBeside
    // Beside a block that is open it waits for the end of that.
    if (!isBeside) this.#entities.noteRollback()
    const queued = (hadTransaction: boolean): void => {
      if (isBeside) this.#entities.noteRollback()
      this.#entities.rollingBack(hadTransaction, closing)
    }
    // Whether a transaction whose COMMIT was never answered is undone, nobody knows.
    const { state, transaction, autocommit, quiet } = this.#conversation
    const { outcomeUnknown } = state
    const hadTransaction = !quiet
    const isOpen = this.inTransaction || this.#hooks.hasOwn('afterRollback')
    // The packet that begins it may not have been sent yet.
    const begins = !autocommit && !quiet
    try {
      await this.#runner.end('rollback', () => queued(hadTransaction))
    } finally {
      if (closing) this.#entities.close()
    }
    this.#shared?.ended()
    const undone = isOpen || (begins && this.#conversation.transaction > transaction)
    if (undone && !outcomeUnknown) await this.#hooks.ended('afterRollback')
    this.#hooks.clear()
    this.#rollbackOnly = undefined
  }
}

function overtaken(cause: unknown): TransactionAbortedError {
  const message =
    'rollback() or close() was called while commit() was waiting for its hooks or for what it has to know first: the ' +
    'transaction was rolled back, and nothing of it was stored'
  return new TransactionAbortedError(message, { cause })
}

function committedUnread(cause: unknown): UnreadableResultError {
  const message =
    'The transaction was committed, but the answer for some of its objects cannot be taken over (see cause)'
  return new UnreadableResultError(message, { cause })
}
