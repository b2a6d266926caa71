/** `insert(Entity)`: inserts many rows without objects; with `onConflict` it is an upsert. */
import { InvalidOptionError, InvalidStatementError } from '../errors.js'
import { checkObject, refuseUnknownKeys } from '../internal/validate.js'
import { describeArgument, sql, type SqlFragment, type Condition } from '../sql.js'
import { ColumnRef } from '../schema/column-ref.js'
import { and } from './conditions.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import { columnList, concat, entityQuery, text, type EntityQuery } from './entity-statement.js'
import type { EntityStatement, Reading } from './entity-statement.js'
import type {
  AnyEntity,
  ColumnName,
  ColumnRefs,
  ColumnsOf,
  Insert,
  InstanceOf,
  Update,
} from '../schema/entity-types.js'
import { checkWithout, filtersOf, NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import { givenRows, rowsToInsert, type GivenRows } from './given-rows.js'
import type { Picked } from './select.js'
import type { TableColumn } from '../schema/table-column.js'
import { assignments, changesOf, returningSql, withReturning, writable } from './write-parts.js'
import { isArray } from '../internal/revoked.js'

/**
 * Starts an INSERT of rows, in the order of the array. Defaults are applied as by the constructor; hooks are not
 * run. For objects with relations use `session.add`.
 * @throws MappingError if it is no entity, or a view.
 * @example
 * const stored = await session.scalars(
 *   insert(Tag).values([{ name: 'pop' }, { name: 'rock' }]).onConflict('name').doUpdate().returning(),
 * )
 */
export function insert<E extends AnyEntity>(entity: E): InsertStart<E> {
  return new InsertStart(writable(entity))
}

/** An INSERT that has no rows yet. */
export class InsertStart<E extends AnyEntity> {
  readonly #meta: EntityMeta

  constructor(meta: EntityMeta) {
    this.#meta = meta
  }

  /** @internal What it lacks to be a statement. */
  get $incomplete(): string {
    const { name } = this.#meta
    return `insert(${name}) has no rows yet: call values(), as in insert(${name}).values(rows)`
  }

  /**
   * One row or several, by property; also new objects of the entity, of which only columns may be set.
   * @throws MappingError for a property that is no column, or is computed; InvalidValueError; InvalidStatementError for an
   *   empty list.
   */
  values(rows: Insert<E> | readonly Insert<E>[]): BulkInsert<E> {
    return new BulkInsert(this.#meta, givenRows(this.#meta, rows), {
      conflict: undefined,
      returning: undefined,
      without: NO_FILTERS_OFF,
    })
  }
}

interface InsertState {
  /** The ON CONFLICT clause. @param filters Conditions that an existing row must meet to be changed. */
  readonly conflict: ((filters: readonly Condition[]) => SqlFragment<unknown>) | undefined
  /** Undefined: nothing is returned. */
  readonly returning: Reading | undefined
  /** The filters that are off. */
  readonly without: WithoutFilters
}

/** An INSERT. Immutable: every method returns a new statement. */
export class BulkInsert<E extends AnyEntity, Item = never, Scalar = Item> implements EntityStatement<
  Item,
  Scalar
> {
  declare readonly $item?: Item
  declare readonly $scalar?: Scalar
  readonly #meta: EntityMeta
  readonly #rows: GivenRows
  readonly #state: InsertState

  constructor(meta: EntityMeta, rows: GivenRows, state: InsertState) {
    this.#meta = meta
    this.#rows = rows
    this.#state = state
  }

  /**
   * How to treat rows that exist already: call `.doUpdate(...)` or `.doNothing()` on the result.
   *
   * @param target The property or properties that have a unique index, or `{ constraint }` with its name. Left out: any
   *   conflict, which only `doNothing()` can take.
   * @param options `where`: the condition of a partial unique index, written with the sql tag and without parameters.
   * @throws MappingError for a property that is no column; InvalidOptionError.
   */
  onConflict(
    target?: ColumnName<E> | readonly ColumnName<E>[] | { readonly constraint: string },
    options: { readonly where?: Condition | undefined } = {},
  ): OnConflict<E, Item, Scalar> {
    requireListed('onConflict', target, options)
    checkObject('onConflict', options)
    refuseUnknownKeys('onConflict', options, ['where'])
    const conflict = readTarget(this.#meta, target, options.where)
    const decide = (action: ConflictAction): BulkInsert<E, Item, Scalar> =>
      new BulkInsert(this.#meta, this.#rows, {
        ...this.#state,
        conflict: (filters) => concat(text(' on conflict'), conflict.sql, action(filters)),
      })
    return new OnConflict(this.#meta, this.#rows, conflict.columns, decide)
  }

  /**
   * Returns the rows as they are stored now: entities, or plain objects with the named columns. Objects that the session has
   * already get the new values, but keep their unflushed changes. Rows that were not written, because of `doNothing()` or
   * because a filter hides them from `doUpdate()`, are not returned. Of deferred columns, entities get those that this
   * statement gives.
   */
  returning(): BulkInsert<E, InstanceOf<E>>
  returning<const Names extends readonly ColumnName<E>[]>(
    ...names: Names
  ): BulkInsert<E, Picked<E, Names[number]>, ColumnsOf<E>[Names[0]]['$value']>
  returning(...names: readonly string[]): BulkInsert<E, unknown> {
    return new BulkInsert<E, unknown>(this.#meta, this.#rows, withReturning(this.#meta, this.#state, names))
  }

  /** Turns off filters of the entity: `doUpdate()` changes the rows that they hide, too. @param names Default: all. @throws MappingError for a name that no entity has. */
  withoutFilters(...names: readonly string[]): BulkInsert<E, Item, Scalar> {
    const without = checkWithout(this.#meta, names)
    return new BulkInsert(this.#meta, this.#rows, { ...this.#state, without })
  }

  toEntityQuery(): EntityQuery {
    const { table } = this.#meta
    const { conflict, returning, without } = this.#state
    const lacking = table.deferred.filter((column) => !this.#rows.columns.includes(column))
    const statement = concat(
      text(`insert into ${table.sql}`),
      rowsToInsert(table, this.#rows),
      conflict?.(filtersOf(this.#meta, without)) ?? text(''),
      text(returningSql(table, returning, lacking)),
    )
    return entityQuery(this.#meta, statement, returning ?? { kind: 'none' }, { rowsAre: 'fresh', lacking })
  }
}

/** What happens to existing rows. @param filters Conditions that an existing row must meet to be changed. */
type ConflictAction = (filters: readonly Condition[]) => SqlFragment<unknown>

/** The changes of an existing row: values and SQL by property, names, or a function of `excluded`. */
export type ConflictChanges<E extends AnyEntity> =
  Update<E> | readonly ColumnName<E>[] | ((excluded: ColumnRefs<ColumnsOf<E>>) => Update<E>)

/** An INSERT with a conflict target. Call `doUpdate()` or `doNothing()` to complete it. */
export class OnConflict<E extends AnyEntity, Item = never, Scalar = Item> {
  readonly #meta: EntityMeta
  readonly #rows: GivenRows
  /** Undefined: any conflict. */
  readonly #target: readonly TableColumn[] | undefined
  readonly #decide: (action: ConflictAction) => BulkInsert<E, Item, Scalar>

  constructor(
    meta: EntityMeta,
    rows: GivenRows,
    target: readonly TableColumn[] | undefined,
    decide: (action: ConflictAction) => BulkInsert<E, Item, Scalar>,
  ) {
    this.#meta = meta
    this.#rows = rows
    this.#target = target
    this.#decide = decide
  }

  /** @internal What it lacks to be a statement. */
  get $incomplete(): string {
    return (
      `The INSERT into ${this.#meta.table.key} does not say what happens to rows that exist already: call doUpdate() or ` +
      "doNothing() after onConflict(), as in insert(Song).values(rows).onConflict('id').doUpdate()"
    )
  }

  /** Leaves existing rows as they are. `returning()` does not return them. */
  doNothing(): BulkInsert<E, Item, Scalar> {
    return this.#decide(() => text(' do nothing'))
  }

  /**
   * Changes existing rows. `version()` columns are incremented and `onUpdate` columns set, as by `update()`.
   *
   * @param changes Default: every given column gets the new value, except the key and the conflict target. An array: only these
   *   columns. An object: these values or SQL. A function: returns such an object, from the row that could not be inserted
   *   (`excluded`).
   * @param options `where`: only rows that meet the condition are changed.
   * @throws InvalidStatementError if nothing would be changed, or `onConflict()` names no target; MappingError; InvalidValueError.
   * @example
   * insert(Song).values(rows).onConflict('id').doUpdate((excluded) => ({
   *   plays: sql`${Song.c.plays} + ${excluded.plays}`,
   * }))
   */
  doUpdate(
    changes?: ConflictChanges<E>,
    options: { readonly where?: Condition | undefined } = {},
  ): BulkInsert<E, Item, Scalar> {
    const { table } = this.#meta
    requireListed('doUpdate', changes, options)
    checkObject('doUpdate', options)
    refuseUnknownKeys('doUpdate', options, ['where'])
    if (this.#target === undefined) {
      throw new InvalidStatementError(
        'doUpdate() needs a conflict target: name the unique columns, onConflict(...)',
      )
    }
    const set = this.#assignments(changes)
    if (set.size === 0) {
      throw new InvalidStatementError(
        `The upsert of ${table.key} changes nothing: use doNothing(), or name what to change`,
      )
    }
    const given = options.where === undefined ? [] : [options.where]
    and(...given)
    return this.#decide((filters) => {
      const conditions = [...given, ...filters]
      const where = conditions.length === 0 ? text('') : concat(text(' where '), and(...conditions))
      return concat(text(' do update set '), assignments(table, set), where)
    })
  }

  #assignments(changes: ConflictChanges<E> | undefined): Map<TableColumn, unknown> {
    const { table } = this.#meta
    const excluded = (column: TableColumn): ColumnRef<unknown> => new ColumnRef('excluded', column)
    if (changes === undefined) {
      const kept = new Set([...table.primaryKey, ...(this.#target ?? []), table.version])
      const taken = [...this.#rows.explicit].filter((column) => !kept.has(column))
      return new Map(taken.map((column) => [column, excluded(column)]))
    }
    if (isArray(changes)) {
      const names = changes as readonly string[]
      return new Map(names.map((name) => [table.column(name), excluded(table.column(name))]))
    }
    const refs = (): ColumnRefs<ColumnsOf<E>> =>
      Object.fromEntries(table.columns.map((column) => [column.property, excluded(column)])) as ColumnRefs<
        ColumnsOf<E>
      >
    const values = typeof changes === 'function' ? changes(refs()) : changes
    checkObject('doUpdate', values)
    return changesOf(this.#meta, 'doUpdate', values)
  }
}

/** @throws InvalidOptionError if columns were given one by one: several are an array. */
function requireListed(method: string, first: unknown, second: unknown): void {
  if (typeof first !== 'string' || typeof second !== 'string') return
  throw new InvalidOptionError(
    method,
    `${method} takes several columns in an array: ${method}(['${first}', '${second}'])`,
  )
}

interface Target {
  readonly sql: SqlFragment<unknown>
  /** Undefined: any conflict. */
  readonly columns: readonly TableColumn[] | undefined
}

function readTarget(
  { table }: EntityMeta,
  target: string | readonly string[] | { readonly constraint: string } | undefined,
  where: Condition | undefined,
): Target {
  const condition = where === undefined ? text('') : concat(text(' where '), and(where))
  if (target === undefined) {
    if (where !== undefined) {
      throw new InvalidStatementError('The where of onConflict() belongs to a unique index: name its columns')
    }
    return { sql: text(''), columns: undefined }
  }
  if (typeof target === 'object' && !isArray(target)) {
    const options = target as { readonly constraint: string }
    checkObject('onConflict', options)
    refuseUnknownKeys('onConflict', options, ['constraint'])
    if (where !== undefined) {
      throw new InvalidStatementError('onConflict() takes a constraint, or columns with a where, not both')
    }
    const name = sql.identifier(options.constraint)
    return { sql: concat(text(' on constraint '), name), columns: [] }
  }
  const names: readonly string[] | undefined =
    typeof target === 'string' ? [target] : isArray(target) ? (target as readonly string[]) : undefined
  if (names === undefined) {
    throw new InvalidStatementError(
      `onConflict() takes properties or { constraint }, not ${describeArgument(target)}`,
    )
  }
  if (names.length === 0) throw new InvalidStatementError('onConflict() was given an empty list of columns')
  const columns = names.map((name) => table.column(name))
  return { sql: concat(text(` (${columnList(columns)})`), condition), columns }
}
