/** The column types of PostgreSQL. Each takes the name of the column in the database; default: the property's name. */
import { MappingError } from '../errors.js'
import { checkObject } from '../internal/validate.js'
import {
  bigintElement,
  booleanElement,
  integerElement,
  jsonbElement,
  textElement,
  timestamptzElement,
  varcharElement,
} from '../codecs/array-elements.js'
import {
  bigintCodec,
  booleanCodec,
  byteaCodec,
  floatCodec,
  integerCodec,
  jsonbCodec,
  jsonCodec,
  numericCodec,
  textCodec,
  uuidCodec,
} from '../codecs/codec.js'
import { Column, type ColumnType } from './column.js'
import { outOfRange, tooLong } from '../codecs/value-limits.js'
import { always, endsWithBlank, isUnusualUuid, plainNumber, withoutBlanks } from './respelling.js'
import { timestampCodec } from '../codecs/timestamp-codec.js'

/** Options of {@link varchar} and {@link char}. */
export interface LengthOptions {
  /** Characters, at least 1. Default: `varchar` without a limit, `char` of 1. */
  readonly length?: number | undefined
}

/** Options of {@link numeric}. */
export interface NumericOptions {
  /** Total number of digits, 1 to 1000. Default: no limit. */
  readonly precision?: number | undefined
  /** Digits after the decimal point. Default: 0 if a precision is given, otherwise no limit. */
  readonly scale?: number | undefined
}

/** Options of the types with seconds. */
export interface PrecisionOptions {
  /** Digits of the fraction of a second, 0 to 6. Default 6. */
  readonly precision?: number | undefined
}

/**
 * A whole number from 1, made by a sequence that the column owns (as `serial` and `identity` columns do): 4 bytes,
 * `number`. For a sequence that belongs to no column write ``integer().serverDefault(sql`nextval('name')`)``.
 */
export function serial(name?: string): Column<number, 'default'> {
  return new Column({
    name,
    nullable: false,
    type: {
      ddl: 'serial',
      cast: 'integer',
      codec: integerCodec,
      element: integerElement,
      refusal: outOfRange('integer', 4),
      serial: true,
    },
  })
}

/** As {@link serial}, 2 bytes. */
export function smallserial(name?: string): Column<number, 'default'> {
  return new Column({
    name,
    nullable: false,
    type: {
      ddl: 'smallserial',
      cast: 'smallint',
      codec: integerCodec,
      refusal: outOfRange('smallint', 2),
      serial: true,
    },
  })
}

/** As {@link serial}, 8 bytes, `bigint`. */
export function bigserial(name?: string): Column<bigint, 'default'> {
  return new Column({
    name,
    nullable: false,
    type: {
      ddl: 'bigserial',
      cast: 'bigint',
      codec: bigintCodec,
      element: bigintElement,
      refusal: outOfRange('bigint', 8),
      serial: true,
    },
  })
}

/** A whole number of 2 bytes, `number`. */
export function smallint(name?: string): Column<number | null> {
  return column(name, 'smallint', integerCodec, { refusal: outOfRange('smallint', 2) })
}

/** A whole number of 4 bytes, `number`. */
export function integer(name?: string): Column<number | null> {
  return column(name, 'integer', integerCodec, { element: integerElement, refusal: outOfRange('integer', 4) })
}

/** A whole number of 8 bytes, JavaScript's `bigint`. Note that `JSON.stringify` throws for a bigint. */
export function bigint(name?: string): Column<bigint | null> {
  return column(name, 'bigint', bigintCodec, { element: bigintElement, refusal: outOfRange('bigint', 8) })
}

/** A floating-point number of 4 bytes, `number`. */
export function real(name?: string): Column<number | null> {
  return column(name, 'real', floatCodec, { respells: always })
}

/** A floating-point number of 8 bytes, `number`. */
export function doublePrecision(name?: string): Column<number | null> {
  return column(name, 'double precision', floatCodec)
}

/** An exact decimal number as a `string`, since a JavaScript number would round it. */
export function numeric(name?: string | NumericOptions, options?: NumericOptions): Column<string | null> {
  const [own, { precision, scale }] = nameAndOptions(name, options)
  if (precision === undefined && scale !== undefined) throw new MappingError('A scale needs a precision')
  checkRange('precision', precision, 1, 1000)
  checkRange('scale', scale, -1000, 1000)
  return column(own, withArguments('numeric', precision, scale), numericCodec, {
    cast: 'numeric',
    respells: always,
    normal: plainNumber,
  })
}

/** True or false. */
export function boolean(name?: string): Column<boolean | null> {
  return column(name, 'boolean', booleanCodec, { element: booleanElement })
}

/**
 * Text of any length. The type argument narrows it for the compiler only.
 * @example
 * state: text<'draft' | 'live'>().notNull()
 */
export function text<Value extends string = string>(name?: string): Column<Value | null> {
  return column(name, 'text', textCodec, { element: textElement })
}

/** Text with a limit on its length. */
export function varchar<Value extends string = string>(
  name?: string | LengthOptions,
  options?: LengthOptions,
): Column<Value | null> {
  const [own, { length }] = nameAndOptions(name, options)
  checkRange('length', length, 1, 10_485_760)
  return column(own, withArguments('varchar', length), textCodec, {
    cast: 'varchar',
    element: varcharElement,
    ...(length !== undefined && { refusal: tooLong(length), respells: endsWithBlank }),
  })
}

/** Text of a fixed length: PostgreSQL pads it with blanks, and returns it padded. */
export function char<Value extends string = string>(
  name?: string | LengthOptions,
  options?: LengthOptions,
): Column<Value | null> {
  const [own, { length }] = nameAndOptions(name, options)
  checkRange('length', length, 1, 10_485_760)
  return column(own, withArguments('char', length), textCodec, {
    cast: 'bpchar',
    refusal: tooLong(length ?? 1),
    respells: always,
    normal: withoutBlanks,
  })
}

/** A UUID as a `string`; stored and compared in lower case. */
export function uuid(name?: string): Column<string | null> {
  return column(name, 'uuid', uuidCodec, { respells: isUnusualUuid })
}

/**
 * A JSON document, whose text PostgreSQL keeps unchanged. A change inside the document is found at flush. `null` is SQL's NULL;
 * the JSON value `null` is {@link jsonNull}, when read and when written.
 * @example
 * settings: json<{ theme: string }>().notNull().default({ theme: 'dark' })
 */
export function json<Value = unknown>(name?: string): Column<Value | null> {
  return column(name, 'json', jsonCodec)
}

/** A JSON document, kept in PostgreSQL's own form: it can be searched and indexed. Otherwise as {@link json}. */
export function jsonb<Value = unknown>(name?: string): Column<Value | null> {
  return column(name, 'jsonb', jsonbCodec, { element: jsonbElement, respells: always })
}

/** Bytes, as a `Buffer`. */
export function bytea(name?: string): Column<Buffer | null> {
  return column(name, 'bytea', byteaCodec)
}

/** A calendar day as `'2026-01-31'`. A `Date` is an instant, and would be another day in another time zone. */
export function date(name?: string): Column<string | null> {
  return column(name, 'date', textCodec, { respells: always })
}

/** A time of day as `'13:45:00.123456'`. */
export function time(name?: string | PrecisionOptions, options?: PrecisionOptions): Column<string | null> {
  const [own, precision] = secondsOf(name, options)
  return column(own, withArguments('time', precision), textCodec, { cast: 'time', respells: always })
}

/** Day and time without a time zone as `'2026-01-31 13:45:00.123456'`. For instants use {@link timestamptz}. */
export function timestamp(
  name?: string | PrecisionOptions,
  options?: PrecisionOptions,
): Column<string | null> {
  const [own, precision] = secondsOf(name, options)
  return column(own, withArguments('timestamp', precision), textCodec, {
    cast: 'timestamp',
    respells: always,
  })
}

/**
 * An instant, as a `Date`. Microseconds are truncated when it is read; the column is written only if the Date was changed.
 * PostgreSQL's `infinity` is the latest possible Date.
 */
export function timestamptz(
  name?: string | PrecisionOptions,
  options?: PrecisionOptions,
): Column<Date | null> {
  const [own, precision] = secondsOf(name, options)
  return column(own, withArguments('timestamptz', precision), timestampCodec, {
    cast: 'timestamptz',
    element: timestamptzElement,
    // Fewer digits than a Date has.
    respells: precision === undefined || precision >= 3 ? undefined : always,
  })
}

/** A span of time in PostgreSQL's text form, `'1 day 02:00:00'`. */
export function interval(
  name?: string | PrecisionOptions,
  options?: PrecisionOptions,
): Column<string | null> {
  const [own, precision] = secondsOf(name, options)
  return column(own, withArguments('interval', precision), textCodec, { cast: 'interval', respells: always })
}

/**
 * A counter that every update of the row increments, for optimistic locking: an update or delete of a row that another
 * transaction has changed since it was loaded fails with a StaleDataError. Starts at 1; the session increments it, not your code.
 */
export function version(name?: string): Column<number, 'default'> {
  return new Column({
    name,
    nullable: false,
    version: true,
    default: () => 1,
    type: { ddl: 'integer', cast: 'integer', codec: integerCodec, element: integerElement },
  })
}

function column<Value>(
  name: string | undefined,
  ddl: string,
  // A codec also serves narrower types, such as text<'a' | 'b'>. Nothing checks that the value has the narrower type.
  codec: { decode(text: string): unknown; encode(value: never): string; readonly mutable: boolean },
  rest: Partial<Pick<ColumnType, 'cast' | 'element' | 'refusal' | 'respells' | 'normal'>> = {},
): Column<Value | null> {
  return new Column({ name, nullable: true, type: { ddl, cast: ddl, codec, ...rest } })
}

function nameAndOptions<Options extends object>(
  first: string | Options | undefined,
  second: Options | undefined,
): [string | undefined, Partial<Options>] {
  const options = typeof first === 'object' ? first : (second ?? {})
  checkObject('the options of a column', options)
  return [typeof first === 'object' ? undefined : first, options]
}

function secondsOf(
  first: string | PrecisionOptions | undefined,
  second: PrecisionOptions | undefined,
): [string | undefined, number | undefined] {
  const [name, { precision }] = nameAndOptions(first, second)
  checkRange('precision', precision, 0, 6)
  return [name, precision]
}

function withArguments(type: string, ...given: (number | undefined)[]): string {
  const numbers = given.filter((value) => value !== undefined)
  return numbers.length === 0 ? type : `${type}(${numbers.join(', ')})`
}

function checkRange(option: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return
  throw new MappingError(`The ${option} of a column is a whole number from ${min} to ${max}`)
}
