/** OpenTelemetry's SDK with exporters in memory, and how the tests read what it has got. */
import { context, trace, type Tracer } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type DataPoint,
  type Histogram,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach } from 'vitest'

const NEVER_MILLIS = 2 ** 30

export type Attributes = Record<string, unknown>

/** One point of a metric. A histogram has a count. */
export interface Point {
  readonly attributes: Attributes
  readonly value: number
}

export interface Telemetry {
  readonly tracerProvider: BasicTracerProvider
  readonly meterProvider: MeterProvider
  readonly tracer: Tracer
  /** Without connects, which are traces of their own. */
  spans(): ReadableSpan[]
  connects(): ReadableSpan[]
  /** Names of `spans()` as a tree, children by their start: `GET /` or `  INSERT songs`. */
  tree(): string[]
  /** Points of a metric, collected now. */
  points(name: string): Promise<Point[]>
  /** Names of metrics with points, collected now. */
  names(): Promise<string[]>
}

/** Call it at the top of a test file. */
export function useTelemetry(): Telemetry {
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: NEVER_MILLIS })
  const meterProvider = new MeterProvider({ readers: [reader] })
  const manager = new AsyncLocalStorageContextManager()
  beforeAll(() => void context.setGlobalContextManager(manager.enable()))
  beforeEach(() => exporter.reset())
  afterAll(async () => {
    context.disable()
    await meterProvider.shutdown()
  })
  const collect = async () => {
    metrics.reset()
    await reader.forceFlush()
    return metrics.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics: all }) => all))
  }
  const isConnect = ({ name }: ReadableSpan): boolean => name === 'lifeguard.connect'
  const spans = (): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => !isConnect(span))
  return {
    tracerProvider,
    meterProvider,
    tracer: tracerProvider.getTracer('test'),
    spans,
    connects: () => exporter.getFinishedSpans().filter(isConnect),
    tree: () => treeOf(spans()),
    async points(name) {
      const found = (await collect()).filter(({ descriptor }) => descriptor.name === name)
      return found.flatMap(({ dataPoints }) =>
        (dataPoints as (DataPoint<number> | DataPoint<Histogram>)[]).map(({ attributes, value }) => ({
          attributes,
          value: typeof value === 'number' ? value : value.count,
        })),
      )
    },
    async names() {
      const used = (await collect()).filter(({ dataPoints }) => dataPoints.length > 0)
      return used.map(({ descriptor }) => descriptor.name).sort()
    },
  }
}

function treeOf(spans: readonly ReadableSpan[]): string[] {
  const ids = new Set(spans.map((span) => span.spanContext().spanId))
  const startOf = ({ startTime: [seconds, nanos] }: ReadableSpan): number => seconds * 1e3 + nanos / 1e6
  const sorted = [...spans].sort((a, b) => startOf(a) - startOf(b))
  const below = (parent: string | undefined, indent: string): string[] =>
    sorted
      .filter(({ parentSpanContext: found }) =>
        parent === undefined ? found === undefined || !ids.has(found.spanId) : found?.spanId === parent,
      )
      .flatMap((span) => [indent + span.name, ...below(span.spanContext().spanId, `${indent}  `)])
  return below(undefined, '')
}

/** Runs work inside of a span of the test. */
export async function inSpan<Value>(
  { tracer }: Telemetry,
  name: string,
  work: () => Promise<Value>,
): Promise<Value> {
  const span = tracer.startSpan(name)
  try {
    return await context.with(trace.setSpan(context.active(), span), work)
  } finally {
    span.end()
  }
}
