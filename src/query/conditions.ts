/** Conditions on columns. Each is a fragment of SQL whose values are parameters, converted by the column's own rules. */
import { InvalidStatementError } from '../errors.js'
import { checkOneOf, refuseUnknownKeys } from '../internal/validate.js'
import { SqlFragment, type Condition } from '../sql.js'
import { arrayLiteral } from '../codecs/array-codec.js'
import { kindOf } from '../codecs/codec.js'
import type { ColumnRef } from '../schema/column-ref.js'
import type { TableColumn } from '../schema/table-column.js'
import { isArray, isInstance } from '../internal/revoked.js'

/** The right side of a condition: a value of the column's type, another column, or SQL. */
export type Operand<Value> = NoInfer<Value> | SqlFragment<unknown>

/** Equal. `null` means IS NULL. */
export function eq<Value>(column: ColumnRef<Value>, value: Operand<Value>): Condition {
  return value === null ? isNull(column) : compare(column, '=', value)
}

/** Not equal. `null` means IS NOT NULL; for other values a row with NULL does not match, as in SQL. */
export function ne<Value>(column: ColumnRef<Value>, value: Operand<Value>): Condition {
  return value === null ? not(isNull(column)) : compare(column, '<>', value)
}

/** Greater. */
export function gt<Value>(column: ColumnRef<Value>, value: Operand<NonNullable<Value>>): Condition {
  return compare(column, '>', value)
}

/** Greater or equal. */
export function gte<Value>(column: ColumnRef<Value>, value: Operand<NonNullable<Value>>): Condition {
  return compare(column, '>=', value)
}

/** Less. */
export function lt<Value>(column: ColumnRef<Value>, value: Operand<NonNullable<Value>>): Condition {
  return compare(column, '<', value)
}

/** Less or equal. */
export function lte<Value>(column: ColumnRef<Value>, value: Operand<NonNullable<Value>>): Condition {
  return compare(column, '<=', value)
}

/** From `low` to `high`, both included. */
export function between<Value>(
  column: ColumnRef<Value>,
  low: Operand<NonNullable<Value>>,
  high: Operand<NonNullable<Value>>,
): Condition {
  return new SqlFragment(
    ['', ' between ', ' and ', ''],
    [column, operand(column, low), operand(column, high)],
  )
}

/**
 * One of the values. They are one array parameter, so the statement's text is the same for any number; an empty list matches
 * nothing.
 * @throws InvalidStatementError for a column that itself holds arrays.
 */
export function inArray<Value>(
  column: ColumnRef<Value>,
  values: readonly NonNullable<NoInfer<Value>>[],
): Condition {
  const { type } = declared(column).definition
  if (!isArray(values)) {
    throw new InvalidStatementError(`inArray takes a list of values (an array), not ${kindOf(values)}`)
  }
  if (type.isArray === true) {
    throw new InvalidStatementError(`${column.column} holds arrays: compare it with eq, or write SQL`)
  }
  const literal = arrayLiteral(values.map((value: unknown) => encodeNotNull(column, value)))
  return new SqlFragment(['', ' = any(', `::${type.cast}[])`], [column, literal])
}

/** Matches a pattern: `%` matches any characters, `_` one character. */
export function like<Value extends string | null>(
  column: ColumnRef<Value>,
  pattern: string | SqlFragment<unknown>,
): Condition {
  declared(column)
  return new SqlFragment(['', ' like ', ''], [column, patternOf(pattern)])
}

/** As {@link like}, without regard to the case of the letters. */
export function ilike<Value extends string | null>(
  column: ColumnRef<Value>,
  pattern: string | SqlFragment<unknown>,
): Condition {
  declared(column)
  return new SqlFragment(['', ' ilike ', ''], [column, patternOf(pattern)])
}

/** Is NULL. */
export function isNull(column: ColumnRef<unknown>): Condition {
  declared(column)
  return new SqlFragment(['', ' is null'], [column])
}

/** All of the conditions are true. Without conditions it is true; a bulk statement throws if this is its only condition. */
export function and(...conditions: readonly Condition[]): Condition {
  return conditions.every(matchesAll) ? new Everything() : combine(conditions, ' and ')
}

/** ` and (a) and (b)`: continues a WHERE that has a condition already. Empty without conditions. */
export function andEach(conditions: readonly Condition[]): SqlFragment<unknown> {
  const strings = conditions.map((_, index) => (index === 0 ? ' and (' : ') and ('))
  return conditions.length === 0
    ? new SqlFragment([''], [])
    : new SqlFragment([...strings, ')'], conditions.map(checked))
}

/** The condition of an empty `and()`. Write `` sql`true` `` to match every row on purpose. */
class Everything extends SqlFragment<unknown> {
  constructor() {
    super(['true'], [])
  }
}

/** Whether a condition matches every row because it is empty. */
export function matchesAll(condition: Condition): boolean {
  return isInstance(condition, Everything)
}

/** At least one of the conditions is true. Without conditions it is false. */
export function or(...conditions: readonly Condition[]): Condition {
  if (conditions.length === 0) return new None()
  const combined = combine(conditions, ' or ')
  return conditions.some(matchesAll) ? new Everything() : combined
}

/** The condition of an empty `or()`. */
class None extends SqlFragment<unknown> {
  constructor() {
    super(['false'], [])
  }
}

/** The opposite. */
export function not(condition: Condition): Condition {
  return isInstance(condition, None)
    ? new Everything()
    : new SqlFragment(['not (', ')'], [checked(condition)])
}

/** Position of NULL in an order. Default: as if it were larger than every value. */
export interface OrderOptions {
  readonly nulls?: 'first' | 'last' | undefined
}

/** Smallest first. */
export function asc(by: SqlFragment<unknown>, options: OrderOptions = {}): SqlFragment<unknown> {
  return new SqlFragment(['', ` asc${nullsSql(options)}`], [orderOf(by)])
}

/** Largest first. */
export function desc(by: SqlFragment<unknown>, options: OrderOptions = {}): SqlFragment<unknown> {
  return new SqlFragment(['', ` desc${nullsSql(options)}`], [orderOf(by)])
}

/** A value for a column as a parameter, or SQL as it is. @throws InvalidValueError */
function operand(column: ColumnRef<unknown>, value: unknown): unknown {
  const definition = declared(column)
  return isInstance(value, SqlFragment) ? value : definition.encode(value)
}

/** Checks an order: anything but SQL would be a parameter, which orders nothing. @throws InvalidStatementError */
export function orderOf(by: unknown): SqlFragment<unknown> {
  if (isInstance(by, SqlFragment)) return by
  throw new InvalidStatementError(
    `An order is a column (Song.c.title), asc(), desc() or made with the sql tag, not ${kindOf(by)}`,
  )
}

/** The declared column of a reference; in plain JavaScript a misspelt one is undefined. @throws InvalidStatementError */
function declared(column: ColumnRef<unknown>): TableColumn {
  const given: unknown = column
  if (isInstance(given, SqlFragment) && 'column' in given) return column.column
  const hint = given === undefined ? ': is its name misspelt?' : ''
  throw new InvalidStatementError(
    `A condition starts with a column of an entity (Song.c.title), not ${kindOf(given)}${hint}`,
  )
}

function compare(column: ColumnRef<unknown>, operator: string, value: unknown): Condition {
  return new SqlFragment(['', ` ${operator} `, ''], [column, operand(column, value)])
}

function encodeNotNull(column: ColumnRef<unknown>, value: unknown): string {
  const text = column.column.encode(value)
  if (text === null)
    throw new InvalidStatementError(`A list of values for ${column.column} holds null: use isNull`)
  return text
}

function patternOf(pattern: unknown): unknown {
  if (isInstance(pattern, SqlFragment)) return pattern
  if (typeof pattern === 'string' && !pattern.includes('\0')) return pattern
  throw new InvalidStatementError('A pattern is a string without NUL characters')
}

function combine(conditions: readonly Condition[], operator: string): Condition {
  if (conditions.length === 1) return checked(conditions[0])
  const strings = conditions.map((_, index) => (index === 0 ? '(' : `)${operator}(`))
  return new SqlFragment([...strings, ')'], conditions.map(checked))
}

/** An absent condition must not silently match everything. */
function checked(condition: unknown): Condition {
  if (isInstance(condition, SqlFragment)) return condition
  const given =
    condition === undefined
      ? 'not undefined (a misspelt name, or a missing return?). Leave where() out to mean every row'
      : `not ${kindOf(condition)}`
  throw new InvalidStatementError(`A condition is made by eq, gt, and, ... or with the sql tag, ${given}`)
}

function nullsSql(options: OrderOptions): string {
  refuseUnknownKeys('an order', options, ['nulls'])
  const { nulls } = options
  if (nulls !== undefined) checkOneOf('nulls', nulls, ['first', 'last'])
  return nulls === undefined ? '' : nulls === 'first' ? ' nulls first' : ' nulls last'
}
