/**
 * The end of a transaction whose answer nobody waits for, sent by itself: nothing began behind it that could have taken
 * it along. node-postgres never hears of it.
 */
import type { BatchContext } from './batch-run.js'
import type { EndCommand } from './driver.js'
import type { WireReader } from './wire-connection.js'

const READY_FOR_QUERY = 0x5a
const COMMAND_COMPLETE = 0x43
const STATUS_IDLE = 0x49

export class Epilogue implements WireReader {
  readonly #context: BatchContext
  readonly #onEnd: (idle: boolean, error: Error | undefined) => void
  #error: Error | undefined

  /** @param onEnd Told whether the connection is free of the transaction, and what the server refused. */
  constructor(context: BatchContext, onEnd: (idle: boolean, error: Error | undefined) => void) {
    this.#context = context
    this.#onEnd = onEnd
  }

  send(command: EndCommand): void {
    const { wire, writer, portals } = this.#context
    writer.query(command)
    if (portals.size > 0) portals.clear()
    wire.addReader(this)
    wire.stream.write(writer.take())
  }

  receive(type: number, buffer: Buffer, start: number): boolean {
    if (type === COMMAND_COMPLETE) return true
    if (type !== READY_FOR_QUERY) return false
    this.#context.wire.removeReader(this)
    this.#onEnd(buffer[start] === STATUS_IDLE, this.#error)
    return true
  }

  receiveError(error: Error): void {
    this.#error ??= error
  }
}
