/** Recognises the kind of a statement by its text, before it is sent. */

const WORD = /[a-z]+/iy

/** The first word in lower case, behind spaces and comments; empty if the text begins with something else. */
export function firstWord(text: string): string {
  WORD.lastIndex = skipBlank(text, 0)
  return WORD.exec(text)?.[0].toLowerCase() ?? ''
}

/** Whether more may follow behind a semicolon. Also true for a semicolon in a literal: such a text only runs as pg would run it. */
export function mayHoldSeveral(text: string): boolean {
  const at = text.indexOf(';')
  return at !== -1 && skipBlank(text, at + 1, true) < text.length
}

/** The statements of a text; strings, quoted names, comments and bodies in dollars may hold semicolons. */
export function statementsOf(text: string): string[] {
  const statements: string[] = []
  let begin = 0
  const add = (end: number): void => {
    const statement = text.slice(begin, end)
    if (skipBlank(statement, 0) < statement.length) statements.push(statement.trim())
    begin = end + 1
  }
  for (let at = 0; at < text.length;) {
    TOKEN.lastIndex = at
    const token = TOKEN.exec(text)?.[0] ?? text.slice(at)
    if (token === ';') add(at)
    at = token === '/*' ? commentEnd(text, at) + 1 : at + token.length
    if (BODY.test(token)) at = bodyEnd(text, at, token)
  }
  add(text.length)
  return statements
}

/** One token after the other. */
const TOKEN =
  /--[^\n]*|e'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$|[\p{L}_][\p{L}\p{N}_$]*|\/\*|;|./isuy
const BODY = /^\$.*\$$/s

function bodyEnd(text: string, start: number, tag: string): number {
  const end = text.indexOf(tag, start)
  return end === -1 ? text.length : end + tag.length
}

/** Where the first thing behind spaces and comments (and, with `semicolons`, empty statements) begins. */
function skipBlank(text: string, start: number, semicolons = false): number {
  let at = start
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code <= SPACE || (semicolons && code === SEMICOLON)) continue
    if (code === DASH && text.charCodeAt(at + 1) === DASH) at = endOf(text.indexOf('\n', at), text)
    else if (code === SLASH && text.charCodeAt(at + 1) === STAR) at = commentEnd(text, at)
    else break
  }
  return Math.min(at, text.length)
}

/** The last character of a comment, which may hold comments. */
function commentEnd(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const two = text.slice(at, at + 2)
    if (two === '/*') depth++
    else if (two === '*/') depth--
    else continue
    at++
    if (depth === 0) return at
  }
  return text.length
}

function endOf(at: number, text: string): number {
  return at === -1 ? text.length : at
}

const SPACE = 0x20
const DASH = 0x2d
const SLASH = 0x2f
const STAR = 0x2a
const SEMICOLON = 0x3b
