/**
 * Unchanged relations to a row whose key changes in the flush: their foreign keys get the new key. (If the foreign key has ON UPDATE,
 * PostgreSQL changes it; see key-propagation.ts.)
 */
import type { Relation } from '../../schema/relation-resolution.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { KeyAssignments } from './key-assignments.js'
import { heldBy } from '../relation-values.js'
import { foreignKeysOf, storedValue } from './rows.js'

/** A relation, with its value when it was loaded or flushed. */
export interface KeptRelation {
  readonly state: InstanceState
  readonly relation: Relation
}

/** Adds assignments for those of the relations whose key changes; also because of one of these assignments. */
export function followMovedKeys(kept: readonly KeptRelation[], keys: KeyAssignments): void {
  let waiting = kept
  for (let before = -1; waiting.length !== before;) {
    before = waiting.length
    waiting = waiting.filter((one) => !followMovedKey(one, keys))
  }
}

/** @returns whether it has led to assignments. */
function followMovedKey({ state, relation }: KeptRelation, keys: KeyAssignments): boolean {
  const { kind, ownColumns, targetColumns } = relation
  if (kind === 'manyToMany') return false
  const isOwn = kind === 'belongsTo'
  const [columns, keyColumns] = isOwn ? [ownColumns, targetColumns] : [targetColumns, ownColumns]
  // A collection has one owner, whose key usually does not change, so the owner is checked first.
  if (!isOwn && !moves(state, keyColumns, keys)) return false
  let follows = false
  for (const member of heldBy(state, relation)) {
    const [holder, target] = isOwn ? [state, member] : [member, state]
    if (isOwn && !moves(target, keyColumns, keys)) continue
    if (
      holder.status !== 'persistent' ||
      holder.markedDeleted ||
      !leadsTo(holder, columns, target, keyColumns)
    )
      continue
    if (isFollowedByDatabase(holder, columns)) continue
    const assignment = { holder, columns, target, targetColumns: keyColumns, of: state.meta, relation }
    if (keys.has(assignment)) continue
    keys.add({ ...assignment, source: 'moved key' })
    follows = true
  }
  return follows
}

/** Whether a stored key is going to change. */
function moves(state: InstanceState, columns: readonly TableColumn[], keys: KeyAssignments): boolean {
  if (state.status !== 'persistent' || state.markedDeleted) return false
  return columns.some(
    (column) =>
      keys.isAssigned(state, column) ||
      column.hasChanged(state.value(column), state.snapshot?.[column.index]),
  )
}

/** Whether a foreign key still leads to the stored key of an object: if not, the program has set it to another value. */
function leadsTo(
  holder: InstanceState,
  columns: readonly TableColumn[],
  target: InstanceState,
  keyColumns: readonly TableColumn[],
): boolean {
  return columns.every((column, index) => {
    const text = holder.text(column)
    if (text === null || text === undefined) return false
    return holder.isSameKey(column, text, storedValue(target, keyColumns[index] as TableColumn))
  })
}

function isFollowedByDatabase(holder: InstanceState, columns: readonly TableColumn[]): boolean {
  return (
    holder.meta.table.isView ||
    foreignKeysOf(holder).some(
      ({ columns: others, rules: { onUpdate } }) =>
        (onUpdate === 'cascade' || onUpdate === 'set null') &&
        others.length === columns.length &&
        others.every((column) => columns.includes(column)),
    )
  )
}
