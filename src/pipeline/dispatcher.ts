/**
 * Sends the batches of a pipeline: takes a connection from the pool when one is needed, sends one batch at a time, cancels, and
 * releases the connection. What the answers mean is decided in response-handler.ts.
 */
import type { Batch, CommitHandoff, CommitListener, DriverConnection } from '../driver/driver.js'
import { ConnectionLostError, EngineDisposedError } from '../errors.js'
import { errorFrom } from '../internal/thrown.js'
import { setDeadline } from '../internal/deadline.js'
import type { CallSite } from '../pool/call-site.js'
import type { AcquireOptions, Lease } from '../pool/pool.js'
import { Cancellation } from './cancellation.js'
import type { PipelineHost } from './contract.js'
import type { Operation } from './operation.js'
import type { Rider, SharedBatch } from './shared-batch.js'
import { batchOf, mayRepeat, mayRepeatAlone, type InFlightBatch } from './in-flight-batch.js'
import { endsSession } from './transaction-errors.js'
import type { ReadTracker } from './read-tracker.js'

/** The pipeline, as its dispatcher sees it. */
export interface Sender {
  /** The server is ready for the next batch, or the connection is lost. */
  landed(inFlight: InFlightBatch): void
  /** Something can be sent again. */
  advance(): void
  /**
   * The operation that would be sent next, if it is a read that may share a batch with those of other sessions.
   * @param takes True: takes it out of the queue.
   */
  sharedRead(takes: boolean): Operation | undefined
  /** No connection was acquired. */
  notAcquired(error: unknown): void
}

export class Dispatcher implements Rider {
  readonly #host: PipelineHost
  readonly #options: AcquireOptions
  readonly #sender: Sender
  #lease: Lease | undefined
  #proven = false
  /** When the last batch was answered. */
  #heardAt = 0
  #poison: unknown
  #inFlight: InFlightBatch | undefined
  #acquiring = false
  #cancellation: Cancellation | undefined
  /** The batch of several sessions that has its read. */
  #shared: SharedBatch | undefined = undefined
  /** Its read came back from such a batch, and is sent alone. */
  #isBack = false
  /** Call site of the first statement that needs a connection. */
  #callSite: CallSite | undefined

  constructor(host: PipelineHost, options: AcquireOptions, sender: Sender) {
    this.#host = host
    this.#options = options
    this.#sender = sender
  }

  /** The connection it holds at the moment. */
  get connection(): DriverConnection | undefined {
    return this.#lease?.connection
  }

  /** The batch that was sent and is not answered yet. */
  get inFlight(): InFlightBatch | undefined {
    return this.#inFlight
  }

  /** False: the connection may be dead already; the server has not answered since it was idle. */
  get proven(): boolean {
    return this.#proven
  }

  /** No batch, acquire or cancel is under way. */
  get free(): boolean {
    return this.#inFlight === undefined && !this.#acquiring && this.#cancellation?.active !== true
  }

  /** With `captureStacks`: where a connection was needed the last time. */
  get callSite(): CallSite | undefined {
    return this.#callSite
  }

  /** With `captureStacks`: captures the call site that needs a connection. */
  noteCallSite(above: (...parameters: never[]) => unknown): void {
    if (this.#lease === undefined) this.#callSite = this.#host.callSites?.capture(above)
  }

  adopt(lease: Lease): void {
    this.#lease = lease
    this.#proven = lease.proven
  }

  /** Takes a connection from the pool. */
  acquire(): void {
    this.#acquiring = true
    this.#host.request(this, this.#options, this.#callSite)
  }

  /** See `LeaseReceiver`. */
  leased(lease: Lease): void {
    const { sharing } = this.#host
    if (sharing !== undefined && this.read !== undefined) sharing.leased(this, lease)
    else this.own(lease)
  }

  /** See `Rider`. */
  own(lease: Lease): void {
    this.#acquiring = false
    this.adopt(lease)
    this.#sender.advance()
  }

  /** See `Rider`. */
  get read(): Operation | undefined {
    return this.#acquiring && !this.#isBack ? this.#sender.sharedRead(false) : undefined
  }

  /** See `Rider`. */
  board(batch: SharedBatch, connection: DriverConnection): void {
    this.#acquiring = false
    this.#shared = batch
    const inFlight = batchOf([this.#sender.sharedRead(true) as Operation], true)
    inFlight.handedOff = connection
    this.#start(inFlight)
  }

  /** See `Rider`. */
  alight(end: 'ended' | 'back'): void {
    const inFlight = this.#inFlight
    this.#shared = undefined
    if (inFlight === undefined) return
    this.#isBack = end === 'back'
    if (this.#isBack) inFlight.undoing.push(...inFlight.operations)
    this.#land(inFlight)
  }

  /** See `LeaseReceiver`. */
  refused(error: unknown): void {
    this.#acquiring = false
    this.#sender.notAcquired(error)
    this.#sender.advance()
  }

  /** Sends a batch. */
  send(inFlight: InFlightBatch, sync: Batch['sync']): void {
    const { connection } = this
    if (connection === undefined) return
    this.#isBack = false
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
   * Sends a lone COMMIT and hands the connection to the next waiter without waiting for the answer: the first batch of that
   * waiter goes with COMMIT. Only where COMMIT takes no time, and the connection has answered not long ago.
   * @param reads What the transaction has done.
   * @returns false if COMMIT was not sent.
   */
  handOff(inFlight: InFlightBatch, reads: ReadTracker | undefined): boolean {
    const { clock, prePingTimeoutMillis } = this.#host
    const [commit] = inFlight.operations
    const lease = this.#lease
    if (commit?.kind !== 'commit' || lease === undefined || this.#poison !== undefined) return false
    if (inFlight.position !== undefined) return false
    const { connection } = lease
    const { commitHandoff } = connection
    if (commitHandoff === undefined) return false
    // The next waiter must not wait longer for COMMIT than for a connection, and COMMIT must not fail because its timeout is short.
    const limitMillis = lease.wantedMillis
    if (limitMillis === undefined || limitMillis < prePingTimeoutMillis) return false
    if (clock.now() - this.#heardAt >= prePingTimeoutMillis) return false
    if (reads?.plain === false) return false
    this.#start(inFlight)
    inFlight.handedOff = connection
    // After an abort the session has stopped waiting for the answer.
    const waits = (): boolean => this.#inFlight === inFlight
    const listener: CommitListener = {
      onResult: (result) => waits() && commit.onResult(result),
      onError: (error) => waits() && commit.onError(error),
      onEnd: () => waits() && this.#land(inFlight),
    }
    commitHandoff.endWithoutWaiting('COMMIT', { listener, timeoutMillis: limitMillis })
    this.#lease = undefined
    lease.release({ beforeCommitIsAnswered: true })
    sendSoon(commitHandoff)
    return true
  }

  /** Gives the connection to work that needs all of it, once the COMMIT of the connection's previous holder is answered. */
  runExclusive(
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
    // COPY reads the socket itself, and would take the answer to that COMMIT for its own.
    const earlierEnds = connection.commitHandoff?.settled
    const working = earlierEnds === undefined ? work(connection) : earlierEnds.then(() => work(connection))
    working.then(() => end(undefined), end)
  }

  /** Cancels the batch on the server; if it does not end in time, the connection is destroyed. */
  cancel(reason: Error): void {
    if (this.#shared !== undefined) return this.#shared.leave(this, reason)
    const { connection } = this
    const inFlight = this.#inFlight
    if (inFlight?.handedOff !== undefined) this.#limitHandedOff(inFlight)
    if (inFlight === undefined || connection === undefined) return
    this.#cancellation ??= new Cancellation(this.#host.clock, this.#host.cancelTimeoutMillis)
    this.#cancellation.start(connection, reason, () => this.#sender.advance())
  }

  /**
   * Whether the connection was lost with this error, and another one may be used instead. A connection whose session the server has
   * ended is destroyed in the next tick.
   */
  isReplaceable(error: Error): boolean {
    const { connection } = this
    // Of a disposed engine there is no other connection.
    if (connection?.lost !== undefined) return !(connection.lost instanceof EngineDisposedError)
    if (!endsSession(error)) return false
    // The socket ends right after FATAL, but nothing here waits for that.
    process.nextTick(() => connection?.destroy(error))
    return true
  }

  /** The connection must not be given to another holder; the first reason counts. */
  poison(reason: unknown): void {
    if (this.#lease !== undefined) this.#poison ??= reason
    // It shares the connection, so only its own read ends.
    this.#shared?.leave(this, errorFrom(reason))
  }

  /** Releases the connection. The pool resets it if a transaction or statement is open. */
  release(): void {
    const lease = this.#lease
    const poison = this.#poison
    this.#lease = undefined
    this.#poison = undefined
    if (poison !== undefined) lease?.invalidate(poison)
    else lease?.release()
  }

  /** Gives the lease to another pipeline; undefined if there is none that can still be used. */
  handOver(): Lease | undefined {
    const lease = this.#lease
    if (this.#poison !== undefined || lease?.connection.lost !== undefined) {
      this.release()
      return undefined
    }
    this.#lease = undefined
    return lease
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

  /** Sets a deadline for an answer that takes the server no time (BEGIN of an idle connection, ROLLBACK). */
  #limit(inFlight: InFlightBatch, connection: DriverConnection): void {
    const { clock, prePingTimeoutMillis, cancelTimeoutMillis } = this.#host
    const first = inFlight.operations[0]
    const pings = first?.flushAfter === true
    // ROLLBACK needs no answer: losing the connection rolls back as well.
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
    // The time that the COMMIT of the previous holder takes does not count.
    const earlierEnds = connection.commitHandoff?.settled
    if (earlierEnds === undefined) arm()
    else void earlierEnds.then(arm)
  }

  /**
   * A COMMIT whose connection was handed off is not cancelled: the cancel could hit the connection's new holder. The session
   * waits for the answer as long as for a cancel, and then gives up; the new holder keeps the connection.
   */
  #limitHandedOff(inFlight: InFlightBatch): void {
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
 * Sends the end of a transaction in the next microtask, unless a batch takes it along. The next waiter got the connection a
 * moment ago and sends its first batch in an earlier microtask. A timer would be wrong: fake timers of a test runner hold it
 * back, and so does code that blocks the event loop.
 */
export function sendSoon(handoff: CommitHandoff): void {
  void Promise.resolve().then(() => handoff.send())
}
