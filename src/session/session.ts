/** The session: a transaction with a lifetime, whose connection is taken late and given back early. */
import type { BlockOwner } from '../engine/block.js'
import { runBlock } from '../engine/block.js'
import type { Engine, OpenConversation } from '../engine/engine.js'
import { Executor } from '../engine/executor.js'
import { HookError, IllegalStateError, SessionClosedError, TransactionAbortedError } from '../errors.js'
import type { Unsubscribe } from '../internal/emitter.js'
import { HookSet, warnOfHook, type SessionEvent, type SessionHook } from './session-hooks.js'
import type { SessionOptions } from './session-options.js'

/** What a session is made of. Made by the factory; a class of your own passes it on. */
export interface SessionParts {
  readonly engine: Engine
  readonly options: SessionOptions
  /** The factory's hooks. */
  readonly hooks: HookSet<Session>
}

/**
 * One unit of work with the database. No connection is taken before the first statement; it goes back at commit, rollback or close.
 * The first statement begins a transaction in the same packet; after `commit()` or `rollback()` the next one begins
 * another.
 *
 * Statements may be issued concurrently: they are sent in order, those of one tick in one packet; commit, rollback and
 * close never overtake them.
 *
 * Made by a {@link SessionFactory}. Prefer `withSession(fn)`, which cannot be forgotten; or
 * `await using session = sessionFactory()`.
 */
export class Session extends Executor implements AsyncDisposable {
  /** Anything of the caller's own. */
  readonly info: Record<string, unknown>
  readonly #open: OpenConversation
  readonly #options: SessionOptions
  readonly #factoryHooks: HookSet<Session>
  readonly #ownHooks = new HookSet<Session>()
  #closed: string | undefined
  /** The hooks of an ended transaction are running. */
  #ending = false
  /** A block that had joined this session threw: what it did must not be stored. */
  #rollbackOnly: unknown

  /** Use a session factory. */
  constructor(parts: SessionParts) {
    const { engine, options, hooks } = parts
    // Nothing can be asked of the conversation before this constructor has returned.
    let self: Session | undefined = undefined
    const open = engine.converse({
      ...options,
      releaseWhenIdle: true,
      requireOpen: () => self?.requireOpen(),
      onBegin: () => this.#began(),
    })
    super(open)
    self = this
    this.#open = open
    this.#options = options
    this.#factoryHooks = hooks
    this.info = { ...options.info }
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
   * autocommit mode; otherwise the first statement begins by itself.
   * @throws IllegalStateError if a transaction is open; otherwise what the block throws, or as `commit`.
   */
  async begin<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    this.requireOpen()
    const { conversation, beginning } = this.#open
    conversation.beginWith(beginning.plan)
    try {
      return await runBlock(this.#owner(), work)
    } finally {
      if (this.autocommit) conversation.beginWith(undefined)
    }
  }

  /**
   * Commits, after everything that was given before. COMMIT travels with statements of the same tick. Without a
   * transaction nothing is sent.
   *
   * @throws TransactionAbortedError if a statement had failed (also if PostgreSQL answered COMMIT with ROLLBACK):
   *   nothing was stored. CommitOutcomeUnknownError if the answer never came. DatabaseError for deferred constraints and
   *   serialization failures. HookError if an `afterCommit` hook threw: everything was stored. After any of the first
   *   three, call `rollback()`.
   */
  async commit(): Promise<void> {
    this.requireOpen()
    if (this.#rollbackOnly !== undefined) {
      throw new TransactionAbortedError(
        'A block that had joined this session threw (see cause), so its transaction can only be rolled back',
        { cause: this.#rollbackOnly },
      )
    }
    for (const hook of this.#hooksOf('beforeCommit')) await hook(this)
    await this.#open.runner.end('commit')
    await this.#ended('afterCommit')
  }

  /** Undoes the transaction, and any failure in it, after everything that was given before. */
  async rollback(): Promise<void> {
    this.requireOpen()
    await this.#rollback()
  }

  /**
   * Closes the session for good, after everything that was given before; rolls back an open transaction. Idempotent.
   * Never rejects: a connection that cannot be cleaned is dropped.
   */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return
    this.#closed = 'close() was called'
    try {
      await this.#rollback()
    } catch {
      // The connection is lost, and the transaction with it; the pool has reported it.
    } finally {
      this.#open.conversation.release()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Calls `hook` before this transaction commits; see {@link SessionEvent}. Forgotten when the transaction ends. */
  beforeCommit(hook: SessionHook<this>): Unsubscribe {
    return this.#ownHooks.add('beforeCommit', hook as SessionHook<Session>)
  }

  /** Calls `hook` after this transaction was committed, and only then. Forgotten when the transaction ends. */
  afterCommit(hook: SessionHook<this>): Unsubscribe {
    return this.#ownHooks.add('afterCommit', hook as SessionHook<Session>)
  }

  /** Calls `hook` after this transaction was rolled back, and only then. Forgotten when the transaction ends. */
  afterRollback(hook: SessionHook<this>): Unsubscribe {
    return this.#ownHooks.add('afterRollback', hook as SessionHook<Session>)
  }

  /**
   * Runs a block that owns this session: `withSession` without its lifetime.
   * @internal
   */
  runOwned<Value>(
    work: () => Value | Promise<Value>,
    commit: boolean,
    onFormality: () => void,
  ): Promise<Value> {
    const { conversation, beginning } = this.#open
    return runBlock(this.#owner(), work, {
      signal: this.#options.signal,
      commit,
      commitIsFormality: () => {
        const { connection } = conversation
        return (
          connection !== undefined &&
          !this.#hasHooks('beforeCommit', 'afterCommit') &&
          beginning.commitIsFormality(connection)
        )
      },
      onFormality: (committing) => {
        onFormality()
        // It changes nothing, so its failure does not either; a lost connection is the pool's business.
        committing.catch(() => undefined).finally(() => void this.close())
      },
    })
  }

  /**
   * A block that had joined this session threw.
   * @internal
   */
  markRollbackOnly(error: unknown): void {
    this.#rollbackOnly ??= error
  }

  /** @internal */
  requireOpen(): void {
    if (this.#closed !== undefined) {
      throw new SessionClosedError(`The session is closed (${this.#closed}); take a new one from the factory`)
    }
    if (this.#ending) {
      throw new IllegalStateError('The session is ending its transaction: take another session in this hook')
    }
  }

  #owner(): BlockOwner {
    const { conversation, runner } = this.#open
    return { conversation, runner, commit: () => this.commit(), rollback: () => this.#rollback() }
  }

  async #rollback(): Promise<void> {
    const { inTransaction } = this
    const had = inTransaction || this.#ownHooks.has('afterRollback')
    await this.#open.runner.end('rollback')
    if (had) await this.#ended('afterRollback')
    this.#rollbackOnly = undefined
  }

  #began(): void {
    for (const hook of this.#hooksOf('begin')) {
      try {
        const returned = hook(this)
        if (returned instanceof Promise) returned.catch((error: unknown) => warnOfHook('begin', error))
      } catch (error) {
        warnOfHook('begin', error)
      }
    }
  }

  async #ended(event: 'afterCommit' | 'afterRollback'): Promise<void> {
    const hooks = this.#hooksOf(event)
    this.#ownHooks.clear()
    if (hooks.length === 0) return
    const errors: unknown[] = []
    this.#ending = true
    try {
      for (const hook of hooks) {
        try {
          await hook(this)
        } catch (error) {
          errors.push(error)
        }
      }
    } finally {
      this.#ending = false
    }
    if (errors.length === 0) return
    if (event === 'afterRollback') for (const error of errors) warnOfHook(event, error)
    else {
      const cause = errors.length === 1 ? errors[0] : new AggregateError(errors)
      throw new HookError('The transaction was committed, but an afterCommit hook threw (see cause)', {
        cause,
      })
    }
  }

  #hooksOf(event: SessionEvent): readonly SessionHook<Session>[] {
    return [...this.#factoryHooks.of(event), ...this.#ownHooks.of(event)]
  }

  #hasHooks(...events: SessionEvent[]): boolean {
    return events.some((event) => this.#factoryHooks.has(event) || this.#ownHooks.has(event))
  }
}
