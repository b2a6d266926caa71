/** Checks and encodes the rows of `insert(Entity).values(...)`, and writes them as SQL. */
import { InvalidStatementError, MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { noProperties } from '../internal/no-value.js'
import { sql, type SqlFragment } from '../sql.js'
import { kindOf } from '../codecs/codec.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import { columnList, concat, text } from './entity-statement.js'
import { isFilledIn } from '../schema/filled-in.js'
import { fragmentOf } from './placeholders.js'
import { rowSource, rowValues } from './unnest.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import { isArray, isObject } from '../internal/revoked.js'

// The protocol counts parameters with 16 bits.
const MOST_PARAMETERS = 65_535

/** The rows of an INSERT, checked and encoded. */
export interface GivenRows {
  /** Columns that at least one row has a value for, in the order of the table. */
  readonly columns: readonly TableColumn[]
  /** The columns that the caller has set; the others have their `default`. */
  readonly explicit: ReadonlySet<TableColumn>
  /** By index of the column; undefined where PostgreSQL fills the column in. */
  readonly rows: readonly (readonly (EncodedText | undefined)[])[]
}

/**
 * Reads rows as the constructor of the entity would: defaults are applied, unknown names refused.
 * @throws MappingError for a name that is no column, or is computed; InvalidValueError; InvalidStatementError if there is no row.
 */
export function givenRows(meta: EntityMeta, given: unknown): GivenRows {
  const list: readonly unknown[] = isArray(given) ? given : [given]
  if (list.length === 0) throw new InvalidStatementError(`The insert into ${meta.table.key} was given no row`)
  const explicit = new Set<TableColumn>()
  const used = new Set<TableColumn>()
  const rows = list.map((row) => readRow(meta, row, explicit, used))
  return { columns: meta.table.columns.filter((column) => used.has(column)), explicit, rows }
}

function readRow(
  meta: EntityMeta,
  row: unknown,
  explicit: Set<TableColumn>,
  used: Set<TableColumn>,
): (EncodedText | undefined)[] {
  const { table } = meta
  if (!isObject(row) || Array.isArray(row)) {
    throw noRow(table, kindOf(row))
  }
  const other = noProperties(row)
  if (other !== undefined) throw noRow(table, other)
  const values = row as Readonly<Record<string, unknown>>
  requireColumns(meta, values)
  return table.columns.map((column) => {
    const value = valueOf(column, values)
    if (value === undefined) return undefined
    used.add(column)
    // A value that a constructor filled in must not replace the value of an existing row.
    if (values[column.property] !== undefined && !isFilledIn(row, column)) explicit.add(column)
    return column.encodeStored(value)
  })
}

function noRow({ key }: Table, what: string): InvalidStatementError {
  return new InvalidStatementError(`A row of ${key} is an object with values by property, not ${what}`)
}

function valueOf({ property, definition }: TableColumn, values: Readonly<Record<string, unknown>>): unknown {
  const value = values[property]
  return value === undefined && definition.generated === undefined ? definition.default?.() : value
}

function requireColumns(
  { table, relationNames }: EntityMeta,
  values: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    if (!table.has(name)) {
      const hint = relationNames.includes(name)
        ? ': insert() writes columns only. Use session.add() for objects with relations'
        : didYouMean(
            name,
            table.columns.map(({ property }) => property),
          )
      throw new MappingError(`${table.key} has no column '${name}'${hint}`)
    }
    if (table.column(name).definition.generated !== undefined) {
      throw new MappingError(`${table.key}.${name} is computed by PostgreSQL and cannot be given`)
    }
  }
}

/** `(columns) values (...)` or `(columns) select ...`: what stands after the table of an INSERT. */
export function rowsToInsert(table: Table, { columns, rows }: GivenRows): SqlFragment<unknown> {
  if (columns.length === 0 && rows.length === 1) return text(' default values')
  const [first] = table.columns as readonly [TableColumn]
  // PostgreSQL has no `default values` for several rows.
  const named = columns.length === 0 ? [first] : columns
  const isUniform =
    columns.length > 0 && rows.every((row) => columns.every(({ index }) => row[index] !== undefined))
  const start = text(` (${columnList(named)})`)
  if (rows.length > 1 && isUniform) return concat(start, unnested(columns, rows))
  if (rows.length * named.length > MOST_PARAMETERS) {
    throw new InvalidStatementError(
      `The rows of one insert into ${table.key} have together more than ${MOST_PARAMETERS} values, and do not all give the same columns: ` +
        'give each row the same columns, or insert fewer rows at a time',
    )
  }
  const lists = rows.map((row) => {
    const cells = named.map(({ index }) => (row[index] === undefined ? text('default') : sql`${row[index]}`))
    return sql`(${sql.join(cells)})`
  })
  return concat(start, text(' values '), sql.join(lists))
}

/** One array for each column, so that the text does not depend on the number of rows. */
function unnested(
  columns: readonly TableColumn[],
  rows: readonly (readonly (EncodedText | undefined)[])[],
): SqlFragment<unknown> {
  const source = rowSource(columns)
  const places = columns.map(({ index }) => index)
  return fragmentOf(
    ` select ${source.columns.join(', ')} from ${source.sql} order by ${source.ordinal}`,
    rowValues(columns, rows, places),
  )
}
