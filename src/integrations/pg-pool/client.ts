/**
 * A client of the pool with pg's interface. Each physical connection has one client for its whole life, because libraries keep their
 * state of a connection by its client.
 */
import type { EventEmitter } from 'node:events'

import type { DriverConnection } from '../../driver/driver.js'
import { InvalidOptionError } from '../../index.js'
import { calling, withCallersStack } from './callbacks.js'
import type { Checkout } from './checkout.js'
import { ClientMembers } from './client-members.js'
import { readArguments, type Callback, type GivenConfig } from './query-arguments.js'
import type { Settle } from './sent-query.js'
import type { ClientConnection, PoolClient, QueryResult, TransactionStatus } from './types.js'

/** What is read of node-postgres's client behind a connection. */
interface NativeClient extends EventEmitter {
  readonly connection: ClientConnection
  readonly connectionParameters: object
  readonly user?: string | undefined
  readonly database?: string | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
}

/** Options of the pool that its clients show. */
export interface ClientOptions {
  readonly pipeline: boolean
  readonly binary: boolean
}

const STATUSES: Readonly<Record<DriverConnection['transactionStatus'], TransactionStatus>> = {
  idle: 'I',
  transaction: 'T',
  failed: 'E',
  unknown: null,
}

export class LeasedClient extends ClientMembers implements PoolClient {
  /** Set for each checkout, so that the function of an earlier checkout cannot end a later one. */
  release!: PoolClient['release']
  readonly pipeline: boolean
  readonly binary: boolean
  // Read by libraries that look into pg's clients.
  readonly _connected: boolean = true
  _ending: boolean = false
  readonly #connection: DriverConnection
  #checkout: Checkout | undefined

  constructor(connection: DriverConnection, { pipeline, binary }: ClientOptions) {
    super()
    this.#connection = connection
    this.pipeline = pipeline
    this.binary = binary
    this.on('end', () => this.#checkout?.lost())
  }

  /** Begins a checkout. */
  checkOut(checkout: Checkout): void {
    this.#checkout = checkout
  }

  /** The checkout is the caller's, who has to release it. */
  handOut(): void {
    const { checkout } = this
    const release: PoolClient['release'] = (error) => checkout.release(error, release)
    this.release = release
  }

  /** The last one: its client may be released. */
  get checkout(): Checkout {
    return this.#checkout as Checkout
  }

  /** As pg's `query`, in all its forms. */
  query(query: unknown, values?: unknown, callback?: unknown): never {
    const given = readArguments(query, values, callback)
    const { config, submittable } = given
    if (submittable !== undefined) {
      const target = submittable as { callback?: unknown }
      if (given.callback !== undefined) target.callback ??= given.callback
      this.checkout.submit(submittable)
      return submittable as never
    }
    return this.run(config as GivenConfig, given.callback) as never
  }

  /** Runs a query that is no Submittable. */
  run(config: GivenConfig, callback: Callback | undefined): Promise<QueryResult> | undefined {
    const { checkout } = this
    if (callback !== undefined) {
      checkout.query(config, calling(callback, null), this.ownTypes)
      return undefined
    }
    return new Promise<QueryResult>((resolve, reject) => {
      const settle: Settle = (error, result) => {
        if (error === null) resolve(result as QueryResult)
        else reject(error)
      }
      checkout.query(config, settle, this.ownTypes)
    }).catch(withCallersStack)
  }

  end(callback?: (error: Error) => void): never {
    this._ending = true
    const ended = this.#connection.close(CLOSE_MILLIS)
    if (callback === undefined) return ended as never
    void ended.then(callback as () => void)
    return undefined as never
  }

  getTransactionStatus(): TransactionStatus {
    return this.#checkout?.holdsBegin === true ? 'T' : STATUSES[this.#connection.transactionStatus]
  }

  ref(): void {
    this.#connection.ref()
  }

  unref(): void {
    this.#connection.unref()
  }

  get processID(): number {
    return this.#connection.processId
  }

  /** @throws InvalidOptionError if the driver has none. */
  get connection(): ClientConnection {
    const native = this.#native
    if (native !== undefined) return native.connection
    throw new InvalidOptionError('connection', 'The driver of this engine has no connection of node-postgres')
  }

  get connectionParameters(): object {
    return this.#native?.connectionParameters ?? {}
  }

  get user(): string | undefined {
    return this.#native?.user
  }

  get database(): string | undefined {
    return this.#native?.database
  }

  get host(): string {
    return this.#native?.host ?? ''
  }

  get port(): number {
    return this.#native?.port ?? 0
  }

  get ssl(): boolean {
    return (this.#native?.connection.stream as { encrypted?: boolean } | undefined)?.encrypted === true
  }

  get _queryable(): boolean {
    return this.#connection.lost === undefined
  }

  get _txStatus(): TransactionStatus {
    return this.getTransactionStatus()
  }

  get #native(): NativeClient | undefined {
    return this.#connection.submittables?.client() as NativeClient | undefined
  }
}

const CLOSE_MILLIS = 3_000
