/** The clock and the timers, so that tests can replace them. */

/** A timer that can be stopped. */
export interface Timer {
  cancel(): void
}

/** Options of a timer. */
export interface TimerOptions {
  /** False: the process may end before the timer fires. Default true. */
  readonly keepAlive?: boolean
}

/** Monotonic time in milliseconds and timers. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number
  /** Calls `callback` once, after `millis`. */
  setTimer(callback: () => void, millis: number, options?: TimerOptions): Timer
}

// setTimeout overflows above this and would fire at once.
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(callback, millis, { keepAlive = true } = {}) {
    const timer = setTimeout(callback, Math.min(millis, LONGEST_TIMER_MILLIS))
    if (!keepAlive) timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
