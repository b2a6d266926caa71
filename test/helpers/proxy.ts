/**
 * A TCP proxy in front of PostgreSQL that knows the protocol: it counts round trips, records messages, and spoils the
 * connection at an exact place.
 */
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net'
import {
  type Cut,
  type CutStyle,
  type Network,
  ProxiedConnection,
  type Sender,
} from './proxied-connection.js'
import type { WireMessage } from './wire.js'

/** One exact place in what is sent. */
export interface Place {
  /** Whose messages are looked at. */
  readonly from: Sender
  /** Whether the message itself is still forwarded. */
  readonly when: 'before' | 'after'
  /**
   * The message: the n-th one (from 1) on any connection since the call, or the first for which the function is true.
   * Connecting consists of messages, too: open the connection first, or match by name.
   */
  readonly message: number | ((message: WireMessage) => boolean)
}

/** See {@link Proxy.cutAt}. */
export interface CutRule extends Place {
  /** Default `reset`. */
  readonly style?: CutStyle
}

type NewConnectionStyle = 'reset' | 'end'

interface Armed {
  readonly place: Place
  readonly style: CutStyle | 'hold'
  readonly resolve: (connection: ProxiedConnection) => void
  seen: number
}

/** Starts a proxy in front of the server of a connection string. Close it in the end. */
export async function startProxy(upstreamUrl: string): Promise<Proxy> {
  const proxy = new Proxy(upstreamUrl)
  await proxy.accept()
  return proxy
}

export class Proxy implements Disposable {
  #upstreamUrl: URL
  #server: Server | undefined
  #port = 0
  #connections: ProxiedConnection[] = []
  readonly #network: Network = { delayMillis: 0, held: new Set() }
  #newConnections: 'pass' | NewConnectionStyle = 'pass'
  #armed: Armed | undefined

  /** Use {@link startProxy}. */
  constructor(upstreamUrl: string) {
    this.#upstreamUrl = new URL(upstreamUrl)
  }

  get port(): number {
    return this.#port
  }

  /** The connection string, through the proxy. */
  get url(): string {
    const url = new URL(this.#upstreamUrl)
    url.hostname = '127.0.0.1'
    url.port = String(this.#port)
    return url.href
  }

  /** Every connection since the last `reset()` that was open then or opened later, oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return this.#connections
  }

  /** How many clients are connected. */
  get openConnections(): number {
    return this.#connections.filter((connection) => connection.open).length
  }

  /** Sum over the connections; see `ProxiedConnection.roundTrips`. */
  get roundTrips(): number {
    return this.#connections.reduce((sum, connection) => sum + connection.roundTrips, 0)
  }

  /** Forgets what was counted and recorded, and connections that have ended. */
  reset(): void {
    this.#connections = this.#connections.filter((connection) => connection.open)
    for (const connection of this.#connections) connection.reset()
  }

  /** Everything gets through again; what a black hole held back is delivered now, as when a network heals. */
  pass(): void {
    this.#newConnections = 'pass'
    this.#change({ delayMillis: 0, held: new Set() })
  }

  /** Every byte takes this long, in each direction. */
  delay(millis: number): void {
    this.#change({ delayMillis: millis })
  }

  /** Nothing gets through any more and neither side is told, not even when the other hangs up. New connections, too. */
  blackHole(from: Sender | 'both' = 'both'): void {
    this.#change({ held: new Set<Sender>(from === 'both' ? ['client', 'server'] : [from]) })
  }

  /** New connections go to another server, as after a failover; those that exist stay where they are. */
  redirect(upstreamUrl: string): void {
    this.#upstreamUrl = new URL(upstreamUrl)
  }

  /** New connections are accepted and cut at once, until `pass()`. */
  cutNew(style: NewConnectionStyle = 'reset'): void {
    this.#newConnections = style
  }

  /** The port is closed: new connections get ECONNREFUSED. Those that exist go on. */
  refuse(): void {
    this.#server?.close()
    this.#server = undefined
  }

  /** Listens (again, on the same port). */
  async accept(): Promise<void> {
    if (this.#server !== undefined) return
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => this.#serve(client))
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Cuts every connection now. Resolves when the server has noticed and its backends have closed their sockets. */
  async cut(style: CutStyle = 'reset'): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.cut(style)))
  }

  /**
   * Cuts the one connection on which a certain message passes, exactly before or after that message. Resolves when the
   * server has processed everything that it was sent and has closed its socket: what is stored then stays stored.
   * One rule at a time; a new one replaces it.
   */
  async cutAt(rule: CutRule): Promise<ProxiedConnection> {
    const connection = await this.#arm(rule, rule.style ?? 'reset')
    await connection.closed
    return connection
  }

  /**
   * Stops the one connection on which a certain message passes, exactly before or after that message: nothing gets
   * through in either direction until its `resume()`. Resolves at once. Rules are as for `cutAt`.
   */
  holdAt(place: Place): Promise<ProxiedConnection> {
    return this.#arm(place, 'hold')
  }

  /** Forgets the rule of `cutAt` or `holdAt` if it was not met; its promise then stays as it is. */
  disarm(): void {
    this.#armed = undefined
  }

  /** Drops everything and stops listening. Idempotent. */
  close(): void {
    this.refuse()
    for (const connection of this.#connections) connection.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #serve(client: Socket): void {
    if (this.#newConnections !== 'pass') {
      client.on('error', () => {})
      if (this.#newConnections === 'reset') client.resetAndDestroy()
      else client.end().resume()
      return
    }
    const upstream = { host: this.#upstreamUrl.hostname, port: Number(this.#upstreamUrl.port || 5432) }
    this.#connections.push(
      new ProxiedConnection(client, upstream, this.#network, (...passing) => this.#inspect(...passing)),
    )
  }

  #arm(place: Place, style: CutStyle | 'hold'): Promise<ProxiedConnection> {
    return new Promise((resolve) => {
      this.#armed = { place, style, resolve, seen: 0 }
    })
  }

  #inspect(from: Sender, message: WireMessage, connection: ProxiedConnection): Cut | undefined {
    const armed = this.#armed
    if (armed === undefined || armed.place.from !== from) return undefined
    armed.seen++
    const { message: wanted, when } = armed.place
    if (typeof wanted === 'number' ? armed.seen !== wanted : !wanted(message)) return undefined
    this.#armed = undefined
    armed.resolve(connection)
    return { when, style: armed.style }
  }

  #change(change: Partial<Network>): void {
    Object.assign(this.#network, change)
    for (const connection of this.#connections) connection.pump()
  }
}
