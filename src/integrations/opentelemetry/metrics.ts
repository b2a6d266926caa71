/** Metrics of an engine: durations are recorded when they end, the pool's gauges and counters are read when they are collected. */
import type { Attributes, BatchObservableResult, Histogram, Meter, Observable } from '@opentelemetry/api'
import type { Engine } from '../../index.js'
import type { StatementMessage, TransactionMessage } from '../../internal/channels.js'
import type { PoolStats } from '../../pool/stats.js'
import { errorTypeOf, sqlStateOf } from '../telemetry/error-type.js'
import { follow, type Ended } from '../telemetry/follow.js'
import type { EngineAttributes } from './attributes.js'

/** Of the semantic conventions. */
const OPERATION_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
/** A free connection is acquired in microseconds. */
const POOL_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
const ROWS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]

export class Metrics {
  readonly #engine: Engine
  readonly #meter: Meter
  readonly #attributes: EngineAttributes
  readonly #started = new WeakMap<object, number>()
  /** Of transactions that PostgreSQL has not refused, by outcome. */
  readonly #outcomes = new Map<string, Attributes>()
  /** Counters of the pools before the current one, which `recreate()` has replaced. */
  readonly #totals = new Map<string, Total>()
  readonly #stop: readonly (() => void)[]

  constructor(engine: Engine, meter: Meter, attributes: EngineAttributes) {
    this.#engine = engine
    this.#meter = meter
    this.#attributes = attributes
    this.#stop = [...this.#followPool(), ...this.#followChannels(), this.#observe()]
  }

  stop(): void {
    for (const stop of this.#stop) stop()
  }

  #followPool(): (() => void)[] {
    const created = this.#seconds('db.client.connection.create_time', 'Time until a new connection was ready')
    const waited = this.#seconds('db.client.connection.wait_time', 'Time until a caller had a connection')
    const used = this.#seconds(
      'db.client.connection.use_time',
      'Time from acquire to release of a connection',
    )
    const retries = this.#meter.createCounter('lifeguard.transaction.retries', {
      description: 'Blocks that have failed and ran again',
      unit: '{retry}',
    })
    const { pool } = this.#attributes
    return [
      this.#engine.on('retry', ({ error }) =>
        retries.add(1, { ...pool, 'error.type': errorTypeOf(error, sqlStateOf(error)) }),
      ),
      this.#engine.on('connect', ({ durationMillis }) => created.record(durationMillis / 1_000, pool)),
      this.#engine.on('acquire', ({ waitedMillis }) => waited.record(waitedMillis / 1_000, pool)),
      this.#engine.on('release', ({ heldMillis }) => used.record(heldMillis / 1_000, pool)),
    ]
  }

  #followChannels(): (() => void)[] {
    const operations = this.#seconds(
      'db.client.operation.duration',
      'Duration of database client operations',
      OPERATION_SECONDS,
    )
    const transactions = this.#seconds(
      'lifeguard.transaction.duration',
      'Time from BEGIN to the end of a transaction',
      OPERATION_SECONDS,
    )
    const rows = this.#meter.createHistogram('db.client.response.returned_rows', {
      description: 'Rows returned by an operation',
      unit: '{row}',
      advice: { explicitBucketBoundaries: ROWS },
    })
    const { engineId } = this.#engine.internals().host.source
    const start = (message: object): void => void this.#started.set(message, performance.now())
    const endStatement = (message: StatementMessage & Ended): void => {
      const { attributes } = this.#attributes.of(message)
      this.#record(operations, message, attributes)
      if (message.command === 'SELECT' && message.rowCount !== undefined)
        rows.record(message.rowCount, attributes)
    }
    const endTransaction = (message: TransactionMessage): void =>
      this.#record(transactions, message, this.#ofTransaction(message))
    return [
      follow<StatementMessage>('lifeguard:statement', engineId, { start, end: endStatement }),
      follow<TransactionMessage>('lifeguard:transaction', engineId, { start, end: endTransaction }),
    ]
  }

  #ofTransaction({ outcome, sqlState }: TransactionMessage): Attributes {
    const known = outcome === undefined || sqlState !== undefined ? undefined : this.#outcomes.get(outcome)
    if (known !== undefined) return known
    const attributes = Object.freeze({
      ...this.#attributes.plain,
      ...(outcome && { 'lifeguard.transaction.outcome': outcome }),
      ...(sqlState && { 'db.response.status_code': sqlState }),
    })
    if (outcome !== undefined && sqlState === undefined) this.#outcomes.set(outcome, attributes)
    return attributes
  }

  /** What began before the subscription is not counted. */
  #record(histogram: Histogram, message: object, attributes: Attributes): void {
    const startedAt = this.#started.get(message)
    if (startedAt !== undefined) histogram.record((performance.now() - startedAt) / 1_000, attributes)
  }

  #seconds(name: string, description: string, explicitBucketBoundaries = POOL_SECONDS): Histogram {
    return this.#meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries } })
  }

  #observe(): () => void {
    const gauge = (name: string, description: string, unit = '{connection}'): Observable =>
      this.#meter.createObservableUpDownCounter(`db.client.connection.${name}`, { description, unit })
    const counter = (name: string, description: string, unit: string): Observable =>
      this.#meter.createObservableCounter(name, { description, unit })
    const instruments = {
      count: gauge('count', 'Open connections by state'),
      max: gauge('max', 'Most open connections'),
      idleMax: gauge('idle.max', 'Most idle connections'),
      idleMin: gauge('idle.min', 'Fewest open connections'),
      pending: gauge('pending_requests', 'Callers that wait for a connection', '{request}'),
      timeouts: counter(
        'db.client.connection.timeouts',
        'Callers that waited for a connection in vain',
        '{timeout}',
      ),
      closed: counter('lifeguard.connection.closed', 'Closed connections by reason', '{connection}'),
      failed: counter('lifeguard.connection.create_failures', 'Attempts to connect that failed', '{attempt}'),
      leaks: counter(
        'lifeguard.connection.leaks',
        'Connections held longer than leakDetectionMillis',
        '{leak}',
      ),
    }
    const observables = Object.values(instruments)
    const observe = (result: BatchObservableResult): void =>
      this.#read(this.#engine.stats(), (name, value, attributes) => {
        if (Number.isFinite(value))
          result.observe(instruments[name], value, { ...this.#attributes.pool, ...attributes })
      })
    this.#meter.addBatchObservableCallback(observe, observables)
    return () => void this.#meter.removeBatchObservableCallback(observe, observables)
  }

  #read(
    { idle, borrowed, checking, capacity, poolSize, waiting, counters, closed }: PoolStats,
    tell: (name: InstrumentName, value: number, attributes?: Attributes) => void,
  ): void {
    const state = (name: string): Attributes => ({ 'db.client.connection.state': name })
    tell('count', idle, state('idle'))
    // A connection that is checked belongs to no caller, and none can have it.
    tell('count', borrowed + checking, state('used'))
    tell('max', capacity)
    tell('idleMax', poolSize)
    tell('idleMin', this.#engine.internals().options.pool.minIdle)
    tell('pending', waiting)
    tell('timeouts', this.#total('timeouts', counters.timedOut))
    tell('failed', this.#total('failed', counters.connectFailed))
    tell('leaks', this.#total('leaks', counters.leaked))
    for (const [reason, count] of Object.entries(closed)) {
      const total = this.#total(reason, count)
      if (total > 0) tell('closed', total, { 'lifeguard.close.reason': reason })
    }
  }

  /** The pool of `recreate()` counts from 0; a counter never falls. */
  #total(name: string, count: number): number {
    const total = this.#totals.get(name) ?? { before: 0, last: 0 }
    if (count < total.last) total.before += total.last
    total.last = count
    this.#totals.set(name, total)
    return total.before + count
  }
}

interface Total {
  before: number
  last: number
}

type InstrumentName =
  'count' | 'max' | 'idleMax' | 'idleMin' | 'pending' | 'timeouts' | 'closed' | 'failed' | 'leaks'
