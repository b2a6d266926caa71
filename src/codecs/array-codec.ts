/** PostgreSQL's array literals: `{a,"b c",NULL}`. */
import { kindOf, RefusedValue, type Codec } from './codec.js'
import { isArray } from '../internal/revoked.js'

/**
 * The literal of an array whose elements are text already.
 * @param plain No element needs quotes (see {@link Codec}).
 */
export function arrayLiteral(elements: readonly (string | null)[], plain = false): string {
  if (plain) return `{${elements.includes(null) ? elements.map(orNull).join() : elements.join()}}`
  return `{${elements.map((element) => (element === null ? 'NULL' : quoteElement(element))).join()}}`
}

function orNull(element: string | null): string {
  return element ?? 'NULL'
}

/** The codec of `type[]`, one dimension, elements never NULL by type but kept if they are. */
export function arrayCodec(element: Codec<unknown>): Codec<unknown[]> {
  const { holds } = element
  return {
    mutable: true,
    decode: (text) => parseArray(text).map((item) => (item === null ? null : element.decode(item))),
    encode(value) {
      if (!isArray(value)) throw new RefusedValue(`takes an array, not ${kindOf(value)}`)
      return arrayLiteral(value.map((item: unknown) => (item === null ? null : element.encode(item))))
    },
    // Documents can hold what is read and cannot be written again: 1e400 is read as Infinity.
    ...(holds && {
      holds(text: string, value: unknown): boolean {
        const texts = parseArray(text)
        if (!Array.isArray(value) || value.length !== texts.length) return false
        return texts.every((item, index) => {
          const held: unknown = value[index]
          return item === null || held === null ? item === held : holds(item, held)
        })
      },
    }),
  }
}

const NEEDS_QUOTES = /[^\w.:+-]/
// JSON writes these in ways of its own.
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

/** The elements of an array literal with one dimension. */
function parseArray(text: string): (string | null)[] {
  const elements: (string | null)[] = []
  // A lower bound other than 1 is written in front: [0:2]={...}
  let at = text.indexOf('{') + 1
  if (at === 0) throw new RefusedValue('holds what is no array')
  while (at < text.length && text[at] !== '}') {
    if (text[at] === '{') throw new RefusedValue('holds an array with several dimensions')
    if (text[at] === ',') at += 1
    if (text[at] === '"') {
      let element = ''
      for (at += 1; at < text.length && text[at] !== '"'; at += 1) {
        if (text[at] === '\\') at += 1
        element += text[at] as string
      }
      at += 1
      elements.push(element)
    } else {
      const start = at
      while (at < text.length && text[at] !== ',' && text[at] !== '}') at += 1
      const element = text.slice(start, at)
      elements.push(element === 'NULL' ? null : element)
    }
  }
  return elements
}
