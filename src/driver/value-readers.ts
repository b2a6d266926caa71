/** Reads values from the bytes of a row, faster than the methods of `Buffer`. */
import { daysUntil } from '../internal/calendar.js'
import { DATA_ROW, malformed } from './backend-messages.js'

// Below this length a string made from char codes beats the call into the runtime.
const SHORT_TEXT_BYTES = 12
const ASCII = 0x7f

export function readText(buffer: Buffer, start: number, end: number): string {
  if (end - start > SHORT_TEXT_BYTES) return buffer.toString('utf8', start, end)
  let text = ''
  let at = start
  // Eight or four at a time, since each step makes a string.
  if (at + 8 <= end) {
    const one = buffer[at] as number
    const two = buffer[at + 1] as number
    const three = buffer[at + 2] as number
    const four = buffer[at + 3] as number
    const five = buffer[at + 4] as number
    const six = buffer[at + 5] as number
    const seven = buffer[at + 6] as number
    const eight = buffer[at + 7] as number
    if ((one | two | three | four | five | six | seven | eight) > ASCII)
      return buffer.toString('utf8', start, end)
    text = String.fromCharCode(one, two, three, four, five, six, seven, eight)
    at += 8
  }
  if (at + 4 <= end) {
    const one = buffer[at] as number
    const two = buffer[at + 1] as number
    const three = buffer[at + 2] as number
    const four = buffer[at + 3] as number
    if ((one | two | three | four) > ASCII) return buffer.toString('utf8', start, end)
    text += String.fromCharCode(one, two, three, four)
    at += 4
  }
  for (; at < end; at++) {
    const byte = buffer[at] as number
    if (byte > ASCII) return buffer.toString('utf8', start, end)
    text += String.fromCharCode(byte)
  }
  return text
}

const MINUS = 0x2d
const ZERO = 0x30

/** @throws ProtocolError if the text is no integer. */
export function readInteger(buffer: Buffer, start: number, end: number): number {
  const isNegative = buffer[start] === MINUS
  const first = isNegative ? start + 1 : start
  let digits = 0
  // Above 15 as soon as one of the bytes is no digit.
  let check = first < end ? 0 : 16
  for (let at = first; at < end; at++) {
    const digit = (buffer[at] as number) ^ ZERO
    check |= digit + 6
    digits = digits * 10 + digit
  }
  if (check > 15) throw malformed(DATA_ROW)
  return isNegative ? -digits : digits
}

export function readInt32(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] as number) << 24) |
    ((buffer[at + 1] as number) << 16) |
    ((buffer[at + 2] as number) << 8) |
    (buffer[at + 3] as number)
  )
}

const PLUS = 0x2b
const BLANK = 0x20
const YEAR_ENDS = 4
const DAY_ENDS = 10
const MILLIS_BEGIN = 20
const MILLIS_END = 23
const ZONE_BYTES = 3

/**
 * The milliseconds of an instant in the form that servers in UTC give: `2026-01-31 13:45:00.123456+00`. Its digits stand at
 * fixed places; microseconds are cut off. NaN for any other form.
 */
export function readInstant(buffer: Buffer, start: number, end: number): number {
  const zone = end - ZONE_BYTES
  const isUsual =
    end - start >= 22 &&
    buffer[zone] === PLUS &&
    buffer[zone + 1] === ZERO &&
    buffer[zone + 2] === ZERO &&
    buffer[start + YEAR_ENDS] === MINUS &&
    buffer[start + DAY_ENDS] === BLANK &&
    buffer[start] !== ZERO
  if (!isUsual) return NaN
  let millis = 0
  const last = Math.min(zone, start + MILLIS_END)
  for (let at = start + MILLIS_BEGIN, unit = 100; at < last; at++, unit /= 10) {
    millis += ((buffer[at] as number) - ZERO) * unit
  }
  const year = twoDigits(buffer, start) * 100 + twoDigits(buffer, start + 2)
  const days = daysUntil(year, twoDigits(buffer, start + 5), twoDigits(buffer, start + 8))
  const minutes = twoDigits(buffer, start + 11) * 60 + twoDigits(buffer, start + 14)
  return days * 86_400_000 + minutes * 60_000 + twoDigits(buffer, start + 17) * 1_000 + millis
}

function twoDigits(buffer: Buffer, at: number): number {
  return (buffer[at] as number) * 10 + (buffer[at + 1] as number) - 11 * ZERO
}
