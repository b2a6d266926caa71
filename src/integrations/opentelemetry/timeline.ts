/** Times of spans: milliseconds since 1970 with fractions, so that spans within one millisecond are in the right order. */

/** The clock of the machine may be set; the monotonic one runs on. */
const MOST_DRIFT_MILLIS = 2

export class Timeline {
  #origin = Date.now() - performance.now()

  now(): number {
    const now = this.#origin + performance.now()
    const wall = Date.now()
    if (Math.abs(wall - now) <= MOST_DRIFT_MILLIS) return now
    this.#origin = wall - performance.now()
    return wall
  }
}
