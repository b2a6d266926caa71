/**
 * Ends transactions without waiting for the server's answer: COMMIT after a transaction that has only read, and ROLLBACK before a
 * batch that is sent again.
 *
 * 1. The COMMIT or ROLLBACK is sent with the batch of the next holder of the connection, or by `send`, whichever comes first. No timer
 *    is involved. No later message overtakes it.
 * 2. Without a listener, it is sent under the Sync of the next batch, and both have one answer. If the server refuses it, the server
 *    runs nothing of the batch, which must be submitted again.
 * 3. With a listener, it has its own Sync and is answered before the next batch is run. Both are one write to the socket.
 */
import type { Clock, Timer } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import {
  COMMAND_COMPLETE,
  READY_FOR_QUERY,
  STATUS_IDLE,
  checkBody,
  isFatal,
  malformed,
  unexpected,
} from './backend-messages.js'
import type { BatchContext } from './batch-context.js'
import type { Batch, CommitHandoff, CommitListener, EndCommand, EndOptions, ServerNotice } from './driver.js'
import { StandbyWaitEnded } from './driver.js'
import { effectOf } from './schema-effects.js'
import type { WireReader } from './wire-connection.js'

/** An end that was not answered yet. */
interface PendingEnd extends EndOptions {
  readonly command: EndCommand
  deadline?: Timer | undefined
}

/** The connection, as its commits see it. */
export interface CommitConnection {
  readonly context: BatchContext
  readonly clock: Clock
  /** Throws IllegalStateError while a batch or another exchange is under way. */
  readonly requireFree: () => void
  /** Called when a transaction did not end: the connection is lost. */
  readonly onBroken: (error: Error) => void
}

export class PipelinedCommits implements CommitHandoff {
  readonly #connection: CommitConnection
  #unsent: PendingEnd | undefined
  readonly #sent = new Set<PendingEnd>()
  #onSettled: (() => void)[] = []
  #lastError: Error | undefined

  constructor(connection: CommitConnection) {
    this.#connection = connection
  }

  /** True if a COMMIT or ROLLBACK comes before the next batch, which therefore finds no transaction. */
  get open(): boolean {
    return this.#unsent !== undefined || this.#sent.size > 0
  }

  get awaited(): boolean {
    if (this.#unsent?.listener !== undefined) return true
    for (const { listener } of this.#sent) if (listener !== undefined) return true
    return false
  }

  get settled(): Promise<void> | undefined {
    if (!this.open) return undefined
    return new Promise((resolve) => this.#onSettled.push(resolve))
  }

  endWithoutWaiting(command: EndCommand, options: EndOptions): void {
    this.#connection.requireFree()
    this.#unsent = { command, ...options }
  }

  send(): void {
    if (this.#unsent === undefined) return
    this.#write()
    const { wire, writer } = this.#connection.context
    wire.stream.write(writer.take())
  }

  /**
   * Puts the unsent end before a batch that is submitted now. An end with a Sync of its own is written into the buffer here, and
   * sent with the batch.
   * @returns the end that the batch writes under its own Sync.
   */
  before(batch: Batch): EndCommand | undefined {
    const end = this.#unsent
    if (end === undefined) return undefined
    if (end.listener !== undefined || batch.sync === 'separate') {
      this.#write()
      return undefined
    }
    this.#unsent = undefined
    return end.command
  }

  /** The connection is lost. */
  fail(error: Error): void {
    const lost = this.#unsent === undefined ? [...this.#sent] : [...this.#sent, this.#unsent]
    this.#unsent = undefined
    this.#sent.clear()
    for (const { deadline, listener } of lost) {
      deadline?.cancel()
      listener?.onError(error)
      listener?.onEnd()
    }
    this.#settle()
  }

  /** The server's FATAL error, if it ended the session while it ran an end: it has run nothing that came behind. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  #write(): void {
    const end = this.#unsent as PendingEnd
    const { context, clock, onBroken } = this.#connection
    this.#unsent = undefined
    this.#sent.add(end)
    const { command, listener, timeoutMillis } = end
    // The error is made when the deadline has passed: it costs more than everything else here.
    const expire = (): void =>
      onBroken(new Error(`No answer to ${command} within ${String(timeoutMillis)} ms`))
    if (timeoutMillis !== null) end.deadline = setDeadline(clock, expire, timeoutMillis)
    const onFatal = (error: Error): void => void (this.#lastError = error)
    const reader = new CommitReader(context, onFatal, (idle, tag, refusal) => {
      this.#sent.delete(end)
      end.deadline?.cancel()
      const error = refusal ?? (idle ? undefined : new Error('The transaction did not end'))
      if (!idle) onBroken(error as Error)
      if (listener !== undefined) tell(listener, tag, error)
      else if (idle && error !== undefined && !(error instanceof StandbyWaitEnded)) warnOfRefusedCommit(error)
      if (this.#sent.size === 0) this.#settle()
    })
    reader.write(command)
  }

  #settle(): void {
    if (this.#onSettled.length === 0) return
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }
}

/**
 * Called when the end was answered.
 * @param idle True: the connection has no transaction any more.
 * @param tag What PostgreSQL has done: `COMMIT`, or `ROLLBACK` in its place.
 * @param refusal Why it was refused; `StandbyWaitEnded` if PostgreSQL has committed and may lose that.
 */
type OnEnd = (idle: boolean, tag: string, refusal: Error | undefined) => void

/** Writes an end under a Sync of its own, and reads its answer. node-postgres never sees either. */
class CommitReader implements WireReader {
  readonly #context: BatchContext
  readonly #onFatal: (error: Error) => void
  readonly #onEnd: OnEnd
  #tag = ''
  #refusal: Error | undefined
  #waitEnded: StandbyWaitEnded | undefined

  /** @param onFatal Called with the error with which the server ends the session. */
  constructor(context: BatchContext, onFatal: (error: Error) => void, onEnd: OnEnd) {
    this.#context = context
    this.#onFatal = onFatal
    this.#onEnd = onEnd
  }

  /** Puts the command into the writer's buffer; the caller sends the buffer. */
  write(command: EndCommand): void {
    const { wire, writer, view, portals } = this.#context
    writer.query(command)
    view.written(effectOf(command), [], 'transaction')
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
    if (isFatal(error)) this.#onFatal(error)
    this.#refusal ??= error
  }

  receiveNotice(notice: ServerNotice): void {
    this.#waitEnded ??= StandbyWaitEnded.from(notice)
  }
}

function tell(listener: CommitListener, tag: string, error: Error | undefined): void {
  if (error !== undefined) listener.onError(error)
  else listener.onResult({ command: tag, rowCount: null, fields: [], rows: [], suspended: false })
  listener.onEnd()
}

/** Only a function that writes into a temporary table leads here. The caller has gone on, so the failure can only be a warning. */
export function warnOfRefusedCommit(error: Error): void {
  const message = `A read-only transaction was rolled back, because PostgreSQL refused its COMMIT: ${error.message}`
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_READ_ONLY_COMMIT' })
}
