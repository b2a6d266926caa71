/** A driver without a server: everything that can go wrong goes wrong when the test says so. */
import type { Driver, DriverConnection, ResetMode, TransactionStatus } from '../../../src/driver/driver.js'
import { ConnectError, ConnectionLostError } from '../../../src/errors.js'
import type { Clock } from '../../../src/internal/clock.js'

/** What an operation does: succeed (undefined), fail with an error, or wait until it is settled by the test. */
export type Outcome = Error | Pending | undefined

/** An operation that hangs until the test ends it. */
export class Pending {
  resolve!: () => void
  reject!: (error: Error) => void
  readonly promise = new Promise<void>((resolve, reject) => {
    this.resolve = resolve
    this.reject = reject
  })
}

async function perform(outcome: Outcome): Promise<void> {
  if (outcome instanceof Error) throw outcome
  if (outcome instanceof Pending) await outcome.promise
}

export const transient = (message = 'connection refused'): ConnectError =>
  new ConnectError(message, { fatal: false })
export const fatal = (message = 'password authentication failed'): ConnectError =>
  new ConnectError(message, { fatal: true, sqlState: '28P01' })
export const disconnect = (): ConnectionLostError =>
  new ConnectionLostError('Connection terminated unexpectedly')

export class FakeDriver implements Driver {
  readonly target = 'tester@fake:5432/songs'
  /** Every connection ever opened. */
  readonly connections: FakeConnection[] = []
  /** Asked before each attempt. */
  onConnect: (attempt: number) => Outcome = () => undefined
  attempts = 0
  opening = 0
  /** Most sockets that were ever open or opening at the same time. */
  peak = 0

  constructor(readonly clock: Clock) {}

  /** Sockets that are open or opening. */
  get sockets(): number {
    return this.opening + this.connections.filter(({ open }) => open).length
  }

  get last(): FakeConnection {
    const last = this.connections.at(-1)
    if (last === undefined) throw new Error('nothing was opened')
    return last
  }

  async connect({
    signal,
  }: {
    timeoutMillis: number
    signal?: AbortSignal | undefined
  }): Promise<DriverConnection> {
    this.attempts += 1
    this.opening += 1
    this.peak = Math.max(this.peak, this.sockets)
    try {
      const aborted = new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new ConnectError('aborted', { fatal: true })))
      })
      await Promise.race([perform(this.onConnect(this.attempts)), aborted])
    } catch (error) {
      this.opening -= 1
      throw error
    }
    this.opening -= 1
    const connection = new FakeConnection(this, this.connections.length + 1)
    this.connections.push(connection)
    return connection
  }
}

export class FakeConnection implements DriverConnection {
  readonly processId: number
  readonly connectedAt: number
  transactionStatus: TransactionStatus = 'idle'
  busy = false
  lost: Error | undefined = undefined
  onLost: ((error: Error) => void) | undefined = undefined
  onNotification: undefined = undefined
  open = true
  referenced = true
  onPing: () => Outcome = () => undefined
  onReset: () => Outcome = () => undefined
  onClose: () => Outcome = () => undefined
  pings = 0
  cancels = 0
  closes = 0
  readonly resets: ResetMode[] = []

  constructor(
    readonly driver: FakeDriver,
    readonly id: number,
  ) {
    this.processId = 4_000 + id
    this.connectedAt = driver.clock.now()
  }

  parameter(): undefined {}
  submit(): never {
    throw new Error('the pool runs no statements')
  }
  script(): never {
    throw new Error('the pool runs no statements')
  }
  lend(): never {
    throw new Error('the pool runs no statements')
  }

  async ping(timeoutMillis: number): Promise<void> {
    this.pings += 1
    await this.#perform(this.onPing(), timeoutMillis)
  }

  async reset(mode: ResetMode, timeoutMillis: number): Promise<void> {
    this.resets.push(mode)
    await this.#perform(this.onReset(), timeoutMillis)
    this.transactionStatus = 'idle'
  }

  async cancel(): Promise<void> {
    this.cancels += 1
    await Promise.resolve()
  }

  async close(timeoutMillis: number): Promise<void> {
    this.closes += 1
    if (!this.open) return
    const outcome = this.onClose()
    if (outcome instanceof Pending && timeoutMillis > 0)
      await this.#withTimeout(outcome.promise, timeoutMillis)
    await Promise.resolve()
    this.#end()
  }

  destroy(reason: Error = disconnect()): void {
    this.lost ??= reason
    this.#end()
  }

  ref(): void {
    this.referenced = true
  }

  unref(): void {
    this.referenced = false
  }

  /** The server or the network ends it. */
  kill(error: Error = disconnect()): void {
    if (this.lost !== undefined || !this.open) return
    this.lost = error
    this.transactionStatus = 'unknown'
    this.#end()
    this.onLost?.(error)
  }

  #end(): void {
    this.open = false
    this.busy = false
  }

  async #perform(outcome: Outcome, timeoutMillis: number): Promise<void> {
    try {
      if (this.lost !== undefined) throw this.lost
      if (outcome instanceof Pending) await this.#withTimeout(outcome.promise, timeoutMillis)
      else await perform(outcome)
    } catch (error) {
      this.lost ??= error as Error
      this.#end()
      throw error
    }
  }

  async #withTimeout(work: Promise<void>, millis: number): Promise<void> {
    let cancel = (): void => undefined
    const late = new Promise<never>((_, reject) => {
      const timer = this.driver.clock.setTimer(
        () => reject(new ConnectionLostError(`no answer within ${String(millis)} ms`)),
        millis,
      )
      cancel = () => timer.cancel()
    })
    await Promise.race([work, late]).finally(cancel)
  }
}
