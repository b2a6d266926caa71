/**
 * Carries the packets of a pipeline to its connection: takes one from the pool when it is needed, sends one packet at
 * a time, cancels, and gives the connection back. What the answers mean is the pipeline's business.
 */
import type { Batch, DriverConnection, EndWaiter } from '../driver/driver.js'
import { ConnectionLostError, EngineDisposedError } from '../errors.js'
import { setDeadline } from '../internal/deadline.js'
import type { CallSite } from '../pool/call-site.js'
import type { AcquireOptions, Lease } from '../pool/pool.js'
import { Cancellation } from './cancellation.js'
import type { PipelineHost } from './contract.js'
import { mayRepeat, mayRepeatAlone, type InFlightBatch } from './in-flight-batch.js'
import { endsSession } from './transaction-errors.js'
import type { ReadTracker } from './read-tracker.js'

/** Whoever sends. */
export interface Sender {
  /** The server is ready for the next packet, or the connection is gone. */
  landed(inFlight: InFlightBatch): void
  /** Something can be sent again. */
  advance(): void
}

export class Dispatcher {
  readonly #host: PipelineHost
  readonly #options: AcquireOptions
  readonly #sender: Sender
  #lease: Lease | undefined
  #proven = false
  /** When the last packet was answered. */
  #heardAt = 0
  #poison: unknown
  #inFlight: InFlightBatch | undefined
  #acquiring = false
  #cancellation: Cancellation | undefined
  /** Where the first statement was given that needs a connection. */
  #origin: CallSite | undefined

  constructor(host: PipelineHost, options: AcquireOptions, sender: Sender) {
    this.#host = host
    this.#options = options
    this.#sender = sender
  }

  /** The connection it holds at the moment. */
  get connection(): DriverConnection | undefined {
    return this.#lease?.connection
  }

  /** The packet on its way. */
  get inFlight(): InFlightBatch | undefined {
    return this.#inFlight
  }

  /** False: the connection may be dead already; nothing has been heard of it since it was idle. */
  get proven(): boolean {
    return this.#proven
  }

  /** Nothing is on its way, neither there nor back. */
  get free(): boolean {
    return this.#inFlight === undefined && !this.#acquiring && this.#cancellation?.active !== true
  }

  /** Remembers the line that asks for a connection, if stacks are wanted. */
  noteOrigin(above: (...parameters: never[]) => unknown): void {
    if (this.#lease === undefined) this.#origin = this.#host.origins?.capture(above)
  }

  adopt(lease: Lease): void {
    this.#lease = lease
    this.#proven = lease.proven
  }

  /** Takes a connection from the pool. */
  acquire(onFailure: (error: unknown) => void): void {
    this.#acquiring = true
    this.#host.acquire(this.#options, this.#origin).then(
      (lease) => {
        this.#acquiring = false
        this.adopt(lease)
        this.#sender.advance()
      },
      (error: unknown) => {
        this.#acquiring = false
        onFailure(error)
        this.#sender.advance()
      },
    )
  }

  /** Sends a packet. */
  send(inFlight: InFlightBatch, sync: Batch['sync']): void {
    const { connection } = this
    if (connection === undefined) return
    this.#start(inFlight)
    connection.submit({
      statements: inFlight.operations,
      sync,
      mayRepeat: (refused) =>
        sync === 'shared' ? mayRepeat(inFlight, refused) : mayRepeatAlone(inFlight, refused),
      onEnd: () => this.#land(inFlight),
    })
    this.#limit(inFlight, connection)
  }

  /**
   * Sends the COMMIT that is all of a packet, and parts with the connection at once, if somebody waits for that: their first
   * packet travels with COMMIT. Only where COMMIT takes no time, and the connection was heard of not long ago.
   * @param reads What the transaction has done.
   * @returns false if it was not sent.
   */
  part(inFlight: InFlightBatch, reads: ReadTracker | undefined): boolean {
    const { clock, prePingTimeoutMillis } = this.#host
    const [commit] = inFlight.operations
    const lease = this.#lease
    if (commit?.kind !== 'commit' || lease === undefined || this.#poison !== undefined) return false
    // Whoever comes behind it must not wait longer than for a connection, nor COMMIT fail for an impatient one.
    const limitMillis = lease.wantedMillis
    if (limitMillis === undefined || limitMillis < prePingTimeoutMillis) return false
    if (clock.now() - this.#heardAt >= prePingTimeoutMillis) return false
    if (reads?.plain === false) return false
    this.#start(inFlight)
    inFlight.parted = lease.connection
    // Whoever has given up waiting is told no more.
    const waits = (): boolean => this.#inFlight === inFlight
    const waiter: EndWaiter = {
      onResult: (result) => waits() && commit.onResult(result),
      onError: (error) => waits() && commit.onError(error),
      onEnd: () => waits() && this.#land(inFlight),
    }
    lease.connection.conclude('COMMIT', { waiter, timeoutMillis: limitMillis })
    this.#lease = undefined
    lease.release(true)
    sendEndSoon(lease.connection)
    return true
  }

  /** Hands the connection to work that takes all of it, as soon as no COMMIT of somebody else is on its way any more. */
  lend(
    inFlight: InFlightBatch,
    work: (connection: DriverConnection) => Promise<unknown>,
    onEnd: (error: unknown) => void,
  ): void {
    const { connection } = this
    if (connection === undefined) return
    this.#start(inFlight)
    const end = (error: unknown): void => {
      onEnd(error)
      this.#land(inFlight)
    }
    // COPY reads the socket itself: the answer to that COMMIT would be lost in it.
    const { concluding } = connection
    const working = concluding === undefined ? work(connection) : concluding.then(() => work(connection))
    working.then(() => end(undefined), end)
  }

  /** Asks the server to end what it is doing; if it does not, the connection is dropped. */
  cancel(reason: Error): void {
    const { connection } = this
    const inFlight = this.#inFlight
    if (inFlight?.parted !== undefined) this.#limitParted(inFlight)
    if (inFlight === undefined || connection === undefined) return
    this.#cancellation ??= new Cancellation(this.#host.clock, this.#host.cancelTimeoutMillis)
    this.#cancellation.start(connection, reason, () => this.#sender.advance())
  }

  /** Whether the connection has ended with this error, and another one may be taken instead. */
  isReplaceable(error: Error): boolean {
    const { connection } = this
    // Of a disposed engine there is no other connection.
    if (connection?.lost !== undefined) return !(connection.lost instanceof EngineDisposedError)
    if (!endsSession(error)) return false
    // FATAL comes right before the end of the socket; be sure that it is the end.
    process.nextTick(() => connection?.destroy(error))
    return true
  }

  /** The connection must not serve anybody else; the first reason counts. */
  poison(reason: unknown): void {
    if (this.#lease !== undefined) this.#poison ??= reason
  }

  /** Gives the connection back. What it was in the middle of is the pool's to clean. */
  release(): void {
    const lease = this.#lease
    const poison = this.#poison
    this.#lease = undefined
    this.#poison = undefined
    if (poison !== undefined) lease?.invalidate(poison)
    else lease?.release()
  }

  #start(inFlight: InFlightBatch): void {
    const { clock, observer } = this.#host
    const { operations } = inFlight
    this.#inFlight = inFlight
    this.#lease?.describe(operations[operations.length - 1]?.text ?? '')
    if (observer === undefined) return
    const now = clock.now()
    for (const operation of operations) operation.sentAt = now
  }

  /** The server has to answer at once where it has nothing to do first: one that does not is not worth waiting for. */
  #limit(inFlight: InFlightBatch, connection: DriverConnection): void {
    const { clock, prePingTimeoutMillis, cancelTimeoutMillis } = this.#host
    const first = inFlight.operations[0]
    const pings = first?.flushAfter === true
    // What a lost connection would have stored is undone, too.
    if (!pings && first?.kind !== 'rollback') return
    const millis = pings ? prePingTimeoutMillis : cancelTimeoutMillis
    const silent = pings
      ? `The idle connection did not answer BEGIN within ${millis} ms (pre-ping)`
      : `The connection did not answer ROLLBACK within ${millis} ms`
    const giveUp = (): void => connection.destroy(new ConnectionLostError(silent))
    const arm = (): void => {
      if (this.#inFlight === inFlight && !inFlight.answered)
        inFlight.deadline = setDeadline(clock, giveUp, millis)
    }
    // The time of a COMMIT that goes first is not its own.
    const { concluding } = connection
    if (concluding === undefined) arm()
    else void concluding.then(arm)
  }

  /**
   * COMMIT that was parted with is not cancelled, for that could hit whoever goes on behind it. It gets the time of a cancel;
   * then nobody waits for it any more, and the connection stays with who has it.
   */
  #limitParted(inFlight: InFlightBatch): void {
    const { clock, cancelTimeoutMillis: millis } = this.#host
    const giveUp = (): void => {
      const error = new ConnectionLostError(`COMMIT was not answered within ${millis} ms of its abort`)
      for (const operation of inFlight.operations) operation.onError(error)
      this.#land(inFlight)
    }
    inFlight.deadline ??= setDeadline(clock, giveUp, millis)
  }

  #land(inFlight: InFlightBatch): void {
    inFlight.deadline?.cancel()
    this.#cancellation?.ended()
    this.#inFlight = undefined
    this.#proven = true
    this.#heardAt = this.#host.clock.now()
    this.#sender.landed(inFlight)
  }
}

/**
 * Has the end of a transaction go now: with the packet of the next waiter, who got the connection a moment ago and sends in the
 * microtask before this one, or else by itself. Not with a timer: fake timers of a test runner would keep it, and so would code
 * that blocks the event loop, which can follow in the next microtask.
 */
export function sendEndSoon(connection: DriverConnection): void {
  void Promise.resolve().then(() => connection.sendEnd())
}
