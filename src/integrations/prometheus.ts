/** `lifeguard/prometheus`: metrics of engines for prom-client. */
import { Engine, IllegalStateError, InvalidOptionError } from '../index.js'
import { engineMetrics } from './prometheus/families.js'
import type { MetricValues } from './prometheus/samples.js'
import { RetryCounts } from './prometheus/retry-counts.js'
import { StatementCounts } from './prometheus/statement-counts.js'
import { poolLabelOf } from './telemetry/pool-label.js'

/** The part of prom-client's `Registry` that is used. */
export interface PrometheusRegistry {
  registerMetric(metric: never): void
  getSingleMetric(name: string): object | undefined
  removeSingleMetric(name: string): void
}

/** Options of {@link collect}. */
export interface CollectOptions {
  /** Where the metrics are registered: `register` of prom-client, or a registry of your own. */
  readonly register: PrometheusRegistry
  /**
   * Metrics of statements, transactions and flushes, which are measured one by one: some microseconds each. The pool's own numbers cost nothing.
   * Default true.
   */
  readonly statements?: boolean | undefined
}

const OPTIONS: readonly string[] = ['register', 'statements'] satisfies (keyof CollectOptions)[]
const FAMILY: unique symbol = Symbol.for('lifeguard.prometheusFamily') as never

/** One metric of a registry, of all its engines. */
interface Family {
  readonly [FAMILY]: Map<number, () => MetricValues[]>
}

/**
 * Reports an engine to prom-client. The numbers are read when they are scraped, so nothing is measured twice. Call it once for
 * each engine and registry, also for several engines: each has its label `pool`. It ends when the engine is disposed.
 *
 * @returns a function that ends it earlier.
 * @throws InvalidOptionError; IllegalStateError if the registry has the engine already, or if the engine was disposed.
 * @example
 * import { register } from 'prom-client'
 * collect(engine, { register })
 */
export function collect(engine: Engine, options: CollectOptions): () => void {
  const { register, statements = true } = checked(engine, options)
  const { atEnd, host } = engine.internals()
  const { engineId } = host.source
  if (engine.stats().disposed) throw new IllegalStateError('collect(engine): the engine was disposed')
  const counts = statements ? new StatementCounts(engineId) : undefined
  const retries = new RetryCounts(engine)
  const stopCounting = (): void => {
    counts?.stop()
    retries.stop()
  }
  const metrics = engineMetrics(engine, poolLabelOf(engine), counts, retries)
  for (const { name, help, type, read } of metrics) {
    const engines = familyOf(register, name, help, type)[FAMILY]
    if (engines.has(engineId)) {
      stopCounting()
      throw new IllegalStateError(
        'The registry has this engine already: call collect(engine, { register }) once',
      )
    }
    engines.set(engineId, read)
  }
  const stop = (): void => {
    stopCounting()
    atEnd.delete(stop)
    for (const { name } of metrics) leave(register, name, engineId)
  }
  atEnd.add(stop)
  return stop
}

/** The metric of the registry, made for its first engine. */
function familyOf(register: PrometheusRegistry, name: string, help: string, type: string): Family {
  const known = register.getSingleMetric(name)
  if (known !== undefined) {
    if (FAMILY in known) return known as Family
    throw new IllegalStateError(`The registry has another metric with the name ${name}`)
  }
  const engines = new Map<number, () => MetricValues[]>()
  const values = (): MetricValues[] => [...engines.values()].flatMap((read) => read())
  const metric = {
    [FAMILY]: engines,
    name,
    help,
    type,
    aggregator: 'sum',
    // prom-client takes `_total` off the name for the format of OpenMetrics, and puts it back on the samples.
    get: () => Promise.resolve({ name: metric.name, help, type, aggregator: 'sum', values: values() }),
    // `register.resetMetrics()`: these are counted by the engine.
    reset: () => undefined,
  }
  register.registerMetric(metric as never)
  return metric
}

function leave(register: PrometheusRegistry, name: string, engineId: number): void {
  const metric = register.getSingleMetric(name)
  // `register.clear()` may have removed it.
  if (metric === undefined || !(FAMILY in metric)) return
  const engines = (metric as Family)[FAMILY]
  engines.delete(engineId)
  if (engines.size === 0) register.removeSingleMetric(name)
}

function checked(engine: unknown, options: unknown): CollectOptions {
  if (!(engine instanceof Engine))
    throw new InvalidOptionError('engine', 'collect takes an engine: collect(engine, { register })')
  if (typeof options !== 'object' || options === null || 'registerMetric' in options)
    throw new InvalidOptionError(
      'options',
      'collect takes an engine and an object: collect(engine, { register })',
    )
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name))
  if (unknown !== undefined)
    throw new InvalidOptionError(unknown, `collect has no option '${unknown}'; it has ${OPTIONS.join(', ')}`)
  const { register, statements } = options as Partial<CollectOptions>
  if (typeof register?.registerMetric !== 'function' || typeof register.getSingleMetric !== 'function')
    throw new InvalidOptionError(
      'register',
      "register must be a registry of prom-client: import { register } from 'prom-client'",
    )
  if (statements !== undefined && typeof statements !== 'boolean')
    throw new InvalidOptionError('statements', `statements must be true or false, not ${typeof statements}`)
  return { register, statements }
}
