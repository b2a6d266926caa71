/** Decides which new rows get their keys before they are inserted. */
import type { Table } from '../../schema/table.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'

/**
 * All new rows of the tables that need keys beforehand, referred to or not: so the keys rise in the order of `add`.
 *
 * @param needed Columns that other rows refer to.
 * @param pending New objects, in the order of `add`.
 */
export function withoutKeys(
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
  const without = new Map<InstanceState, ReadonlySet<TableColumn>>()
  if (columnsOf.size === 0) return without
  for (const state of pending) {
    const columns = [...(columnsOf.get(state.meta.table) ?? [])].filter(
      (column) => state.value(column) === undefined,
    )
    if (columns.length > 0) without.set(state, new Set(columns))
  }
  return without
}
