/** One script, COPY or Submittable that node-postgres runs on the connection: records its error and its end. */
import { STATUS_IDLE } from './backend-messages.js'
import type { BatchContext } from './batch-context.js'
import type { ServerNotice } from './driver.js'
import { StandbyWaitEnded } from './driver.js'

export class PlainRun {
  readonly #context: BatchContext
  readonly #onEnd: (error: Error | undefined) => void
  readonly #onTag: ((tag: string) => void) | undefined
  /** The server's first refusal. */
  #refusal: Error | undefined
  #waitEnded: StandbyWaitEnded | undefined

  /** @param onTag Called with the command tag of each statement that was run. */
  constructor(
    context: BatchContext,
    onEnd: (error: Error | undefined) => void,
    onTag?: (tag: string) => void,
  ) {
    this.#context = context
    this.#onEnd = onEnd
    this.#onTag = onTag
  }

  /** A command has run. */
  completed(tag: string, returnsRows: boolean): void {
    const { cache, view } = this.#context
    if (tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL') cache.clear()
    view.completed(tag, returnsRows)
    this.#onTag?.(tag)
  }

  refused(error: Error): void {
    this.#refusal ??= error
  }

  receiveNotice(notice: ServerNotice): void {
    this.#waitEnded ??= StandbyWaitEnded.from(notice)
  }

  /** The server broke the protocol: an earlier refusal of it is ignored. */
  discardRefusal(): void {
    this.#refusal = undefined
  }

  /** The server is ready again, or the connection was lost (`error`). Call it once. */
  end(error: Error | undefined): void {
    const { wire, view } = this.#context
    view.ready(wire.status === STATUS_IDLE)
    this.#onEnd(this.#refusal ?? error ?? this.#waitEnded)
    // A slow reader of COPY may have stopped the socket, with the last rows as well.
    wire.stream.resume()
  }
}
