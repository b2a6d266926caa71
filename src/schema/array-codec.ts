/** PostgreSQL's array literals: `{a,"b c",NULL}`. */
import { kindOf, RefusedValue, type Codec } from './codec.js'

/** The literal of an array whose elements are text already. */
export function arrayLiteral(elements: readonly (string | null)[]): string {
  return `{${elements.map((element) => (element === null ? 'NULL' : quoteElement(element))).join()}}`
}

/** The codec of `type[]`, one dimension, elements never NULL by type but kept if they are. */
export function arrayCodec(element: Codec<unknown>): Codec<unknown[]> {
  return {
    mutable: true,
    decode: (text) => parseArray(text).map((item) => (item === null ? null : element.decode(item))),
    encode(value) {
      if (!Array.isArray(value)) throw new RefusedValue(`takes an array, not ${kindOf(value)}`)
      return arrayLiteral(value.map((item: unknown) => (item === null ? null : element.encode(item))))
    },
  }
}

const NEEDS_QUOTES = /[^\w.:+-]|^null$|^$/i

function quoteElement(element: string): string {
  if (!NEEDS_QUOTES.test(element)) return element
  const escaped = element.includes('\\') ? element.replaceAll('\\', '\\\\') : element
  return `"${escaped.includes('"') ? escaped.replaceAll('"', '\\"') : escaped}"`
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
