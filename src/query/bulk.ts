/** `update(Entity)` and `deleteFrom(Entity)`: many rows at once, without loading them. */
import { InvalidStatementError, MappingError } from '../errors.js'
import { kindOf, sql, SqlFragment } from '../sql.js'
import { requireOneTableOfName } from '../schema/column-ref.js'
import { and, matchesAll } from './conditions.js'
import type { Condition } from '../sql.js'
import { metaOf, type EntityMeta } from '../schema/entity-meta.js'
import {
  columnList,
  concat,
  entityQuery,
  text,
  type EntityQuery,
  type EntityStatement,
  type Reading,
} from './entity-statement.js'
import { checkWithout, filtersOf, NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import type { AnyEntity, ColumnName, ColumnsOf, InstanceOf, Update } from '../schema/entity-types.js'
import type { Picked } from './select.js'
import type { TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'

/**
 * Starts an UPDATE of all rows that meet a condition. `onUpdate` columns are set and the version counter is incremented; hooks are not
 * run, and instances that a session holds keep their values until they are refreshed.
 * @throws MappingError if it is no entity, or a view.
 * @example
 * await session.execute(update(Song).set({ plays: sql`${Song.c.plays} + 1` }).where(eq(Song.c.albumId, id)))
 */
export function update<E extends AnyEntity>(entity: E): BulkUpdate<E> {
  return new BulkUpdate(writable(entity), new Map<TableColumn, unknown>(), NOTHING)
}

/**
 * Starts a DELETE of all rows that meet a condition. (`delete` is a word of JavaScript.) Cascades are those of the
 * database.
 * @throws MappingError if it is no entity, or a view.
 * @example
 * const gone = await session.execute(deleteFrom(Song).where(lt(Song.c.plays, 1)).returning('id'))
 */
export function deleteFrom<E extends AnyEntity>(entity: E): BulkDelete<E> {
  return new BulkDelete(writable(entity), NOTHING)
}

/** What is known of an entity that a statement writes. @throws MappingError if it is none, or a view. */
export function writable(entity: AnyEntity): EntityMeta {
  const meta = metaOf(entity)
  meta.table.requireWritable()
  return meta
}

interface BulkState {
  readonly conditions: readonly Condition[]
  /** `where` was called: not every row is meant, even if it was given nothing. */
  readonly filtered: boolean
  /** Undefined: nothing is returned. */
  readonly returning: Reading | undefined
  /** The filters that it does without. */
  readonly without: WithoutFilters
}

const NOTHING: BulkState = { conditions: [], filtered: false, returning: undefined, without: NO_FILTERS_OFF }

/** An UPDATE. It never changes: every method gives a new one. */
export class BulkUpdate<E extends AnyEntity, Item = never, Scalar = Item> implements EntityStatement<
  Item,
  Scalar
> {
  declare readonly $item?: Item
  declare readonly $scalar?: Scalar
  readonly #meta: EntityMeta
  readonly #changes: ReadonlyMap<TableColumn, unknown>
  readonly #state: BulkState

  constructor(meta: EntityMeta, changes: ReadonlyMap<TableColumn, unknown>, state: BulkState) {
    this.#meta = meta
    this.#changes = changes
    this.#state = state
  }

  /**
   * What to change, as values or SQL; added to what was given before. `undefined` changes nothing.
   * @throws MappingError for a property that is no column or is computed; InvalidValueError.
   */
  set(values: Update<E>): BulkUpdate<E, Item, Scalar> {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new InvalidStatementError(`set takes an object of values, not ${kindOf(values)}`)
    }
    const changes = new Map(this.#changes)
    for (const [property, value] of Object.entries<unknown>(values)) {
      if (value === undefined) continue
      const column = this.#meta.table.column(property)
      if (column.definition.generated !== undefined) {
        throw new MappingError(`${column} is computed by PostgreSQL and cannot be set`)
      }
      changes.set(column, value instanceof SqlFragment ? value : column.encodeStored(value))
    }
    return new BulkUpdate(this.#meta, changes, this.#state)
  }

  /**
   * Only rows that meet all conditions, and those given before. Leave `where` out if every row is meant: a list of conditions
   * that is empty is refused when the statement runs.
   */
  where(...conditions: readonly Condition[]): BulkUpdate<E, Item, Scalar> {
    return new BulkUpdate(this.#meta, this.#changes, withConditions(this.#meta, this.#state, conditions))
  }

  /** Turns off filters of the entity. @param names Default: all. @throws MappingError for a name that no entity has. */
  withoutFilters(...names: readonly string[]): BulkUpdate<E, Item, Scalar> {
    const without = checkWithout(this.#meta, names)
    return new BulkUpdate(this.#meta, this.#changes, { ...this.#state, without })
  }

  /** Gives the changed rows: entities, or plain objects with the named columns. */
  returning(): BulkUpdate<E, InstanceOf<E>>
  returning<const Names extends readonly ColumnName<E>[]>(
    ...names: Names
  ): BulkUpdate<E, Picked<E, Names[number]>, ColumnsOf<E>[Names[0]]['$value']>
  returning(...names: readonly string[]): BulkUpdate<E, unknown> {
    return new BulkUpdate<E, unknown>(
      this.#meta,
      this.#changes,
      withReturning(this.#meta, this.#state, names),
    )
  }

  /** @throws InvalidStatementError if nothing was set, or `where` was given no condition, or only an `and()` of nothing. */
  toEntityQuery(): EntityQuery {
    const { table } = this.#meta
    if (this.#changes.size === 0) throw new InvalidStatementError(`The update of ${table.key} sets nothing`)
    const assignments = [...this.#changes].map(([column, value]) => assignment(column, value))
    for (const column of table.columns) {
      if (this.#changes.has(column)) continue
      const automatic = automaticChange(column, table.qualifier)
      if (automatic !== undefined) assignments.push(automatic)
    }
    return bulkQuery(
      this.#meta,
      sql`${text(`update ${table.sql} set `)}${sql.join(assignments)}`,
      this.#state,
      'fresh',
    )
  }
}

/** A DELETE. It never changes: every method gives a new one. */
export class BulkDelete<E extends AnyEntity, Item = never, Scalar = Item> implements EntityStatement<
  Item,
  Scalar
> {
  declare readonly $item?: Item
  declare readonly $scalar?: Scalar
  readonly #meta: EntityMeta
  readonly #state: BulkState

  constructor(meta: EntityMeta, state: BulkState) {
    this.#meta = meta
    this.#state = state
  }

  /**
   * Only rows that meet all conditions, and those given before. Leave `where` out if every row is meant: a list of conditions
   * that is empty is refused when the statement runs.
   */
  where(...conditions: readonly Condition[]): BulkDelete<E, Item, Scalar> {
    return new BulkDelete(this.#meta, withConditions(this.#meta, this.#state, conditions))
  }

  /** Turns off filters of the entity. @param names Default: all. @throws MappingError for a name that no entity has. */
  withoutFilters(...names: readonly string[]): BulkDelete<E, Item, Scalar> {
    return new BulkDelete(this.#meta, { ...this.#state, without: checkWithout(this.#meta, names) })
  }

  /** Gives the deleted rows: entities, or plain objects with the named columns. */
  returning(): BulkDelete<E, InstanceOf<E>>
  returning<const Names extends readonly ColumnName<E>[]>(
    ...names: Names
  ): BulkDelete<E, Picked<E, Names[number]>, ColumnsOf<E>[Names[0]]['$value']>
  returning(...names: readonly string[]): BulkDelete<E, unknown> {
    return new BulkDelete<E, unknown>(this.#meta, withReturning(this.#meta, this.#state, names))
  }

  /** @throws InvalidStatementError if `where` was given no condition, or only an `and()` of nothing. */
  toEntityQuery(): EntityQuery {
    return bulkQuery(this.#meta, text(`delete from ${this.#meta.table.sql}`), this.#state, 'deleted')
  }
}

/** `column = value`, of an encoded value or of SQL. */
export function assignment(column: TableColumn, value: unknown): SqlFragment<unknown> {
  return value instanceof SqlFragment
    ? concat(text(`${column.sql} = `), value)
    : sql`${text(`${column.sql} = `)}${value}`
}

/** What an update changes of its own accord: the version, and `onUpdate` columns. */
export function automaticChange(column: TableColumn, table: string): SqlFragment<unknown> | undefined {
  const { version, onUpdate } = column.definition
  if (version === true) return text(`${column.sql} = ${table}.${column.sql} + 1`)
  if (onUpdate === undefined) return undefined
  if (typeof onUpdate === 'object') return concat(text(`${column.sql} = `), onUpdate)
  return sql`${text(`${column.sql} = `)}${column.encodeStored(onUpdate())}`
}

function withConditions(
  { table }: EntityMeta,
  state: BulkState,
  conditions: readonly Condition[],
): BulkState {
  for (const condition of conditions) and(condition)
  requireOneTableOfName(table, conditions)
  return { ...state, conditions: [...state.conditions, ...conditions], filtered: true }
}

/** The state of a statement that gives its rows, or some of their columns. @throws MappingError */
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

function bulkQuery(
  meta: EntityMeta,
  start: SqlFragment<unknown>,
  { conditions, filtered, returning, without }: BulkState,
  rowsAre: EntityQuery['rowsAre'],
): EntityQuery {
  const { table } = meta
  const parts = [start]
  if (filtered && conditions.every(matchesAll)) {
    const what = conditions.length === 0 ? 'a where() of nothing' : 'an and() of nothing'
    throw new InvalidStatementError(
      `The condition of a bulk statement on ${table.key} is ${what}: leave where() out if every row is meant`,
    )
  }
  const all = [...conditions, ...filtersOf(meta, without)]
  if (all.length > 0) parts.push(text(' where '), and(...all))
  parts.push(text(returningSql(table, returning)))
  return entityQuery(meta, concat(...parts), returning ?? { kind: 'none' }, { rowsAre })
}

/** The RETURNING of a statement, if it has one. */
export function returningSql(table: Table, returning: Reading | undefined): string {
  if (returning === undefined) return ''
  const columns =
    returning.kind === 'record' ? columnList(returning.columns, table.qualifier) : table.columnList
  return ` returning ${columns}`
}
