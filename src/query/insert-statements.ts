/**
 * Statements that insert rows of the unit of work and return server-generated values, and the statement that allocates keys.
 * The rules of `write-statements.ts` apply.
 */
import { definitionSql, quoteLiteral } from '../schema/definition-sql.js'
import { columnList } from './entity-statement.js'
import { rowSource, rowValues } from './unnest.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { StatementShape, Table } from '../schema/table.js'
import {
  allFound,
  failure,
  NONE,
  shapeKind,
  STORED,
  withValues,
  type WriteStatement,
} from './write-statements.js'

/**
 * Inserts rows with values for the same columns, and returns the server-generated values of the other columns. Fails unless all
 * rows are inserted, which a trigger or a rule can prevent; see {@link shortfallOf}.
 *
 * @param columns The columns with values; may be empty.
 * @param rows At least one.
 * @param places Where the value of each column stands in a row; default: in the order of `columns`.
 * @param readBack Columns with values that are returned as they are stored; NULL where that is not known.
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
      : `(${columnList(columns)})${overriding(columns)} values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`
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
  const hasAscendingKeys = others.length === 0 && filled.includes(key) && isSerial(key)
  if (columns.length === 0 || (filled.length > 0 && !hasAscendingKeys))
    return insertJoined(table, columns, filled)
  const source = rowSource(columns)
  const order = hasAscendingKeys ? ` order by ${source.ordinal}` : ''
  const change = `insert into ${table.sql} (${columnList(columns)})${overriding(columns)} select ${source.columns.join(', ')} from ${source.sql}${order}`
  const returned = filled.map(({ sql }) => sql)
  const text = allFound(table, STORED, change, returned, columns.length)
  return { text, returning: filled, order: hasAscendingKeys ? 'key' : 'sent' }
}

/**
 * An INSERT cannot return the ordinal of its source. So generated keys are made beforehand, and the returned rows are joined to
 * the source by their keys.
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
    // PostgreSQL rounds the key when it stores it, so the sent key is rounded in the same way.
    const cast = type.respells === undefined || type.ddl === type.cast ? '' : `::${type.ddl}`
    return `"k${index}" = "c${stored.indexOf(column)}"${cast}`
  })
  const joined = `"source" left join "changed" on ${keys.join(' and ')}`
  // A trigger may have changed the key: if nothing else is returned, such a row is only counted.
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
    // PostgreSQL evaluates the counts only for a missing row.
    `"n", case when ${isMissing} then ${failure(table, STORED, found, wanted)} end from ${joined}`,
  ].join('')
  return { text, returning: filled, order: 'ordinal' }
}

/** A key that was allocated beforehand is stored, also where the column is GENERATED ALWAYS AS IDENTITY. */
function overriding(columns: readonly TableColumn[]): string {
  return columns.some(({ definition }) => definition.identity === 'always') ? ' overriding system value' : ''
}

/** Whether a sequence generates its values. */
function isSerial({ definition: { type, serverDefault } }: TableColumn): boolean {
  return type.serial === true && serverDefault === undefined
}

/** SQL for the key of one row, as PostgreSQL would generate it. */
function keyExpression(table: Table, { name, definition }: TableColumn): string {
  const { type, serverDefault } = definition
  if (serverDefault !== undefined) return `(${definitionSql(table.key, serverDefault)})`
  if (type.serial !== true) return 'null'
  // Looked up once for the statement, not for each row.
  return `nextval((select pg_get_serial_sequence(${quoteLiteral(table.sql)}, ${quoteLiteral(name)})::regclass))`
}

/**
 * Values for columns of rows that do not exist yet, as PostgreSQL would generate them; for keys that other rows refer to.
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
