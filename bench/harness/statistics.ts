/** Medians and quartiles. */

export interface Summary {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

export function summarise(values: readonly number[]): Summary {
  const sorted = [...values].sort((one, other) => one - other)
  return { median: quantile(sorted, 0.5), lower: quantile(sorted, 0.25), upper: quantile(sorted, 0.75) }
}

function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share
  const below = sorted[Math.floor(at)] ?? NaN
  const above = sorted[Math.ceil(at)] ?? NaN
  return below + (above - below) * (at - Math.floor(at))
}
