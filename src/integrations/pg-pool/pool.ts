/** A pool with the interface of `pg.Pool`, on an engine. */
import { EventEmitter } from 'node:events'

import type { DriverConnection } from '../../driver/driver.js'
import type { Lease } from '../../pool/pool.js'
import { createEngine, Engine, EngineDisposedError, IllegalStateError, type PoolStats } from '../../index.js'
import { connectError } from './answers.js'
import { Checkout, type CheckoutHost } from './checkout.js'
import { callBack, calling, guarded, withCallersStack } from './callbacks.js'
import type { LeasedClient } from './client.js'
import { Clients, type BorrowedClient, type KnownConnection } from './clients.js'
import {
  engineOptionsOf,
  faceOptionsFor,
  faceOptionsOf,
  type FaceOptions,
  type PoolConfig,
} from './options.js'
import { keepProcessAlive } from './process-life.js'
import { PoolUse } from './pool-use.js'
import { readArguments, type Callback, type GivenConfig, type GivenQuery } from './query-arguments.js'
import { refuse } from './query-queue.js'
import type { Settle } from './sent-query.js'
import type {
  PoolClient,
  PoolSettings,
  QueryArrayConfig,
  QueryCallback,
  QueryConfig,
  QueryResult,
  QueryResultRow,
  QueryValues,
  Submittable,
} from './types.js'

type Open = ReturnType<typeof JSON.parse>
type Release = (error?: Open) => void
type ConnectCallback = (error: Error | undefined, client: PoolClient | undefined, release: Release) => void

/** Events of a pool, with what their listeners get. */
type PoolEvent = 'error' | 'release' | 'connect' | 'acquire' | 'remove'

const NOTHING = (): void => undefined

/**
 * The interface of `pg.Pool` on an engine, for code that is written for `pg.Pool`. Made from an engine by {@link poolFrom}, or in place of
 * `new pg.Pool(options)`; then it has an engine of its own, which `end()` disposes.
 *
 * Errors of the server are pg's, so `code` is the SQLSTATE.
 */
export class Pool extends EventEmitter {
  /** Settings that libraries read. */
  options: PoolSettings
  readonly #engine: Engine
  /** It was made for this pool. */
  readonly #isOwn: boolean
  readonly #face: FaceOptions
  readonly #clients: Clients
  readonly #host: CheckoutHost<BorrowedClient>
  readonly #forget: () => void
  #ending = false
  #ended = false
  readonly #use: PoolUse

  /**
   * Opens nothing.
   * @param options pg's options (see docs/coming-from-pg.md), or an engine.
   * @throws InvalidOptionError for an option that pg does not have, or that does not exist here.
   */
  constructor(options: PoolConfig | Engine = {}) {
    super()
    this.#isOwn = !(options instanceof Engine)
    this.#engine = options instanceof Engine ? options : createEngine(engineOptionsOf(options))
    this.#face = options instanceof Engine ? faceOptionsFor(options) : faceOptionsOf(options)
    this.#use = new PoolUse({ awaitsClients: !this.#isOwn })
    this.options = this.#face.settings
    const { host, options: engineOptions } = this.#engine.internals()
    this.#host = {
      pipelines: host,
      captureStacks: engineOptions.pool.captureStacks,
      types: engineOptions.types,
      queryTimeoutMillis: this.#face.queryTimeoutMillis,
      binary: this.#face.binary,
      released: (item, error) => this.#released(item, error),
      returned: (item) => this.#returned(item),
    }
    this.#clients = new Clients(this.#face, (error, client) => this.emit('error', error, client))
    const ended = [
      this.#engine.on('close', ({ connection }) => this.#removed(connection)),
      this.#engine.on('detach', ({ connection }) => this.#removed(connection)),
      this.options.allowExitOnIdle ? NOTHING : keepProcessAlive(this.#engine),
    ]
    this.#forget = () => {
      for (const end of ended) end()
    }
    // An 'error' without a listener would end the process. Some libraries warn where a pool has no listeners.
    this.on('error', NOTHING)
    this.on('connect', NOTHING)
  }

  /**
   * Checks a client out; `client.release()` returns it to the pool.
   * @throws PoolTimeoutError, PoolQueueFullError, EngineDisposedError; the error of the socket or of the server if no connection can be made.
   */
  connect(): Promise<PoolClient>
  connect(callback: ConnectCallback): void
  connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    const acquiring = this.#acquire(Pool.prototype.connect)
    if (callback === undefined) return acquiring.catch(withCallersStack)
    acquiring.then(
      (client) => guarded(() => callback(undefined, client, client.release)),
      (error: unknown) => guarded(() => callback(error as Error, undefined, NOTHING)),
    )
    return undefined
  }

  /** Runs one query on a client of its own, in the forms of pg. A Submittable keeps its client until it has ended. */
  query<Query extends Submittable>(query: Query): Query
  query<Row extends Open[] = Open[], Values = Open[]>(
    config: QueryArrayConfig<Values>,
    values?: QueryValues<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    config: QueryConfig<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    textOrConfig: string | QueryConfig<Values>,
    values?: QueryValues<Values>,
  ): Promise<QueryResult<Row>>
  query<Row extends Open[] = Open[], Values = Open[]>(
    config: QueryArrayConfig<Values>,
    callback: QueryCallback<Row>,
  ): void
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    textOrConfig: string | QueryConfig<Values>,
    callback: QueryCallback<Row>,
  ): void
  query<Row extends QueryResultRow = Open, Values = Open[]>(
    text: string,
    values: QueryValues<Values>,
    callback: QueryCallback<Row>,
  ): void
  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    if (typeof query === 'function') {
      const error = new TypeError('Passing a function as the first parameter to pool.query is not supported')
      setImmediate(query as Callback, error)
      return undefined
    }
    let given: GivenQuery
    try {
      given = readArguments(query, values, callback)
    } catch (error) {
      return Promise.reject(error)
    }
    const { config, submittable } = given
    if (config === undefined) return this.#submit(submittable as Submittable, given.callback)
    if (given.callback !== undefined) {
      this.#run(config, calling(given.callback, undefined))
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#run(config, (error, result) => (error === null ? resolve(result) : reject(error)))
    }).catch(withCallersStack)
  }

  /**
   * Lets what was asked for finish, and ends the pool. An engine of its own is disposed (its connections may be used for 10 s more); an
   * engine that it was made from stays open.
   */
  end(): Promise<void>
  end(callback: (error?: Error) => void): void
  end(callback?: (error?: Error) => void): Promise<void> | undefined {
    const ending = this.#ending
      ? Promise.reject(new IllegalStateError('Called end on pool more than once'))
      : this.#end()
    return callback === undefined ? ending : callBack(ending, callback)
  }

  get ending(): boolean {
    return this.#ending
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Connections of the engine, those that are being opened included. */
  get totalCount(): number {
    const { size, closing } = this.#stats
    return size - closing
  }

  get idleCount(): number {
    return this.#stats.idle
  }

  /** Callers that wait for a release. */
  get waitingCount(): number {
    const { waiting, connecting } = this.#stats
    return Math.max(0, waiting - connecting)
  }

  /** Always 0: a connection that is too old is closed when it is released. */
  get expiredCount(): number {
    return 0
  }

  /** As pg's, which tools read that watch a pool: the clients of its connections. */
  get _clients(): readonly PoolClient[] {
    return this.#clients.all()
  }

  /** For a library that opens a client of its own, with `options`. */
  get Client(): NodeClient {
    return Engine.nodePostgres.Client as NodeClient
  }

  get Promise(): PromiseConstructor {
    return Promise
  }

  override on(event: PoolEvent, listener: (first: Open, client: Open) => void): this
  override on(event: string | symbol, listener: (...parameters: Open[]) => void): this
  override on(event: string | symbol, listener: (...parameters: Open[]) => void): this {
    return super.on(event, listener)
  }

  get #stats(): PoolStats {
    return this.#engine.stats()
  }

  #run(config: GivenConfig, settle: Settle): void {
    this.#acquire(Pool.prototype.query).then(
      (client) => {
        const checkout = client.checkout
        checkout.query(
          config,
          (error, result) => {
            checkout.release(undefined, Pool.prototype.query)
            settle(error, result)
          },
          client.ownTypes,
        )
      },
      (error: unknown) => settle(error as Error),
    )
  }

  #submit(submittable: Submittable, callback: Callback | undefined): Submittable {
    const target = submittable as { callback?: unknown }
    if (callback !== undefined) target.callback ??= callback
    this.#acquire(Pool.prototype.query).then(
      ({ checkout }) => checkout.submit(submittable, () => checkout.release(undefined, Pool.prototype.query)),
      (error: unknown) => refuse(submittable, error as Error),
    )
    return submittable
  }

  /** @param above The public method, for the line of its caller. */
  async #acquire(above: (...parameters: never[]) => unknown): Promise<LeasedClient> {
    if (this.#ending) throw new EngineDisposedError('Cannot use a pool after calling end on the pool')
    this.#use.asked()
    this.#face.log('acquiring a client')
    try {
      const lease = await this.#engine.lease(NO_OPTIONS, above)
      const known = this.#clients.of(lease.connection)
      const client = this.#checkOut(lease, known)
      if (!known.isReady) await this.#prepare(known, client)
      if (above === Pool.prototype.connect) client.handOut()
      if (this.listenerCount('acquire') > 0) this.emit('acquire', client)
      return client
    } catch (error) {
      throw connectError(error)
    } finally {
      this.#use.answered()
    }
  }

  #checkOut(lease: Lease, known: KnownConnection): LeasedClient {
    const { client } = known
    this.#use.borrowed()
    known.letGo()
    client.checkOut(new Checkout(lease, { known, client, texts: known.texts }, this.#host))
    return client
  }

  /** The first checkout of a connection by this pool: what the caller wants to be done to each. */
  async #prepare(known: KnownConnection, client: LeasedClient): Promise<void> {
    const { onConnect, verify } = this.#face
    client.handOut()
    try {
      if (onConnect !== undefined) await onConnect(client)
      this.emit('connect', client)
      if (verify !== undefined) {
        await new Promise<void>((resolve, reject) => {
          verify(client, (error) => (error === undefined || error === null ? resolve() : reject(error)))
        })
      }
      known.isReady = true
    } catch (error) {
      client.release(error instanceof Error ? error : true)
      throw error
    }
  }

  #released({ known, client }: BorrowedClient, error: unknown): Error | undefined {
    known.uses++
    if (this.listenerCount('release') > 0) this.emit('release', error, client)
    const isSpent = known.uses >= this.options.maxUses
    if (isSpent) this.#face.log('remove expended client')
    if (!isSpent && !Boolean(error) && !client._ending) return undefined
    client._ending = true
    if (error instanceof Error) return error
    return new IllegalStateError(
      isSpent ? 'The connection was used maxUses times' : 'release(true) was called',
    )
  }

  #returned({ known, client }: BorrowedClient): void {
    known.keep(client)
    this.#use.returned()
  }

  #removed(connection: DriverConnection): void {
    const client = this.#clients.remove(connection)?.client
    if (client === undefined) return
    client._ending = true
    if (this.listenerCount('remove') > 0) this.emit('remove', client)
  }

  async #end(): Promise<void> {
    this.#ending = true
    await this.#use.quiet()
    if (this.#isOwn) await this.#engine.dispose()
    this.#forget()
    this.#ended = true
  }

  static {
    // A build may rename the class; rate-limiter-flexible looks for exactly this name.
    Object.defineProperty(this, 'name', { value: 'Pool' })
    // `instanceof pg.Pool`, by which Drizzle, Prisma and others tell a pool from a client.
    Object.setPrototypeOf(this.prototype, Engine.nodePostgres.Pool.prototype)
  }
}

const NO_OPTIONS = {}

/** pg's class of clients. */
type NodeClient = new () => Open
