/** The new rows that get their keys before they are inserted. */
import type { Table } from '../../schema/table.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'

/**
 * The columns to allocate for each new row. If one row of a table needs its key beforehand, all of them get theirs, so that the
 * keys rise in the order of `add`.
 *
 * @param needed Columns that other rows refer to.
 * @param pending New objects, in the order of `add`.
 */
export function keysToAllocate(
  needed: ReadonlyMap<InstanceState, ReadonlySet<TableColumn>>,
  pending: Iterable<InstanceState>,
): Map<InstanceState, ReadonlySet<TableColumn>> {
  const columnsOf = new Map<Table, Set<TableColumn>>()
  for (const [{ status, meta }, columns] of needed) {
    if (status !== 'pending') continue
    const known = columnsOf.get(meta.table) ?? new Set<TableColumn>()
    columnsOf.set(meta.table, known)
    for (const column of columns) known.add(column)
  }
  const allocated = new Map<InstanceState, ReadonlySet<TableColumn>>()
  if (columnsOf.size === 0) return allocated
  for (const state of pending) {
    const known = columnsOf.get(state.meta.table)
    if (known === undefined) continue
    const columns = [...known].filter((column) => state.value(column) === undefined)
    if (columns.length > 0) allocated.set(state, new Set(columns))
  }
  return allocated
}
