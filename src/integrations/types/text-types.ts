/**
 * Types that are strings in JavaScript: money, bits, XML, text search, and `otherType` for all types without a function of their own.
 */
import type { Column } from '../../index.js'
import { normalQuery, normalVector } from './text-search.js'
import { asIs, columnOf, encodeText, extensionOf, refused } from './text-column.js'

/** Options of {@link bit} and {@link varbit}. */
export interface BitOptions {
  /** Bits, at least 1. Default: `bit` of 1, `varbit` without a limit. */
  readonly length?: number | undefined
}

/**
 * An amount of money as PostgreSQL writes it: `'$12.34'`, by the server's `lc_monetary`. It can be given as a plain number in a string,
 * `'12.34'`, in a locale with a decimal point. For calculations use `numeric`.
 */
export function money(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'money', decode: asIs, encode: encodeText, normal: normalMoney })
}

/** A string of exactly `length` bits: `'1010'`. */
export function bit(name?: string | BitOptions, options?: BitOptions): Column<string | null> {
  const [own, length] = lengthOf(name, options)
  const wanted = length ?? 1
  return columnOf(own, {
    ddl: length === undefined ? 'bit' : `bit(${length})`,
    cast: 'bit varying',
    decode: asIs,
    encode: encodeBits,
    refusal: (value: string) =>
      value.length === wanted ? undefined : `takes exactly ${wanted} bits, not ${value.length}`,
  })
}

/** A string of at most `length` bits. */
export function varbit(name?: string | BitOptions, options?: BitOptions): Column<string | null> {
  const [own, length] = lengthOf(name, options)
  return columnOf(own, {
    ddl: length === undefined ? 'bit varying' : `bit varying(${length})`,
    cast: 'bit varying',
    decode: asIs,
    encode: encodeBits,
    ...(length !== undefined && {
      refusal: (value: string) =>
        value.length <= length ? undefined : `takes at most ${length} bits, not ${value.length}`,
    }),
  })
}

/** A document or a part of one, kept as it was written; it is read without its XML declaration. PostgreSQL cannot compare two of them. */
export function xml(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'xml', decode: asIs, encode: encodeText })
}

/**
 * Words for text search, as PostgreSQL writes them: `` `'cat':2 'fat':1` ``. Mostly generated: search it with {@link matches}.
 * @example
 * words: tsvector().generated(sql`to_tsvector('english', title)`)
 */
export function tsvector(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'tsvector', decode: asIs, encode: encodeText, normal: normalVector })
}

/** A search, as PostgreSQL writes it: `` `'fat' & 'cat'` ``. Redundant parentheses count as a change. */
export function tsquery(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'tsquery', decode: asIs, encode: encodeText, normal: normalQuery })
}

/**
 * Any other type, as PostgreSQL writes it. Every text that differs is a change.
 * @param type As in CREATE TABLE: `pg_lsn`, `geometry(Point, 4326)`.
 * @param options `extension`: what `createAll` creates first, if it is missing.
 * @example
 * const ltree = otherType('ltree', { extension: 'ltree' })
 */
export function otherType(
  type: string,
  options: {
    readonly castType?: string | undefined
    readonly extension?: string | undefined
    readonly schema?: string | undefined
  } = {},
): (name?: string) => Column<string | null> {
  const { castType = type, extension, schema } = options
  return (name) =>
    columnOf(name, {
      ddl: type,
      cast: castType,
      decode: asIs,
      encode: encodeText,
      ...(extension !== undefined && { declared: [extensionOf(extension, schema)] }),
    })
}

function lengthOf(
  first: string | BitOptions | undefined,
  second: BitOptions | undefined,
): [string | undefined, number | undefined] {
  const { length } = (typeof first === 'object' ? first : second) ?? {}
  if (length !== undefined && !(Number.isInteger(length) && length >= 1))
    throw refused('The length of a column of bits is a whole number from 1')
  return [typeof first === 'object' ? undefined : first, length]
}

function encodeBits(value: string): string {
  const text = encodeText(value)
  if (!/^[01]*$/.test(text)) throw refused("takes a string of the digits 0 and 1, such as '1010'")
  return text
}

/** Without the thousands' commas of the locale that PostgreSQL has by default; others stay as they are. */
function normalMoney(text: string): string {
  const match = /^(-?)\$?(-?)(\d{1,3}(?:,\d{3})*|\d+)(?:\.(\d{1,2}))?$/.exec(text.trim())
  if (match === null) return text
  const [, before = '', behind = '', whole = '', cents = ''] = match
  const digits = `${whole.replaceAll(',', '').replace(/^0+(?=.)/, '')}.${cents.padEnd(2, '0')}`
  return /[1-9]/.test(digits) ? `${before}${behind}${digits}` : digits
}
