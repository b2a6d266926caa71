/** The texts of composite values: `(a,"b ""c""",)`. */
import { refused } from './text-column.js'

/** NULL is nothing at all between the commas; an empty text has quotes. */
export function writeRow(parts: readonly (string | null)[]): string {
  return `(${parts.map((part) => (part === null ? '' : quote(part))).join()})`
}

function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '""')}"`
}

export function parseRow(text: string): (string | null)[] {
  if (!text.startsWith('(') || !text.endsWith(')')) throw refused('holds what is no composite value')
  const parts: (string | null)[] = []
  if (text === '()') return parts
  let part = ''
  let isGiven = false
  let isQuoted = false
  for (let at = 1; at < text.length; at++) {
    const character = text[at] as string
    if (!isQuoted && (character === ',' || (character === ')' && at === text.length - 1))) {
      parts.push(isGiven ? part : null)
      part = ''
      isGiven = false
      continue
    }
    isGiven = true
    if (character === '\\') {
      at += 1
      part += text[at] ?? ''
    } else if (character === '"') {
      // Two of them inside of quotes are one.
      if (isQuoted && text[at + 1] === '"') {
        at += 1
        part += '"'
      } else {
        isQuoted = !isQuoted
      }
    } else {
      part += character
    }
  }
  return parts
}
