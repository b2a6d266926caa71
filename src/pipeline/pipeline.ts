/**
 * The operations of one session on one connection: statements in order, the transaction around them, and as few batches as possible.
 * The engine's `Connection` and the `Session` have one each.
 *
 * 1. Operations are sent in the order in which they were issued. Operations issued in the same tick are sent in one batch.
 * 2. BEGIN is sent with the first statement, COMMIT with the last ones if they were issued in the same tick.
 * 3. A transaction belongs to one physical connection. If the connection is lost, no part of the transaction is repeated. Exception:
 *    if the server had not even answered BEGIN and nothing can have been stored, the batch is sent once more.
 * 4. COMMIT is never sent to a connection that may be dead already (`Lease.proven`), unless it can store nothing.
 * 5. Every operation settles exactly once, whatever the answer is.
 */
import type { DriverConnection } from '../driver/driver.js'
import type { MessageSource, TransactionMessage } from '../internal/channels.js'
import type { CallSite } from '../pool/call-site.js'
import type { Lease } from '../pool/pool.js'
import type { ExplicitTransaction, ExplicitTransactions } from './explicit-transactions.js'
import { beginSteps } from './begin.js'
import { callOff, cancelAll, giveUp } from './call-off.js'
import type { PipelineHost, PipelineSetup, TransactionListener } from './contract.js'
import { Dispatcher, sendSoon, type Sender } from './dispatcher.js'
import { batchOf, settlingOf, takeBatch, type InFlightBatch } from './in-flight-batch.js'
import { answerLocally } from './local-answers.js'
import {
  NOTHING,
  Operation,
  undoes,
  type ExclusiveWork,
  type OperationKind,
  type OperationStatement,
} from './operation.js'
import { OperationQueue, type BatchEnd } from './operation-queue.js'
import { ResponseHandler } from './response-handler.js'
import { EndedBehindError, endedByStatement } from './script.js'
import { begunAlready } from './transaction-errors.js'
import type { CurrentState } from './transaction-state.js'
import { errorFrom } from '../internal/thrown.js'

export class Pipeline implements Sender {
  /** True: its session or connection is closed. */
  closed = false
  readonly #host: PipelineHost
  readonly setup: PipelineSetup
  readonly #dispatcher: Dispatcher
  readonly #answers: ResponseHandler
  readonly #queue = new OperationQueue()
  /** Steps that can wait for the next batch (RELEASE SAVEPOINT, closing a cursor). */
  #deferred: Operation[] | undefined = undefined
  #scheduled = false
  #portals = 0

  constructor(host: PipelineHost, setup: PipelineSetup, owner: TransactionListener) {
    this.#host = host
    this.setup = setup
    this.#dispatcher = new Dispatcher(host, setup.acquire, this)
    this.#answers = new ResponseHandler(host, setup, owner, this.#dispatcher)
  }

  get state(): CurrentState {
    return this.#answers.state
  }

  /** Identifies the engine in messages of channels. */
  get source(): MessageSource {
    return this.#host.source
  }

  /** See `ResponseHandler.traced`. */
  get traced(): TransactionMessage | undefined {
    return this.#answers.traced
  }

  /** The connection it holds at the moment. */
  get connection(): DriverConnection | undefined {
    return this.#dispatcher.connection
  }

  /** Number of the transaction that is open, or was last: a cursor lives no longer than its transaction. */
  get transaction(): number {
    return this.#answers.transaction
  }

  /** The transactions of `begin()`. */
  get explicitTransactions(): ExplicitTransactions {
    return this.#answers.explicitTransactions
  }

  /** The next statement, outside of a transaction, is its own transaction. */
  get autocommit(): boolean {
    return this.#answers.plan === undefined
  }

  get standsAlone(): boolean {
    return this.#answers.standsAlone
  }

  /** See `ResponseHandler.originOf`. */
  originOf(error: unknown): string | undefined {
    return this.#answers.originOf(error)
  }

  /** True: the next operation is the one that needs a connection. */
  get notesCallSite(): boolean {
    return this.#queue.isEmpty && this.#dispatcher.connection === undefined
  }

  /** See `Dispatcher.callSite`. */
  get callSite(): CallSite | undefined {
    return this.#dispatcher.callSite
  }

  /** Statements of the user that have not settled. */
  get pending(): readonly Operation[] {
    const inFlight = this.#dispatcher.inFlight?.operations ?? []
    return [...inFlight, ...this.#queue].filter(({ outstanding }) => outstanding)
  }

  /** Uses this connection from now on, instead of acquiring one at the first statement. */
  adopt(lease: Lease): void {
    this.#dispatcher.adopt(lease)
  }

  /** Releases the connection without waiting for an answer: the pool resets it. */
  release(): void {
    this.#dispatcher.release()
  }

  /** Gives its connection to another pipeline; only while it is quiet. Undefined if it has none that can still be used. */
  handOver(): Lease | undefined {
    return this.#dispatcher.handOver()
  }

  /**
   * The next statement begins a transaction, also in autocommit mode, until COMMIT or ROLLBACK.
   * @param options.inBlock True: the statement after COMMIT or ROLLBACK begins another one, until the block is left.
   * @throws IllegalStateError while a transaction is open, or has been asked for.
   */
  beginOnce({ inBlock = false }: { readonly inBlock?: boolean } = {}): ExplicitTransaction {
    if (this.state.inTransaction || !this.#queue.isEmpty) throw begunAlready()
    return this.explicitTransactions.begin({ inBlock })
  }

  /** Queues an operation; it is sent when the current tick ends. */
  enqueue(kind: OperationKind, statement: OperationStatement, work?: Operation['work']): Operation {
    const operation = new Operation(this.#answers, kind, statement, work)
    if (this.notesCallSite) this.#dispatcher.noteCallSite(Pipeline.prototype.enqueue)
    this.#queue.push(operation)
    if (!this.#scheduled) {
      this.#scheduled = true
      // After every microtask of this tick, so that the statements they issue are sent in one batch.
      process.nextTick(Pipeline.#pump, this)
    }
    return operation
  }

  /** Queues an operation that is sent in the batch of the next one. Its answer is not waited for. */
  defer(statement: OperationStatement): void {
    ;(this.#deferred ??= []).push(new Operation(this.#answers, 'step', statement))
  }

  /** See `OperationQueue.endWith`; `makeCommit` makes its COMMIT. */
  endWith(end: BatchEnd | undefined): void {
    this.#queue.endWith(end)
  }

  makeCommit(): Operation {
    return new Operation(this.#answers, 'commit', { text: 'COMMIT' })
  }

  /** A portal name that was not used on this pipeline. */
  nextPortal(): string {
    return `lifeguard_${++this.#portals}`
  }

  /** Removes the operation from the queue, or cancels it on the server. It fails with `reason`. */
  callOff(operation: Operation, reason: Error): void {
    callOff(this.#queue, this.#dispatcher, operation, reason)
  }

  /** Ends open streams, which their readers may have forgotten: they must not delay the end of the transaction. */
  stopStreams(reason: Error): void {
    for (const operation of this.pending)
      if (operation.work?.stop !== undefined) this.callOff(operation, reason)
  }

  /** A block is over: removes and cancels its operations. @param mine Default: every operation. */
  giveUp(reason: Error, mine?: ReadonlySet<Operation>): void {
    giveUp(this.#queue, this.#dispatcher, this.standsAlone, reason, mine)
  }

  /** Refuses every operation from now on with `reason`, except a rollback; cancels the batch under way. */
  abandon(reason: Error): void {
    if (this.#answers.abandoned !== undefined) return
    this.#answers.abandoned = reason
    cancelAll(this.#dispatcher, this.#dispatcher.inFlight?.operations ?? [], reason)
  }

  /** Destroys the connection: operations under way and queued ones fail with `reason`. */
  invalidate(reason: Error): void {
    this.#answers.abandoned ??= reason
    this.#dispatcher.poison(reason)
    this.connection?.destroy(reason)
    this.release()
  }

  static #pump(this: void, pipeline: Pipeline): void {
    pipeline.#scheduled = false
    pipeline.advance()
  }

  /** True if there is nothing to end and nothing to wait for. */
  get quiet(): boolean {
    return this.state.name === 'idle' && this.#queue.isEmpty && this.#dispatcher.free
  }

  /**
   * Commits a read-only transaction that can store nothing, without waiting for the answer.
   * @returns false if an operation is under way or COMMIT may store something.
   */
  commitWithoutWaiting(): boolean {
    const { connection } = this
    const handoff = connection?.commitHandoff
    if (connection === undefined || handoff === undefined) return false
    if (connection.lost !== undefined || this.state.name !== 'active') return false
    if (!this.#dispatcher.free || !this.#queue.isEmpty) return false
    if (this.#answers.reads?.pure === false || !this.setup.beginning.commitIsFormality(connection))
      return false
    this.#deferred = undefined
    handoff.endWithoutWaiting('COMMIT', { timeoutMillis: this.#host.prePingTimeoutMillis })
    this.#host.observer?.committedWithoutWaiting(connection)
    this.#answers.transactionEnded('committed')
    this.#rest()
    sendSoon(handoff)
    return true
  }

  /** Settles when the COMMIT under way, or a statement that commits by itself, was answered: see `settlingOf`. */
  get committing(): Promise<boolean> | undefined {
    return settlingOf(this.#dispatcher.inFlight)
  }

  /** Sends the queue, as far as the connection is free. */
  advance(): void {
    while (this.#dispatcher.free) {
      const next = this.#queue.first
      if (next === undefined) return this.#rest()
      if (this.#answerLocally(next, this.#answers.abandoned)) continue
      if (this.connection === undefined) this.#dispatcher.acquire()
      else this.#send(this.connection)
    }
  }

  sharedRead(takes: boolean): Operation | undefined {
    return this.#host.sharedReads?.nextOf(this.setup, this.#queue, this.#answers, takes)
  }

  /** No connection was acquired: all that was queued is settled, in order, for what follows a ROLLBACK is another transaction. */
  notAcquired(error: unknown): void {
    for (let next = this.#queue.first; next !== undefined; next = this.#queue.first)
      if (!this.#answerLocally(next, error)) return
  }

  /** Settles the first operation of the queue, if it need not be sent. */
  #answerLocally(first: Operation, abandoned: unknown): boolean {
    if (!answerLocally(first, this.#answers, abandoned)) return false
    this.#queue.shift()
    if (undoes(first)) this.#deferred = undefined
    if (first.succeeded && (first.kind === 'commit' || first.kind === 'rollback'))
      this.#answers.transactionEnded('rolled back')
    return true
  }

  #send(connection: DriverConnection): void {
    if (connection.lost !== undefined && (this.state.name === 'active' || this.state.name === 'idle')) {
      // A transaction that has not begun loses nothing: the next round takes another connection.
      if (this.state.name === 'active') this.#answers.mutableState.move('lost', connection.lost)
      this.#dispatcher.poison(connection.lost)
      this.release()
      return
    }
    const next = this.#queue.first
    if (next?.work !== undefined && (this.autocommit || this.state.name === 'active')) {
      this.#queue.shift()
      return this.#runExclusive(next, next.work)
    }
    const standbys = this.setup.acquire.signal === undefined ? undefined : this.#host.standbys
    const begin = this.state.name === 'idle' ? beginSteps(this.#answers, connection, standbys, next) : []
    const proving = begin.length > 0 && !this.#dispatcher.proven
    // Where the batch can go to another server, a server that does not answer gets a deadline.
    if (proving || (begin.length > 0 && this.setup.otherServers !== undefined))
      (begin[0] as Operation).flushAfter = true
    // A rollback makes deferred steps superfluous.
    const deferred = undoes(next) ? [] : (this.#deferred ?? [])
    this.#deferred = undefined
    if (begin.length > 0) this.#answers.reads?.clear()
    const inFlight = takeBatch(this.#queue, begin, deferred, {
      proving,
      alone: this.standsAlone,
      readOnly: this.setup.readOnly,
      flushes: standbys !== undefined,
      commitMayWait: standbys?.mayDelayCommit(connection) === true,
      position: this.#answers.positionQuery,
      hasWritten: this.#answers.mayHaveWritten,
    })
    if (inFlight.beginning > 0) this.#answers.transactionBegan(connection)
    // After nothing but reads COMMIT takes no time: the next waiter for the connection need not wait for its answer.
    if (this.setup.releaseWhenIdle && this.#dispatcher.handOff(inFlight, this.#answers.reads)) return
    this.#dispatcher.send(inFlight, this.standsAlone ? 'separate' : 'shared')
  }

  #runExclusive(operation: Operation, work: ExclusiveWork): void {
    const run = (connection: DriverConnection): Promise<unknown> =>
      work.run(connection, (reason) => this.callOff(operation, reason))
    // The work settles the operation with its own value; here only success or failure counts.
    this.#dispatcher.runExclusive(batchOf([operation], this.standsAlone), run, (error) => {
      // It took the connection for itself, so no query for the position could follow it.
      if (this.standsAlone || (error instanceof EndedBehindError && error.isStored))
        this.#answers.located(undefined, undefined)
      if (error === undefined) this.#answers.answered(operation, NOTHING)
      else this.#answers.refused(operation, errorFrom(error))
    })
  }

  /** The server is ready for the next batch, or the connection is lost. */
  landed(inFlight: InFlightBatch): void {
    this.#queue.putBack(inFlight.undoing)
    const lost = (inFlight.handedOff ?? this.connection)?.lost
    if (inFlight.replay === undefined) this.#answers.landed(inFlight)
    if (inFlight.replay !== undefined) {
      // BEGIN and its settings are built again.
      this.#queue.putBack(this.#answers.moved(inFlight, inFlight.replay))
      if (lost !== undefined) this.#dispatcher.poison(lost)
      this.release()
    } else if (lost !== undefined) {
      this.#answers.mutableState.lose(lost)
      this.#dispatcher.poison(lost)
      this.release()
    } else if (this.state.name === 'active' && this.connection?.transactionStatus === 'idle') {
      this.#answers.mutableState.fail(endedByStatement())
    }
    this.advance()
  }

  /** The queue is empty: releases the connection if no transaction is open. */
  #rest(): void {
    if (this.state.inTransaction) return
    this.#answers.replays = 0
    if (this.setup.releaseWhenIdle) this.release()
  }
}
