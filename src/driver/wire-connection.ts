/**
 * node-postgres's connection, with a shortcut: while one of our batches is under way, the messages that answer it are
 * read straight from the socket's buffer. Everything else (start-up, authentication, errors, notices, COPY, plain
 * queries) goes through node-postgres's own parser, untouched and in order.
 */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import pg from 'pg'

import type { ServerErrorFields } from '../database-errors.js'
import type { ServerTexts } from '../internal/hidden-values.js'
import type { ServerNotice } from './driver.js'

/** Whoever reads the answers to a batch. */
export interface WireReader {
  /** Takes a message whose body lies between `start` and `end`; false = not mine, give it to node-postgres. */
  receive(type: number, buffer: Buffer, start: number, end: number): boolean
  /** An ErrorResponse, parsed by node-postgres. */
  receiveError(error: Error): void
  /** A NoticeResponse that came before the next answer to the batch. */
  receiveNotice?(notice: ServerNotice): void
}

/** The part of node-postgres's `Connection` that is used here; its published types leave most of it out. */
interface PgConnectionBase extends EventEmitter {
  stream: Socket
  attachListeners(stream: EventEmitter): void
}

/** Settings of node-postgres's `Connection`. */
export interface WireConnectionConfig {
  readonly ssl?: boolean | object | undefined
  readonly sslNegotiation?: 'postgres' | 'direct' | undefined
  readonly keepAlive?: boolean | undefined
  readonly keepAliveInitialDelayMillis?: number | undefined
  readonly stream?: Socket | undefined
}

const Base = pg.Connection as unknown as new (config: WireConnectionConfig) => PgConnectionBase

const HEADER_BYTES = 5
const READY_FOR_QUERY = 0x5a
const EMPTY: Buffer = Buffer.alloc(0)

export class WireConnection extends Base {
  /** Who reads the answers, in the order of what was sent. */
  readonly #readers: WireReader[] = []
  /** Status byte of the last ReadyForQuery. */
  status = 0
  /** Called after each ReadyForQuery that no reader took, when node-postgres has seen it too. */
  onReady: (() => void) | undefined
  /** Called for each ErrorResponse that no reader took, before node-postgres hears of it. */
  onPlainError: ((error: Error) => void) | undefined
  /** Changes the texts of errors and notices before anybody sees them. */
  conceal: ((texts: ServerTexts) => void) | undefined
  /** Called for each NoticeResponse, after the reader whose answers it came among. */
  onNotice: ((notice: ServerNotice) => void) | undefined
  /** Parameters that the server reported. */
  readonly parameters: Map<string, string> = new Map()

  #chunks: Buffer[] = []
  #chunkBytes = 0
  /** Bytes that the message at the front of `#chunks` needs before it is whole. */
  #neededBytes = HEADER_BYTES

  #discarding = false

  constructor(config: WireConnectionConfig) {
    super(config)
    this.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) => {
      this.parameters.set(message.parameterName, message.parameterValue)
    })
    this.on('notice', (fields: NoticeFields) => {
      const notice = noticeFrom(fields)
      this.#readers[0]?.receiveNotice?.(notice)
      this.onNotice?.(notice)
    })
  }

  /** The answers to what is sent now are `reader`'s, once those sent before have theirs. */
  addReader(reader: WireReader): void {
    this.#readers.push(reader)
  }

  removeReader(reader: WireReader): void {
    const at = this.#readers.indexOf(reader)
    if (at !== -1) this.#readers.splice(at, 1)
  }

  /** The connection is lost: whatever still arrives, or stands in the same buffer, answers nobody. */
  discard(): void {
    this.#discarding = true
  }

  override attachListeners(stream: EventEmitter): void {
    const relay = new EventEmitter()
    super.attachListeners(relay)
    stream.on('data', (chunk: Buffer) => this.#take(chunk, relay))
    stream.on('end', () => relay.emit('end'))
  }

  // node-postgres's parser reports through here; an error that answers our batch is not the client's business.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'errorMessage' || event === 'notice') this.conceal?.(args[0] as ServerTexts)
    const [reader] = this.#readers
    if (event === 'errorMessage' && reader !== undefined) {
      reader.receiveError(args[0] as Error)
      return true
    }
    if (event === 'errorMessage') this.onPlainError?.(args[0] as Error)
    return super.emit(event, ...args)
  }

  #take(chunk: Buffer, relay: EventEmitter): void {
    let buffer = chunk
    if (this.#chunkBytes > 0) {
      this.#chunks.push(chunk)
      this.#chunkBytes += chunk.length
      if (this.#chunkBytes < this.#neededBytes) return
      buffer = Buffer.concat(this.#chunks, this.#chunkBytes)
      this.#chunks = []
      this.#chunkBytes = 0
    }
    const rest = this.#readMessages(buffer, relay)
    if (rest.length > 0) {
      this.#chunks.push(rest)
      this.#chunkBytes = rest.length
    }
  }

  /** Hands out every whole message; returns what is left. */
  #readMessages(buffer: Buffer, relay: EventEmitter): Buffer {
    let offset = 0
    while (offset + HEADER_BYTES <= buffer.length && !this.#discarding) {
      const type = buffer[offset] as number
      const end = offset + 1 + buffer.readUInt32BE(offset + 1)
      if (end > buffer.length) break
      this.#readMessage(type, buffer, offset, end, relay)
      offset = end
    }
    if (offset === buffer.length || this.#discarding) return EMPTY
    const rest = buffer.subarray(offset)
    this.#neededBytes = rest.length < HEADER_BYTES ? HEADER_BYTES : 1 + rest.readUInt32BE(1)
    return rest
  }

  #readMessage(type: number, buffer: Buffer, offset: number, end: number, relay: EventEmitter): void {
    const start = offset + HEADER_BYTES
    if (type === READY_FOR_QUERY) this.status = buffer[start] as number
    if (this.#readers[0]?.receive(type, buffer, start, end) === true) return
    relay.emit('data', buffer.subarray(offset, end))
    if (type === READY_FOR_QUERY) this.onReady?.()
  }
}

/** A NoticeResponse as node-postgres parses it. */
type NoticeFields = ServerErrorFields & { readonly message?: string; readonly where?: string }

function noticeFrom(fields: NoticeFields): ServerNotice {
  const { severity = '', message = '', code: sqlState = '', detail, hint, where, routine } = fields
  return { severity, message, sqlState, detail, hint, where, routine }
}
