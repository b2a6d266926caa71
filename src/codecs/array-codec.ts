/** PostgreSQL's array literals: `{a,"b c",NULL}`. */
import { kindOf, RefusedValue, type Codec } from './codec.js'
import { isArray } from '../internal/revoked.js'
import { withKeptNulls } from './kept-nulls.js'
import { withTexts } from './remembered-texts.js'

/**
 * The literal of an array whose elements are text already.
 * @param plain No element needs quotes (see {@link Codec}).
 */
export function arrayLiteral(elements: readonly (string | null)[], plain = false): string {
  if (plain) return `{${elements.includes(null) ? elements.map(orNull).join() : elements.join()}}`
  return joined(elements.map(quoteOrNull), ',')
}

function orNull(element: string | null): string {
  return element ?? 'NULL'
}

/** How the arrays of a type are written. */
export interface ArrayForm {
  /** How deep the arrays are nested, 1 to 6. Default 1. */
  readonly dimensions?: number | undefined
  /** What stands between two elements. Default a comma; PostgreSQL has a semicolon for `box`. */
  readonly delimiter?: string | undefined
}

/** The codec of `type[]`. Elements are NULL only where the declaration says so, but are kept if they are. */
export function arrayCodec(type: Codec<unknown>, form: ArrayForm = {}): Codec<unknown[]> {
  const element = withTexts(type)
  const { dimensions = 1, delimiter = ',' } = form
  const { holds } = element
  const textOf = (item: unknown): string | null => (item === null ? null : element.encode(item))
  const leavesOf = (value: unknown[]): unknown[] => value.flat(dimensions - 1)
  return {
    mutable: true,
    decode: (text) =>
      new ArrayReader(text, dimensions, delimiter).read((item) =>
        item === null ? null : element.decode(item),
      ),
    encode(value) {
      if (!isArray(value)) throw new RefusedValue(`takes an array, not ${kindOf(value)}`)
      if (dimensions > 1) return nestedLiteral(value, textOf, form)
      const texts = value.map(textOf)
      return delimiter === ',' ? arrayLiteral(texts) : joined(texts.map(quoteOrNull), delimiter)
    },
    ...(element.mayReadNull === true && {
      encodeOver(value: unknown[], text: string): string {
        if (!isArray(value)) return this.encode(value)
        const stored = new ArrayReader(text, dimensions, delimiter).read((item) => item)
        const texts = withKeptNulls(leavesOf(value).map(textOf), leavesOf(stored) as string[], (item) =>
          textOf(element.decode(item)),
        ).values()
        return nestedLiteral(value, () => texts.next().value ?? null, form)
      },
    }),
    // Some documents can be read but not written again: 1e400 is read as Infinity.
    ...(holds &&
      dimensions === 1 && {
        holds(text: string, value: unknown): boolean {
          const texts = new ArrayReader(text, 1, delimiter).read((item) => item)
          if (!Array.isArray(value) || value.length !== texts.length) return false
          return texts.every((item, index) => {
            const held: unknown = value[index]
            return item === null || held === null ? item === held : holds(item as string, held)
          })
        },
      }),
  }
}

/** The literal of nested arrays. PostgreSQL has no ragged ones, and one without elements has no dimensions. */
function nestedLiteral(
  value: readonly unknown[],
  textOf: (item: unknown) => string | null,
  { dimensions = 1, delimiter = ',' }: ArrayForm,
): string {
  const lengths: number[] = []
  const write = (items: readonly unknown[], depth: number): string => {
    lengths[depth] ??= items.length
    if (lengths[depth] !== items.length) {
      throw new RefusedValue('takes nested arrays of equal length, as PostgreSQL has no others')
    }
    const texts = items.map((item) => {
      if (depth + 1 === dimensions) return quoteOrNull(textOf(item))
      if (Array.isArray(item)) return write(item, depth + 1)
      throw new RefusedValue(`takes arrays nested ${dimensions} deep, and was given ${kindOf(item)} in one`)
    })
    return joined(texts, delimiter)
  }
  const literal = write(value, 0)
  return lengths.includes(0) ? '{}' : literal
}

function joined(texts: readonly string[], delimiter: string): string {
  return `{${texts.join(delimiter)}}`
}

function quoteOrNull(text: string | null): string {
  return text === null ? 'NULL' : quoteElement(text)
}

const NEEDS_QUOTES = /[^\w.:+-]/
// JSON escapes these in a form that PostgreSQL does not read.
const CONTROLS = /[\0-\x1f]/

function quoteElement(element: string): string {
  const isWord = element.length > 0 && !NEEDS_QUOTES.test(element)
  if (isWord && (element.length !== 4 || element.toLowerCase() !== 'null')) return element
  const escapes = element.includes('\\') || element.includes('"')
  if (!escapes) return `"${element}"`
  // Both have a backslash before quotes and backslashes, and JSON's is written in one go: documents are full of quotes.
  if (!CONTROLS.test(element)) return JSON.stringify(element)
  return `"${element.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** Reads an array literal. */
class ArrayReader {
  readonly #text: string
  readonly #dimensions: number
  readonly #delimiter: string
  #at: number

  constructor(text: string, dimensions: number, delimiter: string) {
    this.#text = text
    this.#dimensions = dimensions
    this.#delimiter = delimiter
    // A lower bound other than 1 is written in front: [0:2]={...}
    this.#at = text.indexOf('{')
    if (this.#at === -1) throw new RefusedValue('holds what is no array')
  }

  /** @throws RefusedValue for another number of dimensions; an array without elements has none. */
  read(elementOf: (text: string | null) => unknown): unknown[] {
    const items = this.#items(1, elementOf)
    return this.#text.endsWith('{}') ? [] : items
  }

  #items(depth: number, elementOf: (text: string | null) => unknown): unknown[] {
    const items: unknown[] = []
    const text = this.#text
    this.#at += 1
    while (this.#at < text.length && text[this.#at] !== '}') {
      if (text[this.#at] === this.#delimiter) this.#at += 1
      const isNested = text[this.#at] === '{'
      if (isNested !== depth < this.#dimensions) throw new RefusedValue(this.#otherDimensions(isNested))
      items.push(isNested ? this.#items(depth + 1, elementOf) : elementOf(this.#element()))
    }
    this.#at += 1
    return items
  }

  #otherDimensions(isDeeper: boolean): string {
    const remedy = 'declare it with array({ dimensions })'
    return this.#dimensions === 1
      ? `holds an array with several dimensions: ${remedy}`
      : `holds an array with ${isDeeper ? 'more' : 'fewer'} than ${this.#dimensions} dimensions: ${remedy}`
  }

  #element(): string | null {
    const text = this.#text
    if (text[this.#at] === '"') {
      let element = ''
      for (this.#at += 1; this.#at < text.length && text[this.#at] !== '"'; this.#at += 1) {
        if (text[this.#at] === '\\') this.#at += 1
        element += text[this.#at] as string
      }
      this.#at += 1
      return element
    }
    const start = this.#at
    while (this.#at < text.length && text[this.#at] !== this.#delimiter && text[this.#at] !== '}')
      this.#at += 1
    const element = text.slice(start, this.#at)
    return element === 'NULL' ? null : element
  }
}
