/**
 * Statistics of a window: what has happened between two calls of `stats()`. Nothing is reset, so several readers can have different
 * windows.
 */
import { InvalidOptionError } from '../errors.js'
import { checkObject, refuseUnknownKeys } from '../internal/validate.js'
import { describeBuckets, type HistogramSnapshot } from './histogram.js'
import type { PoolStats } from './stats.js'

/** Options of `engine.stats`. */
export interface StatsOptions {
  /** What an earlier call returned: counters and histograms are those since then. Gauges are those of this moment. */
  readonly since?: PoolStats | undefined
}

/** @throws InvalidOptionError */
export function statsOf(now: PoolStats, options: StatsOptions): PoolStats {
  checkObject('stats', options)
  refuseUnknownKeys('stats', options, ['since'] satisfies (keyof StatsOptions)[])
  const { since } = options
  if (since === undefined) return now
  if (!isStats(since) || since.name !== now.name)
    throw new InvalidOptionError(
      'since',
      'since must be what stats() of the same engine has returned earlier',
    )
  // The pool was replaced (`recreate`), so the new pool has counted only later events.
  if (isNewer(now, since)) return now
  return {
    ...now,
    counters: difference(now.counters, since.counters),
    closed: difference(now.closed, since.closed),
    wait: histogramSince(now.wait, since.wait),
    use: histogramSince(now.use, since.use),
    connect: histogramSince(now.connect, since.connect),
  }
}

function isStats(value: unknown): value is PoolStats {
  const { counters, closed, wait, use, connect } = (value ?? {}) as Partial<Record<keyof PoolStats, unknown>>
  const histograms = [wait, use, connect].map(
    (histogram) => (histogram as Partial<HistogramSnapshot> | undefined)?.buckets,
  )
  return (
    [counters, closed].every((part) => typeof part === 'object' && part !== null) &&
    histograms.every(Array.isArray)
  )
}

/** A counter never falls. */
function isNewer(now: PoolStats, since: PoolStats): boolean {
  const fell = <Name extends string>(later: Record<Name, number>, earlier: Record<Name, number>): boolean =>
    Object.keys(earlier).some((name) => later[name as Name] < earlier[name as Name])
  return fell({ ...now.counters }, { ...since.counters }) || fell({ ...now.closed }, { ...since.closed })
}

function difference<Counts extends object>(now: Counts, since: Counts): Counts {
  const counts = now as Record<string, number>
  const before = since as Record<string, number | undefined>
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => [name, count - (before[name] ?? 0)]),
  ) as Counts
}

function histogramSince(now: HistogramSnapshot, since: HistogramSnapshot): HistogramSnapshot {
  const before = new Map(since.buckets.map(({ upToMillis, count }) => [upToMillis, count]))
  const buckets = now.buckets
    .map(({ upToMillis, count }) => ({ upToMillis, count: count - (before.get(upToMillis) ?? 0) }))
    .filter(({ count }) => count > 0)
  // The greatest value is known only if it is new; otherwise it is the bound of its bucket.
  const bound = Math.min(buckets.at(-1)?.upToMillis ?? 0, now.maxMillis)
  return describeBuckets(buckets, {
    sumMillis: buckets.length === 0 ? 0 : now.sumMillis - since.sumMillis,
    maxMillis: now.maxMillis > since.maxMillis ? now.maxMillis : bound,
  })
}
