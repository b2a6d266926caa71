/** Deletes rows together with their owners, unless another owner has taken them over meanwhile. */
import { rowSource, rowValues } from './unnest.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import { ownLock, type LockStrength } from './own-lock.js'
import {
  allFound,
  keyAndVersion,
  keyAndVersionOf,
  lockedKind,
  withValues,
  type KeyedRow,
  type WriteStatement,
} from './write-statements.js'

/** A row by its key, and the values that it must still hold. */
export interface GuardedRow extends KeyedRow {
  /** In the order of the columns; null: the column is not compared. */
  readonly guard: readonly EncodedText[]
}

/**
 * Deletes the rows that still hold their guards, and returns their ordinals. If the table has a version, it fails unless all rows
 * are found.
 *
 * @param columns The columns that the guards are compared with.
 * @param rows At least one.
 * @param lock Locks the rows in the order of their key first.
 */
export function deleteGuarded(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly GuardedRow[],
  lock?: LockStrength,
): WriteStatement {
  const keys = keyAndVersion(table)
  const inputs = [...keys, ...columns]
  const shape = table.shape(lockedKind('delete guarded', lock), columns, () => {
    const source = rowSource(inputs, table.qualifier)
    const matches = inputs.map(({ sql }, index) => {
      const [own, given] = [`${table.qualifier}.${sql}`, source.columns[index] as string]
      return index < keys.length ? `${own} = ${given}` : `(${given} is null or ${own} = ${given})`
    })
    if (lock !== undefined) matches.push(ownLock(table, table.primaryKey, lock))
    const text = `delete from ${table.sql} using ${source.sql} where ${matches.join(' and ')}`
    return table.version === undefined
      ? { text: `${text} returning ${source.ordinal}`, returning: [], order: 'ordinal' }
      : { text: allFound(table, 'found', text, [], inputs.length), returning: [], order: 'sent' }
  })
  const values = rowValues(
    inputs,
    rows.map((row) => [...keyAndVersionOf(table, row), ...row.guard]),
  )
  return withValues(shape, table.version === undefined ? values : [...values, String(rows.length)])
}
