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
 * In SQL a column is qualified by the bare name of its table, so one of a table with the same name in another schema would
 * be taken for a column of this one.
 * @throws InvalidStatementError
 */
export function requireOneTableOfName(table: Table, conditions: readonly SqlFragment<unknown>[]): void {
  const asked = [...conditions]
  for (let condition = asked.pop(); condition !== undefined; condition = asked.pop()) {
    // A query inside has been asked by itself.
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
    asked.push(...condition.parts)
  }
}
