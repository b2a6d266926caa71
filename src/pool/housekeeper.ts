/**
 * The pool's only regular timer. It never keeps the process alive, and rests while the pool is empty.
 *
 * Each tick: replace what is stale or too old, close what was idle for too long, prove what was idle for long, refill
 * `minIdle`, look for leaks. After a tick that came much too late nothing idle is trusted.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Clock, Timer } from '../internal/clock.js'
import type { ResolvedPoolOptions } from './options.js'

const SHORTEST_PERIOD_MILLIS = 20
const LONGEST_PERIOD_MILLIS = 10_000

/** What the housekeeper has done for it. */
export interface HousekeepingHost {
  /** One round. Returns false if there is nothing left to look after. */
  tidy(now: number): boolean
  /** Time was lost: the machine slept, the process was frozen, the loop was blocked. */
  overslept(): void
}

export class Housekeeper {
  readonly #clock: Clock
  readonly #host: HousekeepingHost
  readonly #periodMillis: number
  readonly #context = new AsyncResource('lifeguard.Housekeeper')
  #timer: Timer | undefined = undefined
  #tickedAt = 0
  #tickedOn = 0

  constructor(clock: Clock, options: ResolvedPoolOptions, host: HousekeepingHost) {
    this.#clock = clock
    this.#host = host
    this.#periodMillis = periodFor(options)
  }

  /** Idempotent. */
  start(): void {
    if (this.#timer === undefined) this.#context.runInAsyncScope(() => this.#schedule())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(): void {
    this.#tickedAt = this.#clock.now()
    this.#tickedOn = Date.now()
    this.#timer = this.#clock.setTimer(() => this.#tick(), this.#periodMillis, false)
  }

  #tick(): void {
    this.#timer = undefined
    const now = this.#clock.now()
    // The monotonic clock of some systems stands still while the machine sleeps; the wall clock does not.
    const passed = Math.max(now - this.#tickedAt, Date.now() - this.#tickedOn)
    if (passed > this.#periodMillis * 1.5) this.#host.overslept()
    if (this.#host.tidy(now) && this.#timer === undefined) this.#schedule()
  }
}

/** Half of the shortest duration that has to be noticed. */
function periodFor(options: ResolvedPoolOptions): number {
  const { poolRecycleMillis, idleTimeoutMillis, keepAliveMillis, leakDetectionMillis } = options
  const durations = [poolRecycleMillis, idleTimeoutMillis, keepAliveMillis, leakDetectionMillis].filter(
    (millis) => millis > 0,
  )
  return Math.min(LONGEST_PERIOD_MILLIS, Math.max(SHORTEST_PERIOD_MILLIS, Math.min(...durations) / 2))
}
