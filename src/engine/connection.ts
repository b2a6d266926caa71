/** A connection of the engine: held until it is closed, with its own transactions. */
import { ConnectionClosedError, IllegalStateError } from '../errors.js'
import type { Lease } from '../pool/pool.js'
import { runBlock } from './block.js'
import type { Conversation } from './conversation.js'
import { Executor, type ExecutorParts } from './executor.js'
import type { BeginPlan } from './transaction-options.js'

/** What a {@link Connection} is made of. */
export interface ConnectionParts extends ExecutorParts {
  readonly conversation: Conversation
  readonly lease: Lease
  /** How `begin()` begins, also in autocommit mode. */
  readonly beginPlan: BeginPlan
}

/** A transaction that is ended by hand or by `await using`. */
export interface Transaction extends AsyncDisposable {
  /** @throws TransactionAbortedError, CommitOutcomeUnknownError, DatabaseError (deferred constraints). */
  commit(): Promise<void>
  /** Idempotent. */
  rollback(): Promise<void>
}

/**
 * One connection of the pool, held until `close()`. The first statement begins a transaction (unless the connection is
 * in autocommit mode); `commit()` and `rollback()` end it, the next statement begins the next one.
 *
 * Made by `engine.connect()`. Prefer `engine.begin(fn)` or sessions, which cannot be forgotten; or `await using`.
 *
 * @example
 * await using connection = await engine.connect()
 * await connection.execute('insert into songs (title) values ($1)', ['Help!'])
 * await connection.commit()
 */
export class Connection extends Executor implements AsyncDisposable {
  readonly #parts: ConnectionParts
  #closed = false

  /** Use `engine.connect()`. */
  constructor(parts: ConnectionParts) {
    super(parts)
    this.#parts = parts
  }

  /**
   * Begins a transaction explicitly. With a callback: committed when it returns, rolled back when it throws. Without:
   * ended by `commit()`, `rollback()`, or by `await using`, which rolls back what was not committed.
   * @throws IllegalStateError if one is open already.
   */
  begin(): Promise<Transaction>
  begin<Value>(work: () => Value | Promise<Value>): Promise<Value>
  async begin<Value>(work?: () => Value | Promise<Value>): Promise<Transaction | Value> {
    this.requireOpen()
    const { conversation, runner, beginPlan } = this.#parts
    const { autocommit } = conversation
    conversation.beginWith(beginPlan)
    // Back to where it was, once the transaction has ended.
    const restore = (): void => {
      if (autocommit) conversation.beginWith(undefined)
    }
    const owner = {
      conversation,
      runner,
      commit: () => runner.end('commit'),
      rollback: () => runner.end('rollback'),
    }
    if (work !== undefined) return runBlock(owner, work).finally(restore)
    let ended = false
    const end = async (kind: 'commit' | 'rollback'): Promise<void> => {
      if (ended && kind === 'rollback') return
      if (ended) throw new IllegalStateError('The transaction has ended already')
      await runner.end(kind)
      ended = true
      restore()
    }
    return {
      commit: () => end('commit'),
      rollback: () => end('rollback'),
      [Symbol.asyncDispose]: () => end('rollback'),
    }
  }

  /** Ends the transaction; without one it does nothing. Throws as `Transaction.commit`. */
  async commit(): Promise<void> {
    this.requireOpen()
    await this.#parts.runner.end('commit')
  }

  /** Undoes the transaction and any failure in it; without one it does nothing. */
  async rollback(): Promise<void> {
    this.requireOpen()
    await this.#parts.runner.end('rollback')
  }

  /** Gives the connection back, after everything that was given before; rolls back an open transaction. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { conversation, runner } = this.#parts
    try {
      await runner.end('rollback')
    } finally {
      conversation.release()
    }
  }

  /** Closes this connection and drops its socket, because something is wrong with it. Its transaction is undone. */
  async invalidate(reason: unknown = new Error('invalidate() was called')): Promise<void> {
    this.#closed = true
    const { conversation, lease } = this.#parts
    lease.invalidate(reason)
    conversation.release()
    return Promise.resolve()
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Process id of the server's backend; undefined after a loss, until the next statement. */
  get processId(): number | undefined {
    return this.#parts.conversation.connection?.processId
  }

  /** @internal */
  requireOpen(): void {
    if (this.#closed) throw new ConnectionClosedError('The connection is closed')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
