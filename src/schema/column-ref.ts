/** References to columns: `Song.c.title`. */
import { InvalidStatementError } from '../errors.js'
import { quoteIdentifier, SqlFragment } from '../sql.js'
import type { TableColumn } from './table-column.js'
import type { Table } from './table.js'

/**
 * A column of an entity in SQL: for conditions, orders, and inside `` sql`...` ``.
 * @example
 * select(Song).where(gt(Song.c.plays, 1000), sql`length(${Song.c.title}) < 20`)
 */
export class ColumnRef<Value> extends SqlFragment<unknown> {
  /** Only for the type checker. */
  declare readonly $value: Value
  readonly column: TableColumn
  /** Name of the table, without its schema: what stands in SQL. */
  readonly table: string

  constructor(table: string, column: TableColumn) {
    super([`${quoteIdentifier(table)}.${column.sql}`], [])
    this.column = column
    this.table = table
  }
}

/**
 * Refuses conditions on a table of the same name in another schema. In SQL a column is qualified by the name of its table only,
 * so PostgreSQL would take it for a column of this table.
 * @throws InvalidStatementError
 */
export function refuseNamesakes(table: Table, conditions: readonly SqlFragment<unknown>[]): void {
  const rest = [...conditions]
  for (let condition = rest.pop(); condition !== undefined; condition = rest.pop()) {
    // A subquery has checked its own conditions.
    if ('toEntityQuery' in condition) continue
    if (
      condition instanceof ColumnRef &&
      condition.table === table.name &&
      !table.columns.includes(condition.column)
    ) {
      throw new InvalidStatementError(
        `${condition.column} and ${table.key} have the same name in different schemas, which a condition cannot tell apart: ` +
          'write it with sql and aliases',
      )
    }
    rest.push(...condition.parts)
  }
}
