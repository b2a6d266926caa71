/**
 * Decides which statements of an engine are prepared, and for how long. All connections of the engine share it.
 *
 * 1. A text is prepared from its second use on, on any connection. A text that is different for each call would displace those that
 *    are used again.
 * 2. A long text is never prepared, because PostgreSQL keeps about 25 times its length for it.
 */
import type { Clock } from '../internal/clock.js'
import { isTaken } from './stale-plan.js'
import type { SchemaGeneration } from './schema-generation.js'

/** The bounds of each connection's prepared statements. */
export interface StatementLimits {
  /** The most statements that have a name; 0 = none. */
  readonly size: number
  /** The most characters of text in all of them; a text of more than a 64th of this is not named. */
  readonly maxBytes: number
  /** Greatest age; -1 = no limit. */
  readonly maxAgeMillis: number
}

export interface StatementPolicyOptions extends StatementLimits {
  readonly clock: Clock
  readonly generation: SchemaGeneration
  /** The caller has chosen the size, so it is kept even if a pooler is recognized. Default true. */
  readonly isChosen?: boolean | undefined
  /** The use from which on a text is named. Default 2. */
  readonly namedFromUse?: 1 | 2 | undefined
}

export const DEFAULT_STATEMENT_CACHE_SIZE = 256
export const DEFAULT_STATEMENT_CACHE_MAX_BYTES = 1_048_576
export const DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS = 60_000
const DEFAULT_NAMED_FROM_USE = 2
const LARGEST_SHARE = 64
// The largest process id of Linux, which no other system exceeds by default. Poolers make up a random number of 32 bits.
const LARGEST_PROCESS_ID = 4_194_304
// The size of one of the two sets of texts that were used once.
const MOST_NOTED = 1_000

/** True for a process id that no backend can have: a pooler, which may give each transaction another backend, has made it up. */
export function isOfPooler(processId: number): boolean {
  return processId <= 0 || processId > LARGEST_PROCESS_ID
}

export class StatementPolicy {
  readonly limits: StatementLimits
  readonly generation: SchemaGeneration
  readonly #clock: Clock
  readonly #namesAtOnce: boolean
  readonly #isChosen: boolean
  /** True: a pooler stands between this process and PostgreSQL, and may keep no prepared statements. */
  #isPooled = false
  #missing = 0
  /** Texts that were used; when the newer set is full it becomes the older one, which is dropped. */
  #newer = new Set<string>()
  #older = new Set<string>()

  constructor({
    clock,
    generation,
    namedFromUse = DEFAULT_NAMED_FROM_USE,
    isChosen = true,
    ...limits
  }: StatementPolicyOptions) {
    this.limits = limits
    this.generation = generation
    this.#clock = clock
    this.#namesAtOnce = namedFromUse === 1
    this.#isChosen = isChosen
  }

  /** False: no statement is named. */
  get names(): boolean {
    return this.limits.size > 0 && !this.#isPooled
  }

  /** A connection is ready. */
  connected(processId: number): void {
    if (isOfPooler(processId) && !this.#isChosen) this.#isPooled = true
  }

  /**
   * A backend does not know a statement that its connection has prepared, or knows another one of that name. An unknown name may
   * come from an unseen DEALLOCATE the first time. A second one, or a name that is taken, shows that a pooler is in between.
   */
  missing(error: Error): void {
    if (!this.names) return
    this.#missing++
    if (!isTaken(error) && this.#missing < 2) return
    this.#isPooled = true
    process.emitWarning(
      `A pooler that keeps no prepared statements stands between this process and PostgreSQL (${error.message}). From now on ` +
        'this engine prepares none. Set statementCacheSize: 0, or let the pooler keep them (see docs/deployment.md)',
      { type: 'LifeguardWarning', code: 'LIFEGUARD_POOLER' },
    )
  }

  now(): number {
    return this.#clock.now()
  }

  /** Whether a text that is used now, and has no name, gets one. Notes its use. */
  admits(text: string): boolean {
    if (!this.names || text.length > this.limits.maxBytes / LARGEST_SHARE) return false
    if (this.#namesAtOnce || this.#newer.has(text)) return true
    const isKnown = this.#older.has(text)
    if (this.#newer.size >= MOST_NOTED) {
      this.#older = this.#newer
      this.#newer = new Set()
    }
    this.#newer.add(text)
    return isKnown
  }

  /** Whether a statement that was prepared at that time is too old. */
  isTooOld(preparedAt: number): boolean {
    const { maxAgeMillis } = this.limits
    return maxAgeMillis !== -1 && this.#clock.now() - preparedAt >= maxAgeMillis
  }
}
