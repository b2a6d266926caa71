/** The results of the builders' queries: entities in a session, or values, instead of plain rows. */
import type { StatementResult } from '../driver/driver.js'
import { InvalidStatementError } from '../errors.js'
import { Result } from '../result/result.js'
import type { RawRow } from '../schema/entity-meta.js'
import { entityQueryOf, readRow, scalarOf, type EntityQuery } from '../query/entity-statement.js'
import type { ExecutionOwner } from './contract.js'
import type { OperationStatement } from '../pipeline/operation.js'

/** Reads the rows of a query of a builder. */
export interface RowsReader {
  readonly query: EntityQuery
  readonly queued: OperationStatement['queued']
  read(rows: readonly RawRow[]): Promise<readonly unknown[]>
}

/**
 * The reader for a query that a builder has made; undefined for any other statement.
 * @throws InvalidStatementError for entities on a connection, which keeps none.
 */
export function rowsReaderFor(owner: ExecutionOwner, statement: unknown): RowsReader | undefined {
  const query = entityQueryOf(statement)
  if (query === undefined) return undefined
  const { reading } = query
  if (reading.kind !== 'entity') {
    const read = (rows: readonly RawRow[]): Promise<unknown[]> =>
      Promise.resolve(rows.map((row) => readRow(reading, row)))
    return { query, queued: undefined, read }
  }
  const entities = owner.entityReader?.(query)
  if (entities === undefined) {
    throw new InvalidStatementError(
      'A connection cannot load entities: load them in a session, or select columns: select(...).columns(...)',
    )
  }
  return { query, queued: entities.queued, read: (rows) => entities.read(rows) }
}

/** The result of such a query, whose rows were read. */
export function resultOf(
  { reading }: EntityQuery,
  result: StatementResult,
  rows: readonly unknown[],
): Result<never, never> {
  const readScalar = (item: unknown): unknown => scalarOf(reading, item)
  const { command, rowCount, fields } = result
  return new Result<never, never>({ command, rowCount, fields, rows, scalarOf: readScalar } as never)
}
