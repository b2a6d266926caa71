/**
 * The prepared statements of one connection: text to server-side name. The least recently used statement is dropped first.
 *
 * 1. A statement counts as prepared only after its ParseComplete.
 * 2. A name that the server has parsed is never given to another statement of the connection.
 * 3. No other connection gives this name to another text. Behind a pooler without prepared statements, which gives one backend to
 *    several clients, a name may be missing or taken. Then the statement fails; it never runs the statement of another client.
 * 4. A statement is used again only in the schema view in which it was parsed, and until its maximum age.
 */
import { createHash } from 'node:crypto'

import type { RowShape } from './row-reader.js'
import { effectOf, type StatementEffect } from './schema-effects.js'
import type { SchemaView } from './schema-view.js'
import type { StatementPolicy } from './statement-policy.js'

/** One statement with a name, or (name '') one that is parsed for a single use. */
export class PreparedStatement {
  readonly name: string
  readonly text: string
  /** How it changes what names in other statements mean. */
  readonly effect: StatementEffect
  /** ParseComplete came. */
  parsed = false
  /** Grows with each use of any statement of the connection. */
  lastUse = 0
  /** How often it has run with values, not counting the run for which it was parsed. */
  runs = 0
  /** When it was sent to be parsed, on the policy's clock. */
  preparedAt = 0
  /** The schema and the view in which it was parsed. */
  generation = 0
  view = ''
  /** The shape of its rows in the last run; null if it never returns rows, so that it need not be described again. */
  shape: RowShape | null | undefined = undefined

  constructor(name: string, text: string) {
    this.name = name
    this.text = text
    this.effect = effectOf(text)
  }
}

export class StatementCache {
  readonly #policy: StatementPolicy
  readonly #view: SchemaView
  readonly #statements = new Map<string, PreparedStatement>()
  #uses = 0
  #bytes = 0
  #toClose: string[] = []
  #names = 0
  /** The shortest time of an answer: the round trip of the network, which is part of all of them. */
  #fastestMillis: number

  /**
   * @param view What names mean on the connection of the cache.
   * @param roundTripMillis The shortest time of an answer that is known so far.
   */
  constructor(policy: StatementPolicy, view: SchemaView, roundTripMillis = 0) {
    this.#fastestMillis = roundTripMillis
    this.#policy = policy
    this.#view = view
  }

  /** Returns the statement of this text, or makes a new one. `prepare` false: one without a name. */
  take(text: string, prepare: boolean): PreparedStatement {
    if (!prepare || !this.#policy.names) return new PreparedStatement('', text)
    const known = this.#statements.get(text)
    if (known !== undefined && this.#isCurrent(known)) {
      // Moving it to the end of the map instead would make the map rebuild its table every few times.
      known.lastUse = ++this.#uses
      return known
    }
    if (known !== undefined) this.forget(known)
    else if (!this.#policy.admits(text)) return new PreparedStatement('', text)
    return this.#add(text)
  }

  /** ParseComplete came for the statement. */
  confirm(statement: PreparedStatement): void {
    statement.parsed = true
    // It was evicted while its own batch was under way.
    if (statement.name !== '' && this.#statements.get(statement.text) !== statement) {
      this.#toClose.push(statement.name)
    }
  }

  /**
   * Notes how long a prepared statement took with values. If it was slow, it is prepared anew at its next use: PostgreSQL may have
   * switched to a generic plan, and plans a new statement for its values again. In its first runs (`PLANS_FOR_VALUES`) PostgreSQL
   * plans for the values anyway, so a long time then only shows that this process was busy.
   * @param tookMillis From sending the batch to the answer.
   */
  ran(statement: PreparedStatement, tookMillis: number): void {
    if (tookMillis < this.#fastestMillis) this.#fastestMillis = tookMillis
    const isPlannedOnce = ++statement.runs >= PLANS_FOR_VALUES
    if (isPlannedOnce && tookMillis - this.#fastestMillis >= SLOW_MILLIS) this.forget(statement)
  }

  /** Drops a statement that the server refused or whose plan is stale. */
  forget(statement: PreparedStatement): void {
    if (this.#statements.get(statement.text) !== statement) return
    this.#statements.delete(statement.text)
    this.#bytes -= statement.text.length
    if (statement.parsed) this.#toClose.push(statement.name)
  }

  /** The server has forgotten every statement of the connection. */
  clear(): void {
    this.#statements.clear()
    this.#bytes = 0
    this.#toClose = []
  }

  /** Names that the server may forget, to be sent with the next batch. */
  takeClosable(): readonly string[] {
    if (this.#toClose.length === 0) return NONE
    const names = this.#toClose
    this.#toClose = []
    return names
  }

  #add(text: string): PreparedStatement {
    const statement = new PreparedStatement(nameFor(++this.#names, text), text)
    statement.lastUse = ++this.#uses
    statement.preparedAt = this.#policy.now()
    statement.generation = this.#view.generation
    statement.view = this.#view.key
    this.#statements.set(text, statement)
    this.#bytes += text.length
    const { size, maxBytes } = this.#policy.limits
    while (this.#statements.size > size || this.#bytes > maxBytes) this.#evictOldest()
    return statement
  }

  /** True if its names have the same meaning as when it was parsed, as far as is known. */
  #isCurrent({ effect, generation, view, preparedAt }: PreparedStatement): boolean {
    if (effect.schemaFree) return true
    if (generation !== this.#view.generation || view !== this.#view.key) return false
    return !this.#policy.isTooOld(preparedAt)
  }

  #evictOldest(): void {
    let oldest: PreparedStatement | undefined
    for (const statement of this.#statements.values()) {
      if (oldest === undefined || statement.lastUse < oldest.lastUse) oldest = statement
    }
    if (oldest !== undefined) this.forget(oldest)
  }
}

/** The number satisfies rule 2, the digest rule 3. */
function nameFor(number: number, text: string): string {
  return `lifeguard_${number}_${createHash('sha256').update(text).digest('base64url').slice(0, DIGEST_LENGTH)}`
}

const DIGEST_LENGTH = 16
/** PostgreSQL plans the first runs of a prepared statement for their values, and may then keep a generic plan. */
const PLANS_FOR_VALUES = 5
// Planning anew rarely takes a hundredth of this, so it costs little if the plan was not to blame.
const SLOW_MILLIS = 20
const NONE: readonly string[] = []
