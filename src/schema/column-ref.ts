/** References to columns: `Song.c.title`. */
import { quoteIdentifier, SqlFragment } from '../sql.js'
import type { TableColumn } from './table-column.js'

/**
 * A column of an entity in SQL: for conditions, orders, and inside `` sql`...` ``.
 * @example
 * select(Song).where(gt(Song.c.plays, 1000), sql`length(${Song.c.title}) < 20`)
 */
export class ColumnRef<Value> extends SqlFragment<unknown> {
  /** Only for the type checker. */
  declare readonly $value: Value
  readonly column: TableColumn

  constructor(table: string, column: TableColumn) {
    super([`${quoteIdentifier(table)}.${column.sql}`], [])
    this.column = column
  }
}
