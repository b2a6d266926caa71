/**
 * One connection as Kysely uses it: for single queries, and for transactions, one after the other.
 *
 * 1. It is acquired by the first query or transaction, and stays the same until Kysely releases it.
 * 2. A query that arrives after the end of its transaction (an `await` is missing) never runs outside of it: a query that was issued
 *    before COMMIT is part of the transaction, a later one is refused.
 * 3. The `code` of PostgreSQL's errors is the SQLSTATE, as with node-postgres.
 */
import type { CompiledQuery, DatabaseConnection, QueryResult, TransactionSettings } from 'kysely'

import { IllegalStateError } from '../../index.js'
import { fromPg, translated } from '../builders/from-pg.js'
import { NamedSavepoints } from './savepoints.js'
import { pagesOf, resultOf, type Abortable, type Statements } from './statements.js'

/** What the connection is being used for. `ended`: a transaction was, and Kysely has not released the connection yet. */
type Use = 'queries' | 'transaction' | 'ending' | 'ended' | 'released'

export abstract class KyselyConnection implements DatabaseConnection {
  #use: Use = 'queries'
  #savepoints: NamedSavepoints | undefined
  /** Cancels the query that runs, if its caller can abort it. */
  #abort: AbortController | undefined

  /** Where the statements of the open transaction run. */
  protected abstract readonly transaction: Statements
  /** Runs a query by itself. */
  protected abstract query<Row>(work: (on: Statements) => Promise<Row>): Promise<Row>
  /** Calls `read` where it can open a cursor. */
  protected abstract pages<Page>(
    read: (on: Statements, isOwn: boolean) => AsyncGenerator<Page>,
  ): AsyncGenerator<Page>
  protected abstract beginTransaction(settings: TransactionSettings): Promise<void>
  protected abstract endTransaction(how: 'commit' | 'rollback'): Promise<void>
  protected abstract close(): Promise<void>

  async executeQuery<Row>(query: CompiledQuery, options?: Abortable): Promise<QueryResult<Row>> {
    if (this.#use !== 'queries' && this.#use !== 'transaction') await this.#requireUsable()
    try {
      if (this.#use === 'transaction') return await this.#run<Row>(this.transaction, query, options)
      return await this.query((on) => this.#run<Row>(on, query, options))
    } catch (error) {
      throw fromPg(error)
    }
  }

  async *streamQuery<Row>(
    query: CompiledQuery,
    chunkSize?: number,
    options?: Abortable,
  ): AsyncIterableIterator<QueryResult<Row>> {
    await this.#requireUsable()
    // An abort that cancelled a page would fail the caller's transaction: Kysely itself stops reading.
    const read = (on: Statements, isOwn: boolean): AsyncGenerator<QueryResult<Row>> =>
      pagesOf<Row>(on, query, chunkSize, isOwn ? options?.signal : undefined)
    try {
      yield* this.#use === 'transaction' ? read(this.transaction, false) : this.pages(read)
    } catch (error) {
      throw fromPg(error)
    }
  }

  /** Sends nothing: BEGIN or SAVEPOINT goes with the first query. */
  async begin(settings: TransactionSettings): Promise<void> {
    await translated(() => this.beginTransaction(settings))
    this.#savepoints = undefined
    this.#use = 'transaction'
  }

  async commit(): Promise<void> {
    // Queries that were issued without `await` are still on their way through Kysely.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    await this.#end('commit')
  }

  rollback(): Promise<void> {
    return this.#end('rollback')
  }

  savepoint(name: string): Promise<void> {
    this.#savepoints ??= new NamedSavepoints(this.transaction)
    const savepoints = this.#savepoints
    return translated(() => savepoints.open(name))
  }

  rollbackToSavepoint(name: string): Promise<void> {
    return translated(() => this.#named(name).rollBackTo(name))
  }

  releaseSavepoint(name: string): Promise<void> {
    return translated(() => this.#named(name).release(name))
  }

  async release(): Promise<void> {
    this.#use = 'released'
    await this.close()
  }

  /** Kysely's abort strategy `cancel query`. */
  cancelQuery(): Promise<void> {
    this.#abort?.abort(new DOMException('Kysely has cancelled the query', 'AbortError'))
    return Promise.resolve()
  }

  async #end(how: 'commit' | 'rollback'): Promise<void> {
    this.#use = 'ending'
    try {
      await translated(() => this.endTransaction(how))
    } finally {
      this.#use = 'ended'
    }
  }

  async #run<Row>(
    on: Statements,
    query: CompiledQuery,
    options: Abortable | undefined,
  ): Promise<QueryResult<Row>> {
    // Whether an abort cancels the query is a choice of Kysely's caller. If it does, Kysely calls `cancelQuery`.
    if (options?.signal === undefined) return await resultOf<Row>(on, query)
    const abort = new AbortController()
    this.#abort = abort
    try {
      return await resultOf<Row>(on, query, abort.signal)
    } finally {
      this.#abort = undefined
    }
  }

  #named(name: string): NamedSavepoints {
    if (this.#savepoints !== undefined) return this.#savepoints
    throw new IllegalStateError(`There is no savepoint '${name}' in this transaction`)
  }

  /** @throws IllegalStateError if Kysely has released the connection, or its transaction is ending. */
  async #requireUsable(): Promise<void> {
    // A query of a transaction that has just ended looks like one of `db.connection()`, but its release comes at once.
    if (this.#use === 'ended') await new Promise<void>((resolve) => setImmediate(resolve))
    if (this.#use !== 'released' && this.#use !== 'ending') return
    throw new IllegalStateError(
      'A query of Kysely was issued after the end of its transaction, and was not run: an `await` is missing, or another branch of a Promise.all has failed',
    )
  }
}
