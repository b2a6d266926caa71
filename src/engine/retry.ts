/** Runs a block again after an error that `isRetryable` accepts. */
import { isRetryable, ReadOnlyError } from '../database-errors.js'
import { AbortedError, InvalidOptionError } from '../errors.js'
import { pause } from '../internal/abort.js'
import type { Clock } from '../internal/clock.js'
import { checkInteger, checkMillis, checkObject, refuseUnknownKeys } from '../internal/validate.js'

/** How often a block runs, and how long to wait before the next run. */
export interface RetryOptions {
  /** Runs in all, the first included; at least 1. */
  readonly attempts: number
  /**
   * Milliseconds to wait before the next run; `attempt` is the number of the failed run, from 1. Default: full jitter, a random
   * time up to 25 ms, 50 ms, 100 ms, ... and at most 1000 ms; after a ReadOnlyError at least half of that.
   */
  readonly backoff?: ((attempt: number) => number) | undefined
}

/** A block has failed and will run again. */
export interface RetryEvent {
  /** Number of the attempt that has failed, from 1. */
  readonly attempt: number
  /** Why it has failed. */
  readonly error: unknown
  /** Pause until the next attempt. */
  readonly waitMillis: number
}

/** What a caller of `runWithRetry` knows, and wants to know. */
export interface RetryWatch {
  /** Whether the last attempt has stored something: to run it again would store that twice. */
  readonly hasStored?: () => boolean
  /** Told before the pause of each next attempt. */
  readonly retried?: (retry: RetryEvent) => void
}

const FIRST_MILLIS = 25
const LONGEST_MILLIS = 1_000

/** @throws InvalidOptionError */
export function checkRetry(retry: RetryOptions): void {
  const attempts: unknown = retry
  if (typeof attempts === 'number')
    throw new InvalidOptionError('retry', `retry must be an object: { attempts: ${attempts} }`)
  checkObject('retry', retry)
  refuseUnknownKeys('retry', retry, ['attempts', 'backoff'])
  checkInteger('retry.attempts', retry.attempts, { min: 1 })
  if (retry.backoff !== undefined && typeof retry.backoff !== 'function') {
    throw new InvalidOptionError('retry.backoff', 'retry.backoff must be a function of the attempt')
  }
}

/**
 * Runs `work` until it succeeds, fails for good (`isRetryable`), has stored something, or has used its attempts: then its last
 * error is thrown.
 */
export async function runWithRetry<Value>(
  retry: RetryOptions,
  clock: Clock,
  signal: AbortSignal | undefined,
  work: () => Promise<Value>,
  { hasStored, retried }: RetryWatch = {},
): Promise<Value> {
  const { attempts, backoff } = retry
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= attempts || signal?.aborted === true || !isRetryable(error)) throw error
      if (hasStored?.() === true) throw error
      const wait = backoff ?? (error instanceof ReadOnlyError ? halfJitter : fullJitter)
      const waitMillis = checkMillis('retry.backoff()', wait(attempt), { min: 0 })
      retried?.({ attempt, error, waitMillis })
      await pauseBeforeNext(clock, waitMillis, signal)
    }
  }
}

/** After a ReadOnlyError the block waits for a failover, so each pause has a minimum: 10 attempts last at least 2 s. */
function halfJitter(attempt: number): number {
  return (limitOf(attempt) + fullJitter(attempt)) / 2
}

/** @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
function fullJitter(attempt: number): number {
  return Math.random() * limitOf(attempt)
}

function limitOf(attempt: number): number {
  return Math.min(LONGEST_MILLIS, FIRST_MILLIS * 2 ** (attempt - 1))
}

/** @throws AbortedError if the signal fires during the pause. */
async function pauseBeforeNext(clock: Clock, millis: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(clock, millis, signal)
  if (signal?.aborted !== true) return
  throw new AbortedError('Aborted while waiting for the next attempt', { cause: signal.reason })
}
