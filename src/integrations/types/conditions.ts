/** Conditions on the types of this subpath, on arrays and on `jsonb`. Values are parameters, converted by the column's own rules. */
import { InvalidStatementError, SqlFragment, type ColumnRef, type Condition } from '../../index.js'
import type { Range } from './range.js'
import type { RangeColumnType } from './ranges.js'

/** An element of a range or multirange. */
type ValueIn<Value> =
  NonNullable<Value> extends Range<infer Bound>
    ? Bound
    : NonNullable<Value> extends readonly Range<infer Bound>[]
      ? Bound
      : never

/** The operand of {@link contains} and the other conditions. */
export type Contained<Value> = NonNullable<NoInfer<Value>> | ValueIn<NoInfer<Value>> | SqlFragment<unknown>

/**
 * The column contains the value (`@>`; for `inet` and `cidr` `>>=`, contains or equals). The value is elements of an array, a
 * part of a `jsonb` document or an `hstore`, or another range or a single value for a range or multirange.
 * @throws InvalidValueError for a value that the column cannot hold.
 * @example
 * contains(Song.c.tags, ['jazz'])
 * contains(Booking.c.during, new Date())
 */
export function contains<Value>(column: ColumnRef<Value>, value: Contained<Value>): Condition {
  return compare(column, isNetwork(required(column)) ? '>>=' : '@>', value)
}

/** The column is contained in the value (`<@`; for `inet` and `cidr` `<<=`). Otherwise as {@link contains}. */
export function containedBy<Value>(
  column: ColumnRef<Value>,
  value: NonNullable<NoInfer<Value>> | SqlFragment<unknown>,
): Condition {
  return compare(column, isNetwork(required(column)) ? '<<=' : '<@', value)
}

/** The column and the value have a common part (`&&`): arrays, ranges, networks, boxes. */
export function overlaps<Value>(
  column: ColumnRef<Value>,
  value: NonNullable<NoInfer<Value>> | SqlFragment<unknown>,
): Condition {
  return compare(column, '&&', value)
}

/** Touches the range without overlapping it (`-|-`). */
export function adjacentTo<Value>(
  column: ColumnRef<Value>,
  value: NonNullable<NoInfer<Value>> | SqlFragment<unknown>,
): Condition {
  return compare(column, '-|-', value)
}

/** Has the key (`?`): a document of `jsonb`, an `hstore`. */
export function hasKey(column: ColumnRef<unknown>, key: string): Condition {
  if (typeof key !== 'string') throw new InvalidStatementError('hasKey takes a string')
  return new SqlFragment(['', ' ? ', '::text'], [required(column), key])
}

/** Options of {@link matches}. */
export interface MatchOptions {
  /** The text search configuration: `'english'`. Default: that of the server. */
  readonly config?: string | undefined
  /**
   * How the words are interpreted. `'websearch'`: as in a search engine; `'plain'`: all words; `'phrase'`: in this order;
   * `'query'`: with the operators of tsquery, where syntax errors throw. Default `'websearch'`.
   */
  readonly syntax?: 'websearch' | 'plain' | 'phrase' | 'query' | undefined
}

const FUNCTIONS = {
  websearch: 'websearch_to_tsquery',
  plain: 'plainto_tsquery',
  phrase: 'phraseto_tsquery',
  query: 'to_tsquery',
}

/**
 * The words match the search (`@@`).
 * @param column A `tsvector`, or text.
 * @example
 * matches(Song.c.words, 'blue -moon', { config: 'english' })
 */
export function matches(
  column: ColumnRef<string | null> | ColumnRef<string>,
  search: string | SqlFragment<unknown>,
  options: MatchOptions = {},
): Condition {
  const { config, syntax = 'websearch' } = options
  if (!Object.hasOwn(FUNCTIONS, syntax))
    throw new InvalidStatementError(`syntax takes ${Object.keys(FUNCTIONS).join(', ')}`)
  if (typeof search !== 'string' && !(search instanceof SqlFragment))
    throw new InvalidStatementError('matches takes the words to search for as a string')
  const name = FUNCTIONS[syntax]
  return config === undefined
    ? new SqlFragment(['', ` @@ ${name}(`, ')'], [required(column), search])
    : new SqlFragment(['', ` @@ ${name}(`, '::text::regconfig, ', ')'], [required(column), config, search])
}

/** How far two vectors or two geometric objects lie apart. */
export type DistanceMetric = 'l2' | 'cosine' | 'inner product' | 'l1'

const OPERATORS = { l2: '<->', cosine: '<=>', 'inner product': '<#>', l1: '<+>' }

/**
 * The distance to a value, for ORDER BY and for conditions in SQL.
 * @param metric Default `'l2'`, the only metric of geometric types.
 * @example
 * select(Song).orderBy(distance(Song.c.embedding, wanted, 'cosine')).limit(10)
 */
export function distance<Value>(
  column: ColumnRef<Value>,
  value: NonNullable<NoInfer<Value>> | SqlFragment<unknown>,
  metric: DistanceMetric = 'l2',
): SqlFragment<number> {
  if (!Object.hasOwn(OPERATORS, metric))
    throw new InvalidStatementError(`The distance is one of ${Object.keys(OPERATORS).join(', ')}`)
  return compare(column, OPERATORS[metric], value) as SqlFragment<number>
}

function compare(column: ColumnRef<unknown>, operator: string, value: unknown): Condition {
  const { definition } = required(column).column
  if (value instanceof SqlFragment) return new SqlFragment(['', ` ${operator} `, ''], [column, value])
  const type = definition.type as Partial<RangeColumnType>
  const isBound = type.rangeOf !== undefined && !isRange(value)
  const cast = isBound ? type.rangeOf?.cast : type.cast
  const text = isBound ? type.rangeOf?.encode(value) : column.column.encode(value)
  return new SqlFragment(['', ` ${operator} `, `::${cast}`], [column, text])
}

function isRange(value: unknown): boolean {
  return Array.isArray(value) || (typeof value === 'object' && value !== null && 'lower' in value)
}

function isNetwork({ column }: ColumnRef<unknown>): boolean {
  return ['inet', 'cidr'].includes(column.definition.type.ddl)
}

/** In plain JavaScript a column whose name is misspelt is undefined. */
function required<Ref extends ColumnRef<unknown>>(column: Ref): Ref {
  if (column instanceof SqlFragment && 'column' in column) return column
  throw new InvalidStatementError('A condition starts with a column of an entity (Song.c.title)')
}
