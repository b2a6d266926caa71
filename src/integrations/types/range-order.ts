/**
 * Brings ranges into the form in which PostgreSQL stores them, so that their texts can be compared (as far as bounds can be compared
 * here).
 */
import type { Bounds } from './range.js'
import { parseRange, parseRanges, writeRange, type TextRange } from './range-text.js'

/** How the texts of bounds are compared. `integer` and `date` have a next value, so that `[1,5]` is `[1,6)`. */
export type RangeOrder = 'integer' | 'date' | 'numeric' | 'text'

export function normalRange(text: string, order: RangeOrder): string {
  return write(normal(parseRange(text, asIs) as TextRange, order))
}

/** Empty ranges are left out, and those that touch are one. */
export function normalRanges(text: string, order: RangeOrder): string {
  const ranges = (parseRanges(text, asIs) as TextRange[]).map((one) => normal(one, order))
  const bounds = ranges.flatMap(({ lower, upper }) => [lower, upper]).filter((bound) => bound !== null)
  if (!bounds.every((bound) => isComparable(bound, order))) return `{${ranges.map(write).join()}}`
  const sorted = ranges.filter(({ empty }) => empty !== true).sort((a, b) => compareStarts(a, b, order))
  const merged: TextRange[] = []
  for (const one of sorted) {
    const last = merged.at(-1)
    if (last === undefined || !touches(last, one, order)) merged.push(one)
    else merged[merged.length - 1] = joined(last, one, order)
  }
  return `{${merged.map(write).join()}}`
}

function asIs(text: string): string {
  return text
}

function write(one: TextRange): string {
  return writeRange(one, String)
}

function normal(one: TextRange, order: RangeOrder): TextRange {
  if (one.empty === true) return one
  let [start, end] = one.bounds as unknown as [string, string]
  let { lower, upper } = one
  if (order === 'numeric') [lower, upper] = [plain(lower), plain(upper)]
  // No bound is never part of a range.
  if (lower === null) start = '('
  if (upper === null) end = ')'
  if (order === 'integer' || order === 'date') {
    const first = start === '(' && lower !== null ? next(lower, order) : undefined
    const last = end === ']' && upper !== null ? next(upper, order) : undefined
    if (first !== undefined) [start, lower] = ['[', first]
    if (last !== undefined) [end, upper] = [')', last]
  }
  const isEmpty =
    lower !== null &&
    upper !== null &&
    `${start}${end}` !== '[]' &&
    isComparable(lower, order) &&
    isComparable(upper, order) &&
    compare(lower, upper, order) === 0
  return isEmpty
    ? { lower: null, upper: null, bounds: '()', empty: true }
    : { lower, upper, bounds: `${start}${end}` as Bounds }
}

const DAY = /^\d{4}-\d\d-\d\d$/
const MOMENT = /^\d{4}-\d\d-\d\d[T ]/
const NUMBER = /^-?\d+(\.\d+)?$/

/** Without the digits that say nothing. */
function plain(bound: string | null): string | null {
  if (bound === null || !NUMBER.test(bound)) return bound
  const short = bound.includes('.') ? bound.replace(/\.?0+$/, '') : bound
  return short === '-0' ? '0' : short
}

/** The next value; undefined where it is not known. */
function next(bound: string, order: RangeOrder): string | undefined {
  if (order === 'integer') return /^-?\d+$/.test(bound) ? String(BigInt(bound) + 1n) : undefined
  if (!DAY.test(bound) || bound === '9999-12-31') return undefined
  const day = new Date(`${bound}T00:00:00Z`)
  return new Date(day.getTime() + 86_400_000).toISOString().slice(0, 10)
}

function isComparable(bound: string, order: RangeOrder): boolean {
  switch (order) {
    case 'integer':
    case 'numeric':
      return NUMBER.test(bound)
    case 'date':
      return DAY.test(bound)
    case 'text':
      return MOMENT.test(bound) && !bound.endsWith('BC')
  }
}

/** Of comparable bounds. Moments are compared as texts, whose digits stand at the same places. */
function compare(a: string, b: string, order: RangeOrder): number {
  if (order === 'integer' || order === 'numeric') {
    const digits = Math.max(fraction(a).length, fraction(b).length)
    const difference = scaled(a, digits) - scaled(b, digits)
    return difference < 0n ? -1 : difference > 0n ? 1 : 0
  }
  return a < b ? -1 : a > b ? 1 : 0
}

function fraction(number: string): string {
  return number.split('.')[1] ?? ''
}

function scaled(number: string, digits: number): bigint {
  return BigInt(number.replace('.', '') + '0'.repeat(digits - fraction(number).length))
}

function compareStarts(a: TextRange, b: TextRange, order: RangeOrder): number {
  if (a.lower === null || b.lower === null) return Number(b.lower === null) - Number(a.lower === null)
  const compared = compare(a.lower, b.lower, order)
  return compared === 0 ? Number(a.bounds.startsWith('(')) - Number(b.bounds.startsWith('(')) : compared
}

/** Whether the later one begins where the earlier one ends, or before. */
function touches(earlier: TextRange, later: TextRange, order: RangeOrder): boolean {
  if (earlier.upper === null || later.lower === null) return true
  const compared = compare(earlier.upper, later.lower, order)
  if (compared !== 0) return compared > 0
  return earlier.bounds.endsWith(']') || later.bounds.startsWith('[')
}

function joined(earlier: TextRange, later: TextRange, order: RangeOrder): TextRange {
  const isLater =
    earlier.upper !== null &&
    (later.upper === null ||
      compare(later.upper, earlier.upper, order) > 0 ||
      (compare(later.upper, earlier.upper, order) === 0 && later.bounds.endsWith(']')))
  const end = isLater ? later : earlier
  return {
    lower: earlier.lower,
    upper: end.upper,
    bounds: `${earlier.bounds[0]}${end.bounds[1]}` as Bounds,
  }
}
