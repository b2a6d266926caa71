/**
 * Rows that have to be deleted before anything is stored, because a new or changed row takes a unique key of theirs.
 * (Otherwise deletes come last, when nothing refers to the rows any more.)
 */
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import type { References } from './references.js'
import { storedValue, tupleOf, type Change, type Insertion, type Removal } from './written-rows.js'

export function earlyRemovals(
  removals: readonly Removal[],
  insertions: readonly Insertion[],
  changes: readonly Change[],
  references: References<Removal>,
): Set<Removal> {
  const early = new Set<Removal>()
  if (removals.length === 0 || insertions.length + changes.length === 0) return early
  const freed = new Map<string, Removal>()
  const removedFrom = new Set(removals.map(({ table }) => table))
  const keys = new Map([...removedFrom].map((table) => [table, uniqueKeysOf(table)]))
  for (const removal of removals) {
    for (const [index, columns] of (keys.get(removal.table) ?? []).entries()) {
      const tuple = tupleOf(columns.map((column) => storedValue(removal.state, column)))
      if (tuple !== undefined) freed.set(nameOf(removal.table, index, tuple), removal)
    }
  }
  const takes = (table: Table, valueOf: (column: TableColumn) => EncodedText | undefined): void => {
    for (const [index, columns] of (keys.get(table) ?? []).entries()) {
      const tuple = tupleOf(columns.map(valueOf))
      const removal = tuple === undefined ? undefined : freed.get(nameOf(table, index, tuple))
      if (removal !== undefined) early.add(removal)
    }
  }
  for (const { table, values } of insertions) takes(table, ({ index }) => values[index])
  for (const { state, table, columns, values } of changes) {
    takes(table, (column) => {
      const at = columns.indexOf(column)
      return at === -1 ? storedValue(state, column) : values[at]
    })
  }
  takeAlongReferring(early, references)
  return early
}

/** Deleted rows that refer to one that goes early have to go before it. */
function takeAlongReferring(early: Set<Removal>, references: References<Removal>): void {
  // A set gives what is added to it while it is read.
  for (const removal of early) for (const referring of references.to(removal)) early.add(referring)
}

function uniqueKeysOf(table: Table): (readonly TableColumn[])[] {
  const named = [
    ...(table.options.unique ?? []),
    ...(table.options.indexes ?? []).flatMap(({ unique, columns }) =>
      unique === true && columns.every((column) => typeof column === 'string') ? [columns as string[]] : [],
    ),
  ]
  return [
    table.primaryKey,
    ...table.columns.filter(({ definition }) => definition.unique === true).map((column) => [column]),
    ...named.map((names) => names.map((name) => table.column(name))),
  ]
}

function nameOf(table: Table, index: number, tuple: string): string {
  return `${table.key} ${index} ${tuple}`
}
