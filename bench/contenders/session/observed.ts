/** Lifeguard, reported to OpenTelemetry or Prometheus, as their pages say. */
import { context } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base'
import { createEngine, type Engine } from 'lifeguard'
import { instrument } from 'lifeguard/opentelemetry'
import { collect } from 'lifeguard/prometheus'
import { Registry } from 'prom-client'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { contenderOn } from './lifeguard.js'

/** An exporter that has nothing to do: what exporting costs depends on the service. */
const NOWHERE: SpanExporter = {
  export: (_spans, done) => done({ code: 0 }),
  shutdown: () => Promise.resolve(),
}

export const open: Open = (url, variant) => {
  const engine = createEngine({ url, poolSize: POOL_SIZE, maxOverflow: 0 })
  if (variant === 'prometheus') collect(engine, { register: new Registry() })
  else toOpenTelemetry(engine, { records: variant === 'recording' })
  return contenderOn(engine)
}

function toOpenTelemetry(engine: Engine, { records }: { readonly records: boolean }): void {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const tracerProvider = new BasicTracerProvider({
    sampler: records ? new AlwaysOnSampler() : new AlwaysOffSampler(),
    spanProcessors: [new BatchSpanProcessor(NOWHERE)],
  })
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const meterProvider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
  instrument(engine, { tracerProvider, meterProvider })
}
