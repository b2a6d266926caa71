/** The engine: one database, one pool, and everything that starts from it. */
import { setMaxListeners } from 'node:events'
import { nodePostgres, type NodePostgres } from '../driver/node-postgres.js'
import { ClientCalls } from '../driver/client-calls.js'
import { createPgDriver } from '../driver/pg-driver.js'
import { schemaGeneration } from '../driver/schema-generation.js'
import type { Driver } from '../driver/driver.js'
import { runInScope } from '../internal/async-scope.js'
import { LifeguardError } from '../errors.js'
import { systemClock, type Clock } from '../internal/clock.js'
import { nextEngineId } from '../internal/engine-ids.js'
import { captureStack } from '../internal/own-frames.js'
import { Emitter, type Unsubscribe } from '../internal/emitter.js'
import { checkCallback, refuseUnknownKeys } from '../internal/validate.js'
import type { AcquireOptions, DisposeOptions, DisposeReport, Lease, Pool } from '../pool/pool.js'
import { createBeginnings } from '../pipeline/begin.js'
import {
  BEGIN_OPTION_NAMES,
  CONNECTION_OPTION_NAMES,
  resolveSetup,
  type BeginOptions,
  type ConnectionOptions,
  type HoldOptions,
  type SetupDefaults,
} from './begin-options.js'
import { Connection } from './connection.js'
import type { PipelineHost, PipelineObserver, PipelineSetup } from '../pipeline/contract.js'
import { Pipeline } from '../pipeline/pipeline.js'
import { createHost } from './pipeline-host.js'
import { createEcho, type Echo } from './echo.js'
import { checkEvent, tellNotices, type EngineEvents } from './events.js'
import type { ExecutionOwner } from '../execution/contract.js'
import { checkListenOptions, listen, type ListenOptions, type Notification } from './listen.js'
import { checkEcho, resolveEngineOptions, type EngineOptions, type ResolvedEngineOptions } from './options.js'
import { Substitutes, type EngineInternals, type EnginePart } from './substitutes.js'
import { type Controlled, PoolControls } from './pool-controls.js'
import { StatementRunner } from '../execution/statement-runner.js'
import { isObject } from '../internal/revoked.js'

const BRAND = Symbol.for('lifeguard.engine')
const CANCEL_MILLIS = 3_000

/** The parts of an engine that a test may replace. */
export interface EngineParts {
  readonly options: ResolvedEngineOptions
  readonly driver?: Driver | undefined
  readonly clock?: Clock | undefined
  /** How long a cancel, or a ROLLBACK, may take before its connection is closed. Default 3000. */
  readonly cancelTimeoutMillis?: number | undefined
}

/**
 * One database and its pool of connections. Make one per database and process, and `dispose()` it when the process
 * shuts down. Made by {@link createEngine}.
 */
export class Engine extends PoolControls implements AsyncDisposable {
  readonly name: string
  readonly #id = nextEngineId()
  readonly #options: ResolvedEngineOptions
  readonly #driver: Driver
  readonly #clock: Clock
  readonly #events = new Emitter<EngineEvents>()
  readonly #defaults: SetupDefaults
  readonly #host: PipelineHost
  /** Ends what lives outside the pool (LISTEN) when the engine is disposed. */
  readonly #ending = new AbortController()
  /** The closes that still run outside the pool: of LISTEN, and of pools that were replaced. */
  readonly #closing = new Set<Promise<unknown>>()
  /** Called once, when the engine is disposed and everything is closed. */
  readonly #atEnd = new Set<() => void>()
  readonly #clientCalls = new ClientCalls()
  readonly #part: EnginePart = {}
  #pool: Pool
  readonly #substitutes = new Substitutes({
    pool: () => this.#pool,
    use: (pool) => (this.#pool = pool),
    create: (driver) => this.#createPool(driver),
    isDisposed: () => this.#disposal !== undefined,
  })
  #echo: Echo
  #observer: PipelineObserver | undefined
  #disposal: Promise<DisposeReport> | undefined

  /** Use {@link createEngine}. */
  constructor(parts: EngineParts) {
    super(parts)
    const { options, driver, clock = systemClock, cancelTimeoutMillis = CANCEL_MILLIS } = parts
    this.#options = options
    this.#defaults = { transaction: options.transaction, beginnings: createBeginnings() }
    this.#clock = clock
    this.#driver =
      driver ??
      createPgDriver({
        ...options.connect,
        calls: this.#clientCalls,
        types: options.types,
        statementCacheSize: options.statementCacheSize,
        hideParameters: options.hideParameters,
        onNotice: tellNotices(() => this.name, this.#events),
        statementCacheMaxBytes: options.statementCacheMaxBytes,
        statementCacheMaxAgeMillis: options.statementCacheMaxAgeMillis,
      })
    this.name = options.name ?? this.#driver.target
    this.#echo = options.echo
    this.#observer = createEcho(options.echo, this.name, options.hideParameters)
    this.#pool = this.#createPool()
    this.#host = createHost({
      name: this.name,
      engineId: this.#id,
      options,
      clock,
      cancelTimeoutMillis,
      pool: () => this.#pool,
      observer: () => this.#observer,
    })
    this.#events.on('connect', ({ connection }) => (this.#part.latest = new WeakRef(connection)))
    Object.defineProperty(this, BRAND, { value: true })
    setMaxListeners(0, this.#ending.signal) // Any number of listen() may wait for the end.
  }

  /** Also true for an engine that another copy of this package made. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isObject(value) && BRAND in value
  }

  /** node-postgres as this package loads it: for what has to look like its classes. @internal */
  static get nodePostgres(): NodePostgres {
    return nodePostgres()
  }

  /**
   * Takes a connection from the pool and holds it until it is closed.
   * @throws PoolTimeoutError, ConnectError, EngineDisposedError, AbortedError, InvalidOptionError.
   */
  async connect(options: ConnectionOptions = {}): Promise<Connection> {
    refuseUnknownKeys('connect', options, CONNECTION_OPTION_NAMES)
    return await this.#connect(this.setUp(options, { releaseWhenIdle: false }))
  }

  /**
   * Makes a connection with other options on the lease of `earlier`, and closes that. After a loss it acquires another lease.
   * @throws as `connect`; IllegalStateError while `earlier` is in a transaction, or busy.
   * @internal
   */
  async connectOn(earlier: Connection, options: ConnectionOptions): Promise<Connection> {
    const setup = this.setUp(options, { releaseWhenIdle: false })
    const lease = earlier.handOver()
    return lease === undefined ? this.#connect(setup) : new Connection({ engine: this, setup, lease })
  }

  /**
   * Runs a block in a transaction on a separate connection: committed when it returns, rolled back when it throws.
   * @throws what the block throws; otherwise as `connect` and `Connection.commit`, and UnawaitedStatementError.
   * @example
   * await engine.begin((connection) => connection.execute('truncate songs'))
   */
  async begin<Value>(
    work: (connection: Connection) => Value | Promise<Value>,
    options: BeginOptions = {},
  ): Promise<Value> {
    checkCallback('begin', work)
    refuseUnknownKeys('begin', options, BEGIN_OPTION_NAMES)
    const setup = this.setUp(options, { releaseWhenIdle: false })
    // One async context from the acquire on, so that an exhausted pool can tell that a caller waits for its own connection.
    // `return await`, here and in `connect`: without it a stack ends before the caller's line.
    return await runInScope(this, setup, async () => {
      const connection = await this.#connect(setup)
      try {
        return await connection.runOwned(() => work(connection), options.signal)
      } finally {
        await connection.close()
      }
    })
  }

  /**
   * Yields the notifications of a channel, on a connection outside the pool; after a loss it connects and listens again. Ends with
   * the signal, `break` or `dispose()`. Notifications that were sent while it was disconnected are lost.
   * @example
   * for await (const { payload } of engine.listen('songs', { signal })) invalidate(payload)
   */
  listen(channel: string, options: ListenOptions = {}): AsyncGenerator<Notification, void, undefined> {
    checkListenOptions(options)
    this.#substitutes.requireListen()
    return listen({
      source: this.#host.source,
      driver: this.#driver,
      clock: this.#clock,
      connectTimeoutMillis: this.#options.pool.connectTimeoutMillis,
      channel,
      keepAliveMillis: this.#options.pool.keepAliveMillis,
      pingTimeoutMillis: this.#options.pool.prePingTimeoutMillis,
      ending: this.#ending.signal,
      onClosing: (closing) => this.#awaitAtEnd(closing),
      signal: options.signal,
      onConnect: options.onConnect,
    })
  }

  /**
   * Adds a listener for an event of the pool, or for notices of the server; returns a function that removes it. An error of a
   * listener becomes a warning.
   * @example
   * engine.on('notice', ({ severity, message }) => console.log(severity, message))
   */
  on<Name extends keyof EngineEvents>(
    event: Name,
    listener: (payload: EngineEvents[Name]) => unknown,
  ): Unsubscribe {
    checkEvent(event)
    checkCallback('on', listener)
    return this.#events.on(event, listener)
  }

  /**
   * Replaces every connection: idle ones now, checked-out ones when they are released. Until then checked-out connections
   * prepare each statement again. Call it after a migration that another process has made.
   */
  refresh(): void {
    schemaGeneration().current++
    this.#pool.refresh()
  }

  /**
   * SQLAlchemy's `dispose()`: replaces the pool by an empty one, and disposes the old pool. The engine stays usable. Callers
   * that wait for a connection of the old pool get one of the new pool. Holders of a connection may finish until the deadline;
   * then they get a ConnectionLostError.
   */
  recreate(options: DisposeOptions = {}): Promise<DisposeReport> {
    if (this.#disposal !== undefined) return this.#disposal
    const old = this.#pool
    this.#pool = old.recreate()
    const disposal = old.dispose(options)
    this.#awaitAtEnd(disposal)
    return disposal
  }

  /**
   * Ends the engine: refuses new work, rejects waiting callers, lets checked-out connections finish until the deadline, then
   * cancels their statements on the server and closes them. Afterwards neither the server nor the process has a connection
   * left. Never rejects; a second call returns the report of the first.
   * @param options `timeoutMillis`: default 10000; 0 = at once, null = no limit.
   */
  dispose(options: DisposeOptions = {}): Promise<DisposeReport> {
    this.#disposal ??= this.#dispose(options)
    return this.#disposal
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose().then(() => undefined)
  }

  /** How statements are printed: see `EngineOptions.echo`. May be changed at any time. */
  get echo(): Echo {
    return this.#echo
  }

  set echo(echo: Echo) {
    this.#echo = checkEcho(echo)
    this.#observer = createEcho(echo, this.name, this.#options.hideParameters)
  }

  /** How pipelines with certain options are set up. @throws InvalidOptionError @internal */
  setUp(options: ConnectionOptions, hold: HoldOptions): PipelineSetup {
    return resolveSetup(options, hold, this.#defaults)
  }

  /** A pipeline with the pool. For `Connection` and `Session`. @internal */
  openPipeline(setup: PipelineSetup, owner: ExecutionOwner): StatementRunner {
    return new StatementRunner(new Pipeline(this.#host, setup, owner), this.#host, owner)
  }

  /**
   * A connection of the pool, for integrations that use the driver directly. The caller must release it.
   * @param above The public function that was called: a lease that is not released is reported with the line that called it.
   * @throws as `connect`
   * @internal
   */
  lease(options: AcquireOptions, above: (...parameters: never[]) => unknown): Promise<Lease> {
    return this.#host.acquire(options, this.#host.callSites?.capture(above))
  }

  /** What integrations read. Not a property, which a printed engine would show. @internal */
  internals(): EngineInternals {
    return {
      options: this.#options,
      observer: this.#observer,
      substitutes: this.#substitutes,
      host: this.#host,
      place: this.#driver.place,
      clientCalls: this.#clientCalls,
      atEnd: this.#atEnd,
      events: this.#events,
      part: this.#part,
    }
  }

  protected override get controlled(): Controlled {
    return { pool: this.#pool, clock: this.#clock, part: this.#part }
  }

  #awaitAtEnd(closing: Promise<unknown>): void {
    this.#closing.add(closing)
    void closing.finally(() => this.#closing.delete(closing))
  }

  async #dispose(options: DisposeOptions): Promise<DisposeReport> {
    this.#ending.abort()
    const report = await this.#pool.dispose(options)
    await this.#substitutes.dispose(options)
    await Promise.allSettled(this.#closing)
    for (const end of this.#atEnd) end()
    return report
  }

  async #connect(setup: PipelineSetup): Promise<Connection> {
    try {
      const lease = await this.#host.acquire(setup.acquire, undefined)
      return new Connection({ engine: this, setup, lease })
    } catch (error) {
      // Made by a timer or a socket: here the stack leads to the caller's line.
      if (error instanceof LifeguardError) captureStack(error, captureStack)
      throw error
    }
  }

  #createPool(driver = this.#driver): Pool {
    const { pool } = this.#options
    return new pool.poolClass({
      driver,
      options: pool,
      name: this.name,
      engineId: this.#id,
      clock: this.#clock,
      events: this.#events,
    })
  }
}

/**
 * Makes an engine. Opens no connection before the first statement needs one, except with `minIdle`.
 *
 * @throws InvalidOptionError for an unknown option (naming the nearest known one), a wrong type, a value out of range
 *   or a contradiction.
 * @example
 * const engine = createEngine({ url: process.env.DATABASE_URL, poolSize: 5, maxOverflow: 10 })
 */
export function createEngine(options: EngineOptions = {}): Engine {
  return new Engine({ options: resolveEngineOptions(options) })
}
