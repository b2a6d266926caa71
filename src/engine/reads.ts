/** Whether a transaction has only read, and how plainly: what its COMMIT can bring, and how long it can take, depends on it. */
import type { StatementResult } from '../driver/driver.js'
import type { Operation } from './operation.js'

// A statement with one of these tags stores nothing in a read-only transaction, and changes nothing about it.
const READING_COMMANDS = new Set(['SELECT', 'SHOW', 'FETCH', 'EXPLAIN', ''])

const PLAIN_TEXT = /^\s*(?:select|with|show|table|values)\b/i
// Changes in WITH, SELECT INTO, row locks, and functions of PostgreSQL that change something.
const CHANGING_WORD =
  /\b(?:insert|update|delete|merge|into|share|nextval|setval|set_config|pg_notify|lo_\w+)\b/i

// What has read more often than that ends as if it had written.
const MOST_TEXTS = 32

/** By its text, the statement stores and locks nothing, unless a function of the user's own does. */
export function isPlainRead(text: string): boolean {
  return PLAIN_TEXT.test(text) && !CHANGING_WORD.test(text)
}

// What stands in front of a parenthesis calls a function, unless it is nothing, a word of SQL, or one of PostgreSQL's own
// functions that are used most.
const BEFORE_PARENTHESIS = /([^\s()=<>+\-*/,;|]*)\s*\(/g
const WORDS =
  'all and any array as between by case cast else exists except filter from having in intersect is join lateral'
const MORE_WORDS =
  'like limit not offset on or over row select some then union using values when where with within'
const FUNCTIONS =
  'avg coalesce concat count date_trunc extract greatest json_agg jsonb_agg least length lower max min now nullif'
const HARMLESS = new Set(['', ...`${WORDS} ${MORE_WORDS} ${FUNCTIONS} sum upper`.split(' ')])
// Could stand between a name and its parenthesis.
const COMMENT = /--|\/\*/

/**
 * By its text, the statement stores nothing at all: it is a plain read that calls no function but a few of PostgreSQL's own.
 * What the text does not show (a view, a policy or an operator with a function that writes) is taken for what it should be.
 */
export function isPureRead(text: string): boolean {
  if (!isPlainRead(text) || COMMENT.test(text)) return false
  return [...text.matchAll(BEFORE_PARENTHESIS)].every(([, name = '']) => HARMLESS.has(name.toLowerCase()))
}

// Words that end a transaction; behind ROLLBACK the rest of a script commits by itself. `CASE ... END` is taken for one as well.
const ENDING_WORD = /\b(?:commit|end|rollback|abort|prepare)\b/i

/** True for the text of a script that may end the transaction in which it is run. */
export function mayEndTransaction(script: string): boolean {
  return ENDING_WORD.test(script)
}

export class Reads {
  #only = true
  readonly #texts: string[] = []

  /** Another transaction begins. */
  clear(): void {
    this.#only = true
    this.#texts.length = 0
  }

  /** An operation was answered. A script may have done anything. */
  note({ kind, text }: Operation, { command }: StatementResult): void {
    if (kind === 'exclusive' || (kind === 'statement' && !READING_COMMANDS.has(command))) this.#only = false
    // The pages of a cursor have no text of their own.
    if (kind === 'statement' && text !== '' && this.#texts.length <= MOST_TEXTS) this.#texts.push(text)
  }

  /** PostgreSQL calls everything a read. */
  get only(): boolean {
    return this.#only
  }

  /** By their texts, too, the statements store and lock nothing, unless a function of the user's own does. */
  get plain(): boolean {
    return this.#are(isPlainRead)
  }

  /** By their texts, the statements store nothing at all. */
  get pure(): boolean {
    return this.#are(isPureRead)
  }

  #are(such: (text: string) => boolean): boolean {
    return this.#only && this.#texts.length <= MOST_TEXTS && this.#texts.every(such)
  }
}
