/** The errors of refused acquires, and of callers that use a pool while it is disposed. */
import {
  AbortedError,
  ConnectionLostError,
  EngineDisposedError,
  LifeguardError,
  type LifeguardErrorOptions,
} from '../errors.js'
import type { PoolStats } from './stats.js'

/**
 * What an acquire was waiting for: `wait`: the release of a connection; `connect`: a connection being opened; `ping`: a
 * liveness check; `reset`: the reset of a released connection.
 */
export type AcquirePhase = 'wait' | 'connect' | 'ping' | 'reset'

/** The holder of a connection. */
export interface Holder {
  readonly connectionId: number
  /** Process id of the server's backend: look it up in `pg_stat_activity`. */
  readonly processId: number
  readonly heldMillis: number
  /** Statement that ran last, without its values. */
  readonly statement: string | undefined
  /** Where it was acquired; only with `captureStacks`. */
  readonly stack: string | undefined
  /** True: the same async context waits for a connection and holds this one (a pool deadlock, if all are held like that). */
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
 * The caller got no connection within `poolTimeoutMillis`. The message names the holders of the connections; `cause` is the last
 * failure to connect, if there is one. Nothing was sent: the call may be made again, but `isRetryable` is false, so `retry` does not.
 */
export class PoolTimeoutError extends LifeguardError {
  readonly phase: AcquirePhase
  readonly waitedMillis: number
  /** The pool at that moment. Not enumerable, because the message contains the relevant parts. */
  declare readonly stats: PoolStats
  /** The longest holders first, at most five. */
  readonly holders: readonly Holder[]
  /** How long the event loop was blocked when the timeout was due, in milliseconds; 0 if it was not blocked. */
  readonly eventLoopDelayMillis: number

  constructor(message: string, details: PoolTimeoutDetails, options?: LifeguardErrorOptions) {
    super('POOL_TIMEOUT', message, options)
    this.phase = details.phase
    this.waitedMillis = details.waitedMillis
    // A printed error would contain a hundred lines of histograms.
    Object.defineProperty(this, 'stats', { value: details.stats })
    this.holders = details.holders
    this.eventLoopDelayMillis = details.eventLoopDelayMillis
  }
}

/**
 * `maxWaiting` callers are waiting already. Nothing was sent: the call may be made again later, but `isRetryable` is false, so
 * `retry` does not. Answer 503, to shed load.
 */
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

/** @param called The line that called dispose(). */
export function poolDisposed(pool: string, called = 'an unknown place'): EngineDisposedError {
  return new EngineDisposedError(
    `Pool '${pool}' was disposed and takes no new work (dispose() was called at ${called}): call dispose() after all other work has ended`,
  )
}

/**
 * @param called The line that called dispose().
 * @param replaced True: another pool has taken over, so the transaction can be run again there.
 */
export function closedAtDeadline(
  replaced: boolean,
  called: string,
): EngineDisposedError | ConnectionLostError {
  return replaced
    ? new ConnectionLostError(
        'recreate() closed this connection, because it was still in use at the deadline',
      )
    : new EngineDisposedError(
        `dispose() closed the connection, which was still in use at the deadline (dispose() was called at ${called})`,
      )
}

/** Warns of the first failed connect: the cause is often one that does not pass. */
export function warnOfFirstFailure(pool: string, error: Error): void {
  const message = `Pool '${pool}' has no connection yet, and tries again: ${error.message}`
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_CONNECT' })
}
