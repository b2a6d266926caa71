/**
 * Which acquires may wait. An acquire with a timeout of 0 waits for a connection that is being opened, never for a release;
 * `maxWaiting` limits how many wait for a release.
 */
import type { Connector } from './connector.js'
import type { Diagnostics } from './diagnostics.js'
import { PoolQueueFullError } from './errors.js'
import type { PoolContext } from './pool-context.js'
import type { Waiter, WaitQueue } from './wait-queue.js'

/** The parts of the pool that decide how long an acquire would wait. */
export interface AdmissionParts {
  readonly waitQueue: WaitQueue
  readonly connector: Connector
  readonly diagnostics: Diagnostics
}

export class Admission {
  readonly #pool: PoolContext
  readonly #parts: AdmissionParts

  constructor(context: PoolContext, parts: AdmissionParts) {
    this.#pool = context
    this.#parts = parts
  }

  /** The error of an acquire that may not join the queue; undefined if it may. */
  refusalOf(waiter: Waiter): Error | undefined {
    const { waitQueue, connector, diagnostics } = this.#parts
    if (waitQueue.suspended) return waiter.options.failsFast === true ? this.#suspended() : undefined
    const { options, statistics } = this.#pool
    const waitingForRelease = waitQueue.size - diagnostics.reachable
    if (waitingForRelease >= 0 && waiter.impatient) return diagnostics.timedOut(waiter, 'wait', 0)
    if (waitingForRelease >= options.maxWaiting) {
      statistics.counters.refused += 1
      const message = `No more than ${String(options.maxWaiting)} acquires may wait (maxWaiting). ${diagnostics.status()}`
      return new PoolQueueFullError(message, diagnostics.stats())
    }
    // The pause after a failed connect is a wait as well.
    return waiter.impatient && connector.pausing ? connector.lastError : undefined
  }

  /** The pool is suspended: rejects the acquires whose callers can go elsewhere. */
  rejectMovable(): void {
    this.#parts.waitQueue.rejectIf(
      ({ options }) => options.failsFast === true,
      () => this.#suspended(),
    )
  }

  #suspended(): PoolQueueFullError {
    const { diagnostics } = this.#parts
    this.#pool.statistics.counters.refused += 1
    return new PoolQueueFullError(
      `The pool is suspended, and failsFast was given. ${diagnostics.status()}`,
      diagnostics.stats(),
    )
  }

  /** The limits have changed: rejects the acquires with timeout 0 that would now have to wait for a release. */
  rejectImpatient(): void {
    const { waitQueue, diagnostics } = this.#parts
    if (waitQueue.suspended) return
    const { reachable } = diagnostics
    waitQueue.rejectIf(
      (waiter, position) => waiter.impatient && position >= reachable,
      (waiter) => diagnostics.timedOut(waiter, 'wait', 0),
    )
  }
}
