/**
 * The clients of one pool, by their connections. The pool keeps an idle client alive, with the state that libraries have attached to
 * it. Only the caller refers to a checked-out client, so a forgotten client is garbage-collected, and the pool reclaims its
 * connection.
 */
import type { EventEmitter } from 'node:events'

import type { DriverConnection } from '../../driver/driver.js'
import type { Borrowed } from './checkout.js'
import { LeasedClient, type ClientOptions } from './client.js'

/** Told of a connection that was lost while it was idle. */
type LossListener = (error: Error, client: LeasedClient) => void

/** The state of one connection of the pool. */
export class KnownConnection {
  readonly connection: DriverConnection
  readonly texts: Map<string, string> = new Map()
  uses = 0
  /** `onConnect` and `verify` of the options have passed. */
  isReady = false
  readonly #options: ClientOptions
  readonly #onIdleLoss: LossListener
  #weak: WeakRef<LeasedClient>
  #isLost = false
  /** While it is idle. */
  #held: LeasedClient | undefined

  constructor(connection: DriverConnection, options: ClientOptions, onIdleLoss: LossListener) {
    this.connection = connection
    this.#options = options
    this.#onIdleLoss = onIdleLoss
    this.#held = this.#create()
    this.#weak = new WeakRef(this.#held)
    this.#relay()
  }

  /** The client; a new one if its last caller has lost it. */
  get client(): LeasedClient {
    const client = this.living ?? this.#create()
    if (this.living === undefined) this.#weak = new WeakRef(client)
    return client
  }

  /** The client, if anything still has it. */
  get living(): LeasedClient | undefined {
    return this.#weak.deref()
  }

  /** The client is its caller's. */
  letGo(): void {
    this.#held = undefined
  }

  /** The connection is idle again. */
  keep(client: LeasedClient): void {
    this.#held = client
  }

  #create(): LeasedClient {
    const client = new LeasedClient(this.connection, this.#options)
    // Always there: without a listener, an error would end the process. A waiting caller gets the error by its query.
    client.on('error', (error: Error) => {
      if (this.#held !== client || this.#isLost) return
      this.#isLost = true
      this.#drop(error)
      Object.defineProperty(error, 'client', { value: client, configurable: true })
      this.#onIdleLoss(error, client)
    })
    return client
  }

  /** As in pg, an error of an idle client ends its connection, whether the client or the connection reports it. */
  #drop(error: Error): void {
    const { connection } = this
    if (connection.lost === undefined) connection.onLost?.(error)
  }

  /** Passes on what node-postgres's client says. Its listeners live as long as the connection, so they must not keep the client. */
  #relay(): void {
    const native = this.connection.submittables?.client() as EventEmitter | undefined
    if (native === undefined) {
      this.connection.onNotification = (message) => this.living?.emit('notification', message)
      return
    }
    for (const event of ['notice', 'notification', 'end', 'error'])
      native.on(event, (message) => this.living?.emit(event, message))
  }
}

/** A client that is checked out. */
export interface BorrowedClient extends Borrowed {
  readonly known: KnownConnection
  readonly client: LeasedClient
}

/** The clients of one pool. */
export class Clients {
  readonly #known = new Map<DriverConnection, KnownConnection>()
  readonly #options: ClientOptions
  readonly #onIdleLoss: LossListener

  constructor(options: ClientOptions, onIdleLoss: LossListener) {
    this.#options = options
    this.#onIdleLoss = onIdleLoss
  }

  /** Of the connections that this face has checked out at some time, and that are open. */
  all(): LeasedClient[] {
    return [...this.#known.values()].flatMap(({ living }) => living ?? [])
  }

  of(connection: DriverConnection): KnownConnection {
    let known = this.#known.get(connection)
    if (known === undefined) {
      known = new KnownConnection(connection, this.#options, this.#onIdleLoss)
      this.#known.set(connection, known)
    }
    return known
  }

  /** The connection is closed. */
  remove(connection: DriverConnection): KnownConnection | undefined {
    const known = this.#known.get(connection)
    this.#known.delete(connection)
    return known
  }
}
