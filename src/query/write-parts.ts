/** The parts that `insert`, `update` and `deleteFrom` share: writable entities, assignments, RETURNING. */
import { InvalidStatementError, MappingError } from '../errors.js'
import { describeArgument, sql, SqlFragment } from '../sql.js'
import { columnList, concat, text, type Reading } from './entity-statement.js'
import { metaOf, type EntityMeta } from '../schema/entity-meta.js'
import type { AnyEntity } from '../schema/entity-types.js'
import type { TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import { isInstance, isObject } from '../internal/revoked.js'

/** What is known of an entity that a statement writes. @throws MappingError if it is none, or a view. */
export function writable(entity: AnyEntity): EntityMeta {
  const meta = metaOf(entity)
  meta.table.requireWritable()
  return meta
}

/**
 * Reads the values of `set` and `doUpdate`: encoded values or SQL by column. Properties that are `undefined` are left out.
 * @throws MappingError for a property that is no column or is computed; InvalidValueError; InvalidStatementError.
 */
export function changesOf({ table }: EntityMeta, method: string, values: unknown): Map<TableColumn, unknown> {
  if (!isObject(values) || Array.isArray(values)) {
    throw new InvalidStatementError(`${method} takes an object of values, not ${describeArgument(values)}`)
  }
  const changes = new Map<TableColumn, unknown>()
  for (const [property, value] of Object.entries<unknown>(values as Record<string, unknown>)) {
    if (value === undefined) continue
    const column = table.column(property)
    if (column.definition.generated !== undefined) {
      throw new MappingError(`${column} is computed by PostgreSQL and cannot be set`)
    }
    changes.set(column, isInstance(value, SqlFragment) ? value : column.encodeStored(value))
  }
  return changes
}

/** `SET`: the given changes, and the columns that an update changes by itself (version, `onUpdate`). */
export function assignments(table: Table, changes: ReadonlyMap<TableColumn, unknown>): SqlFragment<unknown> {
  const set = [...changes].map(([column, value]) => assignment(column, value))
  for (const column of table.columns) {
    const automatic = changes.has(column) ? undefined : automaticChange(column, table.qualifier)
    if (automatic !== undefined) set.push(automatic)
  }
  return sql.join(set)
}

/** `column = value`, of an encoded value or of SQL. */
function assignment(column: TableColumn, value: unknown): SqlFragment<unknown> {
  return value instanceof SqlFragment
    ? concat(text(`${column.sql} = `), value)
    : sql`${text(`${column.sql} = `)}${value}`
}

/** What an update changes by itself: the version, and `onUpdate` columns. */
function automaticChange(column: TableColumn, table: string): SqlFragment<unknown> | undefined {
  const { version, onUpdate } = column.definition
  if (version === true) return text(`${column.sql} = ${table}.${column.sql} + 1`)
  if (onUpdate === undefined) return undefined
  if (typeof onUpdate === 'object') return concat(text(`${column.sql} = `), onUpdate)
  return sql`${text(`${column.sql} = `)}${column.encodeStored(onUpdate())}`
}

/** The state of a statement that returns its rows, or some of their columns. @throws MappingError */
export function withReturning<State extends { readonly returning: Reading | undefined }>(
  { table }: EntityMeta,
  state: State,
  names: readonly string[],
): State {
  return {
    ...state,
    returning:
      names.length === 0
        ? { kind: 'entity' }
        : { kind: 'record', columns: names.map((name) => table.column(name)) },
  }
}

/** The RETURNING of a statement, if it has one. @param lacking The deferred columns that entities do not get. */
export function returningSql(
  table: Table,
  returning: Reading | undefined,
  lacking: readonly TableColumn[] = [],
): string {
  if (returning === undefined) return ''
  const columns =
    returning.kind === 'record' ? columnList(returning.columns, table.qualifier) : table.selectList(lacking)
  return ` returning ${columns}`
}
