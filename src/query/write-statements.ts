/**
 * Statements that store, change and delete rows by their keys; for the unit of work.
 *
 * 1. The text depends on the columns only, not on the number of rows: many rows travel as one array for each column. A
 *    single row has a text of its own, which PostgreSQL runs faster.
 * 2. Returned rows are matched by an ordinal that travels with each row, or by keys that a sequence made for them in their
 *    order; never by the order alone in which they come.
 * 3. A statement that does not find or store all of its rows fails on the server, so that a COMMIT in the same packet does not
 *    happen: nothing has to be checked in between.
 */
import { definitionSql, quoteLiteral } from '../schema/definition-sql.js'
import { columnList } from './entity-statement.js'
import { matchesAny, rowSource, rowValues } from './unnest.js'
import type { EncodedText, RawValue, StatementValue, TableColumn } from '../schema/table-column.js'
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
 * Inserts rows that give the same columns. What PostgreSQL fills in for the others comes back. Fails unless all are stored,
 * which a trigger or a rule can prevent; see {@link shortfallOf}.
 *
 * @param columns The columns that are given; may be empty.
 * @param rows At least one.
 * @param places Where the value of each column stands in a row; default: in the order of `columns`.
 * @param readBack Columns that are given and come back as they are stored; NULL where that is not known.
 */
export function insertRows(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly (readonly (EncodedText | undefined)[])[],
  places?: readonly number[],
  readBack: readonly TableColumn[] = NONE,
): WriteStatement {
  const only = rows.length === 1 ? rows[0] : undefined
  const kind = shapeKind(only === undefined ? 'insert' : 'insert one', readBack)
  const shape = table.shape(kind, columns, () => {
    const filled = table.columns.filter(
      (column) => readBack.includes(column) || (column.serverFilled && !columns.includes(column)),
    )
    return only === undefined ? insertMany(table, columns, filled) : insertOne(table, columns, filled)
  })
  if (only !== undefined) {
    return withValues(
      shape,
      columns.map((_, index) => only[places?.[index] ?? index] ?? null),
    )
  }
  const values = rowValues(columns, rows, places)
  return withValues(shape, shape.order === 'ordinal' ? values : [...values, String(rows.length)])
}

function insertOne(
  table: Table,
  columns: readonly TableColumn[],
  filled: readonly TableColumn[],
): StatementShape {
  const what =
    columns.length === 0
      ? 'default values'
      : `(${columnList(columns)}) values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`
  const returned = ['1 as "found"', ...filled.map(({ sql }, index) => `${sql} as "r${index}"`)]
  // One row needs no count, which is faster.
  const text = [
    `with "changed" as (insert into ${table.sql} ${what} returning ${returned.join(', ')}) select `,
    ...filled.map((_, index) => `"r${index}", `),
    `case when "found" is null then ${failure(table, STORED, 'coalesce("found", 0)', '1')} end`,
    ` from (values (1)) as "row" left join "changed" on true`,
  ].join('')
  return { text, returning: filled, order: 'sent' }
}

function insertMany(
  table: Table,
  columns: readonly TableColumn[],
  filled: readonly TableColumn[],
): StatementShape {
  const [key, ...others] = table.primaryKey as [TableColumn]
  const isCounted = others.length === 0 && filled.includes(key) && isSerial(key)
  if (columns.length === 0 || (filled.length > 0 && !isCounted)) return insertJoined(table, columns, filled)
  const source = rowSource(columns)
  const order = isCounted ? ` order by ${source.ordinal}` : ''
  const change = `insert into ${table.sql} (${columnList(columns)}) select ${source.columns.join(', ')} from ${source.sql}${order}`
  const returned = filled.map(({ sql }) => sql)
  const text = allFound(table, STORED, change, returned, columns.length)
  return { text, returning: filled, order: isCounted ? 'key' : 'sent' }
}

/**
 * An INSERT cannot return the ordinal of its source. So keys that PostgreSQL would make are made beforehand, and the
 * rows that come back are joined to the source by their key.
 */
function insertJoined(
  table: Table,
  columns: readonly TableColumn[],
  filled: readonly TableColumn[],
): StatementShape {
  const source = rowSource(columns)
  const isGiven = (column: TableColumn): boolean => columns.includes(column)
  const made = filled.filter((column) => column.definition.primaryKey === true && !isGiven(column))
  const stored = [...columns, ...made]
  const inputs = [...source.columns, ...made.map((column) => keyExpression(table, column))]
  const keys = table.primaryKey.map((column, index) => {
    const { type } = column.definition
    // As it is rounded when it is stored.
    const cast = type.respells === undefined || type.ddl === type.cast ? '' : `::${type.ddl}`
    return `"k${index}" = "c${stored.indexOf(column)}"${cast}`
  })
  const joined = `"source" left join "changed" on ${keys.join(' and ')}`
  // A trigger may have changed the key itself: where nothing else comes back, such a row is only counted.
  const isCounted = filled.every(isGiven)
  const found = isCounted ? `(select count(*) from "changed")` : `(select count("k0") from ${joined})`
  const wanted = `(select count(*) from "source")`
  const isMissing = isCounted ? `${found} <> ${wanted}` : '"k0" is null'
  const text = [
    `with "source" as materialized (select ${source.ordinal} as "n"`,
    ...inputs.map((sql, index) => `, ${sql} as "c${index}"`),
    ` from ${source.sql}), "changed" as (`,
    `insert into ${table.sql} (${columnList(stored)}) overriding system value`,
    ` select ${inputs.map((_, index) => `"c${index}"`).join(', ')} from "source" order by "n" returning `,
    [
      ...table.primaryKey.map(({ sql }, index) => `${sql} as "k${index}"`),
      ...filled.map(({ sql }, index) => `${sql} as "r${index}"`),
    ].join(', '),
    `) select `,
    ...filled.map((_, index) => `"r${index}", `),
    // The counts are made only where one is missing.
    `"n", case when ${isMissing} then ${failure(table, STORED, found, wanted)} end from ${joined}`,
  ].join('')
  return { text, returning: filled, order: 'ordinal' }
}

/** Whether a sequence makes its values. */
function isSerial({ definition: { type, serverDefault } }: TableColumn): boolean {
  return type.serial === true && serverDefault === undefined
}

/** SQL that gives the key of one row, as PostgreSQL would have filled it in. */
function keyExpression(table: Table, { name, definition }: TableColumn): string {
  const { type, serverDefault } = definition
  if (serverDefault !== undefined) return `(${definitionSql(table.key, serverDefault)})`
  if (type.serial !== true) return 'null'
  // Looked up once for the statement, not for each row.
  return `nextval((select pg_get_serial_sequence(${quoteLiteral(table.sql)}, ${quoteLiteral(name)})::regclass))`
}

/**
 * Values for columns of rows that do not exist yet, as PostgreSQL would fill them in; where other rows need to know them.
 *
 * @param columns Filled in by PostgreSQL, and not computed from other columns.
 */
export function allocateKeys(table: Table, columns: readonly TableColumn[], count: number): WriteStatement {
  const shape = table.shape('allocate', columns, () => {
    const made = columns.map((column) => keyExpression(table, column)).join(', ')
    const text = `select ${made} from generate_series(1, $1::integer)`
    return { text, returning: columns, order: 'sent' }
  })
  return withValues(shape, [String(count)])
}

/**
 * Changes rows by their key, and where the table has a version, only in the version that was loaded, raising it. Fails
 * unless all are found; see {@link shortfallOf}.
 *
 * @param columns What to change, not the version; may include parts of the key. Empty: only what changes by itself.
 * @param rows At least one.
 * @param readBack Some of the columns, which come back as they are stored.
 */
export function updateRows(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly ChangedRow[],
  readBack: readonly TableColumn[] = NONE,
): WriteStatement {
  const many = rows.length > 1
  const kind = shapeKind(many ? 'update' : 'update one', readBack)
  const shape = table.shape(kind, columns, () => updateShape(table, columns, many, readBack))
  const inputs = rows.map((row) => [...row.values, ...keyAndVersionOf(table, row)])
  const values = many ? rowValues([...columns, ...keyAndVersion(table)], inputs) : (inputs[0] ?? [])
  return withValues(shape, [...values, String(rows.length)])
}

function updateShape(
  table: Table,
  columns: readonly TableColumn[],
  many: boolean,
  readBack: readonly TableColumn[],
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
  const where = conditions.map(({ sql }, index) => `${qualifier}.${sql} = ${given[columns.length + index]}`)
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
 * are found; see {@link shortfallOf}. Otherwise the count of deleted rows comes back.
 *
 * @param rows At least one.
 */
export function deleteRows(table: Table, rows: readonly KeyedRow[]): WriteStatement {
  const columns = keyAndVersion(table)
  const inputs = rows.map((row) => keyAndVersionOf(table, row))
  if (table.version === undefined) return deleteMatching(table, columns, inputs)
  const shape = table.shape('delete found', columns, () => {
    const text = `delete from ${table.sql} where ${matchesAny(columns, table.qualifier)}`
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

/** Deletes the rows of a table in which some columns have any of the values. */
export function deleteMatching(
  table: Table,
  columns: readonly TableColumn[],
  rows: readonly (readonly EncodedText[])[],
): WriteStatement {
  const shape = table.shape('delete', columns, () => {
    const text = `delete from ${table.sql} where ${matchesAny(columns, table.qualifier)}`
    return { text, returning: [], order: 'sent' }
  })
  return withValues(shape, rowValues(columns, rows))
}

/**
 * Makes a change that fails unless it changes as many rows as its last parameter says.
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
      : // What is not selected may not be computed, and then fails nothing.
        `select ${names.join(', ')}, "ok" from ${counted} left join "changed" on true`)
  )
}

const NONE: readonly TableColumn[] = []

/** Tells apart statements of the same columns that read back others of them. */
function shapeKind(kind: string, readBack: readonly TableColumn[]): string {
  return readBack.length === 0 ? kind : `${kind} and read ${readBack.map(({ index }) => index).join()}`
}

const FOUND = 'found'
const STORED = 'stored'
const SHORTFALL = /lifeguard: (found|stored) (.*?)"?$/

/** SQL that fails when it is run: a cast that cannot work, as SQL has no other way to raise an error of its own. */
function failure(table: Table, what: string, found: string, wanted: string): string {
  return `('lifeguard: ${what} ' || ${found} || ' of ' || ${wanted} || ${quoteLiteral(` rows of ${table.key}`)})::integer`
}

/** What is missing (`0 of 2 rows of songs`), and whether it was to be found or to be stored, if that is what PostgreSQL's message says. */
export function shortfallOf(
  message: string,
): { readonly what: 'found' | 'stored'; readonly rows: string } | undefined {
  const match = SHORTFALL.exec(message)
  return match === null ? undefined : { what: match[1] as 'found' | 'stored', rows: match[2] as string }
}

/**
 * Brings the rows that came back into the order of the rows that were sent.
 *
 * @param count How many were sent.
 * @returns Their values, those of `returning` first; undefined if it cannot be told which row is which.
 */
export function matchReturned(
  { order, returning }: WriteStatement,
  returned: readonly RawValue[][],
  count: number,
): readonly RawValue[][] | undefined {
  if (order === 'sent') return returned
  if (order === 'key') return isOneDirection(returned, returning) ? returned : undefined
  const matched = new Array<RawValue[]>(count)
  for (const row of returned) matched[Number(row[returning.length]) - 1] = row
  return matched
}

/**
 * A sequence counts in the order in which rows are inserted. So rows whose keys only rise (or only fall) have come back in that
 * order, too.
 */
function isOneDirection(rows: readonly RawValue[][], returning: readonly TableColumn[]): boolean {
  const at = returning.findIndex(({ definition }) => definition.primaryKey === true)
  const keys = rows.map((row) => exact(row[at] as string | number))
  const [first = 0, second = first] = keys
  return keys.every((key, index) => index === 0 || key > (keys[index - 1] ?? 0) === second > first)
}

/** An integer; what a number may not hold exactly as a bigint. */
function exact(integer: string | number): number | bigint {
  return typeof integer === 'number' || integer.length <= 15 ? Number(integer) : BigInt(integer)
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
