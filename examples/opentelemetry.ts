/**
 * Spans and metrics of an engine, printed by OpenTelemetry's SDK.
 *
 *   DATABASE_URL=postgres://localhost/test npx tsx examples/opentelemetry.ts
 */
import { context, metrics, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  ConsoleMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { createEngine, createSessionFactory } from 'lifeguard'
import { instrument } from 'lifeguard/opentelemetry'

// What NodeSDK does in a service: where spans and metrics go.
const lines: string[] = []
const exporter = {
  export(spans: ReadableSpan[], done: (result: { code: number }) => void) {
    for (const { name, attributes } of spans)
      lines.push(`${name}: ${String(attributes['db.query.text'] ?? '')}`)
    done({ code: 0 })
  },
  shutdown: () => Promise.resolve(),
}
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
)
const reader = new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() })
const meterProvider = new MeterProvider({ readers: [reader] })
metrics.setGlobalMeterProvider(meterProvider)

const engine = createEngine({ url: process.env['DATABASE_URL'], name: 'songs' })
instrument(engine)

const { withSession } = createSessionFactory({ bind: engine })
await withSession(async (session) => {
  await session.execute('select $1::text as title', ['a secret'])
  await session.execute("select 'another secret' as title")
})
console.log(lines.join('\n'))
const { resourceMetrics } = await reader.collect()
for (const { descriptor } of resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics))
  console.log(descriptor.name)
await engine.dispose()
await meterProvider.shutdown()
