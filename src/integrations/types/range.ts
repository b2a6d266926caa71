/** The object that represents a range in JavaScript. */
/** Which bounds belong to a range: `[` and `]` do, `(` and `)` do not. */
export type Bounds = '[)' | '[]' | '(]' | '()'

/** A range. A bound that is null means no bound: the range is unlimited. An empty range has no bounds. */
export interface Range<Value> {
  readonly lower: Value | null
  readonly upper: Value | null
  /** Default `'[)'`, which is what PostgreSQL gives for whole numbers and days. */
  readonly bounds?: Bounds | undefined
  /** True: the range contains nothing, and has no bounds. Default false. */
  readonly empty?: boolean | undefined
}

/** Makes a range: from `lower`, included, to `upper`, excluded, unless the bounds say otherwise. */
export function range<Value>(lower: Value | null, upper: Value | null, bounds: Bounds = '[)'): Range<Value> {
  return { lower, upper, bounds, empty: false }
}

/** The range that contains nothing. */
export function emptyRange(): Range<never> {
  return { lower: null, upper: null, bounds: '()', empty: true }
}
