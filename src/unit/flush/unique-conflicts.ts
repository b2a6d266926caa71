/**
 * Unique conflicts between deleted and written rows: rows that must be deleted first, because a new or changed row takes their
 * unique key. (Other deletes come last, when nothing refers to the rows any more.)
 */
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import type { References } from './row-references.js'
import { changedValue, uniqueKeysOf } from './unique-moves.js'
import { equalTupleOf, storedValue, type Change, type Insertion, type Removal } from './rows.js'

/** The conflicts of a flush. */
export interface UniqueConflicts {
  /** Rows to delete first. */
  readonly removals: ReadonlySet<Removal>
  /** The rows that take their keys. */
  readonly takers: ReadonlySet<Insertion | Change>
}

export function uniqueConflicts(
  removals: readonly Removal[],
  insertions: readonly Insertion[],
  changes: readonly Change[],
  references: References<Removal>,
): UniqueConflicts {
  const early = new Set<Removal>()
  const takers = new Set<Insertion | Change>()
  if (removals.length === 0 || insertions.length + changes.length === 0) return { removals: early, takers }
  const freed = new Map<string, Removal>()
  const removedFrom = new Set(removals.map(({ table }) => table))
  const keys = new Map([...removedFrom].map((table) => [table, uniqueKeysOf(table)]))
  for (const removal of removals) {
    for (const [index, columns] of (keys.get(removal.table) ?? []).entries()) {
      const tuple = equalTupleOf(columns, (column) => storedValue(removal.state, column))
      if (tuple !== undefined) freed.set(nameOf(removal.table, index, tuple), removal)
    }
  }
  const take = (
    taker: Insertion | Change,
    valueOf: (column: TableColumn) => EncodedText | undefined,
  ): void => {
    const { table } = taker
    for (const [index, columns] of (keys.get(table) ?? []).entries()) {
      const tuple = equalTupleOf(columns, valueOf)
      const removal = tuple === undefined ? undefined : freed.get(nameOf(table, index, tuple))
      if (removal === undefined) continue
      early.add(removal)
      takers.add(taker)
    }
  }
  for (const insertion of insertions) take(insertion, ({ index }) => insertion.values[index])
  for (const change of changes) take(change, (column) => changedValue(change, column))
  takeAlongReferring(early, references)
  return { removals: early, takers }
}

/** Deleted rows that refer to a row that is deleted first must be deleted before it. */
function takeAlongReferring(early: Set<Removal>, references: References<Removal>): void {
  // Iterating a set includes the elements that are added meanwhile.
  for (const removal of early) for (const referring of references.to(removal)) early.add(referring)
}

function nameOf(table: Table, index: number, tuple: string): string {
  return `${table.key} ${index} ${tuple}`
}
