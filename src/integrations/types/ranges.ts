/** Ranges and multiranges as objects with their bounds. */
import {
  bigint,
  Column,
  date,
  integer,
  MappingError,
  numeric,
  timestamp,
  timestamptz,
  type ColumnFlag,
} from '../../index.js'
import type { ColumnType, DeclaredType } from '../../schema/column.js'
import { normalRange, normalRanges, type RangeOrder } from './range-order.js'
import type { Range } from './range.js'
import { parseRange, parseRanges, writeRange } from './range-text.js'
import { kindOf, qualified, refused, typeOf } from './text-column.js'

/** A type of ranges, with what conditions need to know of it. */
export interface RangeColumnType extends ColumnType {
  readonly rangeOf: { readonly cast: string; encode(value: unknown): string }
}

/** A range of `integer`. `[1,5]` and `[1,6)` are the same value. */
export function int4range(name?: string): Column<Range<number> | null> {
  return rangeColumn(name, 'int4range', integer(), 'integer')
}

/** A range of `bigint`; `JSON.stringify` throws for its bounds. */
export function int8range(name?: string): Column<Range<bigint> | null> {
  return rangeColumn(name, 'int8range', bigint(), 'integer')
}

/** A range of `numeric`: exact, as strings. */
export function numrange(name?: string): Column<Range<string> | null> {
  return rangeColumn(name, 'numrange', numeric(), 'numeric')
}

/** A range of days, as strings. */
export function daterange(name?: string): Column<Range<string> | null> {
  return rangeColumn(name, 'daterange', date(), 'date')
}

/** A range of `timestamp`, as strings. */
export function tsrange(name?: string): Column<Range<string> | null> {
  return rangeColumn(name, 'tsrange', timestamp(), 'text')
}

/**
 * A range of instants, as Dates. Microseconds of both bounds are truncated when it is read; they are lost in the database when
 * one bound is changed.
 */
export function tstzrange(name?: string): Column<Range<Date> | null> {
  return rangeColumn(name, 'tstzrange', timestamptz(), 'text')
}

/** An array of `integer` ranges, ordered and merged as PostgreSQL stores them. */
export function int4multirange(name?: string): Column<readonly Range<number>[] | null> {
  return multirangeColumn(name, 'int4multirange', integer(), 'integer')
}

/** As {@link int4multirange}, of `bigint`. */
export function int8multirange(name?: string): Column<readonly Range<bigint>[] | null> {
  return multirangeColumn(name, 'int8multirange', bigint(), 'integer')
}

/** As {@link int4multirange}, of `numeric`. */
export function nummultirange(name?: string): Column<readonly Range<string>[] | null> {
  return multirangeColumn(name, 'nummultirange', numeric(), 'numeric')
}

/** As {@link int4multirange}, of `date`. */
export function datemultirange(name?: string): Column<readonly Range<string>[] | null> {
  return multirangeColumn(name, 'datemultirange', date(), 'date')
}

/** As {@link int4multirange}, of `timestamp`. */
export function tsmultirange(name?: string): Column<readonly Range<string>[] | null> {
  return multirangeColumn(name, 'tsmultirange', timestamp(), 'text')
}

/** As {@link int4multirange}, of `timestamptz`. */
export function tstzmultirange(name?: string): Column<readonly Range<Date>[] | null> {
  return multirangeColumn(name, 'tstzmultirange', timestamptz(), 'text')
}

/** A range type of the database, and its multirange. */
export interface RangeTypes<Value> {
  range(name?: string): Column<Range<Value> | null>
  multirange(name?: string): Column<readonly Range<Value>[] | null>
}

/**
 * Declares a range type, which `createAll` creates before the tables.
 * @param subtype The type of its bounds.
 * @param options `with`: further parameters of CREATE TYPE, such as `subtype_diff = float8mi`. `multirange`: the name of its
 *   multirange.
 * @throws MappingError unless `subtype` is a column.
 * @example
 * const speeds = rangeType('speeds', doublePrecision())
 * class Road extends Base.entity('roads', { id: serial().primaryKey(), limits: speeds.range().notNull() }) {}
 */
export function rangeType<Value>(
  name: string,
  subtype: Column<Value, ColumnFlag>,
  options: {
    readonly schema?: string | undefined
    readonly multirange?: string | undefined
    readonly with?: string | undefined
  } = {},
): RangeTypes<NonNullable<Value>> {
  if (!(subtype instanceof Column))
    throw new MappingError('rangeType takes a name and the type of its bounds: doublePrecision()')
  const { schema, with: more } = options
  const multirange =
    options.multirange ??
    (name.includes('range') ? name.replace('range', 'multirange') : `${name}_multirange`)
  const { type } = subtype.definition
  const parameters = [
    `subtype = ${type.cast}`,
    ...(more === undefined ? [] : [more]),
    ...(options.multirange === undefined ? [] : [`multirange_type_name = ${qualified(multirange, schema)}`]),
  ]
  const declared: readonly DeclaredType[] = [
    ...(type.declared ?? []),
    { kind: 'range', name, schema, definition: `as range (${parameters.join(', ')})` },
  ]
  return {
    range: (column) => rangeColumn(column, qualified(name, schema), subtype, 'text', declared),
    multirange: (column) =>
      multirangeColumn(column, qualified(multirange, schema), subtype, 'text', declared),
  }
}

function rangeColumn<Value>(
  name: string | undefined,
  ddl: string,
  subtype: Column<Value, ColumnFlag>,
  order: RangeOrder,
  declared?: readonly DeclaredType[],
): Column<Range<NonNullable<Value>> | null> {
  const { codec, cast } = subtype.definition.type
  const encode = (value: unknown): string => writeRange(checkedRange(value), (bound) => codec.encode(bound))
  const decode = (text: string): unknown => parseRange(text, (bound) => boundOf(codec.decode(bound)))
  const type = typeOf<unknown>({
    ddl,
    encode,
    decode,
    normal: (text) => normalRange(encode(decode(text)), order),
    ...(declared && { declared }),
  })
  const rangeOf = { cast, encode: (value: unknown) => codec.encode(value) }
  return new Column({ name, nullable: true, type: { ...type, rangeOf } as RangeColumnType })
}

function multirangeColumn<Value>(
  name: string | undefined,
  ddl: string,
  subtype: Column<Value, ColumnFlag>,
  order: RangeOrder,
  declared?: readonly DeclaredType[],
): Column<readonly Range<NonNullable<Value>>[] | null> {
  const { codec, cast } = subtype.definition.type
  const encode = (value: unknown): string => {
    if (!Array.isArray(value)) throw refused(`takes an array of ranges, not ${kindOf(value)}`)
    return `{${value.map((item) => writeRange(checkedRange(item), (bound) => codec.encode(bound))).join()}}`
  }
  const decode = (text: string): unknown => parseRanges(text, (bound) => boundOf(codec.decode(bound)))
  const type = typeOf<unknown>({
    ddl,
    encode,
    decode,
    normal: (text) => normalRanges(encode(decode(text)), order),
    ...(declared && { declared }),
  })
  const rangeOf = { cast, encode: (value: unknown) => codec.encode(value) }
  return new Column({ name, nullable: true, type: { ...type, rangeOf } as RangeColumnType })
}

/** A bound that is read as null would become unbounded when the range is written. */
function boundOf(value: unknown): unknown {
  if (value !== null && value !== undefined) return value
  throw refused(
    'holds a range with a bound that its custom type reads as null, which means unbounded: let decode return another value',
  )
}

function checkedRange(value: unknown): Range<unknown> {
  if (typeof value !== 'object' || value === null || !('lower' in value && 'upper' in value)) {
    throw refused(`takes a range, such as range(1, 5), not ${kindOf(value)}`)
  }
  const { bounds = '[)' } = value as Range<unknown>
  if (!['[)', '[]', '(]', '()'].includes(bounds))
    throw refused("takes a range whose bounds are '[)', '[]', '(]' or '()'")
  return value
}
