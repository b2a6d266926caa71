/** Turns JavaScript values into parameters, by node-postgres's own rules. */
import utils from 'pg/lib/utils.js'

import { InvalidStatementError, type LifeguardErrorOptions } from '../errors.js'
import { isArrayParameter, type ArrayParameter } from './array-parameter.js'

/** A parameter as it goes over the wire: text, bytes, an array that writes itself, or NULL. */
export type EncodedValue = string | Buffer | ArrayParameter | null

// As UTF-8 it would become U+FFFD: something else would be stored than was given.
const HALF_CHARACTER = 'it holds half a character (a lone surrogate)'

// Bind counts its parameters in 16 bits.
const MOST_PARAMETERS = 65_535

/**
 * Encodes the parameters of one statement: Dates with the local offset, arrays as array literals, Buffers and
 * typed arrays as bytes, objects as JSON, `toPostgres()` honoured, undefined as NULL.
 *
 * Encoding happens when the statement is given, not when it is sent: later changes to the values do not reach it, and
 * a value that cannot be encoded never reaches the connection.
 *
 * @throws InvalidStatementError if there are more than 65,535 values or one of them cannot be encoded.
 * @see https://node-postgres.com/features/queries#type-casting
 */
export function encodeValues(values: readonly unknown[]): EncodedValue[] {
  if (values.length > MOST_PARAMETERS) {
    throw new InvalidStatementError(
      `A statement takes at most ${MOST_PARAMETERS} parameters, this one has ${values.length}. ` +
        'Pass arrays instead, for example `where id = any($1)` or `insert into t select * from unnest($1::int[])`.',
    )
  }
  const encoded = new Array<EncodedValue>(values.length)
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    const sent = typeof value === 'string' ? value : encodeValue(value, index)
    if (typeof sent === 'string' && !sent.isWellFormed()) throw unsendable(index, HALF_CHARACTER)
    encoded[index] = sent
  }
  return encoded
}

function encodeValue(value: unknown, index: number): EncodedValue {
  if (value === null || value === undefined) return null
  if (isArrayParameter(value)) return value
  const refusal = refusalOf(value)
  if (refusal !== undefined) throw unsendable(index, refusal)
  try {
    const prepared = utils.prepareValue(value) as EncodedValue
    // It may be sent a while later, and buffers are often used again.
    return Buffer.isBuffer(prepared) ? Buffer.from(prepared) : prepared
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw unsendable(index, reason, { cause })
  }
}

function unsendable(index: number, reason: string, options?: LifeguardErrorOptions): InvalidStatementError {
  return new InvalidStatementError(`Parameter $${index + 1} cannot be sent: ${reason}`, options)
}

/** What node-postgres would send as nonsense: the source of a function, an empty object, a date of NaNs. */
function refusalOf(value: unknown): string | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value} is no value`
  if (value instanceof Promise) return 'it is a promise (an await is missing)'
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'it is an invalid Date'
  return undefined
}
