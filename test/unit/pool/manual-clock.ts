/** Time that moves only when a test says so. */
import type { Clock, TimerOptions } from '../../../src/internal/clock.js'

interface Entry {
  readonly at: number
  readonly order: number
  readonly callback: () => void
  readonly keepAlive: boolean
}

export class ManualClock implements Clock {
  #now = 1_000
  #order = 0
  readonly #timers = new Set<Entry>()

  now(): number {
    return this.#now
  }

  setTimer(
    callback: () => void,
    millis: number,
    { keepAlive = true }: TimerOptions = {},
  ): { cancel(): void } {
    const entry = { at: this.#now + millis, order: (this.#order += 1), callback, keepAlive }
    this.#timers.add(entry)
    return { cancel: () => void this.#timers.delete(entry) }
  }

  /** Timers that are armed, and those of them that keep the process alive. */
  get timers(): { readonly all: number; readonly keepAlive: number } {
    return {
      all: this.#timers.size,
      keepAlive: [...this.#timers].filter(({ keepAlive }) => keepAlive).length,
    }
  }

  /** Lets time pass: every timer fires when it is due, with the promises it settles before the next one. */
  async advance(millis: number): Promise<void> {
    // What was called just before may still have to set its timers.
    await settle()
    const end = this.#now + millis
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at)
      this.#timers.delete(next)
      next.callback()
      await settle()
    }
    this.#now = end
    await settle()
  }

  /** Lets time pass in which nothing runs: the machine sleeps, the loop is blocked. Timers fire afterwards, late. */
  async freeze(millis: number): Promise<void> {
    this.#now += millis
    await this.advance(0)
  }

  #next(end: number): Entry | undefined {
    const due = [...this.#timers].filter(({ at }) => at <= end)
    return due.sort((one, other) => one.at - other.at || one.order - other.order)[0]
  }
}

/** Lets every promise settle that needs no time: a few turns of the event loop, in which sockets of the fake close. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
