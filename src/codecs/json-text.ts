/** Recognises a JSON document in its text: in a third of the time that parsing takes, and without making objects. */

import { DEEPEST_RECURSION } from '../internal/json.js'

/**
 * Whether a text is a document as `JSON.stringify` writes it, with or without the blanks that PostgreSQL puts after commas
 * and colons. May be false for a document that is equal: for escapes, other forms of numbers, objects with a form of their own, deep documents.
 */
export function isTextOf(text: string, document: unknown): boolean {
  return endOf(document, text, 0, 0) === text.length
}

const DIFFERENT = -1

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BLANK = 0x20
const COMMA = 0x2c
const COLON = 0x3a

/** Where the text of a value ends that begins at `start`. */
function endOf(value: unknown, text: string, start: number, depth: number): number {
  if (start === DIFFERENT || depth > DEEPEST_RECURSION) return DIFFERENT
  switch (typeof value) {
    case 'string':
      return endOfString(value, text, start)
    case 'number':
    case 'boolean':
      return endOfWord(String(value), text, start)
    case 'object':
      if (value === null) return endOfWord('null', text, start)
      if (Array.isArray(value)) return endOfArray(value, text, start, depth + 1)
      return endOfObject(value as Record<string, unknown>, text, start, depth + 1)
    default:
      return DIFFERENT
  }
}

function endOfWord(word: string, text: string, start: number): number {
  return text.startsWith(word, start) ? start + word.length : DIFFERENT
}

function endOfString(value: string, text: string, start: number): number {
  if (text.charCodeAt(start) !== QUOTE) return DIFFERENT
  let at = start + 1
  for (let index = 0; index < value.length; index++, at++) {
    const code = value.charCodeAt(index)
    // These two would be escaped.
    if (code !== text.charCodeAt(at) || code === QUOTE || code === BACKSLASH) return DIFFERENT
  }
  return text.charCodeAt(at) === QUOTE ? at + 1 : DIFFERENT
}

function endOfArray(items: readonly unknown[], text: string, start: number, depth: number): number {
  if (text[start] !== '[') return DIFFERENT
  let at = start + 1
  for (let index = 0; index < items.length; index++) {
    if (index > 0) at = afterMark(COMMA, text, at)
    at = endOf(items[index], text, at, depth)
    if (at === DIFFERENT) return DIFFERENT
  }
  return text[at] === ']' ? at + 1 : DIFFERENT
}

function endOfObject(object: Record<string, unknown>, text: string, start: number, depth: number): number {
  // Not a Map, nor an object with toJSON().
  if (Object.getPrototypeOf(object) !== Object.prototype || 'toJSON' in object) return DIFFERENT
  if (text[start] !== '{') return DIFFERENT
  let at = start + 1
  let isFirst = true
  for (const name in object) {
    if (!isFirst) at = afterMark(COMMA, text, at)
    isFirst = false
    at = afterMark(COLON, text, endOfString(name, text, at))
    at = endOf(object[name], text, at, depth)
    if (at === DIFFERENT) return DIFFERENT
  }
  return text[at] === '}' ? at + 1 : DIFFERENT
}

function afterMark(mark: number, text: string, at: number): number {
  if (text.charCodeAt(at) !== mark) return DIFFERENT
  return text.charCodeAt(at + 1) === BLANK ? at + 2 : at + 1
}
