/** Removes literal values and comments from texts of statements. */

const LITERAL = '?'
/** Texts that are kept: most services send the same few hundred. */
const MOST_TEXTS = 500
/** A longer text is cut: exporters refuse long attributes. */
const LONGEST_TEXT = 8_192

/** One token after the other; named groups are what is replaced or left out. */
const TOKEN =
  /(?<comment>--[^\n]*|\/\*)|(?<string>(?:e|u&|[bxn])?'(?:''|[^'])*(?:'|$))|"(?:""|[^"])*(?:"|$)|(?<body>\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$)|\$\d+|[\p{L}_][\p{L}\p{N}_$]*|(?<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?\w*)|./isuy
/** In texts like E'...' a backslash keeps the quote after it inside. */
const ESCAPED = /e'(?:\\.|''|[^'\\])*(?:'|$)/isuy

/** Replaces strings and numbers by `?`, and leaves out comments, which may hold anything. Parameters (`$1`) and names stay. */
export class QueryTexts {
  readonly #known = new Map<string, string>()

  of(text: string): string {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const shown = withoutLiterals(text.slice(0, LONGEST_TEXT))
    if (text.length > LONGEST_TEXT) return shown
    if (this.#known.size >= MOST_TEXTS) this.#known.clear()
    this.#known.set(text, shown)
    return shown
  }
}

function withoutLiterals(text: string): string {
  let shown = ''
  for (let at = 0; at < text.length;) {
    TOKEN.lastIndex = at
    const found = TOKEN.exec(text)
    const token = found?.[0] ?? text.charAt(at)
    const { comment, string, body, number } = found?.groups ?? {}
    at += token.length
    if (comment === '/*') at = commentEnd(text, at)
    else if (string !== undefined) {
      shown += LITERAL
      if (/^e/i.test(token)) at = escapedEnd(text, at - token.length)
      // Where it ends depends on standard_conforming_strings of the session.
      else if (token.endsWith("\\'")) return shown
    } else if (body !== undefined) {
      shown += LITERAL
      const end = text.indexOf(token, at)
      at = end === -1 ? text.length : end + token.length
    } else if (number !== undefined) shown += LITERAL
    else if (comment === undefined) shown += token
  }
  return shown.trim()
}

function escapedEnd(text: string, start: number): number {
  ESCAPED.lastIndex = start
  return start + (ESCAPED.exec(text)?.[0].length ?? text.length)
}

/** Behind a comment, which may hold comments. @param start Behind its first two characters. */
function commentEnd(text: string, start: number): number {
  for (let at = start, depth = 1; at < text.length; at++) {
    const two = text.slice(at, at + 2)
    if (two === '/*') depth++
    else if (two === '*/') depth--
    else continue
    at++
    if (depth === 0) return at + 1
  }
  return text.length
}
