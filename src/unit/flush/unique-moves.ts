/**
 * Unique values that move from row to row in one flush: which changed rows must be written before which others.
 *
 * For some keys only PostgreSQL knows which rows they contain and which values are equal: partial indexes, indexes over SQL, texts
 * that a collation considers equal. The order for these is a guess, which never contradicts an order that is known to be necessary.
 */
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import { References, type Reference, type ValueOf } from './row-references.js'
import { equalTupleOf, storedValue, type Change, type Insertion } from './rows.js'
import { possibleKeysOf, uniqueKeysOf, type PossibleKey } from './unique-keys.js'
import { isNew } from './write-order.js'

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
  readonly #possibleKeys = new Map<Table, readonly PossibleKey[]>()
  /** Values of unique keys, with the changed row that frees them. */
  readonly #freed = new Map<string, Change>()
  /** The same for keys whose rows only PostgreSQL knows. */
  readonly #maybeFreed = new Map<string, Change[]>()
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
      this.#noteMaybeFreed(change)
    }
    this.isEmpty = movers.length === 0 && this.#maybeFreed.size === 0
    this.#movers = new References(movers, changedValue)
  }

  /** No unique key changes: nothing has to be written before anything else. */
  readonly isEmpty: boolean

  /** The changed rows that free a unique value that a row takes, or that get a key that it will refer to. */
  before(row: Insertion | Change): Change[] {
    if (this.isEmpty) return []
    return isNew(row)
      ? this.#before(row, insertedValue, () => true)
      : this.#before(row, changedValue, (column) => row.columns.includes(column))
  }

  /** The changed rows that may free a unique value that a row may take. */
  maybeBefore(row: Insertion | Change): Change[] {
    if (this.#maybeFreed.size === 0) return []
    const valueOf = (column: TableColumn): EncodedText | undefined =>
      isNew(row) ? insertedValue(row, column) : changedValue(row, column)
    return this.#possibleKeysOf(row.table).flatMap((key, index) => {
      if (!isNew(row) && !key.decisive.some((column) => row.columns.includes(column))) return []
      const tuple = foldedTupleOf(key, valueOf)
      const freed = tuple === undefined ? undefined : this.#maybeFreed.get(nameOf(row.table, index, tuple))
      return (freed ?? []).filter(({ state }) => state !== row.state)
    })
  }

  #noteMaybeFreed(change: Change): void {
    for (const [index, key] of this.#possibleKeysOf(change.table).entries()) {
      if (!key.decisive.some((column) => change.columns.includes(column))) continue
      const tuple = foldedTupleOf(key, (column) => storedValue(change.state, column))
      if (tuple === undefined) continue
      const name = nameOf(change.table, index, tuple)
      const freed = this.#maybeFreed.get(name)
      if (freed === undefined) this.#maybeFreed.set(name, [change])
      else freed.push(change)
    }
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
    for (const { key, target } of this.#referred(row, valueOf))
      if (key.columns.some(isWritten)) before.push(target)
    return before
  }

  /** The foreign keys of a changed row that lead to keys which other rows get. */
  referred(change: Change): Reference<Change>[] {
    return this.isEmpty ? [] : this.#referred(change, changedValue)
  }

  #referred<Row extends Insertion | Change>(row: Row, valueOf: ValueOf<Row>): Reference<Change>[] {
    return this.#movers
      .of(row, valueOf)
      .filter(({ key, target }) => key.targetColumns.some((column) => target.columns.includes(column)))
  }

  #keysOf(table: Table): readonly (readonly TableColumn[])[] {
    const keys = this.#keys.get(table) ?? uniqueKeysOf(table)
    this.#keys.set(table, keys)
    return keys
  }

  #possibleKeysOf(table: Table): readonly PossibleKey[] {
    const keys = this.#possibleKeys.get(table) ?? possibleKeysOf(table)
    this.#possibleKeys.set(table, keys)
    return keys
  }
}

/** The same for values that may be equal: texts in upper and lower case. */
function foldedTupleOf(
  { columns }: PossibleKey,
  valueOf: (column: TableColumn) => EncodedText | undefined,
): string | undefined {
  return equalTupleOf(columns, valueOf)?.toLowerCase()
}

function nameOf(table: Table, index: number, tuple: string): string {
  return `${table.key} ${index} ${tuple}`
}
