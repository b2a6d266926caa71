/** Time, in one place, so that tests can own it. */

/** A timer that can be stopped. */
export interface Timer {
  cancel(): void
}

/** Monotonic time in milliseconds and timers. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number
  /** Calls `callback` once, after `millis`. `keepAlive` (default true) says whether the process waits for it. */
  setTimer(callback: () => void, millis: number, keepAlive?: boolean): Timer
}

// setTimeout overflows above this and would fire at once.
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(callback, millis, keepAlive = true) {
    const timer = setTimeout(callback, Math.min(millis, LONGEST_TIMER_MILLIS))
    if (!keepAlive) timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
