/**
 * The metrics of an engine for prom-client's registry. Names, units and suffixes follow Prometheus's conventions; times are in
 * seconds.
 */
import type { Engine } from '../../index.js'
import type { PoolStats } from '../../pool/stats.js'
import { histogramValues, type HistogramParts, type Labels, type MetricValues } from './samples.js'
import type { RetryCounts } from './retry-counts.js'
import type { StatementCounts } from './statement-counts.js'

/** One metric of one engine. */
export interface EngineMetric {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter' | 'histogram'
  read(): MetricValues[]
}

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
  retries: RetryCounts,
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
    metric('counter', 'retries_total', 'Blocks that have failed and ran again, by the error', () =>
      [...retries.byError].map(([error, count]) => one(count, { error })),
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
