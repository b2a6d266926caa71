/** The methods that a connection and a session share: they run statements. */
import type { Readable, Writable } from 'node:stream'

import type { DriverConnection, StatementResult } from '../driver/driver.js'
import { InvalidStatementError } from '../errors.js'
import type { Result } from '../result/result.js'
import { ResultStream } from '../result/result-stream.js'
import type { EntityStatement, ValueStatement } from '../query/entity-statement.js'
import { requireText } from '../internal/statement-text.js'
import { describeArgument } from '../sql.js'
import type {
  CompiledQueryLike,
  DrizzleCommandLike,
  DrizzleLike,
  KyselyLike,
  SqlFragment,
  StatementConfig,
} from '../sql.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import type { OperationStatement } from '../pipeline/operation.js'
import { copyFrom, copyTo } from './copy.js'
import { openCursor, STREAM_OPTION_NAMES, type StreamOptions } from './cursor.js'
import type { ExecutionOwner } from './contract.js'
import type { Savepoint } from './scope.js'
import { addForeignNames, OF_EXECUTOR } from '../internal/foreign-names.js'
import { runScript } from '../pipeline/script.js'
import { statementOptions, type StatementOptions } from './statement-options.js'
import type { StatementRunner } from './statement-runner.js'
import { isArray } from '../internal/revoked.js'

/** A statement whose row type is not known from its own type. */
export type UntypedStatement = string | StatementConfig | CompiledQueryLike | DrizzleCommandLike

/** Starts pipelines: the engine. */
export interface PipelineOpener {
  openPipeline(setup: PipelineSetup, owner: ExecutionOwner): StatementRunner
}

type Values = readonly unknown[]

export abstract class Executor {
  readonly #runner: StatementRunner

  static {
    addForeignNames(this.prototype, OF_EXECUTOR)
  }

  constructor(runner: StatementRunner) {
    this.#runner = runner
  }

  /**
   * Runs a statement and buffers its rows. The first statement begins the transaction, in the same batch. Statements
   * issued in the same tick (`Promise.all`) are sent in one batch, in order.
   *
   * @param statement SQL text, `{ text, values }`, `` sql`...` ``, a Kysely or Drizzle query, `select(Entity)`.
   * @param values One for each placeholder, if the statement has no values of its own.
   * @throws DatabaseError (by SQLSTATE), ConnectionLostError, PoolTimeoutError, ConnectError, TransactionAbortedError
   *   after an earlier failure, InvalidStatementError, AbortedError. `isRetryable` tells whether a retry of the whole
   *   transaction is safe.
   * @example
   * const result = await session.execute<{ title: string }>('select title from songs where id = $1', [id])
   * const song = result.oneOrNone()
   */
  execute<Item, Scalar>(
    statement: EntityStatement<Item, Scalar>,
    options?: StatementOptions,
  ): Promise<Result<Item, Scalar>>
  execute<Row>(statement: SqlFragment<Row>, options?: StatementOptions): Promise<Result<Row>>
  execute<Row>(statement: KyselyLike<Row>, options?: StatementOptions): Promise<Result<Row>>
  execute<Row>(statement: DrizzleLike<Row>, options?: StatementOptions): Promise<Result<Row>>
  execute<Row = Record<string, unknown>>(
    statement: UntypedStatement,
    values?: Values | StatementOptions,
    options?: StatementOptions,
  ): Promise<Result<Row>>
  execute(statement: unknown, values?: unknown, options?: StatementOptions): Promise<Result<never, never>> {
    return this.#runner.execute(statement, values, options, wholeResult)
  }

  /** First column of the first row, or the first entity, or null. Throws as `execute` does. */
  scalar<Value>(statement: ValueStatement<Value>, options?: StatementOptions): Promise<Value>
  scalar<Item, Scalar>(
    statement: EntityStatement<Item, Scalar>,
    options?: StatementOptions,
  ): Promise<Scalar | null>
  scalar<Value = unknown>(
    statement: UntypedStatement | SqlFragment<unknown>,
    values?: Values | StatementOptions,
    options?: StatementOptions,
  ): Promise<Value | null>
  scalar(statement: unknown, values?: unknown, options?: StatementOptions): Promise<unknown> {
    return this.#runner.execute(statement, values, options, scalarOfResult)
  }

  /** First column of every row, or every entity. Throws as `execute` does. */
  scalars<Item, Scalar>(
    statement: EntityStatement<Item, Scalar>,
    options?: StatementOptions,
  ): Promise<Scalar[]>
  scalars<Value = unknown>(
    statement: UntypedStatement | SqlFragment<unknown>,
    values?: Values | StatementOptions,
    options?: StatementOptions,
  ): Promise<Value[]>
  scalars(statement: unknown, values?: unknown, options?: StatementOptions): Promise<unknown[]> {
    return this.#runner.execute(statement, values, options, scalarsOfResult)
  }

  /**
   * Runs a statement on a server-side cursor, and reads `batchSize` rows at a time while the caller iterates. Other statements
   * may run in between. The cursor ends with the transaction at the latest.
   *
   * @throws as `execute`, when the first page is read. IllegalStateError in autocommit mode.
   */
  stream<Item>(statement: EntityStatement<Item, unknown>, options?: StreamOptions): ResultStream<Item>
  stream<Row>(statement: SqlFragment<Row>, options?: StreamOptions): ResultStream<Row>
  stream<Row>(statement: KyselyLike<Row>, options?: StreamOptions): ResultStream<Row>
  stream<Row>(statement: DrizzleLike<Row>, options?: StreamOptions): ResultStream<Row>
  stream<Row = Record<string, unknown>>(
    statement: UntypedStatement,
    values?: Values | StreamOptions,
    options?: StreamOptions,
  ): ResultStream<Row>
  stream(statement: unknown, second?: unknown, third?: StreamOptions): ResultStream<never> {
    const runner = this.#runner
    const values = isArray(second) ? (second as Values) : undefined
    const options = statementOptions(
      third ?? (values === undefined ? second : undefined),
      STREAM_OPTION_NAMES,
    )
    try {
      return new ResultStream<never>(openCursor(runner, statement, values, options))
    } catch (error) {
      throw runner.explain(error)
    }
  }

  /**
   * Runs a script: several statements in one text, without values (the simple query protocol). For migrations and tests; inside
   * the transaction, like any other statement. A script must not end the transaction with a COMMIT or ROLLBACK of its own. In
   * autocommit mode a script may contain transactions, and must end each of them.
   * @throws as `execute`. IllegalStateError if the script ended the transaction around it, or in autocommit mode left a
   *   transaction open: the message says what was stored.
   */
  executeScript(text: string): Promise<void> {
    const runner = this.#runner
    return runner.attend('query', async () => {
      requireScript(text)
      await runner.exclusive('script', text, { run: (connection) => runScript(connection, text) })
    })
  }

  /**
   * Starts `COPY ... FROM STDIN` and returns the stream to write to. Later statements wait until it has ended.
   * Needs the package `pg-copy-streams`.
   * @example
   * await pipeline(createReadStream('songs.csv'), await session.copyFrom('copy songs from stdin csv'))
   */
  copyFrom(statement: string): Promise<Writable> {
    return copyFrom(this.#runner, statement)
  }

  /**
   * Starts `COPY ... TO STDOUT` and returns the stream to read from. Later statements wait until it has ended. If the stream is
   * closed early (`break`, `destroy()`), the COPY is cancelled on the server. If the server was still sending, the transaction
   * fails with an AbortedError.
   */
  copyTo(statement: string): Promise<Readable> {
    return copyTo(this.#runner, statement)
  }

  /**
   * A savepoint. With a callback: released when the callback returns, rolled back when it throws (the caller gets the error,
   * and the transaction stays usable). Without: ended by `commit()`, `rollback()`, or by `await using`, which rolls back unless
   * it was committed.
   *
   * SAVEPOINT and RELEASE are sent with other statements and cost no round trip. Concurrent blocks run one after the other.
   *
   * @throws what the callback throws; UnawaitedStatementError; TransactionAbortedError if the callback returned although a
   *   statement in it had failed. InvalidOptionError in autocommit mode outside of `begin()`, where there is no transaction.
   * @example
   * await session.beginNested(() => session.execute('insert into tags values ($1)', [tag])).catch(ignoreDuplicate)
   */
  beginNested(): Promise<Savepoint>
  beginNested<Value>(work: () => Value | Promise<Value>): Promise<Value>
  beginNested<Value>(work?: () => Value | Promise<Value>): Promise<Savepoint | Value> {
    const runner = this.#runner
    if (work !== undefined) return runner.attend('block', () => runner.nestable.run(work))
    return openSavepoint(runner)
  }

  /**
   * Runs a statement as `execute` does, in the driver's terms. For integrations.
   * @internal
   */
  runStatement(statement: OperationStatement): Promise<StatementResult> {
    const runner = this.#runner
    return runner.attend('query', async () => {
      await runner.flushAhead()
      return await runner.run(statement)
    })
  }

  /**
   * Gives `work` exclusive use of the connection, inside the transaction. For integrations.
   * @internal
   */
  exclusively(text: string, work: (connection: DriverConnection) => Promise<void>): Promise<void> {
    const runner = this.#runner
    return runner.attend('query', () => runner.exclusive('submittable', text, { run: work }))
  }

  /** True from the first statement of a transaction until its end, also if it has failed. */
  get inTransaction(): boolean {
    return this.#runner.pipeline.state.inTransaction
  }
}

async function openSavepoint(runner: StatementRunner): Promise<Savepoint> {
  return await runner.nestable.open()
}

/** @throws InvalidStatementError before a connection is acquired. */
function requireScript(text: unknown): void {
  if (typeof text !== 'string')
    throw new InvalidStatementError(`A script is a string, not ${describeArgument(text)}`)
  requireText('script', text)
}

// These are functions of the module, because a closure for each call would be kept as long as the call waits.
const wholeResult = (result: Result<never, never>): Result<never, never> => result
const scalarOfResult = (result: Result<never, never>): never => result.scalar() as never
const scalarsOfResult = (result: Result<never, never>): never[] => result.scalars()
