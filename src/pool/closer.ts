/**
 * Closes connections. A slot stays in use until its socket is closed; a server that does not answer delays that for two seconds
 * at most.
 */
import { connectionClosedChannel, type ConnectionClosedMessage } from '../internal/channels.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'

const TERMINATE_MILLIS = 2_000
const CANCEL_MILLIS = 1_000

/** Reasons for which a connection is closed that may be healthy: then it sends a Terminate message. Otherwise the socket is destroyed. */
const TERMINATES: ReadonlySet<CloseReason> = new Set(['overflow', 'recycled', 'idle', 'disposed', 'lost'])

export class Closer {
  readonly #pool: PoolContext
  readonly #freed: () => void
  #closing = 0

  /** @param freed Called whenever a slot has become free. */
  constructor(pool: PoolContext, freed: () => void) {
    this.#pool = pool
    this.#freed = freed
  }

  get closing(): number {
    return this.#closing
  }

  /** @param error The error of the operation that is running on the connection, if there is one. */
  close(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    const { connection } = record
    if (!TERMINATES.has(reason) || connection.lost !== undefined || connection.busy) {
      return this.drop(record, reason, error)
    }
    this.#begin(record, reason)
    void connection.close(TERMINATE_MILLIS).then(() => this.#end(record, reason))
  }

  /** Closes the socket at once; a statement that still runs is cancelled on the server. */
  drop(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    const { connection } = record
    this.#begin(record, reason)
    // Sent before the socket is destroyed: the server would not notice a closed socket until the statement ends.
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
