/** Locks of rows in the order of their primary key, as a part of other statements. */
import { columnList } from './entity-statement.js'
import { matchesAny } from './unnest.js'
import type { TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'

/** As strong as what is going to happen: a lock that is made stronger later can deadlock. */
export type LockStrength = 'update' | 'no key update'

/** Locks the rows that meet any of the conditions: PostgreSQL locks the rows as the sort returns them, whatever plan it makes. */
export function lockingSelect(table: Table, conditions: readonly string[], strength: LockStrength): string {
  const order = columnList(table.primaryKey, table.qualifier)
  return `select 1 from ${table.sql} where ${conditions.join(' or ')} order by ${order} for ${strength}`
}

/**
 * The lock as a condition of the statement that changes or deletes the rows: PostgreSQL computes it before the first row is
 * changed, and so locks all rows before. It saves the client a statement.
 *
 * The statement sees the rows as they were before it waited for a lock. PostgreSQL follows each row to its latest version
 * and compares that again, as it does for every UPDATE and DELETE that had to wait.
 *
 * @param columns What the rows are found by.
 * @param after How many parameters of the statement come before those of the columns.
 */
export function ownLock(
  table: Table,
  columns: readonly TableColumn[],
  strength: LockStrength,
  after = 0,
): string {
  const rows = lockingSelect(table, [matchesAny(columns, table.qualifier, after)], strength)
  return `(select count(*) from (${rows}) as "locked") >= 0`
}
