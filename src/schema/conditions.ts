/** Conditions on columns. Each is a fragment of SQL whose values are parameters, converted by the column's own rules. */
import { InvalidStatementError } from '../errors.js'
import { SqlFragment } from '../sql.js'
import { arrayLiteral } from './array-codec.js'
import type { ColumnRef } from './column-ref.js'

/** Anything that may stand after WHERE. */
export type Condition = SqlFragment<unknown>

/** What a column may be compared with: a value of its type, another column, SQL. */
export type Operand<Value> = NoInfer<Value> | SqlFragment<unknown>

/** Equal. `null` gives IS NULL. */
export function eq<Value>(column: ColumnRef<Value>, value: Operand<Value>): Condition {
  return value === null ? isNull(column) : compare(column, '=', value)
}

/** Not equal. `null` gives IS NOT NULL; for other values a row with NULL does not match, as in SQL. */
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
 * One of the values. They travel as one array, so the statement's text is the same for any number; an empty list matches
 * nothing.
 * @throws InvalidStatementError for a column that itself holds arrays.
 */
export function inArray<Value>(
  column: ColumnRef<Value>,
  values: readonly NonNullable<NoInfer<Value>>[],
): Condition {
  const { type } = column.column.definition
  if (type.isArray === true) {
    throw new InvalidStatementError(`${column.column} holds arrays: compare it with eq, or write SQL`)
  }
  const literal = arrayLiteral(values.map((value) => required(column, value)))
  return new SqlFragment(['', ' = any(', `::${type.cast}[])`], [column, literal])
}

/** Matches a pattern: `%` stands for any characters, `_` for one. */
export function like<Value extends string | null>(
  column: ColumnRef<Value>,
  pattern: string | SqlFragment<unknown>,
): Condition {
  return new SqlFragment(['', ' like ', ''], [column, patternOf(pattern)])
}

/** As {@link like}, whatever the case of the letters. */
export function ilike<Value extends string | null>(
  column: ColumnRef<Value>,
  pattern: string | SqlFragment<unknown>,
): Condition {
  return new SqlFragment(['', ' ilike ', ''], [column, patternOf(pattern)])
}

/** Is NULL. */
export function isNull(column: ColumnRef<unknown>): Condition {
  return new SqlFragment(['', ' is null'], [column])
}

/** All of them. Without any: true. */
export function and(...conditions: readonly Condition[]): Condition {
  return combine(conditions, ' and ', 'true')
}

/** At least one of them. Without any: false. */
export function or(...conditions: readonly Condition[]): Condition {
  return combine(conditions, ' or ', 'false')
}

/** The opposite. */
export function not(condition: Condition): Condition {
  return new SqlFragment(['not (', ')'], [checked(condition)])
}

/** Where NULL goes in an order. Default: as if it were larger than everything. */
export interface OrderOptions {
  readonly nulls?: 'first' | 'last' | undefined
}

/** Smallest first. */
export function asc(by: SqlFragment<unknown>, options: OrderOptions = {}): SqlFragment<unknown> {
  return new SqlFragment(['', ` asc${nullsSql(options)}`], [by])
}

/** Largest first. */
export function desc(by: SqlFragment<unknown>, options: OrderOptions = {}): SqlFragment<unknown> {
  return new SqlFragment(['', ` desc${nullsSql(options)}`], [by])
}

/** A value for a column as a parameter, or SQL as it is. @throws InvalidValueError */
export function operand(column: ColumnRef<unknown>, value: unknown): unknown {
  return value instanceof SqlFragment ? value : column.column.encode(value)
}

function compare(column: ColumnRef<unknown>, operator: string, value: unknown): Condition {
  return new SqlFragment(['', ` ${operator} `, ''], [column, operand(column, value)])
}

function required(column: ColumnRef<unknown>, value: unknown): string {
  const text = column.column.encode(value)
  if (text === null)
    throw new InvalidStatementError(`A list of values for ${column.column} holds null: use isNull`)
  return text
}

function patternOf(pattern: unknown): unknown {
  if (pattern instanceof SqlFragment) return pattern
  if (typeof pattern === 'string' && !pattern.includes('\0')) return pattern
  throw new InvalidStatementError('A pattern is a string without NUL characters')
}

function combine(conditions: readonly Condition[], operator: string, none: string): Condition {
  if (conditions.length === 0) return new SqlFragment([none], [])
  if (conditions.length === 1) return checked(conditions[0])
  const strings = conditions.map((_, index) => (index === 0 ? '(' : `)${operator}(`))
  return new SqlFragment([...strings, ')'], conditions.map(checked))
}

/** An absent condition must not silently match everything. */
function checked(condition: unknown): Condition {
  if (condition instanceof SqlFragment) return condition
  throw new InvalidStatementError('A condition is made by eq, gt, and, ... or with the sql tag')
}

function nullsSql({ nulls }: OrderOptions): string {
  return nulls === undefined ? '' : nulls === 'first' ? ' nulls first' : ' nulls last'
}
