/** What the crash matrices share: the places at which a connection dies, and what may be told about it then. */
import pg from 'pg'
import { CommitOutcomeUnknownError, isRetryable } from '../../src/index.js'
import type { CutStyle, Sender } from '../helpers/proxied-connection.js'
import type { Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'

/** What a caller was told, and the marks that are stored if it was told a success. */
export interface Told {
  readonly marks: readonly string[]
  readonly outcome: Promise<unknown>
}

const OTHERS = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'

type Death = CutStyle | 'terminate'

export interface Place {
  readonly from: Sender
  readonly when: 'before' | 'after'
  readonly death: Death
}

const PLACES: readonly Place[] = (['client', 'server'] as const).flatMap((from) => [
  { from, when: 'before', death: 'reset' },
  { from, when: 'after', death: 'reset' },
  { from, when: 'before', death: 'end' },
  { from, when: 'before', death: 'terminate' },
])

/** By name. */
export const NAMED_PLACES = PLACES.map(
  (place) => [`${place.death} ${place.when} each message of the ${place.from}`, place] as const,
)
/** Looks at a database from outside, on one connection, because there are thousands of looks. */
export class Observer {
  readonly #client: pg.Client

  private constructor(client: pg.Client) {
    this.#client = client
  }

  static async connect(url: string): Promise<Observer> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    return new Observer(client)
  }

  async rows<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
    return (await this.#client.query<Row>(text, values)).rows
  }

  /** Ends every other session of the database, and waits until they are gone. New ones may have come by then. */
  async terminateBackends(): Promise<void> {
    const ended = await this.rows<{ pid: number }>(`select pid, pg_terminate_backend(pid) ${OTHERS}`)
    const pids = ended.map(({ pid }) => pid)
    await waitUntil(async () => (await this.rows(`select ${OTHERS} and pid = any($1)`, [pids])).length === 0)
  }

  async transactionsOpen(): Promise<number> {
    return (await this.rows(`select ${OTHERS} and state <> 'idle'`)).length
  }

  end(): Promise<void> {
    return this.#client.end()
  }
}

/**
 * Kills the connection at the n-th message from now on. The function it returns tells whether it came to that, when the
 * backend is gone or the work is over.
 */
export function dieAt(
  proxy: Proxy,
  observer: Observer,
  { from, when, death }: Place,
  nth: number,
): (over: () => Promise<boolean>) => Promise<boolean> {
  let seen = 0
  let fired = false
  const message = (): boolean => (fired = ++seen === nth)
  const dead =
    death === 'terminate'
      ? proxy.holdAt({ from, when, message }).then(async (connection) => {
          await observer.terminateBackends()
          connection.resume()
        })
      : proxy.cutAt({ from, when, message, style: death })
  return async (over) => {
    await waitUntil(async () => fired || (await over()))
    if (fired) await dead
    return fired
  }
}

/** What is untrue about the outcome, if anything. */
export function lieOf(
  outcome: PromiseSettledResult<unknown>,
  marks: readonly string[],
  stored: readonly string[],
): string | undefined {
  const counts = marks.map((mark) => stored.filter((one) => one === mark).length)
  const found = `stored ${counts.join(' and ')} times`
  const all = counts.every((count) => count === 1)
  const none = counts.every((count) => count === 0)
  if (outcome.status === 'fulfilled') return all ? undefined : `success was told, ${found}`
  const { reason } = outcome as { reason: Error }
  if (reason instanceof CommitOutcomeUnknownError) {
    if (isRetryable(reason)) return 'a retry was advised for an unknown outcome'
    return all || none ? undefined : `half of it was stored: ${found}`
  }
  return none ? undefined : `${reason.name} (${reason.message}) was told, ${found}`
}
