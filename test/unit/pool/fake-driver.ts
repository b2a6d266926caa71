/** A driver without a server: everything that can go wrong goes wrong when the test says so. */
import type {
  CommitHandoff,
  Driver,
  DriverConnection,
  ResetMode,
  TransactionStatus,
} from '../../../src/driver/driver.js'
import { ConnectError, ConnectionLostError } from '../../../src/errors.js'
import type { Clock } from '../../../src/internal/clock.js'

/** What an operation does: succeed (undefined), fail with an error, or hang until the test ends it. */
export type Outcome = Error | Pending | undefined

/** An operation that hangs until the test ends it, or its own time limit does. */
export class Pending {
  resolve!: () => void
  reject!: (error: Error) => void
  readonly promise: Promise<void> = new Promise((resolve, reject) => {
    this.resolve = resolve
    this.reject = reject
  })
}

export function transient(message = 'connection refused'): ConnectError {
  return new ConnectError(message, { fatal: false })
}

export function fatal(message = 'password authentication failed'): ConnectError {
  return new ConnectError(message, { fatal: true, sqlState: '28P01' })
}

export function disconnect(message = 'Connection terminated unexpectedly'): ConnectionLostError {
  return new ConnectionLostError(message)
}

export class FakeDriver implements Driver {
  readonly target = 'tester@fake:5432/songs'
  /** Every connection ever opened. */
  readonly connections: FakeConnection[] = []
  /** Asked at each attempt, from 1. */
  onConnect: (attempt: number) => Outcome = () => undefined
  attempts = 0
  /** Attempts that are under way. */
  opening = 0
  readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Connections whose socket is open. */
  get open(): FakeConnection[] {
    return this.connections.filter(({ open }) => open)
  }

  get last(): FakeConnection {
    const last = this.connections.at(-1)
    if (last === undefined) throw new Error('nothing was opened')
    return last
  }

  async connect(options: Parameters<Driver['connect']>[0]): Promise<DriverConnection> {
    this.attempts += 1
    this.opening += 1
    let onAbort = (): void => undefined
    try {
      const aborted = new Promise<never>((_, reject) => (onAbort = () => reject(fatal('aborted'))))
      options.signal?.addEventListener('abort', onAbort)
      const outcome = perform(this.onConnect(this.attempts))
      const timeout = transient('no answer in time')
      await within(this.clock, options.timeoutMillis, timeout, Promise.race([outcome, aborted]))
    } finally {
      options.signal?.removeEventListener('abort', onAbort)
      this.opening -= 1
    }
    const connection = new FakeConnection(this.clock, this.connections.length + 1)
    this.connections.push(connection)
    return connection
  }
}

export class FakeConnection implements DriverConnection {
  readonly id: number
  readonly processId: number
  readonly connectedAt: number
  transactionStatus: TransactionStatus = 'idle'
  busy = false
  lost: Error | undefined = undefined
  readonly commitHandoff: FakeHandoff = new FakeHandoff()
  onLost: ((error: Error) => void) | undefined = undefined
  onNotification: undefined = undefined
  /** Whether the socket is open: it closes a turn of the event loop after its end. */
  open = true
  referenced = true
  onPing: () => Outcome = () => undefined
  onReset: () => Outcome = () => undefined
  onClose: () => Outcome = () => undefined
  pings = 0
  cancels = 0
  goodbyes = 0
  destroys = 0
  readonly resets: ResetMode[] = []
  readonly #clock: Clock
  #closed!: () => void
  readonly #whenClosed: Promise<void> = new Promise((resolve) => (this.#closed = resolve))

  constructor(clock: Clock, id: number) {
    this.#clock = clock
    this.id = id
    this.processId = 4_000 + id
    this.connectedAt = clock.now()
  }

  async ping(timeoutMillis: number): Promise<void> {
    this.pings += 1
    await this.#attempt(this.onPing, timeoutMillis)
  }

  async reset(mode: ResetMode, timeoutMillis: number): Promise<void> {
    this.resets.push(mode)
    await this.#attempt(this.onReset, timeoutMillis)
    this.transactionStatus = 'idle'
  }

  async cancel(): Promise<void> {
    this.cancels += 1
    await Promise.resolve()
  }

  async close(timeoutMillis: number): Promise<void> {
    if (this.lost === undefined && timeoutMillis > 0) {
      this.goodbyes += 1
      // A goodbye without an answer ends all the same, and so does one that is cut short.
      await within(
        this.#clock,
        timeoutMillis,
        disconnect(),
        Promise.race([perform(this.onClose()), this.#whenClosed]),
      ).catch(() => undefined)
    }
    this.#end()
    await this.#whenClosed
  }

  destroy(reason: Error = disconnect()): void {
    this.destroys += 1
    this.#lose(reason)
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
    this.#lose(error)
    this.onLost?.(error)
  }

  parameter(): undefined {
    return undefined
  }

  submit(): never {
    throw new Error('the pool runs no statements')
  }

  script(): never {
    throw new Error('the pool runs no statements')
  }

  async #attempt(operation: () => Outcome, timeoutMillis: number): Promise<void> {
    try {
      if (this.lost !== undefined) throw this.lost
      const late = disconnect(`no answer within ${String(timeoutMillis)} ms`)
      await within(this.#clock, timeoutMillis, late, perform(operation()))
    } catch (error) {
      this.#lose(error as Error)
    }
    if (this.lost !== undefined) throw this.lost
  }

  #lose(error: Error): void {
    this.lost ??= error
    this.transactionStatus = 'unknown'
    this.#end()
  }

  #end(): void {
    this.busy = false
    setImmediate(() => {
      this.open = false
      this.#closed()
    })
  }
}

/** What a pool is told of unanswered ends. */
class FakeHandoff implements CommitHandoff {
  settled: Promise<void> | undefined = undefined
  awaited = false

  endWithoutWaiting(): never {
    throw new Error('the pool runs no statements')
  }

  send(): void {
    // No transaction is ended here.
  }
}

async function perform(outcome: Outcome): Promise<void> {
  if (outcome instanceof Error) throw outcome
  if (outcome instanceof Pending) await outcome.promise
}

async function within(clock: Clock, millis: number, late: Error, work: Promise<void>): Promise<void> {
  let cancel = (): void => undefined
  const expired = new Promise<never>((_, reject) => {
    const timer = clock.setTimer(() => reject(late), millis)
    cancel = () => timer.cancel()
  })
  await Promise.race([work, expired]).finally(cancel)
}
