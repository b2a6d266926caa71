/**
 * The prepared statements of one connection: text to server-side name, least recently used first out.
 *
 * 1. A statement counts as prepared only when ParseComplete came for it.
 * 2. A name that the server has parsed is never given to another statement of the connection.
 * 3. Nor does another connection give it to another text: behind a pooler that lends one backend to both but keeps no
 *    prepared statements, a name may be missing or taken, and that fails, but it is never somebody else's statement.
 */
import { createHash } from 'node:crypto'

import type { RowShape } from './row-reader.js'

/** One statement with a name, or (name '') one that is parsed for a single use. */
export class PreparedStatement {
  readonly name: string
  readonly text: string
  /** ParseComplete came. */
  parsed = false
  /** Grows with each use of any statement of the connection. */
  lastUse = 0
  /** Shape of its rows at the last time; null if it never returns rows, and need not be described again. */
  shape: RowShape | null | undefined = undefined

  constructor(name: string, text: string) {
    this.name = name
    this.text = text
  }
}

export class StatementCache {
  readonly #capacity: number
  readonly #statements = new Map<string, PreparedStatement>()
  #uses = 0
  #toClose: string[] = []
  #names = 0

  /** @param capacity Most statements kept; 0 = none, every statement is parsed for each use. */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** The statement for this text, new ones included. `prepare` false: one without a name. */
  take(text: string, prepare: boolean): PreparedStatement {
    if (!prepare || this.#capacity === 0) return new PreparedStatement('', text)
    const known = this.#statements.get(text)
    const statement = known ?? new PreparedStatement(nameFor(++this.#names, text), text)
    // Not by moving it to the end of the map, which makes a new table every few times.
    statement.lastUse = ++this.#uses
    if (known !== undefined) return known
    this.#statements.set(text, statement)
    if (this.#statements.size > this.#capacity) this.#evictOldest()
    return statement
  }

  /** ParseComplete came for the statement. */
  confirm(statement: PreparedStatement): void {
    statement.parsed = true
    // It was pushed out while its own batch was under way.
    if (statement.name !== '' && this.#statements.get(statement.text) !== statement) {
      this.#toClose.push(statement.name)
    }
  }

  /** Drops a statement that the server refused or whose plan is stale. */
  forget(statement: PreparedStatement): void {
    if (this.#statements.get(statement.text) !== statement) return
    this.#statements.delete(statement.text)
    if (statement.parsed) this.#toClose.push(statement.name)
  }

  /** The server has forgotten every statement of the connection. */
  clear(): void {
    this.#statements.clear()
    this.#toClose = []
  }

  /** Names that the server may forget, to be sent with the next batch. */
  takeClosable(): readonly string[] {
    if (this.#toClose.length === 0) return NONE
    const names = this.#toClose
    this.#toClose = []
    return names
  }

  #evictOldest(): void {
    let oldest: PreparedStatement | undefined
    for (const statement of this.#statements.values()) {
      if (oldest === undefined || statement.lastUse < oldest.lastUse) oldest = statement
    }
    if (oldest !== undefined) this.forget(oldest)
  }
}

/** The number is what (2) asks for, the digest what (3) does. */
function nameFor(number: number, text: string): string {
  return `lifeguard_${number}_${createHash('sha256').update(text).digest('base64url').slice(0, DIGEST_LENGTH)}`
}

const DIGEST_LENGTH = 16
const NONE: readonly string[] = []
