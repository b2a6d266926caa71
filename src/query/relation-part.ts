/** A part of a relation to many, chosen by the query that loads it: `select(Album).load('songs', { where, orderBy, limit })`. */
import { encodeValues } from '../driver/values.js'
import { MappingError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import { isObject } from '../internal/revoked.js'
import { checkInteger, checkObject, refuseUnknownKeys, requireNames } from '../internal/validate.js'
import { sql, type SqlFragment, type Condition } from '../sql.js'
import { refuseNamesakes } from '../schema/column-ref.js'
import { and, andEach, orderOf } from './conditions.js'
import { metaOf, type EntityMeta } from '../schema/entity-meta.js'
import { columnList, concat, text } from './entity-statement.js'
import { orderOfRelated, relatedRows, type LoadStatement } from './key-statements.js'
import { fragmentOf } from './placeholders.js'
import { checkPath } from './relation-path.js'
import type { RelationPart, UndeferredPath } from '../schema/relation-resolution.js'
import { rowSource, rowValues } from './unnest.js'
import type { EncodedText } from '../schema/table-column.js'

/** Options of `load(name, options)`: which related objects are loaded, and in which order. */
export interface LoadOptions<Deferred extends string = string> {
  /** Conditions on the related entity. Default: none. */
  readonly where?: Condition | readonly Condition[] | undefined
  /** Default: the order of the relation, or its primary key. */
  readonly orderBy?: SqlFragment<unknown> | readonly SqlFragment<unknown>[] | undefined
  /** Maximum number of related objects for each owner. Default: all. */
  readonly limit?: number | undefined
  /** Deferred columns to load with the related objects. Default: none. */
  readonly undefer?: readonly Deferred[] | undefined
}

/** Options of `load(path, { undefer })`: the whole relation, with deferred columns of its objects. */
export interface UndeferOptions<Deferred extends string = string> {
  readonly undefer: readonly Deferred[]
}

/**
 * The whole relation that `load(path, { undefer })` names; undefined if other options choose a part of it.
 * @throws MappingError if there is no such relation or deferred column.
 */
export function undeferredPath(
  meta: EntityMeta,
  path: string,
  options: LoadOptions,
): UndeferredPath | undefined {
  if (!isObject(options) || options.undefer === undefined) return undefined
  refuseUnknownKeys('load', options, LOAD_OPTIONS)
  const { undefer, where, orderBy, limit } = options
  if (where !== undefined || orderBy !== undefined || limit !== undefined) return undefined
  requireNames('undefer', undefer)
  checkPath(meta, path).table.deferredExcept(undefer)
  return { path, undefer }
}

const LOAD_OPTIONS = ['where', 'orderBy', 'limit', 'undefer']

/**
 * Checks the arguments of `load(name, options)`.
 * @throws MappingError if there is no such relation to many; InvalidOptionError, InvalidStatementError.
 */
export function relationPart(meta: EntityMeta, name: string, options: LoadOptions): RelationPart {
  const relation = meta.relations.get(name)
  if (relation === undefined) {
    throw new MappingError(
      `${meta.table.key} has no relation '${name}'${didYouMean(name, meta.relations.keys())}`,
    )
  }
  if (!relation.many) {
    throw new MappingError(`${meta.name}.${name} is a relation to one object: load it without options`)
  }
  checkObject('load', options)
  refuseUnknownKeys('load', options, LOAD_OPTIONS)
  const conditions = options.where === undefined ? [] : listOf(options.where)
  for (const condition of conditions) and(condition)
  refuseNamesakes(metaOf(relation.target).table, conditions)
  const order = options.orderBy === undefined ? undefined : listOf(options.orderBy).map(orderOf)
  const { limit, undefer = [] } = options
  requireNames('undefer', undefer)
  const lacking = metaOf(relation.target).table.deferredExcept(undefer)
  if (limit !== undefined) checkInteger<never>('limit', limit, { min: 0 })
  return { relation, conditions, order: order?.length === 0 ? undefined : order, limit, lacking }
}

function listOf<Item>(given: Item | readonly Item[]): readonly Item[] {
  return Array.isArray(given) ? (given as readonly Item[]) : [given as Item]
}

/**
 * The related objects of any number of owners: the number of the owner, from 1, then all columns of the target; in order.
 *
 * @param owners The values of `relation.ownColumns` of each owner, encoded; no NULL among them.
 * @param filters Conditions that hold besides those of the part.
 */
export function selectPart(
  { relation, conditions, order, limit, lacking }: RelationPart,
  owners: readonly (readonly EncodedText[])[],
  filters: readonly Condition[],
): LoadStatement {
  const { table } = metaOf(relation.target)
  const { from, ownerColumns, qualifier } = relatedRows(relation)
  const source = rowSource(ownerColumns, table.qualifier)
  const own = ownerColumns
    .map((column, index) => `${qualifier}.${column.sql} = ${source.columns[index]}`)
    .join(' and ')
  const by = order === undefined ? text(orderOfRelated(relation)) : sql.join(order)
  const all = [...conditions, ...filters]
  const whole = concat(
    fragmentOf(
      `select ${source.ordinal}, ${table.selectList(lacking)} from ${source.sql}`,
      rowValues(ownerColumns, owners),
    ),
    text(
      ` cross join lateral (select ${columnList(table.columns, table.qualifier)}, row_number() over (order by `,
    ),
    by,
    text(`) as "#n" from ${from} where ${own}`),
    andEach(all),
    text(' order by "#n"'),
    limit === undefined ? text('') : sql` limit ${limit}`,
    text(`) as ${table.qualifier} order by ${source.ordinal}, ${table.qualifier}."#n"`),
  )
  const { text: statement, values } = whole.assemble()
  return { text: statement, values: encodeValues(values) }
}
