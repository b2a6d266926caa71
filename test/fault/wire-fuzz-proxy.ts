/** A proxy that spoils one message of the server, at a place that is drawn from a seed. */
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'
import type { Random } from './support-random.js'
import { type Mutation, below, mutate } from './wire-mutations.js'

/** Starts one in front of the server of a connection string. */
export async function startFuzzProxy(upstreamUrl: string, random: Random): Promise<FuzzProxy> {
  const proxy = new FuzzProxy(upstreamUrl, random)
  await proxy.listen()
  return proxy
}

/** Messages that the proxy sends again later are chosen among so many. */
const KEPT_MESSAGES = 200
/** Most places lie among the first messages of a connection, as it takes some twenty to connect. */
const MOST_MESSAGES = 70

export class FuzzProxy {
  readonly #upstream: URL
  readonly #random: Random
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #earlier: Buffer[] = []
  /** Messages until the one that is spoiled. */
  #left: number
  #armed = true
  /** How many bytes of the server are sent at once; undefined = as they come. */
  readonly #pieceBytes: number | undefined
  /** What was done, once it was done. */
  mutation: (Mutation & { readonly of: string }) | undefined

  /** Use {@link startFuzzProxy}. */
  constructor(upstreamUrl: string, random: Random) {
    this.#upstream = new URL(upstreamUrl)
    this.#random = random
    this.#left = below(random, random.next() < 0.25 ? 25 : MOST_MESSAGES)
    this.#pieceBytes = random.next() < 0.2 ? 1 + below(random, 7) : undefined
    this.#server = createServer({ noDelay: true }, (client) => this.#serve(client))
  }

  get url(): string {
    const url = new URL(this.#upstream)
    url.hostname = '127.0.0.1'
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  get openSockets(): number {
    return this.#sockets.size
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** From now on everything passes as it is. */
  pass(): void {
    this.#armed = false
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve(client: Socket): void {
    const { hostname, port } = this.#upstream
    const server = connect({ host: hostname, port: Number(port || 5432), noDelay: true })
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
    client.on('data', (chunk) => server.write(chunk))
    let rest: Buffer = Buffer.alloc(0)
    let held: Buffer | undefined
    server.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      const out: Buffer[] = []
      for (let end = messageEnd(rest); end !== undefined; end = messageEnd(rest)) {
        const message = Buffer.from(rest.subarray(0, end))
        rest = rest.subarray(end)
        const sent = this.#next(message)
        if (sent === 'cut') {
          client.resetAndDestroy()
          return
        }
        if (sent === 'hold') held = message
        else {
          out.push(...sent)
          if (held !== undefined) out.push(held)
          held = undefined
        }
      }
      this.#write(client, Buffer.concat(out))
    })
  }

  #next(message: Buffer): Mutation['bytes'] {
    if (this.#earlier.length < KEPT_MESSAGES) this.#earlier.push(message)
    if (!this.#armed || this.#left-- > 0) return [message]
    this.#armed = false
    const mutation = mutate(message, this.#random, this.#earlier)
    this.mutation = { ...mutation, of: String.fromCharCode(message[0] ?? 0) }
    return mutation.bytes
  }

  #write(client: Socket, bytes: Buffer): void {
    if (!client.writable) return
    const size = this.#pieceBytes
    if (size === undefined || bytes.length > 20_000) {
      client.write(bytes)
      return
    }
    for (let at = 0; at < bytes.length; at += size) client.write(bytes.subarray(at, at + size))
  }
}

/** Where the first message ends; undefined if it is not whole yet. */
function messageEnd(bytes: Buffer): number | undefined {
  if (bytes.length < 5) return undefined
  const end = 1 + bytes.readUInt32BE(1)
  return end > bytes.length ? undefined : end
}
