/** The samples of a metric, as prom-client takes them, and those of a histogram. */
import type { HistogramSnapshot } from '../../pool/histogram.js'

export type Labels = Record<string, string | number>

/** One sample. `metricName` is set where it is not the name of the metric: parts of histograms. */
export interface MetricValues {
  readonly value: number
  readonly labels: Labels
  readonly metricName?: string
}

/**
 * Powers of two of a microsecond, as the engine counts them: 64 us to 33 s. A cumulative bucket of Prometheus is exact there. Some
 * of the engine's buckets below and above are left out, for each is a series of each pool.
 */
const BOUNDS_MILLIS = Array.from({ length: 20 }, (_, index) => 2 ** (index + 6) / 1_000)

/** Samples of a histogram. */
export function histogramValues(name: string, labels: Labels, snapshot: HistogramParts): MetricValues[] {
  const { buckets, count, sumMillis } = snapshot
  const upTo = (millis: number): number =>
    buckets.reduce((sum, bucket) => (bucket.upToMillis <= millis ? sum + bucket.count : sum), 0)
  const bucket = `${name}_bucket`
  return [
    ...BOUNDS_MILLIS.map((millis) => ({
      metricName: bucket,
      labels: { ...labels, le: millis / 1_000 },
      value: upTo(millis),
    })),
    { metricName: bucket, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sumMillis / 1_000 },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

/** What is read of a histogram. */
export type HistogramParts = Pick<HistogramSnapshot, 'buckets' | 'count' | 'sumMillis'>
