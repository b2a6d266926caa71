/**
 * The ends of transactions whose connection goes on without waiting for the answer: COMMIT after nothing but reads.
 *
 * 1. An end is sent with the batch of the next holder of the connection, or by `send`, whichever comes first. No timer is
 *    between the two. Nothing that is sent later overtakes it.
 * 2. One that nobody waits for travels under the Sync of the next batch: one answer for both. If it is refused, the server runs
 *    nothing of the batch, which has to be submitted again.
 * 3. One that somebody waits for is answered by itself, before the batch behind it is run; they are one write to the socket.
 */
import type { Clock, Timer } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import type { BatchContext, EndAhead } from './batch-run.js'
import type { Batch, ConcludeOptions, EndCommand, EndWaiter } from './driver.js'
import { StandbyWaitEnded } from './driver.js'
import { Epilogue } from './epilogue.js'

/** An end that was not answered yet. */
interface Ending extends ConcludeOptions {
  readonly command: EndCommand
  deadline?: Timer | undefined
}

export class Endings {
  readonly #context: BatchContext
  readonly #clock: Clock
  readonly #onBroken: (error: Error) => void
  #unsent: Ending | undefined
  readonly #sent = new Set<Ending>()
  #onSettled: (() => void)[] = []
  #lastError: Error | undefined

  /** @param onBroken Called when a transaction did not end: the connection is of no use. */
  constructor(context: BatchContext, clock: Clock, onBroken: (error: Error) => void) {
    this.#context = context
    this.#clock = clock
    this.#onBroken = onBroken
  }

  /** One is on its way, or about to be: what comes behind it finds no transaction. */
  get open(): boolean {
    return this.#unsent !== undefined || this.#sent.size > 0
  }

  /** Somebody waits for one of them. */
  get awaited(): boolean {
    if (this.#unsent?.waiter !== undefined) return true
    for (const { waiter } of this.#sent) if (waiter !== undefined) return true
    return false
  }

  conclude(command: EndCommand, options: ConcludeOptions): void {
    this.#unsent = { command, ...options }
  }

  /**
   * Has the end go before a batch that is submitted now. One that somebody waits for is written, and sent with the batch.
   * @returns what travels under the Sync of the batch.
   */
  before(batch: Batch): EndAhead | undefined {
    const ending = this.#unsent
    if (ending === undefined) return undefined
    if (ending.waiter !== undefined || batch.sync === 'separate') {
      this.#write()
      return undefined
    }
    this.#unsent = undefined
    const { command, begun } = ending
    const chains = begun !== undefined && batch.statements[0]?.text === begun
    return chains && command === 'COMMIT' ? 'COMMIT AND CHAIN' : command
  }

  /** Sends the end by itself. */
  send(): void {
    if (this.#unsent === undefined) return
    this.#write()
    const { wire, writer } = this.#context
    wire.stream.write(writer.take())
  }

  /** The connection is lost. */
  fail(error: Error): void {
    const lost = this.#unsent === undefined ? [...this.#sent] : [...this.#sent, this.#unsent]
    this.#unsent = undefined
    this.#sent.clear()
    for (const { deadline, waiter } of lost) {
      deadline?.cancel()
      waiter?.onError(error)
      waiter?.onEnd()
    }
    this.#settled()
  }

  /** Settles when the server has answered those that go by themselves; undefined if there is none. */
  get settled(): Promise<void> | undefined {
    if (!this.open) return undefined
    return new Promise((resolve) => this.#onSettled.push(resolve))
  }

  /** The server's last words, if it ended the session in the middle of one: it has run nothing that came behind. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  #write(): void {
    const ending = this.#unsent as Ending
    this.#unsent = undefined
    this.#sent.add(ending)
    const { command, waiter, timeoutMillis } = ending
    // Made when it is wanted: an error costs more than the rest of this.
    const expire = (): void =>
      this.#onBroken(new Error(`No answer to ${command} within ${String(timeoutMillis)} ms`))
    if (timeoutMillis !== null) ending.deadline = setDeadline(this.#clock, expire, timeoutMillis)
    const onFatal = (error: Error): void => void (this.#lastError = error)
    const epilogue = new Epilogue(this.#context, onFatal, (idle, tag, refusal) => {
      this.#sent.delete(ending)
      ending.deadline?.cancel()
      const error = refusal ?? (idle ? undefined : new Error('The transaction did not end'))
      if (!idle) this.#onBroken(error as Error)
      if (waiter !== undefined) tell(waiter, tag, error)
      else if (idle && error !== undefined && !(error instanceof StandbyWaitEnded)) warnOfConclusion(error)
      if (this.#sent.size === 0) this.#settled()
    })
    epilogue.write(command)
  }

  #settled(): void {
    if (this.#onSettled.length === 0) return
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }
}

function tell(waiter: EndWaiter, tag: string, error: Error | undefined): void {
  if (error !== undefined) waiter.onError(error)
  else waiter.onResult({ command: tag, rowCount: null, fields: [], rows: [], suspended: false })
  waiter.onEnd()
}

/** Only a function that writes into a temporary table gets here; whoever called it has gone on. */
export function warnOfConclusion(error: Error): void {
  const message = `A read-only transaction was undone, because PostgreSQL refused its COMMIT: ${error.message}`
  process.emitWarning(message, { type: 'LifeguardWarning', code: 'LIFEGUARD_READ_ONLY_COMMIT' })
}
