/**
 * The end of a transaction whose answer nobody waits for. It is written together with whatever the next user of the
 * connection sends in the same tick, and node-postgres never hears of it.
 */
import type { WireConnection, WireReader } from './wire-connection.js'

const READY_FOR_QUERY = 0x5a
const COMMAND_COMPLETE = 0x43
const STATUS_IDLE = 0x49

export class Epilogue implements WireReader {
  readonly #wire: WireConnection
  readonly #onEnd: (idle: boolean, error: Error | undefined) => void
  #error: Error | undefined

  /** @param onEnd Told whether the connection is free of the transaction, and what the server refused. */
  constructor(wire: WireConnection, onEnd: (idle: boolean, error: Error | undefined) => void) {
    this.#wire = wire
    this.#onEnd = onEnd
  }

  /** Sends the bytes at the end of this tick, in one write with what follows until then. */
  send(bytes: Buffer): void {
    const { stream } = this.#wire
    this.#wire.addReader(this)
    stream.cork()
    stream.write(bytes)
    process.nextTick(() => stream.uncork())
  }

  receive(type: number, buffer: Buffer, start: number): boolean {
    if (type === COMMAND_COMPLETE) return true
    if (type !== READY_FOR_QUERY) return false
    this.#wire.removeReader(this)
    this.#onEnd(buffer[start] === STATUS_IDLE, this.#error)
    return true
  }

  receiveError(error: Error): void {
    this.#error ??= error
  }
}
