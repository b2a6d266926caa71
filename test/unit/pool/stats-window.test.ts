import { expect, test } from 'vitest'
import { Histogram } from '../../../src/pool/histogram.js'
import { Statistics, type PoolStats } from '../../../src/pool/stats.js'
import { statsOf } from '../../../src/pool/stats-window.js'

function statsFrom(statistics: Statistics, name = 'songs'): PoolStats {
  return { name, idle: 1, ...statistics.snapshot() } as PoolStats
}

test('counters and histograms of a window are those since an earlier call; gauges are those of now', () => {
  const statistics = new Statistics()
  statistics.counters.acquired = 3
  for (const millis of [100, 1, 1]) statistics.wait.record(millis)
  const since = statsFrom(statistics)
  statistics.counters.acquired += 4
  statistics.closed.idle += 1
  for (const millis of [3, 3, 3, 10]) statistics.wait.record(millis)
  const window = statsOf(statsFrom(statistics), { since })
  expect(window.counters).toMatchObject({ acquired: 4, released: 0 })
  expect(window.closed).toMatchObject({ idle: 1, lost: 0 })
  expect(window.idle).toBe(1)
  expect(window.wait).toEqual({
    count: 4,
    sumMillis: 19,
    // The bound of its bucket: the greatest value of all is older.
    maxMillis: 16.384,
    p50Millis: 4.096,
    p95Millis: 16.384,
    p99Millis: 16.384,
    buckets: [
      { upToMillis: 4.096, count: 3 },
      { upToMillis: 16.384, count: 1 },
    ],
  })
  expect(statsFrom(statistics).wait.count).toBe(7)
})

test('the greatest value of a window is exact if it is the greatest of all', () => {
  const statistics = new Statistics()
  statistics.use.record(1)
  const since = statsFrom(statistics)
  statistics.use.record(100)
  expect(statsOf(statsFrom(statistics), { since }).use).toMatchObject({
    count: 1,
    maxMillis: 100,
    p99Millis: 100,
  })
})

test('an empty window has no values', () => {
  const statistics = new Statistics()
  statistics.use.record(1)
  const since = statsFrom(statistics)
  expect(statsOf(since, { since }).use).toEqual(new Histogram().snapshot())
})

test('a window over a pool that was replaced holds what its successor has counted', () => {
  const before = new Statistics()
  before.counters.acquired = 5
  const after = new Statistics()
  after.counters.acquired = 2
  expect(statsOf(statsFrom(after), { since: statsFrom(before) }).counters.acquired).toBe(2)
})

test('what is no earlier result is refused', () => {
  const now = statsFrom(new Statistics())
  expect(() => statsOf(now, { since: {} as PoolStats })).toThrow('stats() of the same engine')
  expect(() => statsOf(now, { since: statsFrom(new Statistics(), 'other') })).toThrow('same engine')
  expect(() => statsOf(now, { from: now } as never)).toThrow("'from'")
  expect(() => statsOf(now, 5 as never)).toThrow('stats')
})
