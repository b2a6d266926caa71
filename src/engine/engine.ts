/** The engine: one database, one pool, and everything that starts from it. */
import { createPgDriver } from '../driver/pg-driver.js'
import type { Driver } from '../driver/driver.js'
import { InvalidOptionError } from '../errors.js'
import { systemClock, type Clock } from '../internal/clock.js'
import { Emitter, type Unsubscribe } from '../internal/emitter.js'
import { refuseUnknownKeys } from '../internal/validate.js'
import type { PoolEvents } from '../pool/events.js'
import type { DisposeReport, Lease, Pool } from '../pool/pool.js'
import type { PoolStats } from '../pool/stats.js'
import { createBeginnings, type Beginning } from './begin-plan.js'
import { runBlock } from './block.js'
import { Connection } from './connection.js'
import { Conversation } from './conversation.js'
import { createEcho, type Echo } from './echo.js'
import type { ExecutorParts } from './executor.js'
import { listen, type ListenOptions, type Notification } from './listen.js'
import { checkEcho, resolveEngineOptions, type EngineOptions, type ResolvedEngineOptions } from './options.js'
import { SavepointScopes, type ScopeHooks } from './savepoint-scopes.js'
import { StatementRunner } from './statement-runner.js'
import {
  checkTransactionOptions,
  mergeTransactionOptions,
  TRANSACTION_OPTION_NAMES,
  type TransactionOptions,
} from './transaction-options.js'

/** Options of `engine.connect()` and `engine.begin()`. */
export interface ConnectionOptions extends TransactionOptions {
  /** Gives up waiting for a connection; for `begin`, ends the block as well. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of the engine's `poolTimeoutMillis`. */
  readonly poolTimeoutMillis?: number | null | undefined
}

/** Options of `engine.connect()`. */
export interface ConnectOptionsOfEngine extends ConnectionOptions {
  /** True: no transaction; every statement stands alone, unless `begin()` is called. Default false. */
  readonly autocommit?: boolean | undefined
}

/** How a conversation is set up; shared by connections and sessions. */
export interface ConversationOptions extends ConnectOptionsOfEngine {
  readonly releaseWhenIdle: boolean
  readonly requireOpen: () => void
  readonly beforeStatement?: (() => Promise<void> | undefined) | undefined
  readonly scopeHooks?: ScopeHooks | undefined
  /** A transaction has begun. Must not throw. */
  readonly onBegin?: (() => void) | undefined
}

/** A conversation with what runs on it. */
export interface OpenConversation extends ExecutorParts {
  readonly beginning: Beginning
  /** Takes a connection from the pool. */
  readonly acquire: () => Promise<Lease>
}

const CANCEL_MILLIS = 3_000

/** The parts of an engine that a test may replace. */
export interface EngineParts {
  readonly options: ResolvedEngineOptions
  readonly driver?: Driver | undefined
  readonly clock?: Clock | undefined
}

/**
 * One database and its pool of connections. Make one per database and process, and `dispose()` it when the process
 * shuts down. Made by {@link createEngine}.
 */
export class Engine implements AsyncDisposable {
  readonly name: string
  readonly #options: ResolvedEngineOptions
  readonly #driver: Driver
  readonly #clock: Clock
  readonly #events = new Emitter<PoolEvents>()
  readonly #beginnings = createBeginnings()
  /** Ends what lives outside the pool (LISTEN) when the engine is disposed. */
  readonly #ending = new AbortController()
  #pool: Pool
  #echo: Echo
  #disposal: Promise<DisposeReport> | undefined

  /** Use {@link createEngine}. */
  constructor({ options, driver, clock = systemClock }: EngineParts) {
    this.#options = options
    this.#clock = clock
    this.#driver =
      driver ??
      createPgDriver({
        ...options.connect,
        types: options.types,
        statementCacheSize: options.statementCacheSize,
      })
    this.name = options.name ?? this.#driver.target
    this.#echo = options.echo
    this.#pool = this.#createPool()
  }

  /**
   * Takes a connection from the pool and holds it until it is closed.
   * @throws PoolTimeoutError, ConnectError, EngineDisposedError, AbortedError, InvalidOptionError.
   */
  async connect(options: ConnectOptionsOfEngine = {}): Promise<Connection> {
    refuseUnknownKeys('connect', options, [
      'signal',
      'poolTimeoutMillis',
      'autocommit',
      ...TRANSACTION_OPTION_NAMES,
    ])
    // The connection is made before it can be closed, and asked for it only afterwards.
    let connection: Connection | undefined = undefined
    const parts = this.converse({
      ...options,
      releaseWhenIdle: false,
      requireOpen: () => connection?.requireOpen(),
    })
    const lease = await parts.acquire()
    parts.conversation.adopt(lease)
    connection = new Connection({ ...parts, lease, beginPlan: parts.beginning.plan })
    return connection
  }

  /**
   * Runs a block in a transaction on a connection of its own: committed when it returns, rolled back when it throws.
   * @throws what the block throws; otherwise as `connect` and `Connection.commit`, and UnawaitedStatementError.
   * @example
   * await engine.begin((connection) => connection.execute('truncate songs'))
   */
  async begin<Value>(
    work: (connection: Connection) => Value | Promise<Value>,
    options: ConnectionOptions = {},
  ): Promise<Value> {
    requireFunction(work, 'begin')
    refuseUnknownKeys('begin', options, ['signal', 'poolTimeoutMillis', ...TRANSACTION_OPTION_NAMES])
    let connection: Connection | undefined = undefined
    const parts = this.converse({
      ...options,
      releaseWhenIdle: false,
      requireOpen: () => connection?.requireOpen(),
    })
    const { conversation, runner } = parts
    const lease = await parts.acquire()
    conversation.adopt(lease)
    const opened = new Connection({ ...parts, lease, beginPlan: parts.beginning.plan })
    connection = opened
    const owner = { conversation, runner, commit: () => opened.commit(), rollback: () => opened.rollback() }
    try {
      return await runBlock(owner, () => work(opened), { signal: options.signal })
    } finally {
      await opened.close()
    }
  }

  /**
   * Notifications of a channel, on a connection of its own that is made anew (and listens again) after a loss. Ends with
   * the signal, with `break`, or with the engine. Notifications sent while the connection was lost are not repeated.
   * @example
   * for await (const { payload } of engine.listen('songs', { signal })) invalidate(payload)
   */
  listen(channel: string, options: ListenOptions = {}): AsyncGenerator<Notification, void, undefined> {
    return listen({
      driver: this.#driver,
      clock: this.#clock,
      connectTimeoutMillis: this.#options.pool.connectTimeoutMillis,
      channel,
      ending: this.#ending.signal,
      signal: options.signal,
      onConnect: options.onConnect,
    })
  }

  /** Gauges, counters and histograms of the pool at this moment. */
  stats(): PoolStats {
    return this.#pool.stats()
  }

  /** The pool in one line, for people. */
  status(): string {
    return this.#pool.status()
  }

  /** Adds a listener for an event of the pool; returns what removes it. What a listener throws becomes a warning. */
  on<Name extends keyof PoolEvents>(
    event: Name,
    listener: (payload: PoolEvents[Name]) => unknown,
  ): Unsubscribe {
    return this.#events.on(event, listener)
  }

  /** Changes the pool's limits; connections above them are closed when they come back. */
  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void {
    this.#pool.resize(limits)
  }

  /** Holds every new acquire until `resume()`, for example during a planned failover. */
  suspend(): void {
    this.#pool.suspend()
  }

  resume(): void {
    this.#pool.resume()
  }

  /** Replaces every connection: idle ones now, borrowed ones when they come back. */
  refresh(): void {
    this.#pool.refresh()
  }

  /**
   * SQLAlchemy's `dispose()`: swaps in an empty pool and disposes the old one. The engine goes on; who waited on the old
   * pool is rejected, who holds a connection of it may finish until the deadline.
   */
  recreate(options: { readonly timeoutMillis?: number } = {}): Promise<DisposeReport> {
    if (this.#disposal !== undefined) return this.#disposal
    const old = this.#pool
    this.#pool = this.#createPool()
    return old.dispose(options)
  }

  /**
   * Ends the engine: refuses new work, rejects who waits, lets borrowed connections finish until the deadline, then
   * cancels their statements on the server and drops them. Afterwards no backend and no handle is left. Never rejects;
   * a second call gives the first one's report.
   * @param options `timeoutMillis`: default 10000; 0 = at once.
   */
  dispose(options: { readonly timeoutMillis?: number } = {}): Promise<DisposeReport> {
    this.#ending.abort()
    this.#disposal ??= this.#pool.dispose(options)
    return this.#disposal
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose().then(() => undefined)
  }

  /** What is printed of statements; may be changed at any time, for conversations that start later. */
  get echo(): Echo {
    return this.#echo
  }

  set echo(echo: Echo) {
    this.#echo = checkEcho(echo)
  }

  /**
   * Sets up a conversation with the pool. For `Connection` and `Session`.
   * @internal
   */
  converse(options: ConversationOptions): OpenConversation {
    const { hideParameters, pool } = this.#options
    const transaction = this.#transactionOptions(options)
    const beginning = this.#beginnings(transaction)
    const { autocommit = false, signal, poolTimeoutMillis: timeoutMillis } = options
    const acquire = (): Promise<Lease> =>
      this.#pool.acquire({ signal, timeoutMillis, proof: autocommit ? 'pool' : 'caller' })
    const conversation = new Conversation({
      acquire,
      clock: this.#clock,
      begin: autocommit ? undefined : beginning.plan,
      releaseWhenIdle: options.releaseWhenIdle,
      readOnly: transaction.readOnly === true,
      prePingTimeoutMillis: pool.prePingTimeoutMillis,
      cancelTimeoutMillis: CANCEL_MILLIS,
      observer: createEcho(this.#echo, this.name, hideParameters),
      onBegin: options.onBegin,
    })
    const scopes = new SavepointScopes(conversation, options.scopeHooks)
    const runner = new StatementRunner({
      conversation,
      scopes,
      clock: this.#clock,
      hideParameters,
      requireOpen: options.requireOpen,
      beforeStatement: options.beforeStatement,
    })
    return { conversation, scopes, runner, beginning, acquire }
  }

  #transactionOptions(narrower: TransactionOptions): TransactionOptions {
    checkTransactionOptions(narrower)
    return mergeTransactionOptions(this.#options.transaction, narrower)
  }

  #createPool(): Pool {
    const { pool } = this.#options
    return new pool.poolClass({
      driver: this.#driver,
      options: pool,
      name: this.name,
      clock: this.#clock,
      events: this.#events,
    })
  }
}

/**
 * Makes an engine. Opens nothing: the first connection is made when the first statement needs it.
 *
 * @throws InvalidOptionError for an unknown option (naming the nearest known one), a wrong type, a value out of range
 *   or a contradiction.
 * @example
 * const engine = createEngine({ url: process.env.DATABASE_URL, poolSize: 5, maxOverflow: 10 })
 */
export function createEngine(options: EngineOptions = {}): Engine {
  return new Engine({ options: resolveEngineOptions(options) })
}

/** @throws InvalidOptionError if a callback is none. */
export function requireFunction(work: unknown, where: string): void {
  if (typeof work === 'function') return
  throw new InvalidOptionError(
    where,
    `${where} takes a function, not ${work === null ? 'null' : typeof work}`,
  )
}
