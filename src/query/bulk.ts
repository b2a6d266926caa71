/** `update(Entity)` and `deleteFrom(Entity)`: change or delete many rows at once, without loading them. */
import { InvalidStatementError } from '../errors.js'
import type { Condition, SqlFragment } from '../sql.js'
import { refuseNamesakes } from '../schema/column-ref.js'
import { and, matchesAll } from './conditions.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import {
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
import { assignments, changesOf, returningSql, withReturning, writable } from './write-parts.js'

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
 * Starts a DELETE of all rows that meet a condition. Only the database cascades. (It is not called `delete`, which is reserved
 * in JavaScript.)
 * @throws MappingError if it is no entity, or a view.
 * @example
 * const gone = await session.execute(deleteFrom(Song).where(lt(Song.c.plays, 1)).returning('id'))
 */
export function deleteFrom<E extends AnyEntity>(entity: E): BulkDelete<E> {
  return new BulkDelete(writable(entity), NOTHING)
}

interface BulkState {
  readonly conditions: readonly Condition[]
  /** True once `where` was called: then an empty condition is refused. */
  readonly filtered: boolean
  /** Undefined: nothing is returned. */
  readonly returning: Reading | undefined
  /** The filters that are off. */
  readonly without: WithoutFilters
}

const NOTHING: BulkState = { conditions: [], filtered: false, returning: undefined, without: NO_FILTERS_OFF }

/** An UPDATE. Immutable: every method returns a new statement. */
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
   * The new values, or SQL; added to those of earlier calls. A property that is `undefined` is not changed.
   * @throws MappingError for a property that is no column or is computed; InvalidValueError.
   */
  set(values: Update<E>): BulkUpdate<E, Item, Scalar> {
    const changes = new Map([...this.#changes, ...changesOf(this.#meta, 'set', values)])
    return new BulkUpdate(this.#meta, changes, this.#state)
  }

  /**
   * Only rows that meet all conditions, of earlier calls too. Leave `where` out to mean every row: an empty list of conditions
   * is refused when the statement runs.
   */
  where(...conditions: readonly Condition[]): BulkUpdate<E, Item, Scalar> {
    return new BulkUpdate(this.#meta, this.#changes, withConditions(this.#meta, this.#state, conditions))
  }

  /** Turns off filters of the entity. @param names Default: all. @throws MappingError for a name that no entity has. */
  withoutFilters(...names: readonly string[]): BulkUpdate<E, Item, Scalar> {
    const without = checkWithout(this.#meta, names)
    return new BulkUpdate(this.#meta, this.#changes, { ...this.#state, without })
  }

  /**
   * Returns the changed rows: entities, or plain objects with the named columns. Of deferred columns, entities get those that this
   * statement sets.
   */
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

  /** @throws InvalidStatementError if nothing was set, or if the only condition is an empty `where()` or `and()`. */
  toEntityQuery(): EntityQuery {
    const { table } = this.#meta
    if (this.#changes.size === 0) throw new InvalidStatementError(`The update of ${table.key} sets nothing`)
    const start = concat(text(`update ${table.sql} set `), assignments(table, this.#changes))
    const lacking = table.deferred.filter((column) => !this.#changes.has(column))
    return bulkQuery(this.#meta, start, this.#state, 'fresh', lacking)
  }
}

/** A DELETE. Immutable: every method returns a new statement. */
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
   * Only rows that meet all conditions, of earlier calls too. Leave `where` out to mean every row: an empty list of conditions
   * is refused when the statement runs.
   */
  where(...conditions: readonly Condition[]): BulkDelete<E, Item, Scalar> {
    return new BulkDelete(this.#meta, withConditions(this.#meta, this.#state, conditions))
  }

  /** Turns off filters of the entity. @param names Default: all. @throws MappingError for a name that no entity has. */
  withoutFilters(...names: readonly string[]): BulkDelete<E, Item, Scalar> {
    return new BulkDelete(this.#meta, { ...this.#state, without: checkWithout(this.#meta, names) })
  }

  /** Returns the deleted rows: entities, or plain objects with the named columns. */
  returning(): BulkDelete<E, InstanceOf<E>>
  returning<const Names extends readonly ColumnName<E>[]>(
    ...names: Names
  ): BulkDelete<E, Picked<E, Names[number]>, ColumnsOf<E>[Names[0]]['$value']>
  returning(...names: readonly string[]): BulkDelete<E, unknown> {
    return new BulkDelete<E, unknown>(this.#meta, withReturning(this.#meta, this.#state, names))
  }

  /** @throws InvalidStatementError if the only condition is an empty `where()` or `and()`. */
  toEntityQuery(): EntityQuery {
    return bulkQuery(this.#meta, text(`delete from ${this.#meta.table.sql}`), this.#state, 'deleted')
  }
}

function withConditions(
  { table }: EntityMeta,
  state: BulkState,
  conditions: readonly Condition[],
): BulkState {
  for (const condition of conditions) and(condition)
  refuseNamesakes(table, conditions)
  return { ...state, conditions: [...state.conditions, ...conditions], filtered: true }
}

function bulkQuery(
  meta: EntityMeta,
  start: SqlFragment<unknown>,
  { conditions, filtered, returning, without }: BulkState,
  rowsAre: EntityQuery['rowsAre'],
  lacking: readonly TableColumn[] = [],
): EntityQuery {
  const { table } = meta
  const parts = [start]
  if (filtered && conditions.every(matchesAll)) {
    const what = conditions.length === 0 ? 'an empty where()' : 'an empty and()'
    throw new InvalidStatementError(
      `The condition of a bulk statement on ${table.key} is ${what}: leave where() out if every row is meant`,
    )
  }
  const all = [...conditions, ...filtersOf(meta, without)]
  if (all.length > 0) parts.push(text(' where '), and(...all))
  parts.push(text(returningSql(table, returning, lacking)))
  return entityQuery(meta, concat(...parts), returning ?? { kind: 'none' }, { rowsAre, lacking })
}
