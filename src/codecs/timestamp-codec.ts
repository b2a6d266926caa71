/** `timestamptz` as a `Date`. */
import { dayAfter, daysUntil } from '../internal/calendar.js'
import { kindOf, RefusedValue, type Codec } from './codec.js'

// The latest instant that a Date can hold; it stands for `infinity`.
const LATEST = 8.64e15
const TIMESTAMP =
  /^(\d{4,6})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d{1,6})?(?:Z|([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?)( BC)?$/
// Years of four digits.
const EARLIEST_USUAL = Date.UTC(1000, 0)
const LATEST_USUAL = Date.UTC(10_000, 0)
const MICROSECONDS = /\.\d{4}/

/**
 * A Date counts milliseconds: PostgreSQL's microseconds are truncated when a row is read, and the column is written only if
 * the Date was changed. `infinity` and `-infinity` are the latest and the earliest Date.
 */
export const timestampCodec: Codec<Date> = {
  mutable: true,
  onlySpelling: 'always',
  decode(text) {
    const date = new Date(timeOf(text))
    if (Number.isNaN(date.getTime())) throw new RefusedValue('holds an instant that a Date cannot express')
    return date
  },
  // Rows whose keys differ by microseconds only are different rows.
  canonical: (text) => (MICROSECONDS.test(text) ? text : timestampCodec.encode(timestampCodec.decode(text))),
  holds: (text, value) => value instanceof Date && value.getTime() === timeOf(text),
  brief: {
    of: (value) => (value instanceof Date ? value.getTime() : NaN),
    restore: (time) => new Date(time),
  },
  encode(value) {
    if (!(value instanceof Date)) throw new RefusedValue(`takes a Date, not ${kindOf(value)}`)
    const time = value.getTime()
    if (Number.isNaN(time)) throw new RefusedValue('takes a Date, not an invalid one')
    if (Math.abs(time) === LATEST) return time > 0 ? 'infinity' : '-infinity'
    if (time >= EARLIEST_USUAL && time < LATEST_USUAL) return writeUsual(time)
    const year = value.getUTCFullYear()
    const iso = value.toISOString()
    if (year > 0 && year < 1000) return iso
    // ISO 8601 has signed years of six digits, PostgreSQL years before Christ.
    const rest = iso.slice(iso.indexOf('-', 1))
    return year > 0 ? `${year}${rest}` : `${String(1 - year).padStart(4, '0')}${rest} BC`
  },
}

/** As `toISOString`, in one go: every flush writes all timestamps that it stores. */
function writeUsual(time: number): string {
  const days = Math.floor(time / DAY)
  const { year, month, day } = dayAfter(days)
  const ofDay = time - days * DAY
  const hour = Math.floor(ofDay / 3_600_000)
  const minute = Math.floor(ofDay / 60_000) % 60
  const second = Math.floor(ofDay / 1_000) % 60
  const millis = ofDay % 1_000
  const century = Math.floor(year / 100)
  // prettier-ignore
  return String.fromCharCode(
    tens(century), ones(century), tens(year % 100), ones(year), DASH,
    tens(month), ones(month), DASH, tens(day), ones(day), T,
    tens(hour), ones(hour), COLON, tens(minute), ones(minute), COLON, tens(second), ones(second), POINT,
    ZERO + Math.floor(millis / 100), tens(millis % 100), ones(millis), Z,
  )
}

const DAY = 86_400_000
const ZERO = 0x30
const DASH = 0x2d
const COLON = 0x3a
const POINT = 0x2e
const T = 0x54
const Z = 0x5a

/** The code of the first of two digits. */
function tens(number: number): number {
  return ZERO + Math.floor(number / 10)
}

/** The code of the last digit. */
function ones(number: number): number {
  return ZERO + (number % 10)
}

/** Whether a text is one that `encode` writes, of a year (1720 to 2279) whose microseconds a number holds exactly. */
export function isBriefInstant(text: string): boolean {
  return text.length === WRITTEN && text > '1720' && text < '2280' && WRITTEN_FORM.test(text)
}

/** The time of a text that {@link isBriefInstant} accepts, in milliseconds. */
export function instantOf(text: string): number {
  return readDigits(text, WRITTEN - 1)
}

/** `2026-01-31T13:45:00.123Z` */
const WRITTEN = 24
// The 29th of February, which not every year has, is left out.
const WRITTEN_FORM =
  /^\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

/** The time of an instant in PostgreSQL's text, in milliseconds; NaN if a Date cannot express it. */
function timeOf(text: string): number {
  return isUtcText(text) ? readDigits(text, Math.min(text.length - 3, 23)) : readAny(text)
}

/** True for the text of a server in UTC, `2026-01-31 13:45:00.123456+00`: its digits are at fixed positions. */
function isUtcText(text: string): boolean {
  return text.endsWith('+00') && text[4] === '-' && text[10] === ' ' && text[0] !== '0'
}

/** Reads a text in UTC. @param end The end of its milliseconds. */
function readDigits(text: string, end: number): number {
  // A number of two digits: 528 is 11 times the code of '0'.
  const two = (at: number): number => text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 528
  let millis = 0
  for (let at = 20, unit = 100; at < end; at++, unit /= 10) millis += (text.charCodeAt(at) - 48) * unit
  const days = daysUntil(two(0) * 100 + two(2), two(5), two(8))
  return days * 86_400_000 + two(11) * 3_600_000 + two(14) * 60_000 + two(17) * 1_000 + millis
}

/** Reads any text of a server with DateStyle ISO. */
function readAny(text: string): number {
  if (text === 'infinity') return LATEST
  if (text === '-infinity') return -LATEST
  const match = TIMESTAMP.exec(text)
  if (match === null) throw new RefusedValue("needs the server's DateStyle to be ISO")
  const [, year, month, day, hour, minute, second, fraction, sign, zoneHour, zoneMinute, zoneSecond, bc] =
    match
  const offset = Number(zoneHour ?? 0) * 3600 + Number(zoneMinute ?? 0) * 60 + Number(zoneSecond ?? 0)
  const date = new Date(0)
  // Date.UTC would take the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(bc === undefined ? Number(year) : 1 - Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(
    Number(hour),
    Number(minute),
    Number(second) - (sign === '-' ? -offset : offset),
    fraction === undefined ? 0 : Number(fraction.slice(1, 4).padEnd(3, '0')),
  )
  return date.getTime()
}
