/** Dates, times and intervals as objects of Temporal, of the runtime or of a polyfill. */
import { Column, MappingError, date, interval, time, timestamp, timestamptz } from '../../index.js'
import type { PrecisionOptions } from '../../index.js'
import { readDuration, sameInterval, writeDuration, type DurationFields } from './interval-text.js'
import { typeOf, kindOf, refused } from './text-column.js'

/** What is used of `Temporal`: the global of a runtime that has it, or that of a polyfill. */
export interface TemporalApi {
  readonly Instant: { from(item: string): unknown }
  readonly PlainDateTime: { from(item: string): unknown }
  readonly PlainDate: { from(item: string): unknown }
  readonly PlainTime: { from(item: string): unknown }
  readonly Duration: { from(item: string): unknown }
}

type ValueOf<Api extends TemporalApi, Name extends keyof TemporalApi> = ReturnType<Api[Name]['from']>

/** Columns whose values are objects of Temporal. Each takes the arguments of its namesake in `lifeguard`. */
export interface TemporalTypes<Api extends TemporalApi> {
  /** An instant, as `Temporal.Instant`, with its microseconds. */
  timestamptz(
    name?: string | PrecisionOptions,
    options?: PrecisionOptions,
  ): Column<ValueOf<Api, 'Instant'> | null>
  /** Day and time without a time zone, as `Temporal.PlainDateTime`. */
  timestamp(
    name?: string | PrecisionOptions,
    options?: PrecisionOptions,
  ): Column<ValueOf<Api, 'PlainDateTime'> | null>
  /** A calendar day, as `Temporal.PlainDate`. */
  date(name?: string): Column<ValueOf<Api, 'PlainDate'> | null>
  /** A time of day, as `Temporal.PlainTime`. PostgreSQL's `24:00:00` is refused when it is read. */
  time(name?: string | PrecisionOptions, options?: PrecisionOptions): Column<ValueOf<Api, 'PlainTime'> | null>
  /** A span of time, as `Temporal.Duration`. An interval of mixed signs, `1 day -01:00:00`, is refused when it is read. */
  interval(
    name?: string | PrecisionOptions,
    options?: PrecisionOptions,
  ): Column<ValueOf<Api, 'Duration'> | null>
}

/**
 * Makes column types for dates and times whose values are objects of Temporal. PostgreSQL holds microseconds: nanoseconds are truncated
 * when a value is stored. `infinity` is refused when it is read; so is a year that Temporal cannot express.
 * @param temporal The global `Temporal` (Node 26), or that of a polyfill, such as `temporal-polyfill`.
 * @throws MappingError if it is not given.
 * @example
 * import { Temporal } from 'temporal-polyfill'
 * const t = temporalTypes(Temporal)
 * class Visit extends Base.entity('visits', { id: serial().primaryKey(), at: t.timestamptz().notNull(), day: t.date() }) {}
 */
export function temporalTypes<Api extends TemporalApi>(temporal: Api): TemporalTypes<Api> {
  if (typeof (temporal as Partial<Api> | undefined)?.Instant?.from !== 'function')
    throw new MappingError(
      'temporalTypes(Temporal) takes the global Temporal, which Node has from version 26 on, or that of a polyfill: ' +
        "import { Temporal } from 'temporal-polyfill'",
    )
  const moments = <Name extends keyof TemporalApi>(name: Name): Form<ValueOf<Api, Name>> => ({
    class: name,
    read: (text) => temporal[name].from(fromPostgres(text)) as ValueOf<Api, Name>,
    write: (value) => toPostgres(String(value)),
  })
  const durations: Form<ValueOf<Api, 'Duration'>> = {
    class: 'Duration',
    read: (text) => temporal.Duration.from(readDuration(text)) as ValueOf<Api, 'Duration'>,
    write: (value) => writeDuration(value as DurationFields),
    normal: sameInterval,
  }
  return {
    timestamptz: (name, options) => as(moments('Instant'), timestamptz(name, options)),
    timestamp: (name, options) => as(moments('PlainDateTime'), timestamp(name, options)),
    date: (name) => as(moments('PlainDate'), date(name)),
    time: (name, options) => as(moments('PlainTime'), time(name, options)),
    interval: (name, options) => as(durations, interval(name, options)),
  }
}

/** How the texts of a type become values of a class of Temporal. */
interface Form<Value> {
  readonly class: keyof TemporalApi
  read(text: string): Value
  write(value: Value): string
  normal?(text: string): string
}

/** The column with values of the form, instead of its own. */
function as<Value>(form: Form<Value>, { definition }: Column<unknown>): Column<Value | null> {
  const { ddl, cast } = definition.type
  const decode = (text: string): Value => {
    try {
      return form.read(text)
    } catch (error) {
      // Temporal tells the value in its message.
      if (error instanceof RangeError) throw refused(`holds what a Temporal.${form.class} cannot express`)
      throw error
    }
  }
  const type = typeOf<Value>({
    ddl,
    cast,
    decode,
    encode(value) {
      if (Object.prototype.toString.call(value) !== `[object Temporal.${form.class}]`)
        throw refused(`takes a Temporal.${form.class}, not ${kindOf(value)}`)
      return form.write(value)
    },
    normal: form.normal ?? ((text) => String(decode(text))),
  })
  return new Column({ ...definition, type })
}

const MOMENT = /^(\d{4,})(-\d\d-\d\d)(?:[ T](\d.*?))?( BC)?$/

/** ISO 8601 has a sign and six digits for years outside of 0 to 9999, PostgreSQL more digits and years before Christ. */
function fromPostgres(text: string): string {
  if (text.endsWith('infinity')) throw refused('holds infinity, which no object of Temporal can express')
  if (/^\d\d:/.test(text)) return text
  const match = MOMENT.exec(text)
  if (match === null) throw refused("needs the server's DateStyle to be ISO")
  const [, digits, day, ofDay, isBefore] = match
  const year = isBefore === undefined ? Number(digits) : 1 - Number(digits)
  const written =
    year >= 0 && year <= 9999
      ? String(year).padStart(4, '0')
      : `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`
  return `${written}${day}${ofDay === undefined ? '' : `T${ofDay}`}`
}

/** The reverse. Without the name of a calendar, and without nanoseconds. */
function toPostgres(text: string): string {
  const [, sign, digits = '', rest = ''] = /^([+-]?)(\d+)(.*?)(?:\[.*)?$/.exec(text) ?? []
  const cut = rest.replace(/(\.\d{6})\d+/, '$1')
  if (cut.startsWith(':')) return `${digits}${cut}`
  const year = sign === '-' ? -Number(digits) : Number(digits)
  return year > 0 ? `${String(year).padStart(4, '0')}${cut}` : `${String(1 - year).padStart(4, '0')}${cut} BC`
}
