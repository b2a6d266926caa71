/**
 * The end of a transaction that goes by itself, under a Sync of its own. node-postgres never hears of it.
 */
import { endsSession, type BatchContext } from './batch-run.js'
import type { EndCommand } from './driver.js'
import type { WireReader } from './wire-connection.js'

const READY_FOR_QUERY = 0x5a
const COMMAND_COMPLETE = 0x43
const STATUS_IDLE = 0x49

/**
 * Told whether the connection is free of the transaction, and what PostgreSQL has done (`COMMIT`, or `ROLLBACK` in its place)
 * or refused.
 */
type OnEnd = (idle: boolean, tag: string, refusal: Error | undefined) => void

export class Epilogue implements WireReader {
  readonly #context: BatchContext
  readonly #onFatal: (error: Error) => void
  readonly #onEnd: OnEnd
  #tag = ''
  #refusal: Error | undefined

  /** @param onFatal Told what the server says when it ends the session. */
  constructor(context: BatchContext, onFatal: (error: Error) => void, onEnd: OnEnd) {
    this.#context = context
    this.#onFatal = onFatal
    this.#onEnd = onEnd
  }

  /** Writes it; whoever calls this sends what was written. */
  write(command: EndCommand): void {
    const { wire, writer, portals } = this.#context
    writer.query(command)
    if (portals.size > 0) portals.clear()
    wire.addReader(this)
  }

  receive(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (type === COMMAND_COMPLETE) {
      this.#tag = buffer.toString('latin1', start, end - 1)
      return true
    }
    if (type !== READY_FOR_QUERY) return false
    this.#context.wire.removeReader(this)
    this.#onEnd(buffer[start] === STATUS_IDLE, this.#tag, this.#refusal)
    return true
  }

  receiveError(error: Error): void {
    if (endsSession(error)) this.#onFatal(error)
    this.#refusal ??= error
  }
}
