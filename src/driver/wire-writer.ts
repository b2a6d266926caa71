/**
 * Writes the messages of the extended query protocol into one buffer, so that a whole batch is one write to the socket.
 *
 * Bytes that are always the same are copied as a whole, because a process that has just started interprets this code, so that every
 * call takes time.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { isArrayParameter, type ArrayParameter } from './array-parameter.js'
import type { EncodedValue } from './values.js'

const INITIAL_BYTES = 8 * 1024
// A scratch buffer that grew beyond this is not kept.
const KEPT_BYTES = 256 * 1024
const MOST_BIND_HEADS = 1000

const QUERY = 0x51
const PARSE = 0x50
const BIND = 0x42
const DESCRIBE = 0x44
const EXECUTE = 0x45
const CLOSE = 0x43
const SYNC = 0x53
const FLUSH = 0x48
const STATEMENT = 0x53
const PORTAL = 0x50
const TEXT = 0
const BINARY = 1

const UNNAMED_DESCRIBE: Uint8Array = Buffer.of(DESCRIBE, 0, 0, 0, 6, PORTAL, 0)
const UNNAMED_EXECUTE: Uint8Array = Buffer.of(EXECUTE, 0, 0, 0, 9, 0, 0, 0, 0, 0)
/** No format codes, no values, no format codes of results. */
const NO_VALUES = new Uint8Array(6)
const SYNC_MESSAGE: Uint8Array = Buffer.of(SYNC, 0, 0, 0, 4)
const FLUSH_MESSAGE: Uint8Array = Buffer.of(FLUSH, 0, 0, 0, 4)

export class WireWriter {
  #scratch: Buffer = Buffer.allocUnsafe(INITIAL_BYTES)
  #offset = 0
  /**
   * The beginning of each Bind, up to its values, by the name of its statement. Kept until the statement is closed, but no more than
   * `MOST_BIND_HEADS`: a statement that the server refused to parse, or has dropped with DISCARD ALL, is never closed.
   */
  readonly #bindHeads = new Map<string, Uint8Array>()

  /** A statement of the simple query protocol; needs no Sync. */
  query(text: string): void {
    const start = this.#begin(QUERY)
    this.#cstring(text)
    this.#end(start)
  }

  parse(name: string, text: string): void {
    const start = this.#begin(PARSE)
    this.#cstring(name)
    this.#cstring(text)
    this.#int16(0)
    this.#end(start)
  }

  bind(portal: string, statement: string, values: readonly EncodedValue[]): void {
    const start = this.#bindHead(portal, statement)
    if (values.length === 0) this.#append(NO_VALUES)
    else {
      this.#formats(values)
      this.#int16(values.length)
      for (const value of values) this.#value(value)
      // No result format codes: every column as text.
      this.#int16(0)
    }
    this.#end(start)
  }

  describePortal(portal: string): void {
    if (portal === '') {
      this.#append(UNNAMED_DESCRIBE)
      return
    }
    const start = this.#begin(DESCRIBE)
    this.#byte(PORTAL)
    this.#cstring(portal)
    this.#end(start)
  }

  execute(portal: string, maxRows: number): void {
    if (portal === '' && maxRows === 0) {
      this.#append(UNNAMED_EXECUTE)
      return
    }
    const start = this.#begin(EXECUTE)
    this.#cstring(portal)
    this.#int32(maxRows)
    this.#end(start)
  }

  closeStatement(name: string): void {
    this.#bindHeads.delete(name)
    this.#close(STATEMENT, name)
  }

  closePortal(portal: string): void {
    this.#close(PORTAL, portal)
  }

  sync(): void {
    this.#append(SYNC_MESSAGE)
  }

  flush(): void {
    this.#append(FLUSH_MESSAGE)
  }

  /** The bytes written since the last call. The caller owns them. */
  take(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#offset)
    this.#scratch.copy(bytes, 0, 0, this.#offset)
    this.#offset = 0
    if (this.#scratch.length > KEPT_BYTES) this.#scratch = Buffer.allocUnsafe(INITIAL_BYTES)
    return bytes
  }

  /** Begins a Bind. @returns where its length goes. */
  #bindHead(portal: string, statement: string): number {
    const from = this.#offset
    const known = portal === '' ? this.#bindHeads.get(statement) : undefined
    if (known !== undefined) this.#append(known)
    else {
      this.#begin(BIND)
      this.#cstring(portal)
      this.#cstring(statement)
      if (portal === '') {
        if (this.#bindHeads.size >= MOST_BIND_HEADS) this.#bindHeads.clear()
        this.#bindHeads.set(statement, new Uint8Array(this.#scratch.subarray(from, this.#offset)))
      }
    }
    return from + 1
  }

  #close(kind: number, name: string): void {
    const start = this.#begin(CLOSE)
    this.#byte(kind)
    this.#cstring(name)
    this.#end(start)
  }

  #formats(values: readonly EncodedValue[]): void {
    if (!values.some(isBinary)) {
      this.#int16(0)
      return
    }
    this.#int16(values.length)
    for (const value of values) this.#int16(isBinary(value) ? BINARY : TEXT)
  }

  #value(value: EncodedValue): void {
    if (value === null) {
      this.#int32(-1)
      return
    }
    if (isArrayParameter(value)) {
      this.#reserve(4 + value.maxBytes)
      const start = this.#offset + 4
      const end = value.write(this.#scratch, start)
      this.#scratch.writeInt32BE(end - start, this.#offset)
      this.#offset = end
      return
    }
    if (typeof value !== 'string') {
      this.#int32(value.length)
      this.#reserve(value.length)
      value.copy(this.#scratch, this.#offset)
      this.#offset += value.length
      return
    }
    this.#reserve(4 + value.length * 3)
    const length = this.#scratch.write(value, this.#offset + 4, value.length * 3, 'utf8')
    this.#scratch.writeInt32BE(length, this.#offset)
    this.#offset += 4 + length
  }

  #append(bytes: Uint8Array): void {
    const end = this.#offset + bytes.length
    if (end > this.#scratch.length) this.#reserve(bytes.length)
    this.#scratch.set(bytes, this.#offset)
    this.#offset = end
  }

  /** Starts a message; returns where its length goes. */
  #begin(code: number): number {
    this.#reserve(5)
    this.#scratch[this.#offset] = code
    this.#offset += 5
    return this.#offset - 4
  }

  #end(lengthAt: number): void {
    this.#scratch.writeInt32BE(this.#offset - lengthAt, lengthAt)
  }

  #byte(value: number): void {
    this.#reserve(1)
    this.#scratch[this.#offset++] = value
  }

  #int16(value: number): void {
    this.#reserve(2)
    this.#scratch.writeUInt16BE(value, this.#offset)
    this.#offset += 2
  }

  #int32(value: number): void {
    this.#reserve(4)
    this.#scratch.writeInt32BE(value, this.#offset)
    this.#offset += 4
  }

  #cstring(value: string): void {
    if (value.length > 0) this.#text(value)
    this.#byte(0)
  }

  #text(value: string): void {
    // UTF-8 needs at most three bytes for each UTF-16 unit.
    this.#reserve(value.length * 3)
    // Without a length Node writes nothing at all where more than two gigabytes are left.
    this.#offset += this.#scratch.write(value, this.#offset, value.length * 3, 'utf8')
  }

  #reserve(bytes: number): void {
    const needed = this.#offset + bytes
    if (needed <= this.#scratch.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#scratch.length * 2))
    this.#scratch.copy(grown, 0, 0, this.#offset)
    this.#scratch = grown
  }
}

function isBinary(value: EncodedValue): value is Buffer | ArrayParameter {
  return typeof value === 'object' && value !== null
}
