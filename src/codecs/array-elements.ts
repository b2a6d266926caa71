/**
 * The types whose arrays are sent in PostgreSQL's binary form. Most values of bulk statements are sent in this form; arrays of other
 * types are sent as literals.
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c (array_recv)
 */
import type { ArrayElement } from '../driver/array-parameter.js'
import { instantOf, isBriefInstant } from './timestamp-codec.js'

export const integerElement: ArrayElement = {
  oid: 23,
  // A number out of range is sent as text, and the server refuses it.
  reads: (text) => isInteger(text, 10) && Number(text) === (Number(text) | 0),
  maxBytes: () => 4,
  write: (text, target, at) => target.writeInt32BE(Number(text), at),
}

export const bigintElement: ArrayElement = {
  oid: 20,
  // Fifteen digits are always a safe integer.
  reads: (text) => isInteger(text, 15),
  maxBytes: () => 8,
  write: (text, target, at) => writeInt64(Number(text), target, at),
}

export const booleanElement: ArrayElement = {
  oid: 16,
  reads: (text) => text === 't' || text === 'f',
  maxBytes: () => 1,
  write: (text, target, at) => target.writeUInt8(text === 't' ? 1 : 0, at),
}

export const textElement: ArrayElement = { oid: 25, maxBytes: maxBytesOfText, write: writeText }

export const varcharElement: ArrayElement = { oid: 1043, maxBytes: maxBytesOfText, write: writeText }

export const jsonbElement: ArrayElement = {
  oid: 3802,
  maxBytes: (text) => 1 + maxBytesOfText(text),
  // The text follows the version byte of the format.
  write: (text, target, at) => writeText(text, target, target.writeUInt8(1, at)),
}

export const timestamptzElement: ArrayElement = {
  oid: 1184,
  reads: isBriefInstant,
  maxBytes: () => 8,
  write: (text, target, at) => writeInt64((instantOf(text) - MILLENNIUM) * 1_000, target, at),
}

/** PostgreSQL counts microseconds from here. */
const MILLENNIUM = Date.UTC(2000, 0)

/** Node writes longer texts faster than the loop below. */
const SHORT = 48

function maxBytesOfText(text: string): number {
  // UTF-8 needs at most three bytes for each UTF-16 unit.
  return text.length * 3
}

function writeText(text: string, target: Buffer, at: number): number {
  const { length } = text
  // Without a length Node writes nothing at all where more than two gigabytes are left.
  if (length > SHORT) return at + target.write(text, at, length * 3, 'utf8')
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return at + target.write(text, at, length * 3, 'utf8')
    target[at + index] = code
  }
  return at + length
}

/** Whether a text is an integer of so many digits at most. A relation may pass on values of columns of other types. */
function isInteger(text: string, digits: number): boolean {
  const start = text.charCodeAt(0) === MINUS ? 1 : 0
  const { length } = text
  if (length === start || length - start > digits) return false
  for (let at = start; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code < ZERO || code > NINE) return false
  }
  return true
}

const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39

/** @param value A safe integer. */
function writeInt64(value: number, target: Buffer, at: number): number {
  const high = Math.floor(value / 0x1_0000_0000)
  return target.writeUInt32BE(value - high * 0x1_0000_0000, target.writeInt32BE(high, at))
}
