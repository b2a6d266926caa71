/** One client behind the proxy; see `proxy.ts`. */
import { type Socket, connect } from 'node:net'
import { errorResponse, type WireMessage, WireParser } from './wire.js'

/** Who sends a message. */
export type Sender = 'client' | 'server'

/**
 * How the client sees the end: RST, an orderly FIN, or a pooler's FATAL and then FIN, as PgBouncer sends when it has lost
 * the server. The server always gets FIN, so that it reads all it was sent.
 */
export type CutStyle = 'reset' | 'end' | 'fatal'

/** What PgBouncer says when its connection to the server breaks. */
const POOLERS_FATAL = errorResponse({ S: 'FATAL', V: 'FATAL', C: '08P01', M: 'server conn crashed?' })

/** What the network does at present; one object for all connections of a proxy. */
export interface Network {
  delayMillis: number
  /** Whose bytes are held back. */
  held: ReadonlySet<Sender>
}

/** What to do about a message; undefined for nothing. `hold`: nothing more passes, either way, until `resume()`. */
export interface Cut {
  readonly when: 'before' | 'after'
  readonly style: CutStyle | 'hold'
}

/** What one side sent, in whole messages. */
interface Delivery {
  readonly from: Sender
  readonly messages: readonly WireMessage[] | 'end'
}

/** A message that was forwarded. */
export interface RecordedMessage {
  readonly from: Sender
  readonly name: string
  readonly text: string
}

export class ProxiedConnection {
  /** Resolves when the server has closed its socket; it has then processed everything that it was sent. */
  readonly closed: Promise<void>
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #parser = new WireParser()
  readonly #lanes: readonly Lane[]
  readonly #inspect: (from: Sender, message: WireMessage, connection: ProxiedConnection) => Cut | undefined
  #messages: RecordedMessage[] = []
  #roundTrips = 0
  #started = false
  #clientWaits = false
  #cut = false
  /** What has come since the connection was held. */
  #backlog: Delivery[] | undefined

  constructor(
    client: Socket,
    upstream: { readonly host: string; readonly port: number },
    network: Network,
    inspect: (from: Sender, message: WireMessage, connection: ProxiedConnection) => Cut | undefined,
  ) {
    this.#client = client
    this.#inspect = inspect
    this.#upstream = connect({ ...upstream, allowHalfOpen: true, noDelay: true })
    const toServer = new Lane('client', network, (chunk) => this.#deliver('client', chunk))
    const toClient = new Lane('server', network, (chunk) => this.#deliver('server', chunk))
    this.#lanes = [toServer, toClient]

    client.on('data', (chunk) => {
      this.#clientWaits = true
      toServer.push(chunk)
    })
    // An error is followed by `close`, and the end of one side is passed on like its bytes.
    client.on('error', () => {})
    client.once('end', () => toServer.push('end'))
    client.once('close', () => toServer.push('end'))

    this.#upstream.on('data', (chunk) => toClient.push(chunk))
    this.#upstream.on('error', () => this.#resetClient())
    this.#upstream.once('end', () => toClient.push('end'))
    this.closed = new Promise((resolve) => this.#upstream.once('close', () => resolve()))
  }

  /** Whether the client is connected. */
  get open(): boolean {
    return !this.#client.destroyed
  }

  /** Everything that was forwarded, in order. */
  get messages(): readonly RecordedMessage[] {
    return this.#messages
  }

  /** Names of the messages that one side has sent. */
  names(from: Sender): string[] {
    return this.#messages.filter((message) => message.from === from).map((message) => message.name)
  }

  /**
   * How often the client got something from the server after it had sent something: how often it had to wait. Connecting
   * does not count. A server that answers before the client has written all it wants to write adds to the number; under
   * a delay of a few milliseconds it cannot.
   */
  get roundTrips(): number {
    return this.#roundTrips
  }

  /** Forgets what was counted and recorded. */
  reset(): void {
    this.#messages = []
    this.#roundTrips = 0
  }

  /** Delivers what the network lets through now. */
  pump(): void {
    for (const lane of this.#lanes) lane.pump()
  }

  /** Ends both sides now; resolves like `closed`. */
  cut(style: CutStyle): Promise<void> {
    this.#cut = true
    if (style === 'reset') this.#resetClient()
    else if (style === 'fatal') this.#client.end(POOLERS_FATAL)
    else this.#client.end()
    this.#upstream.end()
    return this.closed
  }

  /** Drops both sockets. */
  destroy(): void {
    this.#cut = true
    this.#client.destroy()
    this.#upstream.destroy()
  }

  /** Nothing more passes, either way, until `resume()`: the black hole of this one connection. */
  hold(): void {
    this.#backlog ??= []
  }

  /** Delivers what was held back, and everything from now on. */
  resume(): void {
    const backlog = this.#backlog ?? []
    this.#backlog = undefined
    for (const delivery of backlog) this.#pass(delivery)
  }

  /** Node cannot reset a socket whose FIN is on its way: its handle would stay open for ever. */
  #resetClient(): void {
    if (this.#client.writableEnded) this.#client.destroy()
    else this.#client.resetAndDestroy()
  }

  #deliver(from: Sender, chunk: Buffer | 'end'): void {
    if (this.#cut) return
    const messages = chunk === 'end' ? chunk : this.#parse(from, chunk)
    if (this.#backlog === undefined) this.#pass({ from, messages })
    else this.#backlog.push({ from, messages })
  }

  #parse(from: Sender, chunk: Buffer): WireMessage[] {
    return from === 'client' ? this.#parser.fromClient(chunk) : this.#parser.fromServer(chunk)
  }

  #pass({ from, messages }: Delivery): void {
    const target = from === 'client' ? this.#upstream : this.#client
    if (messages === 'end') {
      target.end()
      return
    }
    let passed = 0
    let cut: Cut | undefined
    for (const message of messages) {
      cut = this.#inspect(from, message, this)
      if (cut?.when !== 'before') {
        passed++
        this.#record(from, message)
      }
      if (cut !== undefined) break
    }
    const style = cut?.style
    if (style === 'hold') this.#backlog = [{ from, messages: messages.slice(passed) }]
    const cuts = style !== undefined && style !== 'hold'
    this.#cut = cuts
    // An empty write calls back, too.
    target.write(Buffer.concat(messages.slice(0, passed).map(({ bytes }) => bytes)), () => {
      if (cuts) void this.cut(style)
    })
  }

  #record(from: Sender, { name, text }: WireMessage): void {
    this.#messages.push({ from, name, text })
    if (from === 'client') return
    if (this.#started && this.#clientWaits) this.#roundTrips++
    this.#clientWaits = false
    if (name === 'ReadyForQuery') this.#started = true
  }
}

/** One direction: keeps the order, whatever the network does meanwhile. */
class Lane {
  readonly #from: Sender
  readonly #network: Network
  readonly #deliver: (chunk: Buffer | 'end') => void
  readonly #queue: { readonly chunk: Buffer | 'end'; readonly dueAt: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(from: Sender, network: Network, deliver: (chunk: Buffer | 'end') => void) {
    this.#from = from
    this.#network = network
    this.#deliver = deliver
  }

  push(chunk: Buffer | 'end'): void {
    this.#queue.push({ chunk, dueAt: performance.now() + this.#network.delayMillis })
    this.pump()
  }

  pump(): void {
    clearTimeout(this.#timer)
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (this.#network.held.has(this.#from)) return
      const early = this.#network.delayMillis === 0 ? 0 : head.dueAt - performance.now()
      if (early > 0) {
        this.#timer = setTimeout(() => this.pump(), early)
        return
      }
      this.#queue.shift()
      this.#deliver(head.chunk)
    }
  }
}
