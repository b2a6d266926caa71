/**
 * Removes values from the server's texts (`hideParameters`). PostgreSQL may quote a value in any field of an error or a notice, for
 * every SQLSTATE and language, and in another form: in lower case, truncated, or one element of an array. So each text is compared
 * with the values that were sent, not with patterns of messages.
 */

/** The texts of an error or a notice that may quote values. They are changed in place. */
export interface ServerTexts {
  message?: string | undefined
  code?: string | undefined
  detail?: string | undefined
  hint?: string | undefined
  where?: string | undefined
  internalQuery?: string | undefined
  stack?: string | undefined
}

/** What was sent, as texts. */
export interface Sent {
  readonly values: readonly string[]
  /** Their texts are no secret: errors show the statement. */
  readonly statements: readonly string[]
}

const HIDDEN = '(hidden)'

/** Shorter parts of a value may be ordinary words of a message: they are hidden between quotes only. */
const SHORTEST_PIECE = 6

// The quotes of all languages into which PostgreSQL's messages are translated.
const QUOTES = '"\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u2018\u2019\u300c\u300d\u300e\u300f'
const FIRST_TO_LAST_QUOTE = new RegExp(`[${QUOTES}].*[${QUOTES}]`, 's')
const QUOTED = new RegExp(`[${QUOTES}'\`(]([^${QUOTES}'\`()]+)[${QUOTES}'\`)]`, 'g')
const WORD = /[\p{L}\p{N}_]/u

/**
 * Hides every value that was sent, wherever it stands in these texts. `detail` is removed: it shows rows.
 * @param sent Undefined if it is not known (COPY): then everything in quotes is hidden.
 */
export function hideValues(texts: ServerTexts, sent: Sent | undefined): void {
  const hide = sent === undefined ? hideQuoted : hiding(sent)
  const isData = texts.code?.startsWith('22') === true
  if (texts.message !== undefined) texts.message = hide(isData ? hideQuoted(texts.message) : texts.message)
  if (texts.hint !== undefined) texts.hint = hide(texts.hint)
  if (texts.where !== undefined) texts.where = hide(texts.where)
  if (texts.internalQuery !== undefined) texts.internalQuery = hide(texts.internalQuery)
  texts.detail = undefined
  // The stack begins with the message.
  if (texts instanceof Error) Error.captureStackTrace(texts, hideValues)
}

/** Hides everything from the first quote to the last: messages of class 22 quote what does not fit. */
export function hideQuoted(text: string): string {
  return text.replace(FIRST_TO_LAST_QUOTE, `"${HIDDEN}"`)
}

function hiding({ values, statements }: Sent): (text: string) => string {
  const folded = values.filter((value) => value !== '').map(fold)
  const everything = folded.join('\0')
  const known = fold(statements.join('\0').replace(/\$\d+/g, '$'))
  return (text) => {
    if (folded.length === 0) return text
    const hidden = new Uint8Array(text.length)
    const searched = fold(text)
    for (const value of folded) markValue(searched, value, hidden)
    markPieces(searched, everything, known, hidden)
    return withoutMarked(text, hidden)
  }
}

/** Marks a value wherever it stands; a short one only where it is no part of a word. */
function markValue(text: string, value: string, hidden: Uint8Array): void {
  for (let at = text.indexOf(value); at !== -1; at = text.indexOf(value, at + 1)) {
    const end = at + value.length
    if (value.length >= SHORTEST_PIECE || standsAlone(text, at, end)) hidden.fill(1, at, end)
  }
}

/**
 * Marks the parts of a text that occur in the values, and not in the statements.
 * @param values All values, joined. @param known All statements, joined: they are no secret.
 */
function markPieces(text: string, values: string, known: string, hidden: Uint8Array): void {
  for (let at = 0; at + SHORTEST_PIECE <= text.length;) {
    let end = at + SHORTEST_PIECE
    if (!values.includes(text.slice(at, end))) {
      at += 1
      continue
    }
    while (end < text.length && values.includes(text.slice(at, end + 1))) end += 1
    if (!known.includes(text.slice(at, end))) hidden.fill(1, at, end)
    at = end
  }
  for (const match of text.matchAll(QUOTED)) {
    const piece = match[1] as string
    const start = match.index + 1
    if (hasWord(values, piece) && !hasWord(known, piece)) hidden.fill(1, start, start + piece.length)
  }
}

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at !== -1; at = text.indexOf(word, at + 1)) {
    if (standsAlone(text, at, at + word.length)) return true
  }
  return false
}

/** Whether no word continues before or after. */
function standsAlone(text: string, start: number, end: number): boolean {
  const joins = (inside: number, outside: number): boolean =>
    WORD.test(text.charAt(inside)) && WORD.test(text.charAt(outside))
  return !joins(start, start - 1) && !joins(end - 1, end)
}

function withoutMarked(text: string, hidden: Uint8Array): string {
  let result = ''
  for (let at = 0; at < text.length;) {
    const end = hidden[at] === 1 ? hidden.indexOf(0, at) : hidden.indexOf(1, at)
    const stop = end === -1 ? text.length : end
    result += hidden[at] === 1 ? HIDDEN : text.slice(at, stop)
    at = stop
  }
  return result
}

/** As PostgreSQL folds names; the length stays. */
function fold(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}
