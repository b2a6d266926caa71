import { describe, expect, it } from 'vitest'
import { Histogram } from '../../../src/pool/histogram.js'

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

describe('Histogram', () => {
  it('is empty at first', () => {
    expect(histogramOf([]).snapshot()).toEqual({
      count: 0,
      sumMillis: 0,
      maxMillis: 0,
      p50Millis: 0,
      p95Millis: 0,
      p99Millis: 0,
      buckets: [],
    })
  })

  it('counts every value in the lowest bucket that holds it', () => {
    const { buckets } = histogramOf([0, 0.0005, 0.001, 0.0015, 0.004, 1, 1_000, 10_000_000]).snapshot()
    expect(buckets).toEqual([
      { upToMillis: 0.001, count: 2 },
      { upToMillis: 0.002, count: 2 },
      { upToMillis: 0.008, count: 1 },
      { upToMillis: 1.024, count: 1 },
      { upToMillis: 1_048.576, count: 1 },
      { upToMillis: 4_294_967.296, count: 1 },
    ])
  })

  it('sums exactly and bounds the quantiles within a factor of two', () => {
    const values = Array.from({ length: 100 }, (_, index) => index + 1)
    const { count, sumMillis, maxMillis, p50Millis, p95Millis, p99Millis } = histogramOf(values).snapshot()
    expect({ count, sumMillis, maxMillis }).toEqual({ count: 100, sumMillis: 5_050, maxMillis: 100 })
    for (const [estimate, exact] of [
      [p50Millis, 50],
      [p95Millis, 95],
      [p99Millis, 99],
    ] as const) {
      expect(estimate).toBeGreaterThanOrEqual(exact)
      expect(estimate).toBeLessThanOrEqual(exact * 2)
    }
    expect(p99Millis).toBe(100)
  })
})
