/** A distribution of durations in fixed buckets: one shift and one increment per value, no allocation. */

const BUCKETS = 33

/** The state of a {@link Histogram} at one moment. Durations in milliseconds. */
export interface HistogramSnapshot {
  readonly count: number
  readonly sumMillis: number
  readonly maxMillis: number
  /** Upper bounds of the buckets that contain the quantiles: exact within a factor of two. 0 without values. */
  readonly p50Millis: number
  readonly p95Millis: number
  readonly p99Millis: number
  /** Buckets that are not empty, ascending; each holds the values up to `upToMillis` that no lower one holds. */
  readonly buckets: readonly { readonly upToMillis: number; readonly count: number }[]
}

/** Counts durations by powers of two of a microsecond, up to more than an hour. */
export class Histogram {
  readonly #counts = new Array<number>(BUCKETS).fill(0)
  #sum = 0
  #max = 0

  record(millis: number): void {
    // clz32 of the whole microseconds is the number of the power of two that lies above them.
    const bucket = millis < 2 ** 31 / 1_000 ? 32 - Math.clz32(millis * 1_000) : BUCKETS - 1
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sum += millis
    if (millis > this.#max) this.#max = millis
  }

  snapshot(): HistogramSnapshot {
    const buckets = this.#counts
      .map((count, bucket) => ({ upToMillis: 2 ** bucket / 1_000, count }))
      .filter(({ count }) => count > 0)
    return describeBuckets(buckets, { sumMillis: this.#sum, maxMillis: this.#max })
  }
}

/** Quantiles of buckets that are not empty, ascending. */
export function describeBuckets(
  buckets: HistogramSnapshot['buckets'],
  { sumMillis, maxMillis }: Pick<HistogramSnapshot, 'sumMillis' | 'maxMillis'>,
): HistogramSnapshot {
  const count = buckets.reduce((sum, bucket) => sum + bucket.count, 0)
  const quantile = (share: number): number => {
    let below = 0
    for (const bucket of buckets) {
      below += bucket.count
      if (below >= share * count) return Math.min(bucket.upToMillis, maxMillis)
    }
    return 0
  }
  return {
    count,
    sumMillis,
    maxMillis,
    p50Millis: quantile(0.5),
    p95Millis: quantile(0.95),
    p99Millis: quantile(0.99),
    buckets,
  }
}
