/**
 * Runs exchanges that need node-postgres's client, one at a time: scripts, COPY streams, and objects of pg's Submittable interface.
 */
import type { Client } from 'pg'

import type { BatchContext } from './batch-context.js'
import type { ClientCalls } from './client-calls.js'
import type { CopyExchange, ServerNotice, SubmittableExchange } from './driver.js'
import { StatementNotRun } from './driver.js'
import { PlainExchange } from './plain-exchange.js'
import { PlainRun } from './plain-run.js'
import type { SentValues } from './sent-values.js'
import { SubmittedExchange } from './submitted-exchange.js'

/** What the exchanges need of their connection. */
export interface ExchangeConnection {
  readonly client: Client
  readonly calls: ClientCalls
  readonly context: BatchContext
  /** What was sent in this transaction; only with `hideParameters`. */
  readonly sent: SentValues | undefined
  readonly lost: Error | undefined
  /** Throws IllegalStateError while a batch or another exchange is under way. */
  requireFree(): void
  /** Sends the end of an earlier transaction, if it is still unsent. */
  sendEnd(): void
  /** A Submittable has thrown while it sent: what the server got of it is not known. */
  broken(error: Error): void
}

/** The events of an exchange. */
interface Listener {
  onEnd(error: Error | undefined): void
  onTag?: ((tag: string) => void) | undefined
}

export class ClientExchanges {
  readonly copy: CopyExchange
  readonly submittables: SubmittableExchange
  readonly #connection: ExchangeConnection
  #run: PlainRun | undefined

  constructor(connection: ExchangeConnection) {
    this.#connection = connection
    this.copy = { start: (submittable, onEnd) => this.#startCopy(submittable, onEnd) }
    this.submittables = {
      client: () => connection.client,
      start: (submittable, listener) => this.#startSubmittable(submittable, listener),
    }
  }

  get busy(): boolean {
    return this.#run !== undefined
  }

  script(text: string, onTag?: (tag: string) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const onEnd = (error: Error | undefined): void => {
        if (error === undefined) resolve()
        else reject(error)
      }
      const { calls, client, context } = this.#connection
      this.#start('script', { onEnd, onTag })
      context.view.scripted(text)
      // The callback of pg comes with the first error, before the server is ready again. `onEnd` waits for that.
      calls.query(client, text, () => undefined)
    })
  }

  receiveNotice(notice: ServerNotice): void {
    this.#run?.receiveNotice(notice)
  }

  refused(error: Error): void {
    this.#run?.refused(error)
  }

  /** The server broke the protocol: an earlier refusal of it is ignored. */
  discardRefusal(): void {
    this.#run?.discardRefusal()
  }

  /** The server is ready again, or the connection was lost (`error`). */
  end(error: Error | undefined): void {
    const run = this.#run
    this.#run = undefined
    run?.end(error)
  }

  #startCopy(submittable: object, onEnd: Listener['onEnd']): void {
    this.#start('copy', { onEnd })
    this.#connection.sent?.startCopy()
    const { calls, client } = this.#connection
    calls.query(client, submittable)
  }

  #startSubmittable(submittable: object, listener: Parameters<SubmittableExchange['start']>[1]): void {
    const { calls, client, context, sent } = this.#connection
    const exchange = this.#start('submittable', listener)
    // Its values are not known, so any text that the server quotes may be one of them.
    sent?.startCopy()
    context.view.scripted(textOf(submittable))
    try {
      calls.query(client, submittable)
    } catch (error) {
      this.#connection.broken(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    // node-postgres refused it before sending anything, and reports that to it in the next tick.
    if (exchange instanceof SubmittedExchange && !exchange.hasWritten)
      process.nextTick(() => {
        context.wire.endPlain()
        this.end(undefined)
      })
  }

  #start(
    kind: 'script' | 'copy' | 'submittable',
    { onEnd, onTag }: Listener,
  ): PlainExchange | SubmittedExchange {
    const { context, lost } = this.#connection
    this.#connection.requireFree()
    if (lost !== undefined) throw new StatementNotRun(lost)
    this.#connection.sendEnd()
    const run = new PlainRun(context, onEnd, onTag)
    const completed = (tag: string, returnsRows: boolean): void => run.completed(tag, returnsRows)
    const exchange =
      kind === 'submittable' ? new SubmittedExchange(completed) : new PlainExchange(kind, completed)
    this.#run = run
    context.wire.startPlain(exchange)
    return exchange
  }
}

/** The text that the Submittable runs. A class of the caller's own may not show it: then a text that may change anything. */
function textOf(submittable: object): string {
  const { text, cursor } = submittable as { text?: unknown; cursor?: { text?: unknown } }
  const found = text ?? cursor?.text
  return typeof found === 'string' ? found : 'discard all'
}
