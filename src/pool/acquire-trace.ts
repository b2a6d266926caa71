/** Reports acquires on the channel `lifeguard:acquire`, and as the event `acquire`. Used only while there are subscribers or listeners. */
import { acquireChannel, type AcquireMessage } from '../internal/channels.js'
import type { Lease } from './pool.js'
import type { PoolContext } from './pool-context.js'

/**
 * The report of one acquire. The channel gets the messages of a promise, without one: the continuations of a promise would delay the
 * receiver, and then COMMIT and the next BEGIN are not sent together.
 */
export class AcquireTrace {
  readonly #pool: PoolContext
  readonly #since: number
  readonly #message: AcquireMessage & { error?: unknown }

  constructor(pool: PoolContext, since: number) {
    this.#pool = pool
    this.#since = since
    this.#message = { pool: pool.name, engineId: pool.engineId, waited: false }
  }

  /** Runs what takes a connection or joins the queue. */
  run<Outcome>(begin: () => Outcome): Outcome {
    const { counters } = this.#pool.statistics
    const before = counters.waited
    const outcome = acquireChannel.start.runStores(this.#message, begin)
    this.#message.waited = counters.waited > before
    acquireChannel.end.publish(this.#message)
    return outcome
  }

  /** Called before the receiver gets the connection, in its async context. */
  acquired({ connection }: Lease): void {
    const { clock, events } = this.#pool
    const message = this.#message
    if (events.has('acquire')) {
      const waitedMillis = message.waited ? clock.now() - this.#since : 0
      events.emit('acquire', { connection, waitedMillis })
    }
    message.connectionId = connection.id
    this.#ended()
  }

  refused(error: Error): void {
    this.#message.error = error
    acquireChannel.error.publish(this.#message)
    this.#ended()
  }

  #ended(): void {
    acquireChannel.asyncStart.publish(this.#message)
    acquireChannel.asyncEnd.publish(this.#message)
  }
}
