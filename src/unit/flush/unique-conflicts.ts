/**
 * Unique conflicts between deleted and written rows: rows that must be deleted first, because a new or changed row takes their
 * unique key. (Other deletes come last, when nothing refers to the rows any more.)
 */
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import type { References } from './row-references.js'
import { possibleKeysOf, uniqueKeysOf, type PossibleKey } from './unique-keys.js'
import { changedValue } from './unique-moves.js'
import { equalTupleOf, storedValue, type Change, type Insertion, type Removal } from './rows.js'

/** The conflicts of a flush. */
export interface UniqueConflicts {
  /** Rows to delete first. */
  readonly removals: ReadonlySet<Removal>
  /** The rows that take their keys. */
  readonly takers: ReadonlySet<Insertion | Change>
  /** The keys of deleted rows that are taken. */
  readonly taken: ReadonlyMap<Removal, readonly (readonly TableColumn[])[]>
}

export function uniqueConflicts(
  removals: readonly Removal[],
  insertions: readonly Insertion[],
  changes: readonly Change[],
  references: References<Removal>,
): UniqueConflicts {
  const early = new Set<Removal>()
  const takers = new Set<Insertion | Change>()
  const taken = new Map<Removal, (readonly TableColumn[])[]>()
  if (removals.length === 0 || insertions.length + changes.length === 0)
    return { removals: early, takers, taken }
  const freed = new Map<string, Removal[]>()
  const removedFrom = new Set(removals.map(({ table }) => table))
  const keys = new Map(
    [...removedFrom].map((table) => [table, [...certainKeys(table), ...possibleKeysOf(table)]]),
  )
  for (const removal of removals) {
    for (const [index, key] of (keys.get(removal.table) ?? []).entries()) {
      const name = nameOf(removal.table, index, key, (column) => storedValue(removal.state, column))
      if (name === undefined) continue
      const alike = freed.get(name)
      if (alike === undefined) freed.set(name, [removal])
      else alike.push(removal)
    }
  }
  const take = (
    taker: Insertion | Change,
    valueOf: (column: TableColumn) => EncodedText | undefined,
    isWritten: (column: TableColumn) => boolean,
  ): void => {
    const { table } = taker
    for (const [index, key] of (keys.get(table) ?? []).entries()) {
      if (!key.decisive.some(isWritten)) continue
      const name = nameOf(table, index, key, valueOf)
      for (const removal of (name === undefined ? undefined : freed.get(name)) ?? []) {
        early.add(removal)
        takers.add(taker)
        taken.set(removal, [...(taken.get(removal) ?? []), key.columns])
      }
    }
  }
  for (const insertion of insertions) {
    take(
      insertion,
      ({ index }) => insertion.values[index],
      () => true,
    )
  }
  for (const change of changes) {
    take(
      change,
      (column) => changedValue(change, column),
      (column) => change.columns.includes(column),
    )
  }
  takeAlongReferring(early, references)
  return { removals: early, takers, taken }
}

/** Deleted rows that refer to a row that is deleted first must be deleted before it. */
function takeAlongReferring(early: Set<Removal>, references: References<Removal>): void {
  // Iterating a set includes the elements that are added meanwhile.
  for (const removal of early) for (const referring of references.to(removal)) early.add(referring)
}

function certainKeys(table: Table): (PossibleKey & { readonly isCertain: true })[] {
  return uniqueKeysOf(table).map((columns) => ({ columns, decisive: columns, isCertain: true }))
}

/** Names a value of a key; undefined where there is none. Values that may be equal have one name. */
function nameOf(
  table: Table,
  index: number,
  key: PossibleKey & { readonly isCertain?: true },
  valueOf: (column: TableColumn) => EncodedText | undefined,
): string | undefined {
  const tuple = equalTupleOf(key.columns, valueOf)
  if (tuple === undefined) return undefined
  return `${table.key} ${index} ${key.isCertain === true ? tuple : tuple.toLowerCase()}`
}
