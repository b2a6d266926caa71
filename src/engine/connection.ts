/** A connection of the engine: held until it is closed, with its own transactions. */
import { ConnectionClosedError, IllegalStateError } from '../errors.js'
import { checkCallback } from '../internal/validate.js'
import type { Lease } from '../pool/pool.js'
import { beginInTurn, runTransaction } from '../execution/begun-transaction.js'
import { ownedByBlock, runBlock, type BlockOwner } from '../execution/block.js'
import type { TransactionEnding } from '../pipeline/explicit-transactions.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { Executor, type PipelineOpener } from '../execution/executor.js'
import type { StatementRunner } from '../execution/statement-runner.js'
import { errorFrom } from '../internal/thrown.js'

/** The parts of a {@link Connection}. */
export interface ConnectionParts {
  readonly engine: PipelineOpener
  readonly setup: PipelineSetup
  /** Undefined: the first statement acquires one. */
  readonly lease: Lease | undefined
}

/** A transaction that the caller ends, by `commit()`, `rollback()` or `await using`. */
export interface Transaction extends AsyncDisposable {
  /** @throws TransactionAbortedError, CommitOutcomeUnknownError, DatabaseError (deferred constraints). */
  commit(): Promise<void>
  /** Idempotent. */
  rollback(): Promise<void>
}

/**
 * One connection of the pool, held until `close()`. The first statement begins a transaction (unless the connection is
 * in autocommit mode); `commit()` and `rollback()` end it, and the next statement begins another one.
 *
 * Made by `engine.connect()`. Prefer `engine.begin(fn)` or `withSession(fn)`, which always release it; or `await using`.
 *
 * @example
 * await using connection = await engine.connect()
 * await connection.execute('insert into songs (title) values ($1)', ['Help!'])
 * await connection.commit()
 */
export class Connection extends Executor implements AsyncDisposable {
  readonly #runner: StatementRunner
  #closed = false
  /** True if an `engine.begin` block owns the connection: the block is a transaction from its start. */
  #owned = false

  /** Use `engine.connect()`. */
  constructor(parts: ConnectionParts) {
    const runner = parts.engine.openPipeline(parts.setup, { requireOpen: () => this.#requireOpen() })
    super(runner)
    this.#runner = runner
    if (parts.lease !== undefined) this.#pipeline.adopt(parts.lease)
  }

  /**
   * Begins a transaction explicitly. With a callback: committed when it returns, rolled back when it throws. Without:
   * ended by `commit()`, `rollback()`, or by `await using`, which rolls back what was not committed.
   * @throws IllegalStateError inside a transaction, because its COMMIT would also commit the outer work: use `beginNested()`.
   *   Concurrent blocks run one after the other.
   */
  begin(): Promise<Transaction>
  begin<Value>(work: () => Value | Promise<Value>): Promise<Value>
  async begin<Value>(work?: () => Value | Promise<Value>): Promise<Transaction | Value> {
    if (work !== undefined) checkCallback('begin', work)
    this.#requireOpen()
    if (this.#owned) throw ownedByBlock('engine.begin()')
    const runner = this.#runner
    if (work !== undefined) {
      return await runner.attend('block', () =>
        runTransaction(runner, (scope) =>
          runBlock(this.#owner, work, { scope, asyncScope: { owner: runner.scopes, value: scope } }),
        ),
      )
    }
    const begun = await beginInTurn(runner, () => this.#pipeline.beginOnce())
    const end = async (kind: 'commit' | 'rollback'): Promise<void> => {
      const { ending } = begun
      if (ending === undefined) await runner.end(kind)
      else if (kind === 'commit')
        throw new IllegalStateError(`Cannot commit the transaction: ${ENDED[ending]}`)
    }
    return {
      commit: () => end('commit'),
      rollback: () => end('rollback'),
      [Symbol.asyncDispose]: () => end('rollback'),
    }
  }

  /** Ends the transaction; without one it does nothing. Throws as `Transaction.commit`. */
  commit(): Promise<void> {
    return this.#end('commit')
  }

  /** Rolls back the transaction; a failed transaction becomes usable again. Without a transaction it does nothing. */
  rollback(): Promise<void> {
    return this.#end('rollback')
  }

  /** Releases the connection, after all statements issued before; rolls back an open transaction. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = this.#pipeline.closed = true
    try {
      this.#runner.abandonOpenWork()
      if (!this.#pipeline.quiet) await this.#runner.end('rollback')
    } finally {
      this.#pipeline.release()
    }
  }

  /** Closes the socket at once, for a connection that is broken, and closes this object. The server rolls its transaction back. */
  async invalidate(reason: unknown = new Error('invalidate() was called')): Promise<void> {
    this.#closed = this.#pipeline.closed = true
    this.#pipeline.invalidate(errorFrom(reason))
    return Promise.resolve()
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Process id of the server's backend; undefined after a loss, until the next statement. */
  get processId(): number | undefined {
    return this.#pipeline.connection?.processId
  }

  /**
   * Runs the block that has this connection, in a transaction.
   * @internal
   */
  runOwned<Value>(work: () => Value | Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
    this.#owned = true
    return runBlock(this.#owner, work, { signal })
  }

  /**
   * Releases the connection, but stays open: the next statement acquires another one.
   * @returns false, and does nothing, if a transaction is open or anything is under way.
   * @internal
   */
  rest(): boolean {
    if (this.#closed || !this.#pipeline.quiet) return false
    this.#pipeline.release()
    return true
  }

  /**
   * Closes this object, but keeps its connection out of the pool for another one: see `Engine.connectOn`. Undefined if the
   * connection cannot be used any more.
   * @throws IllegalStateError while a transaction is open or anything is under way. ConnectionClosedError.
   * @internal
   */
  handOver(): Lease | undefined {
    this.#requireOpen()
    if (!this.#pipeline.quiet)
      throw new IllegalStateError('The connection cannot be handed over: it is in a transaction, or busy')
    this.#closed = this.#pipeline.closed = true
    return this.#pipeline.handOver()
  }

  get #pipeline(): Pipeline {
    return this.#runner.pipeline
  }

  /** This connection, as the owner of the transactions of its blocks. */
  get #owner(): BlockOwner {
    const runner = this.#runner
    return {
      pipeline: runner.pipeline,
      runner,
      commit: () => runner.end('commit'),
      queueCommit: () => {
        const queued = runner.queueEnd('commit')
        return { settle: () => runner.endOf(queued) }
      },
      rollback: () => runner.end('rollback'),
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #end(kind: 'commit' | 'rollback'): Promise<void> {
    return this.#runner.attend('end', async () => {
      this.#requireOpen()
      await this.#runner.end(kind)
    })
  }

  #requireOpen(): void {
    if (this.#closed) throw new ConnectionClosedError('The connection is closed')
  }
}

const ENDED: Readonly<Record<TransactionEnding, string>> = {
  committed: 'it was committed already',
  'rolled back': 'it was rolled back already',
  unknown: 'it has ended already, and it is not known whether it was committed',
}
