/** A cursor on the server: the rows of a statement, page by page, between other statements of the same transaction. */
import { IllegalStateError, InvalidOptionError } from '../errors.js'
import type { RowSource } from '../result/result-stream.js'
import { compileStatement } from '../sql.js'
import type { RawRow } from '../schema/entity-meta.js'
import { STATEMENT_OPTION_NAMES, type StatementOptions } from './statement-options.js'
import { checked, encoded } from './encoded-statement.js'
import { statementChannel } from '../internal/channels.js'
import type { OperationStatement } from '../pipeline/operation.js'
import { StatementTrace } from './statement-trace.js'
import type { StatementRunner } from './statement-runner.js'

/** Options of a streamed statement. */
export interface StreamOptions extends StatementOptions {
  /** Rows per round trip, which is also the maximum number of rows in memory. Default 500; at least 1. */
  readonly batchSize?: number | undefined
}

const DEFAULT_BATCH_SIZE = 500

export const STREAM_OPTION_NAMES: readonly string[] = [
  ...STATEMENT_OPTION_NAMES,
  'batchSize' satisfies keyof StreamOptions,
]

/** Opens the cursor at the first page. Not in autocommit mode: a cursor lives no longer than its transaction. */
export function openCursor<Row>(
  runner: StatementRunner,
  statement: unknown,
  values: readonly unknown[] | undefined,
  options: StreamOptions,
): RowSource<Row> {
  const batchSize = options.batchSize ?? DEFAULT_BATCH_SIZE
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new InvalidOptionError(
      'batchSize',
      `batchSize must be a positive integer, not ${String(batchSize)}`,
    )
  }
  const { pipeline } = runner
  const reader = runner.readerOf(statement)
  const compiled = encoded(reader?.query ?? checked(compileStatement(statement, values)), reader?.queued)
  const portal = pipeline.nextPortal()
  let state: 'new' | 'open' | 'read' | 'closed' = 'new'
  let transaction = 0
  const isAlive = (): boolean => pipeline.state.inTransaction && pipeline.transaction === transaction
  const isBeingRead = (): boolean => state !== 'closed' && (transaction === 0 || isAlive())
  let trace: StatementTrace | undefined
  let rowCount = 0
  const ended = (error?: unknown): void => {
    trace?.note({ command: error === undefined ? 'SELECT' : undefined, rowCount })
    trace?.end(error)
    trace = undefined
  }
  const read = async (page: OperationStatement): Promise<readonly unknown[]> => {
    const ahead = state === 'new' ? runner.flushAhead() : undefined
    if (ahead !== undefined) await ahead
    state = 'open'
    const result = await runner.send(page, options)
    transaction = pipeline.transaction
    if (!result.suspended) state = 'read'
    rowCount += result.rows.length
    const rows = reader === undefined ? result.rows : await reader.read(result.rows as RawRow[])
    if (!result.suspended) ended()
    return rows
  }
  return {
    async next(): Promise<readonly Row[]> {
      if (state === 'read' || state === 'closed') return []
      if (state === 'open' && !isAlive()) {
        throw new IllegalStateError('The transaction of the stream has ended, and its cursor with it')
      }
      if (runner.standsAlone) {
        throw new IllegalStateError(
          'stream() needs a transaction, which autocommit mode does not open: use begin()',
        )
      }
      if (state === 'new') runner.calls.streams.add({ text: compiled.text, isOpen: isBeingRead })
      if (state === 'new' && statementChannel.hasSubscribers)
        trace = new StatementTrace(pipeline, 'stream', compiled.text).begin()
      const page =
        state === 'new'
          ? // A page without a text goes on with the portal, and an empty statement has none: to PostgreSQL a blank is the same.
            { ...compiled, text: compiled.text || ' ', portal, maxRows: batchSize }
          : { text: '', portal, maxRows: batchSize, rowMode: compiled.rowMode, types: compiled.types }
      try {
        return (await read(page)) as readonly Row[]
      } catch (error) {
        ended(error)
        throw error
      }
    },
    close(): void {
      // The end of the transaction closes the portal in any case, so the answer is not waited for.
      const isOpen = state === 'open' || state === 'read'
      if (isOpen && isAlive() && pipeline.state.name === 'active') {
        pipeline.defer({ text: '', portal, closePortal: true })
      }
      state = 'closed'
      ended()
    },
  }
}
