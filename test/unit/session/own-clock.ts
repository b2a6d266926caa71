/** Time that a test owns: nothing happens until it is told to go on. */
import type { Clock, Timer } from '../../../src/internal/clock.js'

interface Due {
  readonly at: number
  readonly order: number
  readonly callback: () => void
}

export class OwnClock implements Clock {
  #now = 0
  #order = 0
  readonly #due = new Set<Due>()

  now(): number {
    return this.#now
  }

  setTimer(callback: () => void, millis: number): Timer {
    const due = { at: this.#now + Math.max(0, millis), order: ++this.#order, callback }
    this.#due.add(due)
    return { cancel: () => void this.#due.delete(due) }
  }

  after(millis: number): Promise<void> {
    return new Promise((resolve) => void this.setTimer(resolve, millis))
  }

  /** Goes from timer to timer until the work is done. @throws if it is not done after so much time. */
  async runUntilDone(work: Promise<unknown>, limitMillis: number): Promise<void> {
    const limit = this.#now + limitMillis
    let isDone = false
    const end = (): void => void (isDone = true)
    work.then(end, end)
    for (;;) {
      // What follows from the last timer, promises and ticks included.
      for (let turn = 0; turn < 3; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
      if (isDone) return
      const [next] = [...this.#due].sort((one, other) => one.at - other.at || one.order - other.order)
      if (next === undefined || next.at > limit) throw new Error(`Not done after ${String(limitMillis)} ms`)
      this.#due.delete(next)
      this.#now = next.at
      next.callback()
    }
  }
}
