/** Timeouts that are correct even if the event loop was blocked. */
import type { Clock, Timer } from './clock.js'

/** A timer that fires later than this shows that the event loop was blocked. */
const LATE_MILLIS = 50

/**
 * Calls back after `millis`, unless it is cancelled before. Timers run before sockets are read: after the loop was
 * blocked, an answer that came in time would be found too late. So a timer that is late gives the sockets one turn first.
 *
 * @param onExpired Receives how long the loop was blocked; 0 if it was not.
 */
export function setDeadline(clock: Clock, onExpired: (lateMillis: number) => void, millis: number): Timer {
  const dueAt = clock.now() + millis
  let timer = clock.setTimer(() => {
    const lateMillis = clock.now() - dueAt
    if (lateMillis < LATE_MILLIS) onExpired(0)
    else timer = clock.setTimer(() => onExpired(lateMillis), 0)
  }, millis)
  return { cancel: () => timer.cancel() }
}
