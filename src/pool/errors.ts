/** Why an acquire failed although the server may be well, and what a pool that ends tells those who are not done. */
import {
  AbortedError,
  ConnectionLostError,
  EngineDisposedError,
  LifeguardError,
  type LifeguardErrorOptions,
} from '../errors.js'
import type { PoolStats } from './stats.js'

/**
 * Where the time of an acquire went: `wait` for a connection in use, `connect` for one being opened, `ping` for one
 * being proved, `reset` for one being cleaned.
 */
export type AcquirePhase = 'wait' | 'connect' | 'ping' | 'reset'

/** Somebody who has a connection. */
export interface Holder {
  readonly connectionId: number
  /** Process id of the server's backend: look it up in `pg_stat_activity`. */
  readonly processId: number
  readonly heldMillis: number
  /** Statement that ran last, without its values. */
  readonly statement: string | undefined
  /** Where it was acquired; only with `captureStacks`. */
  readonly stack: string | undefined
  /** True: the very code that waits holds it (a pool deadlock, if every connection is held like that). */
  readonly sameContext: boolean
}

/** What {@link PoolTimeoutError} knows. */
export interface PoolTimeoutDetails {
  readonly phase: AcquirePhase
  readonly waitedMillis: number
  readonly stats: PoolStats
  readonly holders: readonly Holder[]
  readonly eventLoopDelayMillis: number
}

/**
 * No connection came within `poolTimeoutMillis`. The message names the holders of the connections; `cause` is the last
 * failure to connect, if there is one. Nothing was sent: the call may be made again, but `isRetryable` is false, so `retry` does not.
 */
export class PoolTimeoutError extends LifeguardError {
  readonly phase: AcquirePhase
  readonly waitedMillis: number
  /** The pool at that moment. Not enumerable: the message has what matters of it. */
  declare readonly stats: PoolStats
  /** The longest holders first, at most five. */
  readonly holders: readonly Holder[]
  /** How much too late the timer fired: the event loop was blocked that long. 0 if it was not. */
  readonly eventLoopDelayMillis: number

  constructor(message: string, details: PoolTimeoutDetails, options?: LifeguardErrorOptions) {
    super('POOL_TIMEOUT', message, options)
    this.phase = details.phase
    this.waitedMillis = details.waitedMillis
    // Its histograms would be a hundred lines of each print.
    Object.defineProperty(this, 'stats', { value: details.stats })
    this.holders = details.holders
    this.eventLoopDelayMillis = details.eventLoopDelayMillis
  }
}

/** `maxWaiting` acquires wait already. Safe to retry later; better shed the load. */
export class PoolQueueFullError extends LifeguardError {
  /** The pool at that moment. Not enumerable. */
  declare readonly stats: PoolStats

  constructor(message: string, stats: PoolStats, options?: LifeguardErrorOptions) {
    super('POOL_QUEUE_FULL', message, options)
    Object.defineProperty(this, 'stats', { value: stats })
  }
}

export function acquireAborted(pool: string, signal: AbortSignal | undefined): AbortedError {
  return new AbortedError(`The wait for a connection of pool '${pool}' was aborted`, {
    cause: signal?.reason,
  })
}

export function poolDisposed(pool: string): EngineDisposedError {
  return new EngineDisposedError(`Pool '${pool}' was disposed (engine.dispose()) and takes no new work`)
}

/** @param replaced Another pool has taken over, on which everything can be done again. */
export function closedAtDeadline(replaced: boolean): EngineDisposedError | ConnectionLostError {
  return replaced
    ? new ConnectionLostError('recreate() closed the connection at its deadline')
    : new EngineDisposedError('dispose() closed the connection at its deadline')
}

/** A pool that has never connected says why at once: often it never will. */
export function warnOfFirstFailure(pool: string, error: Error): void {
  const message = `Pool '${pool}' has no connection yet, and tries again: ${error.message}`
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_CONNECT' })
}
