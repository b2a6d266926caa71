/**
 * The metrics of an engine for prom-client's registry. Names, units and suffixes follow Prometheus's conventions; times are in
 * seconds.
 */
import type { Engine } from '../../index.js'
import type { HistogramSnapshot } from '../../pool/histogram.js'
import type { PoolStats } from '../../pool/stats.js'
import type { StatementCounts } from './statement-counts.js'

export type Labels = Record<string, string | number>

/** One sample. `metricName` is set where it is not the name of the metric: parts of histograms. */
export interface MetricValues {
  readonly value: number
  readonly labels: Labels
  readonly metricName?: string
}

/** One metric of one engine. */
export interface EngineMetric {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter' | 'histogram'
  read(): MetricValues[]
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

/** Callers that did not wait are in the lowest bucket. */
function acquireTimes({ counters, wait }: PoolStats): HistogramParts {
  const atOnce = Math.max(0, counters.acquired - wait.count)
  const buckets = [{ upToMillis: 0, count: atOnce }, ...wait.buckets]
  return { buckets, count: wait.count + atOnce, sumMillis: wait.sumMillis }
}

export function engineMetrics(
  engine: Engine,
  pool: string,
  counts: StatementCounts | undefined,
): readonly EngineMetric[] {
  const one = (value: number, labels: Labels = {}): MetricValues => ({ value, labels: { pool, ...labels } })
  const metric = (
    type: EngineMetric['type'],
    name: string,
    help: string,
    values: (stats: PoolStats, name: string) => MetricValues[],
  ): EngineMetric => {
    const full = `lifeguard_${name}`
    return { name: full, help, type, read: () => values(engine.stats(), full) }
  }
  const gauge = (name: string, help: string, value: (stats: PoolStats) => number): EngineMetric =>
    metric('gauge', name, help, (stats) => [one(value(stats))])
  const counter = (name: string, help: string, value: (stats: PoolStats) => number): EngineMetric =>
    metric('counter', name, help, (stats) => [one(value(stats))])
  const times = (name: string, help: string, parts: (stats: PoolStats) => HistogramParts): EngineMetric =>
    metric('histogram', name, help, (stats, full) => histogramValues(full, { pool }, parts(stats)))
  return [
    metric(
      'gauge',
      'pool_connections',
      'Connections by state',
      ({ idle, borrowed, connecting, checking, closing }) =>
        Object.entries({ idle, used: borrowed, connecting, checking, closing }).map(([state, count]) =>
          one(count, { state }),
        ),
    ),
    gauge('pool_max_connections', 'Most connections: poolSize + maxOverflow', ({ capacity }) => capacity),
    gauge('pool_size', 'Connections that are kept open: poolSize', ({ poolSize }) => poolSize),
    gauge('pool_pending_requests', 'Callers that wait for a connection', ({ waiting }) => waiting),
    counter(
      'pool_waits_total',
      'Callers that had to wait for a connection',
      ({ counters }) => counters.waited,
    ),
    counter(
      'pool_timeouts_total',
      'Callers that waited for a connection in vain',
      ({ counters }) => counters.timedOut,
    ),
    counter(
      'pool_refused_total',
      'Callers that were refused: the queue was full',
      ({ counters }) => counters.refused,
    ),
    counter(
      'pool_connect_failures_total',
      'Attempts to connect that failed',
      ({ counters }) => counters.connectFailed,
    ),
    counter(
      'pool_leaks_total',
      'Connections held longer than leakDetectionMillis',
      ({ counters }) => counters.leaked,
    ),
    metric('counter', 'pool_connections_closed_total', 'Closed connections by reason', ({ closed }) =>
      Object.entries(closed).map(([reason, count]) => one(count, { reason })),
    ),
    times('pool_acquire_duration_seconds', 'Time until a caller had a connection', acquireTimes),
    times('pool_use_duration_seconds', 'Time from acquire to release of a connection', ({ use }) => use),
    times('pool_connect_duration_seconds', 'Time until a new connection was ready', ({ connect }) => connect),
    ...(counts?.families ?? []).map(({ name, help, read }): EngineMetric => {
      const full = `lifeguard_${name}`
      return { name: full, help, type: 'histogram', read: () => read(full, { pool }) }
    }),
  ]
}
