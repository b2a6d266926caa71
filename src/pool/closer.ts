/**
 * Ends connections. A slot stays taken until its socket is closed, and nothing can hold that up for longer than a
 * moment.
 */
import { connectionClosedChannel, type ConnectionClosedMessage } from '../internal/channels.js'
import type { Clock } from '../internal/clock.js'
import type { Emitter } from '../internal/emitter.js'
import type { PoolEvents } from './events.js'
import type { ConnectionRecord } from './record.js'
import type { Slots } from './slots.js'
import type { CloseReason, Statistics } from './stats.js'

const GOODBYE_MILLIS = 2_000
const CANCEL_MILLIS = 1_000

export interface CloserParts {
  readonly pool: string
  readonly clock: Clock
  readonly slots: Slots
  readonly statistics: Statistics
  readonly events: Emitter<PoolEvents>
  /** A slot became free. */
  readonly freed: () => void
}

export class Closer {
  readonly #parts: CloserParts
  #closing = 0

  constructor(parts: CloserParts) {
    this.#parts = parts
  }

  get closing(): number {
    return this.#closing
  }

  /** Says goodbye to a connection that is well. */
  close(record: ConnectionRecord, reason: CloseReason, timeoutMillis: number = GOODBYE_MILLIS): void {
    this.#begin(record, reason)
    void record.connection.close(timeoutMillis).then(() => this.#end(record, reason))
  }

  /** Drops a connection that is not to be trusted; a statement that still runs is cancelled on the server. */
  drop(record: ConnectionRecord, reason: CloseReason, error?: Error): void {
    const { connection } = record
    this.#begin(record, reason)
    // Asked before the socket goes: the server would not notice until the statement ends.
    const cancelled =
      connection.busy && connection.lost === undefined ? connection.cancel(CANCEL_MILLIS) : undefined
    connection.destroy(error)
    void Promise.allSettled([cancelled, connection.close(0)]).then(() => this.#end(record, reason))
  }

  #begin(record: ConnectionRecord, reason: CloseReason): void {
    record.state = 'closing'
    record.connection.onLost = undefined
    this.#closing += 1
    this.#parts.statistics.closed[reason] += 1
  }

  #end(record: ConnectionRecord, reason: CloseReason): void {
    const { pool, clock, slots, events } = this.#parts
    const { connection, uses } = record
    this.#closing -= 1
    slots.remove(record)
    const ageMillis = clock.now() - connection.connectedAt
    if (connectionClosedChannel.hasSubscribers) {
      const message: ConnectionClosedMessage = { pool, connectionId: connection.id, reason, ageMillis }
      connectionClosedChannel.publish(message)
    }
    if (events.has('close')) events.emit('close', { connection, reason, ageMillis, uses })
    this.#parts.freed()
  }
}
