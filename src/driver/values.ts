/**
 * Converts JavaScript values to parameters, by node-postgres's rules. Values that node-postgres would send in a useless form, such as
 * `{}`, are refused.
 */
import { types } from 'node:util'
import utils from 'pg/lib/utils.js'

import { InvalidStatementError, type LifeguardErrorOptions } from '../errors.js'
import { jsonTextOf, NoDocument } from '../internal/json.js'
import { noValue } from '../internal/no-value.js'
import { plainMessageOf, withPlainMessage } from '../internal/plain-errors.js'
import { isArrayParameter, type ArrayParameter } from './array-parameter.js'
import { errorFrom } from '../internal/thrown.js'

/** A parameter as it goes over the wire: text, bytes, an array that writes itself, or NULL. */
export type EncodedValue = string | Buffer | ArrayParameter | null

// As UTF-8 it would become U+FFFD: something else would be stored than was given.
const HALF_CHARACTER = 'it holds half a character (a lone surrogate)'

// Bind counts its parameters in 16 bits.
const MOST_PARAMETERS = 65_535

/** PostgreSQL's arrays have no more dimensions. */
const MOST_DIMENSIONS = 6

/** How often toPostgres() may return another object with toPostgres(). */
const MOST_FORMS = 16

/**
 * Encodes the parameters of one statement: Dates with the local offset, arrays as array literals, Buffers, typed arrays and
 * ArrayBuffers as bytes, objects as JSON, `toPostgres()` and `toJSON()` honoured, undefined as NULL.
 *
 * Encoding happens when the statement is issued, not when it is sent: later changes to the values do not reach it, and
 * a value that cannot be encoded never reaches the connection.
 *
 * @throws InvalidStatementError if there are more than 65,535 values or one of them is no data (a Set, a Map, an iterator, a
 *   function, ...) or contains such a value in its arrays or objects.
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
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (isArrayParameter(value)) return value
  try {
    const prepared = utils.prepareValue(dataOf(value, 0)) as EncodedValue
    // It may be sent a while later, and buffers are often used again.
    return Buffer.isBuffer(prepared) ? Buffer.from(prepared) : prepared
  } catch (cause) {
    const refusal = noDataOf(cause)
    if (refusal !== undefined) throw unsendable(index, refusal.message, plainMessageOf(refusal))
    throw unsendable(
      index,
      errorFrom(cause).message,
      'a function of it (toPostgres, toJSON, a getter) throws',
      { cause },
    )
  }
}

/** @param plain The reason without any piece of the value. */
function unsendable(
  index: number,
  reason: string,
  plain: string = reason,
  options?: LifeguardErrorOptions,
): InvalidStatementError {
  const what = `Parameter $${index + 1} cannot be sent:`
  return withPlainMessage(new InvalidStatementError(`${what} ${reason}`, options), `${what} ${plain}`)
}

/** Why a value cannot be sent; the message is the reason. */
class NoData extends Error {}

/** The refusal of a value, or of a value inside of its document; undefined for any other error. */
function noDataOf(error: unknown): NoData | undefined {
  if (error instanceof NoData) return error
  if (!(error instanceof NoDocument)) return undefined
  return withPlainMessage(new NoData(`it holds ${error.message}`), `it holds ${plainMessageOf(error)}`)
}

/**
 * Converts a value to one that node-postgres encodes: primitives, dates, bytes, and arrays of them. Other objects become texts.
 * @param forms How many times `toPostgres()` has returned another object so far.
 */
function dataOf(value: unknown, forms: number): unknown {
  if (typeof value === 'function' && 'c' in value) {
    throw new NoData(
      `${value.name} is a class, not a value. The rows of an entity are select(${value.name}); the name of a table is sql.identifier('...')`,
    )
  }
  if (typeof value === 'function' || typeof value === 'symbol')
    throw new NoData(`a ${typeof value} is no value`)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  if (Array.isArray(value)) return elementsOf(value, 1)
  if (types.isAnyArrayBuffer(value)) return Buffer.from(value)
  if (types.isBoxedPrimitive(value)) return dataOf(value.valueOf(), forms)
  if (types.isDate(value)) {
    if (Number.isNaN(value.getTime())) throw new NoData('it is an invalid Date')
    return value
  }
  if (forms > MOST_FORMS) throw new NoData('its toPostgres() returns object after object, and no value')
  const { toPostgres, toJSON } = value as { toPostgres?: unknown; toJSON?: unknown }
  if (typeof toPostgres === 'function') return dataOf(toPostgres.call(value, utils.prepareValue), forms + 1)
  if (typeof toJSON === 'function') return textOfForm(toJSON.call(value, ''))
  const reason = noValue(value)
  if (reason !== undefined) throw new NoData(`it is ${reason}`)
  return jsonTextOf(value)
}

/**
 * The text of an object with `toJSON()`. If that returns a string (a Temporal, a URL, a decimal number), the string is sent as it is:
 * with the quotes of JSON, other types than json would refuse it or store the quotes.
 */
function textOfForm(form: unknown): unknown {
  if (form === undefined) throw new NoData('its toJSON() gives nothing')
  return typeof form === 'string' ? form : jsonTextOf(form)
}

/** The array itself if node-postgres knows all of it. */
function elementsOf(array: readonly unknown[], dimensions: number): readonly unknown[] {
  if (dimensions > MOST_DIMENSIONS) {
    throw new NoData(`it is an array of more than ${MOST_DIMENSIONS} dimensions, or one that contains itself`)
  }
  let copy: unknown[] | undefined
  for (let index = 0; index < array.length; index++) {
    const item = array[index]
    if (typeof item === 'string' || typeof item === 'number') continue
    const data = elementOf(item, index, dimensions)
    if (data === item) continue
    copy ??= [...array]
    copy[index] = data
  }
  return copy ?? array
}

function elementOf(item: unknown, index: number, dimensions: number): unknown {
  if (Array.isArray(item)) return elementsOf(item, dimensions + 1)
  try {
    return dataOf(item, 0)
  } catch (error) {
    const refusal = noDataOf(error)
    if (refusal === undefined) throw error
    const place = `of element [${index}] of the array,`
    throw withPlainMessage(new NoData(`${place} ${refusal.message}`), `${place} ${plainMessageOf(refusal)}`)
  }
}
