/** The texts of ranges and multiranges: `[1,5)`, `empty`, `{[1,2),[5,)}`. */
import type { Bounds, Range } from './range.js'
import { refused } from './text-column.js'

/** A range whose bounds are texts. */
export type TextRange = Range<string> & { readonly bounds: Bounds }

/** @param encode Writes a bound. */
export function writeRange(value: Range<unknown>, encode: (bound: unknown) => string): string {
  if (value.empty === true) return 'empty'
  const { lower, upper, bounds = '[)' } = value
  const write = (bound: unknown): string =>
    bound === null || bound === undefined ? '' : quote(encode(bound))
  return `${bounds[0]}${write(lower)},${write(upper)}${bounds[1]}`
}

export function parseRange<Value>(text: string, decode: (bound: string) => Value): Range<Value> {
  const reader = new RangeReader(text)
  return valued(reader.range(), decode)
}

export function parseRanges<Value>(text: string, decode: (bound: string) => Value): Range<Value>[] {
  return new RangeReader(text).ranges().map((one) => valued(one, decode))
}

function valued<Value>(one: TextRange, decode: (bound: string) => Value): Range<Value> {
  const { lower, upper, bounds, empty = false } = one
  return {
    lower: lower === null ? null : decode(lower),
    upper: upper === null ? null : decode(upper),
    bounds,
    empty,
  }
}

function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '""')}"`
}

class RangeReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  range(): TextRange {
    if (this.#text.startsWith('empty', this.#at)) {
      this.#at += 'empty'.length
      return { lower: null, upper: null, bounds: '()', empty: true }
    }
    const start = this.#next()
    const lower = this.#bound(',')
    const upper = this.#bound('])')
    const bounds = `${start}${this.#text[this.#at - 1]}`
    if (!/^[[(][\])]$/.test(bounds)) throw refused('holds what is no range')
    return { lower, upper, bounds: bounds as Bounds, empty: false }
  }

  ranges(): TextRange[] {
    const ranges: TextRange[] = []
    if (this.#next() !== '{') throw refused('holds what is no multirange')
    while (this.#at < this.#text.length && this.#text[this.#at] !== '}') {
      if (this.#text[this.#at] === ',') this.#at += 1
      ranges.push(this.range())
    }
    return ranges
  }

  #next(): string {
    return this.#text[this.#at++] ?? ''
  }

  /** A bound, and the character that ends it; without any text there is none. */
  #bound(ends: string): string | null {
    let bound = ''
    let isGiven = false
    let isQuoted = false
    for (;;) {
      const character = this.#next()
      if (character === '') throw refused('holds what is no range')
      if (!isQuoted && ends.includes(character)) return isGiven ? bound : null
      isGiven = true
      if (character === '\\') {
        bound += this.#next()
      } else if (character === '"') {
        // Two of them inside of quotes are one.
        if (isQuoted && this.#text[this.#at] === '"') bound += this.#next()
        else isQuoted = !isQuoted
      } else {
        bound += character
      }
    }
  }
}
