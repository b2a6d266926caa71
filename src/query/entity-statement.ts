/** The statements of the builders, and how their rows are read. The session runs them. */
import type { RawTypes, TypeParsers } from '../driver/driver.js'
import { InvalidStatementError } from '../errors.js'
import { SqlFragment } from '../sql.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import { NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import { RAW_TEXT } from '../codecs/raw-values.js'
import type { RelationLoad } from '../schema/relation-resolution.js'
import type { RawValue, TableColumn } from '../schema/table-column.js'
import { isObject } from '../internal/revoked.js'

/**
 * A statement whose result is of the type `Item`: an entity, a record of some columns, a number. A scalar of it is the
 * entity, the first of the columns, the number.
 */
export interface EntityStatement<Item, Scalar = Item> {
  /** Only for the type checker. */
  readonly $item?: Item
  /** Only for the type checker. */
  readonly $scalar?: Scalar
  /** Compiles it. Builders never change, so this may be repeated. @throws InvalidValueError, InvalidStatementError */
  toEntityQuery(): EntityQuery
}

/** A statement that always returns exactly one value. */
export interface ValueStatement<Value> extends EntityStatement<Value> {
  readonly givesOne: true
}

/** A compiled {@link EntityStatement}. Its rows must be read as arrays, by its own type parsers. */
export interface EntityQuery {
  readonly text: string
  readonly values: readonly unknown[]
  readonly rowMode: 'array'
  /** Parsers that leave texts unchanged, because the columns convert them. */
  readonly types: TypeParsers | RawTypes
  readonly prepare: boolean
  readonly meta: EntityMeta
  readonly reading: Reading
  readonly load: readonly RelationLoad[]
  /** Deferred columns that the rows of entities do not hold: they are NULL there. */
  readonly lacking: readonly TableColumn[]
  /** Filters that are off, also for the loaded relations. */
  readonly without: WithoutFilters
  /**
   * What the rows mean for instances that the session has already. `read`: the instances keep their values. `fresh`: the statement
   * has locked or changed the rows, so earlier values may be outdated. `wanted`: the rows replace the values. `deleted`: the rows
   * do not exist any more.
   */
  readonly rowsAre: 'read' | 'fresh' | 'wanted' | 'deleted'
}

/** What a row of the result is. */
export type Reading =
  /** An instance; the row has all columns of the table in their order. */
  | { readonly kind: 'entity' }
  /** A plain object with some columns. */
  | { readonly kind: 'record'; readonly columns: readonly TableColumn[] }
  /** One value. */
  | { readonly kind: 'scalar'; readonly decode: (text: string) => unknown }
  /** There are no rows, only a count. */
  | { readonly kind: 'none' }

/** The statement that a builder makes; undefined if it is something else. @throws InvalidStatementError if the builder is incomplete. */
export function entityQueryOf(statement: unknown): EntityQuery | undefined {
  if (!isObject(statement)) return undefined
  // A builder that is no statement yet.
  if ('$incomplete' in statement) throw new InvalidStatementError(String(statement.$incomplete))
  if (!('toEntityQuery' in statement)) return undefined
  return (statement as EntityStatement<unknown>).toEntityQuery()
}

/** The scalar of an item that was read; see {@link EntityStatement}. */
export function scalarOf(reading: Reading, item: unknown): unknown {
  if (reading.kind !== 'record') return item
  const [first] = reading.columns
  return first && (item as Record<string, unknown>)[first.property]
}

/** Reads a row as a record or as a scalar. */
export function readRow(reading: Reading, row: readonly RawValue[]): unknown {
  if (reading.kind === 'scalar') {
    const [raw] = row
    return raw === null || raw === undefined ? null : reading.decode(String(raw))
  }
  const columns = reading.kind === 'record' ? reading.columns : []
  return Object.fromEntries(
    columns.map((column, index) => [column.property, column.decode(row[index] as RawValue)]),
  )
}

/** Puts a statement together from its fragment. */
export function entityQuery(
  meta: EntityMeta,
  statement: SqlFragment<unknown>,
  reading: Reading,
  rest: Partial<Pick<EntityQuery, 'load' | 'lacking' | 'without' | 'rowsAre' | 'prepare'>> = {},
): EntityQuery {
  const { text, values } = statement.assemble()
  const { load = [], lacking = [], without = NO_FILTERS_OFF, rowsAre = 'read', prepare = true } = rest
  const types = reading.kind === 'entity' ? meta.rawValues : RAW_TEXT
  return { text, values, rowMode: 'array', types, prepare, meta, reading, load, lacking, without, rowsAre }
}

/** A list of columns in SQL, each with the qualifier in front, if there is one. */
export function columnList(columns: readonly TableColumn[], qualifier?: string): string {
  const prefix = qualifier === undefined ? '' : `${qualifier}.`
  return columns.map(({ sql }) => `${prefix}${sql}`).join(', ')
}

/** Joins fragments without a separator. */
export function concat(...parts: readonly SqlFragment<unknown>[]): SqlFragment<unknown> {
  return new SqlFragment(['', ...parts.map(() => '')], parts)
}

/** Raw SQL. */
export function text(sql: string): SqlFragment<unknown> {
  return new SqlFragment([sql], [])
}
