/** The unique keys of a table, as far as its entity declares them. */
import type { SqlFragment } from '../../sql.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'

/** A unique key of which only PostgreSQL knows which rows it holds, or which of its values are equal. */
export interface PossibleKey {
  /** Rows that differ in none of them may be in conflict. */
  readonly columns: readonly TableColumn[]
  /** A row that changes one of them may free the value of the key, or take one. */
  readonly decisive: readonly TableColumn[]
}

/** The sets of columns of which no two rows of a table agree in all, the primary key first. */
export function uniqueKeysOf(table: Table): (readonly TableColumn[])[] {
  const indexes = (table.options.indexes ?? []).flatMap(({ unique, columns, where }) =>
    unique === true && where === undefined && columns.every((column) => typeof column === 'string')
      ? [columns as string[]]
      : [],
  )
  return [
    table.primaryKey,
    ...table.columns.filter(({ definition }) => definition.unique === true).map((column) => [column]),
    ...[...(table.options.unique ?? []), ...indexes].map((names) => names.map((name) => table.column(name))),
  ]
}

/** The sets of columns in which two rows may be in conflict, too. */
export function possibleKeysOf(table: Table): PossibleKey[] {
  const keys: PossibleKey[] = []
  for (const columns of uniqueKeysOf(table)) {
    // Texts that differ may be equal for a collation, or for a type such as citext.
    if (columns.some(({ mayEqualOthers }) => mayEqualOthers)) keys.push({ columns, decisive: columns })
  }
  for (const { unique, columns, where } of table.options.indexes ?? []) {
    if (unique !== true) continue
    if (where === undefined && columns.every((column) => typeof column === 'string')) continue
    const inKey = new Set(
      columns.flatMap((column) =>
        typeof column === 'string' ? [table.column(column)] : mentionedIn(column, table),
      ),
    )
    const decisive = new Set([...inKey, ...(where === undefined ? [] : mentionedIn(where, table))])
    if (inKey.size > 0) keys.push({ columns: [...inKey], decisive: [...decisive] })
  }
  return keys
}

/** The columns whose names occur in SQL. */
function mentionedIn(fragment: SqlFragment<unknown>, table: Table): TableColumn[] {
  const words = new Set(
    fragment
      .assemble()
      .text.toLowerCase()
      .match(/[\p{L}_][\p{L}\p{N}_$]*/gu),
  )
  return table.columns.filter(({ name }) => words.has(name.toLowerCase()))
}
