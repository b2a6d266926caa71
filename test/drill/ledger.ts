/** Writers, and a ledger of what they were told against what is stored in the end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Engine, LifeguardError, type RetryOptions, createSessionFactory } from '../../src/index.js'

/** Makes the table, which is empty afterwards. */
export const PREPARATION: readonly string[] = [
  'create table if not exists ledger (key text, server text, at timestamptz default clock_timestamp())',
  'create unique index if not exists ledger_key on ledger (key)',
  'truncate ledger',
  'create table if not exists plain (at timestamptz default clock_timestamp())',
]
/** A write of a plain client, beside the ledger. */
export const PLAIN_WRITE = 'insert into plain default values'
/** What is stored in the end: how often each key. */
export const STORED = 'select key, count(*)::int as n from ledger group by key'
const INSERT = `insert into ledger (key, server) values ($1, current_setting('port')) on conflict (key) do nothing`
const STUCK_MILLIS = 60_000

/** What one writer was told of one row. */
type Told = { readonly said: 'stored'; readonly at: number } | { readonly said: string }

export interface Balance {
  readonly told: number
  /** Told as stored, and not there. */
  readonly lost: number
  readonly duplicates: number
  /** Errors, by code. */
  readonly errors: Readonly<Record<string, number>>
  /** Told as not stored, and there. */
  readonly falseClaims: number
  readonly longestGapMillis: number
}

export class Ledger {
  readonly #told = new Map<string, Told>()
  readonly #writers: readonly Promise<void>[]
  readonly #stopping = new AbortController()
  #isOver = false
  /** Times of the successes, in order. */
  readonly successes: number[] = []

  constructor(engine: Engine, writers: number, retry: RetryOptions | undefined) {
    const { withSession } = createSessionFactory({ bind: engine })
    const write = async (writer: number): Promise<void> => {
      for (let n = 0; !this.#isOver; n += 1) {
        const key = `${String(writer)}-${String(n)}`
        try {
          const { signal } = this.#stopping
          await withSession((session) => session.execute(INSERT, [key]), { signal, ...(retry && { retry }) })
          this.successes.push(performance.now())
          this.#told.set(key, { said: 'stored', at: performance.now() })
        } catch (error) {
          if (this.#stopping.signal.aborted) return void this.#told.set(key, { said: 'aborted by the drill' })
          const said = error instanceof LifeguardError ? error.code : String(error)
          this.#told.set(key, { said })
          await sleep(20)
        }
      }
    }
    this.#writers = Array.from({ length: writers }, (_, writer) => write(writer))
  }

  /** When the first write after that moment was told as stored; undefined if none was. */
  firstSuccessAfter(moment: number): number | undefined {
    return this.successes.find((at) => at >= moment)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    const stuck = sleep(STUCK_MILLIS, undefined, { ref: false }).then(() => this.#stopping.abort())
    await Promise.race([Promise.all(this.#writers), stuck])
    await Promise.all(this.#writers)
  }

  /** Compares with the answer to {@link STORED}. Gaps count from `from` on. */
  balance(rows: readonly { readonly key: string; readonly n: number }[], from: number): Balance {
    const stored = new Map(rows.map(({ key, n }) => [key, n]))
    const errors: Record<string, number> = {}
    let lost = 0
    let falseClaims = 0
    let told = 0
    for (const [key, { said }] of this.#told) {
      const isThere = stored.has(key)
      if (said === 'stored') {
        told += 1
        if (!isThere) lost += 1
        continue
      }
      errors[said] = (errors[said] ?? 0) + 1
      const isOpen = said === 'COMMIT_OUTCOME_UNKNOWN' || said === 'aborted by the drill'
      if (isThere && !isOpen) falseClaims += 1
    }
    const since = [from, ...this.successes.filter((at) => at >= from)]
    const gaps = since.slice(1).map((at, index) => at - (since[index] ?? at))
    return {
      told,
      lost,
      duplicates: [...stored.values()].filter((n) => n > 1).length,
      errors,
      falseClaims,
      longestGapMillis: Math.max(0, ...gaps),
    }
  }
}
