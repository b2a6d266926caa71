/** Intervals in PostgreSQL's own style: `1 year 2 mons 3 days 04:05:06.789`. */
import { refused } from './text-column.js'

/** The fields of a `Temporal.Duration`, all of one sign. */
export interface DurationFields {
  readonly years: number
  readonly months: number
  readonly weeks: number
  readonly days: number
  readonly hours: number
  readonly minutes: number
  readonly seconds: number
  readonly milliseconds: number
  readonly microseconds: number
}

/** What PostgreSQL keeps of an interval: three numbers, each with its own sign. */
interface Parts {
  readonly months: number
  readonly days: number
  readonly micros: bigint
}

const INTERVAL =
  /^(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/

function partsOf(text: string): Parts {
  const match = INTERVAL.exec(text)
  if (match === null) throw refused("needs the server's IntervalStyle to be postgres, and no infinity")
  const [
    ,
    years = '0',
    months = '0',
    days = '0',
    sign,
    hours = '0',
    minutes = '0',
    seconds = '0',
    fraction = '',
  ] = match
  const whole = (BigInt(hours) * 60n + BigInt(minutes)) * 60n + BigInt(seconds)
  const micros = whole * 1_000_000n + BigInt(fraction.padEnd(6, '0'))
  return {
    months: Number(years) * 12 + Number(months),
    days: Number(days),
    micros: sign === '-' ? -micros : micros,
  }
}

/**
 * An interval in the form of ISO 8601 that Temporal reads.
 * @throws InvalidValueError for mixed signs: ISO 8601 has one sign for all.
 */
export function readDuration(text: string): string {
  const { months, days, micros } = partsOf(text)
  const signs = [months, days, Number(micros)].map(Math.sign).filter((sign) => sign !== 0)
  if (new Set(signs).size > 1)
    throw refused('holds an interval of mixed signs, which no Temporal.Duration can express')
  const time = micros < 0n ? -micros : micros
  const seconds = time / 1_000_000n
  const clock = `${seconds / 3_600n}H${(seconds / 60n) % 60n}M${seconds % 60n}.${String(time % 1_000_000n).padStart(6, '0')}S`
  const all = Math.abs(months)
  return `${signs.includes(-1) ? '-' : ''}P${Math.trunc(all / 12)}Y${all % 12}M${Math.abs(days)}DT${clock}`
}

/** PostgreSQL's text of a duration. Weeks are days, and nanoseconds are truncated. */
export function writeDuration(value: DurationFields): string {
  const seconds = (BigInt(value.hours) * 60n + BigInt(value.minutes)) * 60n + BigInt(value.seconds)
  const micros = seconds * 1_000_000n + BigInt(value.milliseconds) * 1_000n + BigInt(value.microseconds)
  return write({ months: value.years * 12 + value.months, days: value.weeks * 7 + value.days, micros })
}

/** One text for all texts of one interval: 12 months are a year, but a month is no number of days. */
export function sameInterval(text: string): string {
  return write(partsOf(text))
}

function write({ months, days, micros }: Parts): string {
  const time = micros < 0n ? -micros : micros
  const seconds = time / 1_000_000n
  const two = (number: bigint): string => String(number).padStart(2, '0')
  const clock = `${two(seconds / 3_600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`
  return `${months} mons ${days} days ${micros < 0n ? '-' : ''}${clock}.${String(time % 1_000_000n).padStart(6, '0')}`
}
