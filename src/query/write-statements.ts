/**
 * Statements that insert, update and delete rows by their keys, for the unit of work.
 *
 * 1. The text depends on the columns only, not on the number of rows: many rows are one array for each column. A single row has a text
 *    of its own, which PostgreSQL runs faster.
 * 2. Returned rows are matched by an ordinal that is sent with each row, or by ascending keys that a sequence made in the order of the
 *    rows; never by the order of RETURNING alone.
 * 3. A statement that does not find or store all of its rows fails on the server, so a COMMIT in the same batch fails, too, and
 *    nothing has to be checked before COMMIT.
 */
import { definitionSql, quoteLiteral } from '../schema/definition-sql.js'
import { columnList } from './entity-statement.js'
import { ownLock, type LockStrength } from './own-lock.js'
import { matchesAny, rowSource, rowValues } from './unnest.js'
import type { EncodedText, StatementValue, TableColumn } from '../schema/table-column.js'
import type { StatementShape, Table } from '../schema/table.js'

/** A statement over any number of rows of one table. */
export interface WriteStatement extends StatementShape {
  readonly values: readonly StatementValue[]
}

/** One row to update or delete, all values encoded. */
export interface KeyedRow {
  /** The stored key, in the order of the table's key. */
  readonly key: readonly EncodedText[]
  /** The version it was loaded with; where the table has one. */
  readonly version?: EncodedText | undefined
}

/** One row to update, all values encoded. */
export interface ChangedRow extends KeyedRow {
  /** New values, in the order of the columns to change. */
  readonly values: readonly EncodedText[]
}

/**
 * Changes rows by their key, and where the table has a version, only in the version that was loaded, incrementing it. Fails
 * unless all are found; see {@link shortfallOf}.
 *
 * @param columns What to change, not the version; may include parts of the key. Empty: only the version and `onUpdate` columns.
 * @param rows At least one.
 * @param readBack Some of the columns, which are returned as they are stored.
 * @param lock Locks the rows in the order of their key first; for several rows.
 */
export function updateRows(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly ChangedRow[],
  readBack: readonly TableColumn[] = NONE,
  lock?: LockStrength,
): WriteStatement {
  const many = rows.length > 1
  const kind = shapeKind(many ? lockedKind('update', lock) : 'update one', readBack)
  const shape = table.shape(kind, columns, () => updateShape(table, columns, many, readBack, lock))
  const inputs = rows.map((row) => [...row.values, ...keyAndVersionOf(table, row)])
  const values = many ? rowValues([...columns, ...keyAndVersion(table)], inputs) : (inputs[0] ?? [])
  return withValues(shape, [...values, String(rows.length)])
}

function updateShape(
  table: Table,
  columns: readonly TableColumn[],
  many: boolean,
  readBack: readonly TableColumn[],
  lock: LockStrength | undefined,
): StatementShape {
  const computed = table.columns.filter((column) => column.serverUpdated && !columns.includes(column))
  const conditions = keyAndVersion(table)
  const inputs = [...columns, ...conditions]
  const { version, qualifier } = table
  const source = many ? rowSource(inputs, qualifier) : undefined
  const given = source?.columns ?? inputs.map((_, index) => `$${index + 1}`)
  const assignments = [
    ...columns.map(({ sql }, index) => `${sql} = ${given[index]}`),
    ...(version === undefined ? [] : [`${version.sql} = ${qualifier}.${version.sql} + 1`]),
    ...computed.flatMap(({ sql, definition: { onUpdate } }) =>
      typeof onUpdate === 'object' ? [`${sql} = ${definitionSql(table.key, onUpdate)}`] : [],
    ),
  ]
  const locked = lock && many ? ownLock(table, table.primaryKey, lock, columns.length) : undefined
  const where = conditions.map(({ sql }, index) => `${qualifier}.${sql} = ${given[columns.length + index]}`)
  if (locked !== undefined) where.push(locked)
  const returning = [...computed, ...readBack]
  const returned = returning.map(({ sql }) => `${qualifier}.${sql}`)
  if (source !== undefined && returning.length > 0) returned.push(source.ordinal)
  const change = [
    `update ${table.sql} set ${assignments.join(', ')}`,
    ...(source === undefined ? [] : [` from ${source.sql}`]),
    ` where ${where.join(' and ')}`,
  ].join('')
  const text = allFound(table, FOUND, change, returned, inputs.length)
  return { text, returning, order: many ? 'ordinal' : 'sent' }
}

/**
 * Deletes rows by their key. Where the table has a version, only in the version that was loaded, and it fails unless all
 * are found; see {@link shortfallOf}. Otherwise the count of deleted rows is returned.
 *
 * @param rows At least one.
 * @param lock Locks the rows in the order of their key first.
 */
export function deleteRows(table: Table, rows: readonly KeyedRow[], lock?: LockStrength): WriteStatement {
  const columns = keyAndVersion(table)
  const inputs = rows.map((row) => keyAndVersionOf(table, row))
  if (table.version === undefined) return deleteMatching(table, columns, inputs, lock)
  const shape = table.shape(lockedKind('delete found', lock), columns, () => {
    const text = deleteText(table, columns, lock && ownLock(table, table.primaryKey, lock))
    return { text: allFound(table, FOUND, text, [], columns.length), returning: [], order: 'sent' }
  })
  return withValues(shape, [...rowValues(columns, inputs), String(rows.length)])
}

/** Links rows of a join table; those that are linked already stay. @param rows Values of the columns. */
export function linkRows(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly (readonly EncodedText[])[],
): WriteStatement {
  const shape = table.shape('link', columns, () => {
    const { sql, columns: given } = rowSource(columns)
    const text = `insert into ${table.sql} (${columnList(columns)}) select ${given.join(', ')} from ${sql}`
    return { text: `${text} on conflict do nothing`, returning: [], order: 'sent' }
  })
  return withValues(shape, rowValues(columns, rows))
}

/** Deletes the rows of a table in which some columns have any of the values. @param lock As for {@link deleteRows}. */
export function deleteMatching(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly (readonly EncodedText[])[],
  lock?: LockStrength,
): WriteStatement {
  const shape = table.shape(lockedKind('delete', lock), columns, () => {
    const text = deleteText(table, columns, lock && ownLock(table, columns, lock))
    return { text, returning: [], order: 'sent' }
  })
  return withValues(shape, rowValues(columns, rows))
}

function deleteText(table: Table, columns: readonly TableColumn[], locked: string | undefined): string {
  const text = `delete from ${table.sql} where ${matchesAny(columns, table.qualifier)}`
  return locked === undefined ? text : `${text} and ${locked}`
}

/** A separate shape for statements that lock their rows first. */
export function lockedKind(kind: string, lock: LockStrength | undefined): string {
  return lock === undefined ? kind : `${kind} locked for ${lock}`
}

/**
 * Wraps a change so that it fails unless it changes as many rows as its last parameter says.
 * @param parameters How many parameters the change itself has.
 */
export function allFound(
  table: Table,
  what: string,
  change: string,
  returned: readonly string[],
  parameters: number,
): string {
  const names = returned.map((_, index) => `"c${index}"`)
  const kept =
    returned.length === 0 ? '1' : returned.map((sql, index) => `${sql} as ${names[index]}`).join(', ')
  const wanted = `$${parameters + 1}::bigint`
  const check = `case when count(*) <> ${wanted} then ${failure(table, what, 'count(*)', wanted)} end`
  const counted = `(select ${check} as "ok" from "changed") as "count"`
  return (
    `with "changed" as (${change} returning ${kept}) ` +
    (returned.length === 0
      ? `select "ok" from ${counted}`
      : // The check is selected, because PostgreSQL need not compute what is not.
        `select ${names.join(', ')}, "ok" from ${counted} left join "changed" on true`)
  )
}

export const NONE: readonly TableColumn[] = []

/** A separate shape for each set of columns that are read back. */
export function shapeKind(kind: string, readBack: readonly TableColumn[]): string {
  return readBack.length === 0 ? kind : `${kind} and read ${readBack.map(({ index }) => index).join()}`
}

const FOUND = 'found'
export const STORED = 'stored'
const SHORTFALL = /lifeguard: (found|stored) (.*?)"?$/

/** SQL that fails when it is run, by an invalid cast, because plain SQL cannot raise an error. */
export function failure(table: Table, what: string, found: string, wanted: string): string {
  return `('lifeguard: ${what} ' || ${found} || ' of ' || ${wanted} || ${quoteLiteral(` rows of ${table.key}`)})::integer`
}

/** The missing rows (`0 of 2 rows of songs`), and whether they were to be found or stored; undefined for any other message. */
export function shortfallOf(
  message: string,
): { readonly what: 'found' | 'stored'; readonly rows: string } | undefined {
  const match = SHORTFALL.exec(message)
  return match === null ? undefined : { what: match[1] as 'found' | 'stored', rows: match[2] as string }
}

export function keyAndVersion({ primaryKey, version }: Table): readonly TableColumn[] {
  return version === undefined ? primaryKey : [...primaryKey, version]
}

export function keyAndVersionOf(table: Table, { key, version = null }: KeyedRow): readonly EncodedText[] {
  return table.version === undefined ? key : [...key, version]
}

export function withValues(
  { text, returning, order }: StatementShape,
  values: readonly StatementValue[],
): WriteStatement {
  return { text, returning, order, values }
}
