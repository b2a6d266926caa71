/** `lifeguard/opentelemetry`: spans and metrics of engines by OpenTelemetry's semantic conventions for databases. */
import { metrics, trace, type MeterProvider, type TracerProvider } from '@opentelemetry/api'
import { Engine, IllegalStateError, InvalidOptionError } from '../index.js'
import { EngineAttributes } from './opentelemetry/attributes.js'
import { Metrics } from './opentelemetry/metrics.js'
import { QueryTexts } from './opentelemetry/query-text.js'
import { Spans } from './opentelemetry/spans.js'
import { poolLabelOf } from './telemetry/pool-label.js'

/** Options of {@link instrument}. */
export interface InstrumentOptions {
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined
  /**
   * True: spans have the attribute `db.query.text`: the text without comments, with literal strings and numbers replaced by
   * `?`; placeholders stay `$1`. Values of parameters are never reported. Default true.
   */
  readonly queryText?: boolean | undefined
}

const NAME = 'lifeguard'
const OPTIONS: readonly string[] = [
  'tracerProvider',
  'meterProvider',
  'queryText',
] satisfies (keyof InstrumentOptions)[]

/**
 * Reports an engine to OpenTelemetry: spans for statements, flushes, transactions and the waiting for a connection; metrics of
 * statements, transactions and the pool. Call it once for each engine, before its first statement. It ends when the engine is
 * disposed.
 *
 * `@opentelemetry/instrumentation-pg` still reports other uses of node-postgres, but not this engine.
 *
 * @returns a function that ends it earlier. Work that is running then is not reported.
 * @throws InvalidOptionError; IllegalStateError if the engine is reported already, or disposed.
 * @example
 * const engine = createEngine({ url, name: 'songs' })
 * instrument(engine)
 */
export function instrument(engine: Engine, options: InstrumentOptions = {}): () => void {
  checkArguments(engine, options)
  const { tracerProvider = trace, meterProvider = metrics, queryText = true } = options
  const { atEnd, clientCalls, host } = engine.internals()
  if (engine.stats().disposed) throw new IllegalStateError('instrument(engine): the engine was disposed')
  if (clientCalls.original)
    throw new IllegalStateError(
      'The engine is reported to OpenTelemetry already: call instrument(engine) once',
    )
  const attributes = new EngineAttributes(engine, poolLabelOf(engine))
  const spans = new Spans({
    tracer: tracerProvider.getTracer(NAME),
    engineId: host.source.engineId,
    attributes,
    texts: queryText ? new QueryTexts() : undefined,
  })
  const measured = new Metrics(engine, meterProvider.getMeter(NAME), attributes)
  // This package is the only source for its connections: an instrumentation of node-postgres sees only scripts and COPY of them.
  clientCalls.original = true
  let isStopped = false
  const stop = (): void => {
    if (isStopped) return
    isStopped = true
    clientCalls.original = false
    spans.stop()
    measured.stop()
    attributes.stop()
    atEnd.delete(stop)
  }
  atEnd.add(stop)
  return stop
}

function checkArguments(engine: unknown, options: unknown): void {
  if (!(engine instanceof Engine))
    throw new InvalidOptionError('engine', 'instrument takes an engine: instrument(createEngine({ url }))')
  if (typeof options !== 'object' || options === null)
    throw new InvalidOptionError('options', 'instrument takes an engine and an object of options')
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name))
  if (unknown !== undefined)
    throw new InvalidOptionError(
      unknown,
      `instrument has no option '${unknown}'; it has ${OPTIONS.join(', ')}`,
    )
  const { tracerProvider, meterProvider, queryText } = options as InstrumentOptions
  if (tracerProvider !== undefined && typeof tracerProvider.getTracer !== 'function')
    throw new InvalidOptionError('tracerProvider', 'tracerProvider must have a method getTracer')
  if (meterProvider !== undefined && typeof meterProvider.getMeter !== 'function')
    throw new InvalidOptionError('meterProvider', 'meterProvider must have a method getMeter')
  if (queryText !== undefined && typeof queryText !== 'boolean')
    throw new InvalidOptionError('queryText', `queryText must be true or false, not ${typeof queryText}`)
}
