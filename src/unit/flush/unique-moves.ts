/** Unique values that move from row to row in one flush: which changed rows must be written before which others. */
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import { References, type ValueOf } from './row-references.js'
import { equalTupleOf, storedValue, type Change, type Insertion } from './rows.js'
import { isNew } from './write-order.js'

/** The sets of columns of which no two rows of a table agree in all, the primary key first. */
export function uniqueKeysOf(table: Table): (readonly TableColumn[])[] {
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

/** The value that a changed row will have. */
export function changedValue(
  { columns, values, state }: Change,
  column: TableColumn,
): EncodedText | undefined {
  const at = columns.indexOf(column)
  return at === -1 ? storedValue(state, column) : values[at]
}

/** The value that a new row will have; undefined where PostgreSQL makes it. */
export function insertedValue({ values }: Insertion, { index }: TableColumn): EncodedText | undefined {
  return values[index]
}

export class UniqueMoves {
  readonly #keys = new Map<Table, readonly (readonly TableColumn[])[]>()
  /** Values of unique keys, with the changed row that frees them. */
  readonly #freed = new Map<string, Change>()
  /** The rows whose unique keys change, by the columns that foreign keys may refer to. */
  readonly #movers: References<Change>

  constructor(changes: readonly Change[]) {
    const movers: Change[] = []
    for (const change of changes) {
      let moves = false
      for (const [index, columns] of this.#keysOf(change.table).entries()) {
        if (!columns.some((column) => change.columns.includes(column))) continue
        moves = true
        const before = equalTupleOf(columns, (column) => storedValue(change.state, column))
        if (before !== undefined) this.#freed.set(nameOf(change.table, index, before), change)
      }
      if (moves) movers.push(change)
    }
    this.none = movers.length === 0
    this.#movers = new References(movers, changedValue)
  }

  /** No unique key changes: nothing has to be written before anything else. */
  readonly none: boolean

  /** The changed rows that free a unique value that a row takes, or that get a key that it will refer to. */
  before(row: Insertion | Change): Change[] {
    if (this.none) return []
    return isNew(row)
      ? this.#before(row, insertedValue, () => true)
      : this.#before(row, changedValue, (column) => row.columns.includes(column))
  }

  #before<Row extends Insertion | Change>(
    row: Row,
    valueOf: ValueOf<Row>,
    isWritten: (column: TableColumn) => boolean,
  ): Change[] {
    const before: Change[] = []
    for (const [index, columns] of this.#keysOf(row.table).entries()) {
      if (!columns.some(isWritten)) continue
      const tuple = equalTupleOf(columns, (column) => valueOf(row, column))
      const change = tuple === undefined ? undefined : this.#freed.get(nameOf(row.table, index, tuple))
      if (change !== undefined && change.state !== row.state) before.push(change)
    }
    for (const { key, target } of this.#movers.of(row, valueOf)) {
      const moves = key.targetColumns.some((column) => target.columns.includes(column))
      if (moves && key.columns.some(isWritten)) before.push(target)
    }
    return before
  }

  #keysOf(table: Table): readonly (readonly TableColumn[])[] {
    let keys = this.#keys.get(table)
    if (keys === undefined) {
      keys = uniqueKeysOf(table)
      this.#keys.set(table, keys)
    }
    return keys
  }
}

function nameOf(table: Table, index: number, tuple: string): string {
  return `${table.key} ${index} ${tuple}`
}
