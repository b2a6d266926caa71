/**
 * The end of a transaction that goes by itself, under a Sync of its own. node-postgres never hears of it.
 */
import {
  COMMAND_COMPLETE,
  READY_FOR_QUERY,
  STATUS_IDLE,
  checkBody,
  malformed,
  unexpected,
} from './backend-messages.js'
import { endsSession, type BatchContext } from './batch-run.js'
import type { EndCommand, ServerNotice } from './driver.js'
import { StandbyWaitEnded } from './driver.js'
import { effectOf } from './schema-effects.js'
import type { WireReader } from './wire-connection.js'

/**
 * Told whether the connection is free of the transaction, and what PostgreSQL has done (`COMMIT`, or `ROLLBACK` in its place)
 * or refused; `StandbyWaitEnded` if it has committed and may lose that.
 */
type OnEnd = (idle: boolean, tag: string, refusal: Error | undefined) => void

export class Epilogue implements WireReader {
  readonly #context: BatchContext
  readonly #onFatal: (error: Error) => void
  readonly #onEnd: OnEnd
  #tag = ''
  #refusal: Error | undefined
  #waitEnded: StandbyWaitEnded | undefined

  /** @param onFatal Told what the server says when it ends the session. */
  constructor(context: BatchContext, onFatal: (error: Error) => void, onEnd: OnEnd) {
    this.#context = context
    this.#onFatal = onFatal
    this.#onEnd = onEnd
  }

  /** Writes it; whoever calls this sends what was written. */
  write(command: EndCommand): void {
    const { wire, writer, view, portals } = this.#context
    writer.query(command)
    view.written(effectOf(command), [], false)
    if (portals.size > 0) portals.clear()
    wire.addReader(this)
  }

  receive(type: number, buffer: Buffer, start: number, end: number): void {
    const isAnswered = this.#tag !== '' || this.#refusal !== undefined
    if (type === COMMAND_COMPLETE && !isAnswered) {
      checkBody(type, buffer, start, end)
      this.#tag = buffer.toString('latin1', start, end - 1)
      if (this.#tag !== 'COMMIT' && this.#tag !== 'ROLLBACK') throw malformed(type)
    } else if (type === READY_FOR_QUERY && isAnswered) {
      this.#context.wire.removeReader(this)
      this.#onEnd(buffer[start] === STATUS_IDLE, this.#tag, this.#refusal ?? this.#waitEnded)
    } else throw unexpected(type, 'in the answer to the end of a transaction')
  }

  receiveError(error: Error): void {
    if (endsSession(error)) this.#onFatal(error)
    this.#refusal ??= error
  }

  receiveNotice(notice: ServerNotice): void {
    this.#waitEnded ??= StandbyWaitEnded.from(notice)
  }
}
