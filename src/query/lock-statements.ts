/** Statements that lock rows; for the unit of work. */
import { lockingSelect, type LockStrength } from './own-lock.js'
import { matchesAny, rowValues } from './unnest.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import type { WriteStatement } from './write-statements.js'

/** The rows in which some columns have any of the values. */
export interface MatchedRows {
  readonly columns: readonly TableColumn[]
  readonly rows: readonly (readonly EncodedText[])[]
}

/**
 * Locks rows in the order of their primary key, whatever plan PostgreSQL makes: it locks the rows as the sort returns them. Deleted rows are
 * skipped.
 *
 * @param matched At least one, each with at least one row; may overlap.
 */
export function lockRows(
  table: Table,
  matched: readonly MatchedRows[],
  strength: LockStrength,
): WriteStatement {
  const kind = `lock ${strength} ${matched.map(({ columns }) => columns.map(({ index }) => index).join()).join(' or ')}`
  const shape = table.shape(kind, [], () => {
    let parameters = 0
    const conditions = matched.map(({ columns }) => {
      const condition = matchesAny(columns, table.qualifier, parameters)
      parameters += columns.length
      return condition
    })
    const text = `select count(*) from (${lockingSelect(table, conditions, strength)}) as "locked"`
    return { text, returning: [], order: 'sent' }
  })
  return { ...shape, values: matched.flatMap(({ columns, rows }) => rowValues(columns, rows)) }
}
