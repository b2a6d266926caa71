/**
 * node-postgres's connection. Every message is checked before node-postgres or a reader gets it.
 *
 * 1. Every message is framed and checked here, and must be expected when it comes: in the answer to a batch or to a plain exchange
 *    (script, COPY), while connecting, or (notices, notifications, parameters) at any time. Any other message ends the connection with
 *    a `ProtocolError`.
 * 2. The messages that answer a batch are read directly from the socket's buffer. All others (start-up, authentication, errors,
 *    notices, COPY, plain queries) go through node-postgres's parser, one whole message at a time.
 * 3. An exception while a message is read ends the connection, not the process.
 */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import pg from 'pg'
import {
  DATA_ROW,
  ERROR_RESPONSE,
  HEADER_BYTES,
  NOTICE_RESPONSE,
  NOTIFICATION,
  PARAMETER_STATUS,
  ProtocolError,
  READY_FOR_QUERY,
  checkBody,
  checkHeader,
  severityOf,
  unexpected,
} from './backend-messages.js'

import { tellWaiting } from './late-senders.js'
import type { ServerErrorFields } from '../database-errors.js'
import type { ServerTexts } from '../internal/hidden-values.js'
import type { ServerNotice } from './driver.js'

/** Reads the answers to a batch, or to the end of a transaction. */
export interface WireReader {
  /**
   * Takes a message whose body lies between `start` and `end`. It gets no errors, and no messages that may come at any time.
   * @throws ProtocolError if it has no place in the answer.
   */
  receive(type: number, buffer: Buffer, start: number, end: number): void
  /**
   * Takes the DataRows from `start` on that are complete and expected there. The others come through `receive`.
   * @returns where the rows that it took end.
   * @throws ProtocolError if a row does not fit.
   */
  receiveRows?(buffer: Buffer, start: number): number
  /** An ErrorResponse, parsed by node-postgres. */
  receiveError(error: Error): void
  /** A NoticeResponse that came before the next answer to the batch. */
  receiveNotice?(notice: ServerNotice): void
}

/** Decides what may come while node-postgres is at work. */
export interface WireGuard {
  /**
   * Whether node-postgres gets the message whose body lies between `start` and `end`.
   * @throws ProtocolError if it has no place there.
   */
  admits(type: number, buffer: Buffer, start: number, end: number): boolean
  /** Called with the type of each message that node-postgres sends. */
  wrote?(type: number): void
  /** The server has more to answer than the ReadyForQuery that came. Default false. */
  readonly isOpen?: boolean
  /** The server waits for a Sync before it answers anything else. Default false. */
  readonly needsSync?: boolean
}

/** The guard until the server is ready. It also sees how node-postgres authenticates. */
export interface StartupWatch extends WireGuard {
  /** The first SASL message is being sent. */
  chose(mechanism: string): void
  /** The client's proof is being sent. */
  answered(): void
}

/** The part of node-postgres's `Connection` that is used here; its published types leave most of it out. */
interface PgConnectionBase extends EventEmitter {
  stream: Socket
  attachListeners(stream: EventEmitter): void
  _send(buffer: Buffer): boolean
  flush(): void
  sync(): void
  sendSASLInitialResponseMessage(mechanism: string, response: string): void
  sendSCRAMClientFinalMessage(response: string): void
}

/** The socket, and what of its start-up is checked. */
export interface WireConnectionConfig {
  readonly stream?: Socket | undefined
  /** The guard until the server is ready. Default: the connection is ready already. */
  readonly startup?: StartupWatch | undefined
}

const Base = pg.Connection as unknown as new (config: WireConnectionConfig) => PgConnectionBase

const EMPTY: Buffer = Buffer.alloc(0)

export class WireConnection extends Base {
  /** Readers of the answers, in the order in which their messages were sent. */
  readonly #readers: WireReader[] = []
  /** Admits the messages of the start-up or of a plain exchange; undefined: none may come. */
  #guard: WireGuard | undefined
  #startup: StartupWatch | undefined
  /** Status byte of the last ReadyForQuery. */
  status = 0
  /** Status byte of the ReadyForQuery before it. */
  previousStatus = 0
  /** Called after each ReadyForQuery that no reader took, when node-postgres has seen it too. */
  onReady: (() => void) | undefined
  /** Called for each ErrorResponse that no reader took, before node-postgres hears of it. */
  onPlainError: ((error: Error) => void) | undefined
  /** Removes values from the texts of errors and notices before readers and listeners get them. */
  conceal: ((texts: ServerTexts) => void) | undefined
  /** Called for each NoticeResponse, after the reader whose answers it came among. */
  onNotice: ((notice: ServerNotice) => void) | undefined
  /** Parameters that the server reported. */
  readonly parameters: Map<string, string> = new Map()
  /** The server has reported a parameter between the last two ReadyForQuery. */
  hasReportedParameter = false
  /** It has reported one since the last ReadyForQuery. */
  #isReporting = false

  #chunks: Buffer[] = []
  #chunkBytes = 0
  /** Bytes that the message at the front of `#chunks` needs before it is whole. */
  #neededBytes = HEADER_BYTES

  #discarding = false
  /** Severity, untranslated, of the error or notice that node-postgres is reading. */
  #severity: string | undefined

  constructor(config: WireConnectionConfig) {
    super(config)
    this.#startup = config.startup
    this.#guard = config.startup
    this.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) => {
      requireUtf8(message.parameterName, message.parameterValue)
      this.parameters.set(message.parameterName, message.parameterValue)
      this.#isReporting = true
    })
    this.on('notice', (fields: NoticeFields) => {
      const notice = noticeFrom(fields)
      this.#readers[0]?.receiveNotice?.(notice)
      this.onNotice?.(notice)
    })
  }

  /** `reader` gets the answers to the messages that are sent now, after earlier readers have got theirs. */
  addReader(reader: WireReader): void {
    this.#readers.push(reader)
  }

  removeReader(reader: WireReader): void {
    const at = this.#readers.indexOf(reader)
    if (at !== -1) this.#readers.splice(at, 1)
  }

  /** After the answers to earlier batches, messages up to the next ReadyForQuery go to node-postgres, if the guard admits them. */
  startPlain(guard: WireGuard): void {
    this.#guard = guard
  }

  /** The exchange was over before anything was sent. */
  endPlain(): void {
    this.#guard = undefined
  }

  /** The connection is lost: messages that still arrive, or stand in the same buffer, are ignored. */
  discard(): void {
    this.#discarding = true
    tellWaiting(this)
  }

  override attachListeners(stream: EventEmitter): void {
    const relay = new EventEmitter()
    super.attachListeners(relay)
    stream.on('data', (chunk: Buffer) => this.#take(chunk, relay))
    stream.on('end', () => relay.emit('end'))
  }

  override sendSASLInitialResponseMessage(mechanism: string, response: string): void {
    this.#startup?.chose(mechanism)
    super.sendSASLInitialResponseMessage(mechanism, response)
  }

  override sendSCRAMClientFinalMessage(response: string): void {
    this.#startup?.answered()
    super.sendSCRAMClientFinalMessage(response)
  }

  // node-postgres and its Submittables send everything through here, except Terminate and the data of a COPY.
  override _send(buffer: Buffer): boolean {
    const guard = this.#guard
    if (guard === undefined || this.#discarding) {
      tellWaiting(this)
      return false
    }
    guard.wrote?.(buffer[0] as number)
    return super._send(buffer)
  }

  override flush(): void {
    if (this.#guard !== undefined) super.flush()
  }

  // node-postgres's parser reports through here. An error that answers a batch goes to its reader, not to node-postgres's client.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'error') this.#discarding = true
    if (event === 'errorMessage' || event === 'notice') {
      const said = args[0] as ServerTexts & { severity?: string }
      // node-postgres has the severity in the language of the server.
      if (this.#severity !== undefined) said.severity = this.#severity
      this.conceal?.(said)
    }
    if (event !== 'errorMessage') return super.emit(event, ...args)
    const [reader] = this.#readers
    if (reader !== undefined) {
      reader.receiveError(args[0] as Error)
      return true
    }
    this.onPlainError?.(args[0] as Error)
    // After an error in the start-up the server closes the connection.
    if (this.#startup !== undefined) this.#discarding = true
    return super.emit(event, ...args)
  }

  #take(chunk: Buffer, relay: EventEmitter): void {
    if (this.#discarding) return
    let buffer = chunk
    if (this.#chunkBytes > 0) {
      this.#chunks.push(chunk)
      this.#chunkBytes += chunk.length
      if (this.#chunkBytes < this.#neededBytes) return
      buffer = Buffer.concat(this.#chunks, this.#chunkBytes)
      this.#chunks = []
      this.#chunkBytes = 0
    }
    try {
      const rest = this.#readMessages(buffer, relay)
      if (rest.length > 0) {
        this.#chunks.push(rest)
        this.#chunkBytes = rest.length
      }
    } catch (error) {
      this.#break(error)
    }
  }

  /** The server broke the protocol: no later message can be understood. */
  #break(cause: unknown): void {
    this.#discarding = true
    const isKnown = cause instanceof ProtocolError
    const error = isKnown ? cause : new ProtocolError('A message of the server could not be read', { cause })
    // The listener of the connection fails the exchange under way and destroys the socket.
    super.emit('error', error)
    this.stream.destroy()
  }

  /** Passes on every whole message; returns the rest. */
  #readMessages(buffer: Buffer, relay: EventEmitter): Buffer {
    let offset = 0
    while (offset + HEADER_BYTES <= buffer.length && !this.#discarding) {
      const type = buffer[offset] as number
      if (type === DATA_ROW) {
        const end = this.#readers[0]?.receiveRows?.(buffer, offset) ?? offset
        if (end > offset) {
          offset = end
          continue
        }
      }
      const length = buffer.readUInt32BE(offset + 1)
      checkHeader(type, length, this.#startup !== undefined)
      const end = offset + 1 + length
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
    if (type === READY_FOR_QUERY) {
      checkBody(type, buffer, start, end)
      this.previousStatus = this.status
      this.status = buffer[start] as number
      this.hasReportedParameter = this.#isReporting
      this.#isReporting = false
    }
    const [reader] = this.#readers
    if (!mayComeAnytime(type)) {
      if (reader !== undefined) {
        reader.receive(type, buffer, start, end)
        return
      }
      if (!this.#admits(type, buffer, start, end)) return
    } else if (type === ERROR_RESPONSE && reader === undefined) this.#guard?.admits(type, buffer, start, end)
    checkBody(type, buffer, start, end)
    if (type === ERROR_RESPONSE || type === NOTICE_RESPONSE) this.#severity = severityOf(buffer, start, end)
    relay.emit('data', buffer.subarray(offset, end))
    // After an error, not every Submittable sends the Sync that the server waits for.
    if (type === ERROR_RESPONSE && this.#guard?.needsSync === true) this.sync()
    if (type === READY_FOR_QUERY) this.#ready()
  }

  /** Whether node-postgres gets a message that answers no batch. */
  #admits(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (this.#guard === undefined) throw unexpected(type, 'where nothing was asked')
    checkBody(type, buffer, start, end)
    return this.#guard.admits(type, buffer, start, end)
  }

  #ready(): void {
    if (this.#guard?.needsSync === true) this.sync()
    if (this.#guard?.isOpen === true) return
    this.#guard = undefined
    this.#startup = undefined
    this.onReady?.()
  }
}

/** @throws ProtocolError if the server has changed its encoding: every text would be read and sent wrongly. */
function requireUtf8(name: string, value: string): void {
  if (name !== 'client_encoding' || /^(?:utf-?8|unicode)$/i.test(value)) return
  throw new ProtocolError(
    `client_encoding has become ${JSON.stringify(value)}, which cannot be read: leave it at UTF8 (no SET client_encoding or SET NAMES)`,
  )
}

/** A NoticeResponse as node-postgres parses it. */
type NoticeFields = ServerErrorFields & { readonly message?: string; readonly where?: string }

function noticeFrom(fields: NoticeFields): ServerNotice {
  const { severity = '', message = '', code: sqlState = '', detail, hint, where, routine } = fields
  return { severity, message, sqlState, detail, hint, where, routine }
}

/** True for messages that may come at any time. For an error the caller checks whether an answer is expected. */
function mayComeAnytime(type: number): boolean {
  return (
    type === NOTICE_RESPONSE || type === PARAMETER_STATUS || type === NOTIFICATION || type === ERROR_RESPONSE
  )
}
