/**
 * Refuses a flush in which PostgreSQL would delete rows of objects that should stay: the flush deletes a row, and new objects, or
 * objects that were moved to it, refer to that row by a foreign key with ON DELETE CASCADE. With other foreign keys PostgreSQL rejects
 * the delete or sets the key to NULL.
 */
import { InvalidValueError } from '../../errors.js'
import type { TableColumn } from '../../schema/table-column.js'
import { References, type Reference, type ValueOf } from './row-references.js'
import type { Change, Insertion, Removal } from './rows.js'
import { changedValue, insertedValue } from './unique-moves.js'

/** @param deleted The rows that are deleted, by their stored values. @throws InvalidValueError */
export function refuseLostRows(
  insertions: readonly Insertion[],
  changes: readonly Change[],
  deleted: References<Removal>,
): void {
  const newRows = new References(insertions, insertedValue)
  const changedRows = new References(changes, changedValue)
  const check = <Row extends Insertion | Change>(
    row: Row,
    valueOf: ValueOf<Row>,
    isWritten: (column: TableColumn) => boolean,
  ): void => {
    for (const { key, target } of deleted.of(row, valueOf)) {
      // Rows that were there before are left to PostgreSQL.
      if (key.rules.onDelete !== 'cascade' || !key.columns.some(isWritten)) continue
      // Another row takes the key of the deleted one.
      const isSame = ({ key: other }: Reference<Insertion | Change>): boolean => other === key
      if (newRows.of(row, valueOf).some(isSame) || changedRows.of(row, valueOf).some(isSame)) continue
      const names = key.columns.map(({ property }) => property).join(', ')
      throw new InvalidValueError(
        `${row.state} would belong to ${target.state} by ${names}, but that is deleted in the same flush, and its row with it ` +
          '(ON DELETE CASCADE): give it to another object, or do not add it',
      )
    }
  }
  for (const row of insertions) check(row, insertedValue, () => true)
  for (const row of changes) check(row, changedValue, (column) => row.columns.includes(column))
}
