/**
 * Rows that are written in two steps because they refer to each other in a cycle: some foreign keys are NULL first, and are
 * set (or the row is deleted) by a second statement.
 */
import type { TableColumn } from '../../schema/table-column.js'
import type { Reference } from './row-references.js'
import { versionOf, type Change, type Insertion, type Removal } from './rows.js'
import { incremented } from './steps.js'
import { changedValue } from './unique-moves.js'

/** A change that is written in two steps. */
export interface Halves {
  /** Foreign keys that lead to new rows are NULL at first. */
  readonly first: Change
  readonly second: Change
}

/** Splits a change in two. Undefined if it refers to no new row, or cannot be NULL at first. */
export function halve(change: Change, toNew: readonly Reference<Insertion>[]): Halves | undefined {
  const leading = new Set(toNew.flatMap(({ key }) => key.columns))
  const columns = change.columns.filter((column) => leading.has(column))
  if (columns.length === 0 || !columns.every(isNullable)) return undefined
  const first: Change = {
    ...change,
    values: change.values.map((value, index) =>
      leading.has(change.columns[index] as TableColumn) ? null : value,
    ),
  }
  const second: Change = {
    ...change,
    columns,
    values: columns.map((column) => changedValue(change, column) ?? null),
    key: change.table.primaryKey.map((column) => changedValue(first, column) ?? null),
    version: incremented(change.version, 1),
  }
  return { first, second }
}

/** Sets the foreign keys of a new row that were inserted as NULL. */
export function completion({ state, table, values, postponed }: Insertion): Change {
  const columns = [...postponed]
  const key = table.primaryKey.map(({ index }) => values[index] ?? null)
  const version = table.version && (values[table.version.index] ?? null)
  return {
    state,
    table,
    columns,
    values: columns.map(({ index }) => values[index] ?? null),
    respelled: [],
    key,
    version,
  }
}

/** Sets foreign keys of a row to NULL before the row is deleted. */
export function released({ state, table, key, postponed }: Removal): Change {
  const columns = [...postponed]
  const values = columns.map(() => null)
  return { state, table, columns, values, respelled: [], key, version: versionOf(state) }
}

export function isNullable({ definition }: TableColumn): boolean {
  return definition.nullable
}
