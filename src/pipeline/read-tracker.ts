/** Whether a transaction has only read. This decides whether its COMMIT can store anything, and whether COMMIT can take time. */
import type { StatementResult } from '../driver/driver.js'
import type { Operation } from './operation.js'
import { isPureRead } from './pure-reads.js'

// A statement with one of these tags stores nothing in a read-only transaction, and changes nothing about it.
const READING_COMMANDS = new Set(['SELECT', 'SHOW', 'FETCH', 'EXPLAIN', ''])

/** True for the command tag of a statement that stores nothing in a read-only transaction. */
export function isReadingCommand(command: string): boolean {
  return READING_COMMANDS.has(command)
}

const PLAIN_TEXT = /^\s*(?:select|with|show|table|values)\b/i
// Changes in WITH, SELECT INTO, row locks, and functions of PostgreSQL that change something.
const CHANGING_WORD =
  /\b(?:insert|update|delete|merge|into|share|nextval|setval|set_config|pg_notify|lo_\w+)\b/i

// A transaction with more texts counts as one that has written.
const MOST_TEXTS = 32

/** By its text, the statement stores and locks nothing, unless a function of the user's own does. */
export function isPlainRead(text: string): boolean {
  return PLAIN_TEXT.test(text) && !CHANGING_WORD.test(text)
}

// Words that can end a transaction; after ROLLBACK the rest of a script commits by itself. `CASE ... END` matches as well.
const ENDING_WORD = /\b(?:commit|end|rollback|abort|prepare)\b/i

/** True for the text of a script that may end the transaction in which it is run. */
export function mayEndTransaction(script: string): boolean {
  return ENDING_WORD.test(script)
}

/** Whether a statement that is a transaction of its own may have stored something. */
export function mayStore({ kind, text }: Operation, { command }: StatementResult): boolean {
  return kind !== 'statement' || !isReadingCommand(command) || !isPureRead(text)
}

// SET TRANSACTION READ WRITE, BEGIN READ WRITE, SET transaction_read_only = off: PostgreSQL takes them before the first query. PostgreSQL
// 14 and 15 also change large objects in a read-only transaction.
const TURNING_WORD = /write|read_only|\blo_/i

/**
 * By its text, the statement may write in a read-only transaction, or turn it into one that writes. A SELECT that changes no large
 * object cannot, as it takes a snapshot first; a script can also end the transaction and begin another one.
 */
export function mayTurnWriting({ kind, text }: Operation): boolean {
  if (kind === 'exclusive') return TURNING_WORD.test(text) || mayEndTransaction(text)
  return kind === 'statement' && TURNING_WORD.test(text) && !isPlainRead(text)
}

export class ReadTracker {
  #only = true
  #turned = false
  readonly #texts: string[] = []

  /** Another transaction begins. */
  clear(): void {
    this.#only = true
    this.#turned = false
    this.#texts.length = 0
  }

  /** An operation was answered. A script may have done anything. */
  note(operation: Operation, { command }: StatementResult): void {
    const { kind, text } = operation
    this.#turned ||= mayTurnWriting(operation)
    if (kind === 'exclusive' || (kind === 'statement' && !isReadingCommand(command))) this.#only = false
    // The pages of a cursor have no text of their own.
    if (kind === 'statement' && text !== '' && this.#texts.length <= MOST_TEXTS) this.#texts.push(text)
  }

  /** A statement may have turned the read-only transaction into one that writes. */
  get turned(): boolean {
    return this.#turned
  }

  /** By its command tags, every statement was a read. */
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

  #are(isRead: (text: string) => boolean): boolean {
    return this.#only && this.#texts.length <= MOST_TEXTS && this.#texts.every(isRead)
  }
}
