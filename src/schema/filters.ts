/**
 * Conditions for every query of an entity, such as the tenant or rows that are not deleted. They are declared once, and apply unless a
 * query turns them off by name. They do not replace row-level security, because they do not apply to SQL of the user.
 */
import { InvalidStatementError, MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { SqlFragment } from '../sql.js'
import { kindOf } from '../codecs/codec.js'
import type { Columns } from './column.js'
import type { Condition } from '../sql.js'
import { metaOf, type EntityMeta } from './entity-meta.js'
import { ENTITY, type AnyEntity, type ColumnRefs } from './entity-types.js'
import type { Relation } from './relation-resolution.js'
import type { Table } from './table.js'

/**
 * Filters of an entity by name. Each is called for each statement, so it may use the current tenant in an AsyncLocalStorage. To
 * apply no condition, return `` sql`true` ``.
 */
export type Filters<C extends Columns> = Readonly<Record<string, (columns: ColumnRefs<C>) => Condition>>

/** The part of the options of an entity that needs to know its columns. */
export interface FilterOptions<C extends Columns> {
  /**
   * Conditions for every query of the entity, unless the query turns them off by name (`withoutFilters`): `select`, counts,
   * `get`, loaded relations and their join tables, `update`, `deleteFrom`, `onConflict`. They do not apply to `refresh` or raw
   * SQL.
   * @example
   * filters: { live: (c) => isNull(c.deletedAt), tenant: (c) => eq(c.tenantId, currentTenant()) }
   */
  readonly filters?: Filters<C> | undefined
}

/** The filters that a statement does without: these names, or `all`. */
export type WithoutFilters = readonly string[] | 'all'

export const NO_FILTERS_OFF: WithoutFilters = []

/** Checks filters as they were declared. @throws MappingError */
export function checkFilters(entity: string, filters: unknown): Filters<Columns> {
  if (filters === undefined) return {}
  if (typeof filters !== 'object' || filters === null || Array.isArray(filters)) {
    throw new MappingError(
      `The filters of ${entity} are an object of functions by name, not ${kindOf(filters)}`,
    )
  }
  for (const [name, filter] of Object.entries(filters)) {
    if (typeof filter === 'function') continue
    throw new MappingError(
      `The filter '${name}' of ${entity} must be a function that returns a condition, ` +
        `such as (c) => isNull(c.deletedAt), not ${kindOf(filter)}`,
    )
  }
  return filters as Filters<Columns>
}

/**
 * The conditions of an entity's filters as they are now.
 * @throws InvalidStatementError if a filter returns no condition; errors of a filter.
 */
export function filtersOf({ entity, table }: EntityMeta, without: WithoutFilters): Condition[] {
  const { c } = entity as AnyEntity & { readonly c: ColumnRefs<Columns> }
  return conditionsOf(table, { filters: entity[ENTITY].filters as Filters<Columns>, c }, without)
}

/**
 * As {@link filtersOf}, of what a relation loads: the filters of its target, and those of the join table.
 * @throws InvalidStatementError also if that table has filters, and the name of the target.
 */
export function filtersOfRelated({ target, link }: Relation, without: WithoutFilters): Condition[] {
  const meta = metaOf(target)
  const conditions = filtersOf(meta, without)
  const filters = link === undefined ? undefined : target[ENTITY].metadata.filters(link.table)
  if (link === undefined || filters === undefined) return conditions
  const linked = conditionsOf(link.table, filters, without)
  if (linked.length > 0 && link.table.name === meta.table.name) {
    throw new InvalidStatementError(
      `The filters of ${link.table.key} cannot be distinguished from those of ${meta.table.key}, which has the same name in another ` +
        'schema: turn them off with withoutFilters, or rename one of the tables',
    )
  }
  return [...conditions, ...linked]
}

/** Filters, and the arguments of their functions. */
export interface TableFilters {
  readonly filters: Filters<Columns>
  readonly c: ColumnRefs<Columns>
}

function conditionsOf(table: Table, { filters, c }: TableFilters, without: WithoutFilters): Condition[] {
  if (without === 'all') return NONE
  const conditions: Condition[] = []
  for (const name in filters) {
    if (without.includes(name)) continue
    const condition: unknown = filters[name]?.(c)
    if (!(condition instanceof SqlFragment)) {
      throw new InvalidStatementError(
        `The filter '${name}' of ${table.key} returned ${kindOf(condition)} instead of a condition. ` +
          'To let a statement see every row, let it return sql`true`',
      )
    }
    conditions.push(new FilterCondition(condition, `the filter '${name}' of ${table.key}`))
  }
  return conditions
}

const NONE: Condition[] = []

/** The condition of a filter. Subqueries in it have filters, too: by the label, a filter that contains itself is found. */
class FilterCondition extends SqlFragment<unknown> {
  override readonly label: string

  constructor(condition: Condition, label: string) {
    super(['', ''], [condition])
    this.label = label
  }
}

/**
 * What `withoutFilters(...names)` turns off.
 * @param names None: all.
 * @throws MappingError for a name that no entity of the base has.
 */
export function checkWithout({ entity, table }: EntityMeta, names: readonly string[]): WithoutFilters {
  if (!names.every((name) => typeof name === 'string'))
    throw new MappingError(`The filters of ${table.key} are named by texts: withoutFilters('live')`)
  if (names.length === 0) return 'all'
  const known = entity[ENTITY].metadata.filterNames
  for (const name of names) {
    if (known.has(name)) continue
    throw new MappingError(
      `No entity of the base of ${table.key} has a filter '${name}'${didYouMean(name, known)}`,
    )
  }
  return names
}
