/**
 * How much is done by tests that are long by nature. `npm test` runs a part of each, `npm run test:long` (LIFEGUARD_LONG=1) all of it.
 * A short run has every kind of test, with fewer operations, rows or places.
 */
const IS_LONG = process.env['LIFEGUARD_LONG'] === '1'

/** The first value in a short run, the second in a long one. */
export function byLength<Value>(short: Value, long: Value): Value {
  return IS_LONG ? long : short
}

/**
 * All members in a long run, every third one in a short run, beginning with the one at `offset` modulo 3: give the number of the row of
 * a matrix, and three rows next to each other have every column between them.
 */
export function sampled<Member>(members: readonly Member[], offset: number): readonly Member[] {
  return members.filter((_, index) => isSampled(index, offset))
}

/** Whether `sampled` has the member at `index`. */
export function isSampled(index: number, offset: number): boolean {
  return IS_LONG || (index + offset) % 3 === 0
}
