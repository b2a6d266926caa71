/**
 * Ends connections. A slot stays taken until its socket is closed, and nothing can hold that up for longer than a
 * moment.
 */
import { connectionClosedChannel, type ConnectionClosedMessage } from '../internal/channels.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'

const GOODBYE_MILLIS = 2_000
const CANCEL_MILLIS = 1_000

/** Connections that are closed for these reasons are well: they say goodbye. Any other is dropped. */
const SAYS_GOODBYE: ReadonlySet<CloseReason> = new Set(['overflow', 'recycled', 'idle', 'disposed'])

export class Closer {
  readonly #pool: PoolContext
  readonly #freed: () => void
  #closing = 0

  /** @param freed called whenever a slot has become free. */
  constructor(pool: PoolContext, freed: () => void) {
    this.#pool = pool
    this.#freed = freed
  }

  get closing(): number {
    return this.#closing
  }

  /** @param error what fails with the connection, if something is under way on it. */
  close(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    const { connection } = record
    if (!SAYS_GOODBYE.has(reason) || connection.lost !== undefined || connection.busy) {
      return this.drop(record, reason, error)
    }
    this.#begin(record, reason)
    void connection.close(GOODBYE_MILLIS).then(() => this.#end(record, reason))
  }

  /** Closes the socket at once; a statement that still runs is cancelled on the server. */
  drop(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    const { connection } = record
    this.#begin(record, reason)
    // Asked before the socket goes: the server would not notice that until the statement ends.
    const isRunning = connection.busy && connection.lost === undefined
    const cancelled = isRunning ? connection.cancel(CANCEL_MILLIS) : undefined
    connection.destroy(error)
    void Promise.allSettled([cancelled, connection.close(0)]).then(() => this.#end(record, reason))
  }

  #begin(record: ConnectionRecord, reason: CloseReason): void {
    record.state = 'closing'
    record.connection.onLost = undefined
    this.#closing += 1
    this.#pool.statistics.closed[reason] += 1
  }

  #end(record: ConnectionRecord, reason: CloseReason): void {
    const { name, clock, slots, events } = this.#pool
    const { connection, uses } = record
    this.#closing -= 1
    slots.remove(record)
    const ageMillis = clock.now() - connection.connectedAt
    if (connectionClosedChannel.hasSubscribers) {
      const message: ConnectionClosedMessage = { pool: name, connectionId: connection.id, reason, ageMillis }
      connectionClosedChannel.publish(message)
    }
    if (events.has('close')) events.emit('close', { connection, reason, ageMillis, uses })
    this.#freed()
  }
}
