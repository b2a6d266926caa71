/**
 * Finds a later primary while the known one does not answer. A primary that is cut off, or that waits for a standby that has been
 * promoted, never answers, and a pool whose connections all wait opens no other one by which it would learn of the promotion.
 *
 * 1. A connection is silent if it awaits an answer and received nothing between two looks at it. Only while one is silent, the other
 *    hosts are asked, on one connection each, which is closed afterwards.
 * 2. Only a later timeline of the same cluster ends connections. Then what an older primary stores is lost, so nothing is waited for there.
 * 3. A timer runs while connections to a primary are open, and does not keep the process alive. Nothing is done for each statement.
 */
import { ConnectionLostError } from '../errors.js'
import type { Clock, Timer } from '../internal/clock.js'
import type { HostTarget } from './hosts.js'
import type { PgConnection } from './pg-connection.js'
import { type PrimaryHistory, WrongRoleError } from './server-role.js'

const LOOK_MILLIS = 500
const CLOSE_MILLIS = 1_000

export interface PrimaryWatchParts {
  readonly clock: Clock
  /** How long one host may take to connect, and to answer. */
  readonly hostTimeoutMillis: number
  /** The hosts that may have been promoted. */
  readonly otherHosts: () => readonly HostTarget[]
  readonly connect: (host: HostTarget, signal: AbortSignal) => Promise<PgConnection>
  /** The history of a server that is a primary and not older. Rejects with WrongRoleError for any other one. */
  readonly historyOf: (connection: PgConnection) => Promise<PrimaryHistory | undefined>
  /** Another host is a primary. @returns true if it is later than the known one. */
  readonly onPrimary: (host: HostTarget, history: PrimaryHistory | undefined) => boolean
}

/** A connection to a primary. */
interface Watched {
  readonly history: PrimaryHistory
  /** What it had received at the last look; undefined if it awaited no answer then. */
  received: number | undefined
}

export class PrimaryWatch {
  readonly #parts: PrimaryWatchParts
  readonly #watched = new Map<PgConnection, Watched>()
  /** Connections to the other hosts. */
  readonly #asked = new Map<HostTarget, PgConnection>()
  /** Hosts that have not answered yet, and what ends the question. */
  readonly #asking = new Map<HostTarget, AbortController>()
  #timer: Timer | undefined = undefined

  constructor(parts: PrimaryWatchParts) {
    this.#parts = parts
  }

  /** A connection to a primary of this history is open. */
  add(connection: PgConnection, history: PrimaryHistory): void {
    if (connection.lost !== undefined) return
    this.#watched.set(connection, { history, received: undefined })
    connection.onEnded = () => {
      this.#watched.delete(connection)
      if (this.#watched.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
      this.#stopAsking()
    }
    if (this.#timer === undefined) this.#schedule()
  }

  /** Ends the connections to primaries that are older than this one. */
  endOlder({ system, timeline }: PrimaryHistory, later: string): void {
    for (const [connection, { history }] of [...this.#watched]) {
      if (history.system !== system || history.timeline >= timeline) continue
      const { host, port } = connection.server
      const lost = new ConnectionLostError(
        `${later} was promoted (timeline ${timeline}), so the connection to ${host}:${port} (timeline ${history.timeline}) was closed`,
      )
      connection.destroy(lost)
      // `destroy` is silent, because its caller knows of it. Here an idle holder (`listen()`, the pool) would never learn of the loss.
      connection.onLost?.(lost)
    }
  }

  #schedule(): void {
    this.#timer = this.#parts.clock.setTimer(() => this.#look(), LOOK_MILLIS, { keepAlive: false })
  }

  #look(): void {
    this.#schedule()
    let isSilent = false
    for (const [connection, watched] of this.#watched) {
      const received = connection.receivedWhileWaiting
      isSilent ||= received !== undefined && received === watched.received
      watched.received = received
    }
    if (!isSilent) return this.#stopAsking()
    for (const host of this.#parts.otherHosts()) {
      // A host that does not answer must not delay the questions to the others.
      if (!this.#asking.has(host)) void this.#ask(host)
    }
  }

  /** Never rejects: a host that has failed is asked again at the next look. */
  async #ask(host: HostTarget): Promise<void> {
    const { clock, hostTimeoutMillis, connect, historyOf, onPrimary } = this.#parts
    const ending = new AbortController()
    const isStopped = (): boolean => this.#asking.get(host) !== ending
    let connection = this.#asked.get(host)
    const expire = (): void => {
      ending.abort(new Error(`No answer within ${hostTimeoutMillis} ms`))
      connection?.destroy()
    }
    const timer = clock.setTimer(expire, hostTimeoutMillis, { keepAlive: false })
    this.#asking.set(host, ending)
    try {
      connection ??= await connect(host, ending.signal)
      connection.unref()
      if (isStopped()) return void connection.close(CLOSE_MILLIS)
      this.#asked.set(host, connection)
      const history = await historyOf(connection)
      if (!isStopped() && onPrimary(host, history) && history !== undefined) this.endOlder(history, host.name)
    } catch (error) {
      if (error instanceof WrongRoleError || isStopped()) return
      this.#asked.delete(host)
      connection?.destroy()
    } finally {
      if (!isStopped()) this.#asking.delete(host)
      timer.cancel()
    }
  }

  #stopAsking(): void {
    const asking = [...this.#asking.values()]
    this.#asking.clear()
    for (const question of asking) question.abort(new Error('No answer is needed any more'))
    for (const connection of this.#asked.values()) void connection.close(CLOSE_MILLIS)
    this.#asked.clear()
  }
}
