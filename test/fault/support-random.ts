/** Chance that can be had again: the same seed, the same choices. */
export class Random {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed
    this.#state = seed >>> 0
  }

  /** From 0 up to, but not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  one<Value>(of: readonly Value[]): Value | undefined {
    return of[Math.floor(this.next() * of.length)]
  }

  /** One of them, each as often as its weight says. */
  weighted<Value>(of: readonly (readonly [weight: number, value: Value])[]): Value {
    let left = this.next() * of.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of of) {
      left -= weight
      if (left < 0) return value
    }
    throw new Error('Nothing to choose from')
  }
}
