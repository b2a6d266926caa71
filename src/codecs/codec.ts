/**
 * How the values of a column are written and read: always as PostgreSQL's text, so that entities do not depend on the type parsers of
 * the engine.
 *
 * Types without a time zone are strings (`date`, `time`, `timestamp`, `interval`); only `timestamptz`, an instant, is a `Date`. Types
 * that a JavaScript number cannot hold exactly are not numbers: `bigint` is a BigInt, `numeric` a string.
 */
import { plainMessageOf, withPlainMessage } from '../internal/plain-errors.js'
import { DEEPEST_RECURSION, jsonTextOf, NoDocument } from '../internal/json.js'
import { jsonNull } from './json-null.js'
import { isTextOf } from './json-text.js'
import { isRevoked, REVOKED } from '../internal/revoked.js'

/** Converts between the text of PostgreSQL and a value; NULL is handled before. */
export interface Codec<Value> {
  /** True if a value can be changed in place (objects): it is then compared by its text to find such changes. */
  readonly mutable: boolean
  /** Its texts need no quotes in the literal of an array: digits and letters only, and never `null`. */
  readonly plain?: boolean
  /** Its values are the numbers of integer columns: rows may hold them as numbers, and need not be decoded. */
  readonly integers?: boolean
  /** Values that are equal by `===` may be stored differently: 0 and -0. */
  readonly signedZero?: boolean
  /** Equal values have one text only, so texts tell rows apart. `usual`: unless PostgreSQL may store a text in another form. */
  readonly onlySpelling?: 'always' | 'usual'
  /** True if `decode` may return null: such a value does not say which text is stored. */
  readonly mayReadNull?: boolean
  /** Reads PostgreSQL's text, and the text of `encode`. @throws RefusedValue */
  decode(text: string): Value
  /** @throws RefusedValue, whose message becomes part of an InvalidValueError. */
  encode(value: Value): string
  /** As `encode`, of a value that takes the place of a stored text: what was read as null from a text in it keeps that text. */
  encodeOver?(value: Value, stored: string): string
  /**
   * PostgreSQL's text as `encode` would write it, or unchanged if the value does not hold all of it. Identifies rows by their
   * keys. Only where values can change in place. Default: the text that `encode` makes of the value.
   */
  canonical?(text: string): string
  /** Whether a text holds a value: a faster way than to compare texts. Where values can change in place. */
  holds?(text: string, value: unknown): boolean
  /** How a snapshot holds a value as a number instead of its text. Only where values can change in place. */
  readonly brief?: Brief<Value>
}

/** Converts a value to the number in its snapshot, and back. */
export interface Brief<Value> {
  /** NaN for a value of another type. */
  of(value: unknown): number
  restore(number: number): Value
}

/** Why a value cannot be stored. The message must not show the value. */
export class RefusedValue extends Error {
  override readonly name = 'RefusedValue'
}

export const textCodec: Codec<string> = { mutable: false, decode: asIs, encode: encodeText }

/** Exact decimal numbers. */
export const numericCodec: Codec<string> = {
  mutable: false,
  decode: asIs,
  encode(value: unknown) {
    if (typeof value === 'number') {
      throw new RefusedValue("takes a string ('2.5'), not a number, which would be rounded")
    }
    return encodeText(value as string)
  },
}

/** PostgreSQL returns uuids in lower case, so they are compared in lower case. */
export const uuidCodec: Codec<string> = {
  mutable: false,
  onlySpelling: 'usual',
  decode: asIs,
  encode: (value) => encodeText(value).toLowerCase(),
}

export const integerCodec: Codec<number> = {
  mutable: false,
  plain: true,
  integers: true,
  onlySpelling: 'always',
  decode(text) {
    const number = readDigits(text)
    if (Number.isSafeInteger(number)) return number
    throw new RefusedValue(`holds an integer that a number cannot hold exactly; ${OTHER_TYPE}`)
  },
  encode(value) {
    if (!Number.isInteger(value))
      throw new RefusedValue(`takes an integer, not ${kindOf(value)}${numberHint(value)}`)
    return String(value)
  },
}

/** A parameter of a route is a text. */
function numberHint(value: unknown): string {
  return typeof value === 'string' && /^-?\d+$/.test(value) ? ': pass Number(value)' : ''
}

export const floatCodec: Codec<number> = {
  mutable: false,
  plain: true,
  signedZero: true,
  decode: Number,
  encode(value) {
    if (typeof value !== 'number') throw new RefusedValue(`takes a number, not ${kindOf(value)}`)
    return Object.is(value, -0) ? '-0' : String(value)
  },
}

export const bigintCodec: Codec<bigint> = {
  mutable: false,
  plain: true,
  onlySpelling: 'always',
  decode(text) {
    // Takes half the time of BigInt(text).
    if (text.length < EXACT_DIGITS) return BigInt(readDigits(text))
    try {
      return BigInt(text)
    } catch {
      // Its error would show the value.
      throw new RefusedValue(NO_INTEGER)
    }
  },
  encode(value) {
    if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value)
    throw new RefusedValue(`takes a bigint, not ${kindOf(value)}`)
  },
}

export const booleanCodec: Codec<boolean> = {
  mutable: false,
  plain: true,
  onlySpelling: 'always',
  decode(text) {
    if (text === 't') return true
    if (text === 'f') return false
    throw new RefusedValue(`holds a value that is neither true nor false; ${OTHER_TYPE}`)
  },
  encode(value) {
    if (typeof value !== 'boolean') throw new RefusedValue(`takes true or false, not ${kindOf(value)}`)
    return value ? 't' : 'f'
  },
}

export const byteaCodec: Codec<Buffer> = {
  mutable: true,
  decode(text) {
    if (!text.startsWith('\\x')) throw new RefusedValue("needs the server's bytea_output to be 'hex'")
    return Buffer.from(text.slice(2), 'hex')
  },
  encode(value) {
    if (!ArrayBuffer.isView(value)) throw new RefusedValue(`takes a Buffer, not ${kindOf(value)}`)
    return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`
  },
}

/** `null` is SQL's NULL; the document `null` is {@link jsonNull}. */
export const jsonCodec: Codec<unknown> = {
  mutable: true,
  decode: decodeJson,
  encode: encodeJson,
  holds: holdsJson,
}

/** As {@link jsonCodec}; `jsonb` cannot hold NUL characters and lone surrogates, not even escaped. */
export const jsonbCodec: Codec<unknown> = {
  mutable: true,
  decode: decodeJson,
  holds: holdsJson,
  encode(value) {
    const text = encodeJson(value)
    const escaped = ESCAPED.exec(text)?.[1]
    if (escaped !== undefined) throw new RefusedValue(escaped === '0000' ? NUL : HALF_CHARACTER)
    return text
  },
}

// JSON.stringify escapes surrogates only where they stand alone. An even number of backslashes before an escape means that
// the one in front of the u is itself escaped.
const ESCAPED = /(?<!\\)(?:\\\\)*\\u(0000|d[89a-f])/

const NUL = 'cannot hold a NUL character'
// As UTF-8 it would become U+FFFD: the stored text would differ from the value.
const HALF_CHARACTER = 'cannot hold half a character (a lone surrogate)'

function decodeJson(text: string): unknown {
  return (JSON.parse(text) as unknown) ?? jsonNull
}

function encodeJson(value: unknown): string {
  try {
    return jsonTextOf(value)
  } catch (error) {
    if (!(error instanceof NoDocument)) throw error
    const taken = 'takes what JSON can express, not'
    throw withPlainMessage(new RefusedValue(`${taken} ${error.message}`), `${taken} ${plainMessageOf(error)}`)
  }
}

/** Whether a document would be stored as it is. Parsing and writing are slower than comparing, so they come last. */
function holdsJson(text: string, value: unknown): boolean {
  if (isTextOf(text, value)) return true
  const stored: unknown = JSON.parse(text)
  return isSameDocument(value, stored, 0) || encodeJson(value) === encodeJson(stored)
}

/** May be false for equal documents. @param stored The result of `JSON.parse`. */
function isSameDocument(value: unknown, stored: unknown, depth: number): boolean {
  if (value === stored) return true
  if (depth > DEEPEST_RECURSION) return false
  if (typeof value !== 'object' || typeof stored !== 'object' || value === null || stored === null)
    return false
  if (Array.isArray(value) || Array.isArray(stored)) {
    if (!Array.isArray(value) || !Array.isArray(stored) || value.length !== stored.length) return false
    return value.every((item, index) => isSameDocument(item, stored[index], depth + 1))
  }
  // Not a Map, nor an object that JSON writes in a special way.
  if (Object.getPrototypeOf(value) !== Object.prototype || 'toJSON' in value) return false
  const names = Object.keys(value)
  if (names.length !== Object.keys(stored).length) return false
  return names.every(
    (name) =>
      Object.hasOwn(stored, name) &&
      isSameDocument(
        (value as Record<string, unknown>)[name],
        (stored as Record<string, unknown>)[name],
        depth + 1,
      ),
  )
}

const OTHER_TYPE = 'does it have another type in the database?'
const NO_INTEGER = `holds a value that is not an integer; ${OTHER_TYPE}`

// A text of fewer digits is less than 2^53.
const EXACT_DIGITS = 16
const MINUS = 0x2d
const ZERO = 0x30

/** The number that digits make, rounded if there are many. Unlike `Number`, it accepts nothing but digits. @throws RefusedValue */
function readDigits(text: string): number {
  const isNegative = text.charCodeAt(0) === MINUS
  const start = isNegative ? 1 : 0
  if (text.length === start) throw new RefusedValue(NO_INTEGER)
  let number = 0
  for (let at = start; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO
    if (digit < 0 || digit > 9) throw new RefusedValue(NO_INTEGER)
    number = number * 10 + digit
  }
  // Not -0.
  return isNegative ? 0 - number : number
}

function asIs(text: string): string {
  return text
}

function encodeText(value: string): string {
  if (typeof value !== 'string') throw new RefusedValue(`takes a string, not ${kindOf(value)}`)
  if (value.includes('\0')) throw new RefusedValue(NUL)
  if (!value.isWellFormed()) throw new RefusedValue(HALF_CHARACTER)
  return value
}

/** The type of a value, for a message; never the value itself, nor keys of an object. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  if (isRevoked(value)) return REVOKED
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' && !Number.isFinite(value)) return 'a number that is not finite'
  if (typeof value === 'number' && !Number.isInteger(value)) return 'a fraction'
  return `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`
}
