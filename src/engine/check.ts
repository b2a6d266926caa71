/** `engine.check()`: whether an engine can serve, for the health and readiness endpoints of a service. */
import { AbortedError } from '../errors.js'
import type { Clock } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import { checkMillis, refuseUnknownKeys } from '../internal/validate.js'
import { PoolQueueFullError, PoolTimeoutError } from '../pool/errors.js'
import type { Pool } from '../pool/pool.js'
import type { PoolStats } from '../pool/stats.js'

/** Options of `engine.check`. */
export interface CheckOptions {
  /** How long the check may take, the wait for a connection included. Default 1000; at least 1. */
  readonly timeoutMillis?: number | undefined
}

/**
 * Why a check was not passed.
 *
 * - `saturated`: all connections were in use for as long as the check waited.
 * - `unreachable`: no connection could be made, or the server closed the connection of the check.
 * - `timeout`: the server did not answer in time, or a connection was still being opened.
 * - `suspended`: `engine.suspend()` was called.
 * - `disposed`: `engine.dispose()` was called.
 */
export type CheckFailure = 'saturated' | 'unreachable' | 'timeout' | 'suspended' | 'disposed'

/** The result of `engine.check`. Its enumerable properties contain no secrets, so it may be sent to a client. */
export interface EngineCheck {
  /** True: the server has answered on a connection of the pool. */
  readonly ok: boolean
  /** Undefined if `ok`. */
  readonly reason: CheckFailure | undefined
  /** How long the check took. */
  readonly latencyMillis: number
  /** `server_version`, if a connection was available. */
  readonly serverVersion: string | undefined
  /** The pool after the check. */
  readonly pool: {
    readonly size: number
    readonly capacity: number
    readonly borrowed: number
    readonly idle: number
    readonly waiting: number
  }
  /** The error of a failed check, for the log. Not enumerable, because it may name hosts and users. */
  readonly error: unknown
}

const DEFAULT_MILLIS = 1_000
const OPTION_NAMES = ['timeoutMillis'] as const
const ATTEMPTS = 2

/** How long a check may take. @throws InvalidOptionError */
export function checkMillisOf(options: CheckOptions): number {
  refuseUnknownKeys('check', options, OPTION_NAMES)
  return checkMillis<never>('timeoutMillis', options.timeoutMillis ?? DEFAULT_MILLIS, { min: 1 })
}

/**
 * Takes a connection for one round trip. It waits in the queue like every caller, so it takes no connection from a caller that
 * came before it.
 */
export async function checkPool(pool: Pool, clock: Clock, millis: number): Promise<EngineCheck> {
  const start = clock.now()
  const remaining = (): number => Math.max(1, millis - (clock.now() - start))
  const found: { serverVersion?: string | undefined; error?: unknown } = {}
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      found.error = undefined
      found.serverVersion = await answerOf(pool, clock, remaining())
      break
    } catch (error) {
      found.error = error
      // An idle connection may have died unnoticed. The pool then replaces all connections of its age, so a second attempt tells more.
      if (!(error instanceof PingFailed) || error.timedOut) break
    }
  }
  const { error, serverVersion } = found
  const stats = pool.stats()
  const { size, capacity, borrowed, idle, waiting } = stats
  const check = {
    ok: error === undefined,
    reason: error === undefined ? undefined : failureOf(error, stats),
    latencyMillis: clock.now() - start,
    serverVersion,
    pool: { size, capacity, borrowed, idle, waiting },
  }
  const cause = error instanceof PingFailed ? error.cause : error
  return Object.defineProperty(check, 'error', { value: cause }) as EngineCheck
}

/** The pool had a connection, but the server did not answer on it. */
class PingFailed extends Error {
  readonly timedOut: boolean

  constructor(cause: unknown, timedOut: boolean) {
    super('No answer to the ping', { cause })
    this.timedOut = timedOut
  }
}

/** The version of the server. @throws PingFailed, or the error of the acquire. */
async function answerOf(pool: Pool, clock: Clock, millis: number): Promise<string | undefined> {
  if (pool.stats().suspended) throw new AbortedError('The engine is suspended: engine.resume() ends it')
  const start = clock.now()
  const controller = new AbortController()
  const acquiring = pool.acquire({ signal: controller.signal, timeoutMillis: millis })
  // The timeouts of a suspended pool do not run. This timer is set after the pool's, whose error says more.
  const deadline = setDeadline(clock, () => controller.abort(), millis)
  const lease = await acquiring.finally(() => deadline.cancel())
  try {
    const remaining = millis - (clock.now() - start)
    await lease.connection.ping(Math.max(1, remaining))
    return lease.connection.parameter('server_version')
  } catch (error) {
    throw new PingFailed(error, millis - (clock.now() - start) < 1)
  } finally {
    lease.release()
  }
}

function failureOf(error: unknown, stats: PoolStats): CheckFailure {
  const { disposed, suspended, lastConnectError, connecting } = stats
  if (disposed) return 'disposed'
  if (suspended) return 'suspended'
  if (error instanceof PingFailed) return error.timedOut ? 'timeout' : 'unreachable'
  if (error instanceof PoolQueueFullError) return 'saturated'
  const isLate = error instanceof PoolTimeoutError || error instanceof AbortedError
  if (!isLate || lastConnectError !== undefined) return 'unreachable'
  const isWaiting = error instanceof PoolTimeoutError ? error.phase === 'wait' : connecting === 0
  return isWaiting ? 'saturated' : 'timeout'
}
