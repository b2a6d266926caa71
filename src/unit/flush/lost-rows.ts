/**
 * Refuses a flush in which PostgreSQL would delete rows of objects that should stay: the flush deletes a row, and new objects, or
 * objects that were moved to it, refer to that row by a foreign key with ON DELETE CASCADE. With other foreign keys PostgreSQL rejects
 * the delete or sets the key to NULL.
 */
import { InvalidValueError } from '../../errors.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { States } from '../identity-map.js'
import type { InstanceState } from '../instance-state.js'
import { References, type Reference, type ValueOf } from './row-references.js'
import { storedValue, textIfValid, type Change, type Insertion, type Removal } from './rows.js'
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

/** Foreign keys that get their values from relations. */
export interface AssignedKeys {
  readonly holders: { has(state: InstanceState): boolean }
  isAssigned(state: InstanceState, column: TableColumn): boolean
}

/**
 * A new object with the key of a deleted one is inserted after the delete. Objects that a relation gives to the new one, and whose rows
 * refer to that key already, would be deleted with the old row, or lose their owner: no UPDATE follows, as their keys stay the same.
 * @param tracked The objects with rows.
 * @throws InvalidValueError
 */
export function refuseRowsOfReplaced(
  tracked: States,
  assigned: AssignedKeys,
  insertions: readonly Insertion[],
  removals: readonly Removal[],
): void {
  const deleted = new References(removals, ({ state }, column) => storedValue(state, column))
  const newRows = new References(insertions, insertedValue)
  const kept = (
    { state }: { readonly state: InstanceState },
    column: TableColumn,
  ): EncodedText | undefined => {
    const stored = storedValue(state, column)
    return textIfValid(state, column) === stored ? stored : undefined
  }
  tracked.forEach((state) => {
    if (state.markedDeleted || !assigned.holders.has(state)) return
    const row = { state, table: state.meta.table }
    for (const { key, target } of deleted.of(row, kept)) {
      const { onDelete = 'no action' } = key.rules
      if (onDelete === 'no action' || onDelete === 'restrict') continue
      if (!key.columns.some((column) => assigned.isAssigned(state, column))) continue
      const successor = newRows.of(row, kept).find((reference) => reference.key === key)?.target
      if (successor === undefined) continue
      throw new InvalidValueError(
        `${state} was given to ${successor.state}, which has the key of ${target.state}. That is deleted in the same flush, and ON DELETE ` +
          `${onDelete.toUpperCase()} applies to what refers to its row: change the stored object instead of replacing it, or give the new one another key`,
      )
    }
  })
}
