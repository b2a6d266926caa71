/**
 * What one session says to one connection: statements in order, the transaction around them, and as few packets as that
 * takes. The engine's `Connection` and the `Session` are faces of it.
 *
 * 1. Operations are sent in the order in which they were given. Those given in the same tick travel in one packet.
 * 2. BEGIN travels with the first statement, COMMIT with the last ones if they were given in the same tick.
 * 3. A transaction belongs to one physical connection. If that dies, nothing of the transaction is ever repeated,
 *    except when the server had not even answered BEGIN, and then once.
 * 4. COMMIT is never sent to a connection that may be dead already (`Lease.proven`).
 * 5. Whatever the answer, every operation settles exactly once.
 */
import type { DriverConnection, StatementResult } from '../driver/driver.js'
import { StatementSkipped } from '../driver/driver.js'
import { isDisconnect } from '../database-errors.js'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  IllegalStateError,
  TransactionAbortedError,
} from '../errors.js'
import type { Clock, Timer } from '../internal/clock.js'
import type { Lease } from '../pool/pool.js'
import { Operation, type OperationKind, type OperationOwner, type OperationStatement } from './operation.js'
import type { BeginPlan, BeginStatement } from './transaction-options.js'
import { TransactionState } from './transaction-state.js'

/** Told what happens, as it happens. Must not throw. */
export interface ConversationObserver {
  began?(connection: DriverConnection): void
  answered?(
    operation: Operation,
    connection: DriverConnection,
    result: StatementResult,
    durationMillis: number,
  ): void
  refused?(
    operation: Operation,
    connection: DriverConnection | undefined,
    error: Error,
    durationMillis: number,
  ): void
}

/** What a conversation needs. */
export interface ConversationParts {
  readonly acquire: () => Promise<Lease>
  readonly clock: Clock
  /** How its transactions begin; undefined = autocommit, every statement stands alone. */
  readonly begin: BeginPlan | undefined
  /** True: the connection goes back to the pool whenever no transaction is open. */
  readonly releaseWhenIdle: boolean
  /** False: 25006 means that the server is no primary any more, and the pool has to look for another connection. */
  readonly readOnly: boolean
  readonly prePingTimeoutMillis: number
  /** How long the server may take to answer a cancel before the connection is dropped. */
  readonly cancelTimeoutMillis: number
  readonly observer?: ConversationObserver | undefined
  /** A transaction begins. Must not throw. */
  readonly onBegin?: (() => void) | undefined
}

/** Operations on their way. */
interface Flight {
  readonly operations: readonly Operation[]
  /** How many of them, from the first, begin the transaction. */
  readonly beginning: number
  beginAnswered: boolean
  /** A statement before COMMIT was refused, so COMMIT was not run. */
  refused: boolean
  /** It has to be sent once more, on a fresh connection (see 3). */
  replay: boolean
  probe: Timer | undefined
}

export class Conversation implements OperationOwner {
  readonly state: TransactionState = new TransactionState()
  readonly #parts: ConversationParts
  /** Undefined for autocommit; may change while no transaction is open. */
  #begin: BeginPlan | undefined
  #queue: Operation[] = []
  /** Steps that can wait for the next packet (RELEASE SAVEPOINT, closing a cursor). */
  #deferred: Operation[] = []
  #flight: Flight | undefined
  #lease: Lease | undefined
  #acquiring = false
  #scheduled = false
  #replayed = false
  #cancelling = false
  /** The server has answered on this lease. */
  #proven = false
  /** Why the connection must not serve anybody else, although it is alive. */
  #poison: unknown
  #portals = 0
  /** Why nothing is sent any more. */
  #abandoned: Error | undefined
  readonly #pump: () => void

  constructor(parts: ConversationParts) {
    this.#parts = parts
    this.#begin = parts.begin
    this.#pump = () => {
      this.#scheduled = false
      this.#advance()
    }
  }

  /** The connection it holds at the moment. */
  get connection(): DriverConnection | undefined {
    return this.#lease?.connection
  }

  get autocommit(): boolean {
    return this.#begin === undefined
  }

  /** Statements of the user that have not settled. */
  get pending(): readonly Operation[] {
    const inFlight = this.#flight?.operations ?? []
    return [...inFlight, ...this.#queue].filter(
      ({ kind, settled }) => !settled && (kind === 'statement' || kind === 'exclusive'),
    )
  }

  /** Takes the connection at once, instead of at the first statement. */
  adopt(lease: Lease): void {
    this.#lease = lease
    this.#proven = lease.proven
  }

  /** Changes how the next transaction begins. @throws IllegalStateError while one is open. */
  beginWith(begin: BeginPlan | undefined): void {
    if (this.state.inTransaction || this.#queue.length > 0) {
      throw new IllegalStateError('A transaction is open already: its options cannot change')
    }
    this.#begin = begin
  }

  /** Queues an operation; it is sent when the current tick ends. */
  enqueue(kind: OperationKind, statement: OperationStatement, work?: Operation['work']): Operation {
    const operation = new Operation(this, kind, statement, work)
    this.#queue.push(operation)
    this.#schedule()
    return operation
  }

  /** Queues an operation that rides with the next one. Nobody waits for it. */
  defer(statement: OperationStatement): void {
    this.#deferred.push(this.#step(statement))
  }

  /** A name for a cursor, new on this conversation. */
  nextPortal(): string {
    return `lifeguard_${++this.#portals}`
  }

  /** Takes back what has not been sent, cancels on the server what has. The operation fails with `reason`. */
  callOff(operation: Operation, reason: Error): void {
    if (operation.settled || operation.calledOff !== undefined) return
    const at = this.#queue.indexOf(operation)
    if (at !== -1) {
      this.#queue.splice(at, 1)
      operation.fail(reason)
      return
    }
    operation.calledOff = reason
    this.#cancelFlight(reason)
  }

  /** Refuses everything from now on with `reason`, except a rollback; cancels what is under way. */
  abandon(reason: Error): void {
    if (this.#abandoned !== undefined) return
    this.#abandoned = reason
    const flight = this.#flight
    // A COMMIT that has been sent is left alone: its answer is worth more than the time.
    if (flight === undefined || flight.operations.some(({ kind }) => kind === 'commit')) return
    for (const operation of flight.operations) operation.calledOff ??= reason
    this.#cancelFlight(reason)
  }

  /** Ends the transaction without an answer being waited for: the pool cleans the connection. */
  release(): void {
    const lease = this.#lease
    const poison = this.#poison
    this.#lease = undefined
    this.#poison = undefined
    if (poison !== undefined) lease?.invalidate(poison)
    else lease?.release()
  }

  // Answers -------------------------------------------------------------------------------------------------------

  answered(operation: Operation, result: StatementResult): void {
    const flight = this.#flight
    if (flight !== undefined) {
      flight.beginAnswered = true
      flight.probe?.cancel()
    }
    this.#observe(operation, result, undefined)
    switch (operation.kind) {
      case 'commit':
        this.#committed(operation, result)
        return
      case 'rollback':
        this.state.move('idle')
        break
      case 'rollbackTo':
        if (this.state.name === 'failed') this.state.move('active')
        break
      default:
    }
    operation.succeed(result)
  }

  refused(operation: Operation, error: Error): void {
    const flight = this.#flight
    const connection = this.connection
    if (flight !== undefined && connection !== undefined && this.#diedBeforeBegin(flight, operation, error)) {
      flight.replay = true
      return
    }
    const skipped = error instanceof StatementSkipped
    if (!skipped) this.#observe(operation, undefined, error)
    if (connection?.lost !== undefined || isDisconnect(error)) this.#lost(operation, error)
    else if (skipped) this.#skipped(operation)
    else this.#failed(operation, error)
    if (flight !== undefined) flight.refused = true
  }

  #committed(operation: Operation, result: StatementResult): void {
    if (result.command === 'COMMIT') {
      this.state.move('idle')
      operation.succeed(result)
      return
    }
    const error = new TransactionAbortedError(
      'PostgreSQL answered COMMIT with ROLLBACK: a statement of the transaction had failed, nothing was stored',
      { cause: this.state.cause },
    )
    this.#fail(error)
    operation.fail(error)
  }

  /** The server refused the operation itself. */
  #failed(operation: Operation, error: Error): void {
    if (!this.autocommit) this.#fail(error)
    operation.fail(operation.calledOff ?? error)
  }

  /** The server passed over the operation, because one before it in the same packet had failed. */
  #skipped(operation: Operation): void {
    if (undoes(operation)) {
      // It was meant to undo exactly that failure.
      this.#queue.unshift(operation)
      return
    }
    operation.fail(operation.calledOff ?? this.#abortedBy(this.state.cause))
  }

  #lost(operation: Operation, error: Error): void {
    const unknown = operation.kind === 'commit' && this.#flight?.refused !== true
    const switched = this.connection?.lost === undefined && !isFatal(error)
    if (switched) {
      // 25006: the connection is alive, but leads to a server that takes no writes.
      if (!this.#parts.readOnly) this.#poison ??= error
      this.#failed(operation, error)
      return
    }
    if (this.state.name === 'active' || this.state.name === 'failed')
      this.state.move('lost', this.state.cause ?? error)
    this.#poison ??= error
    if (operation.kind === 'rollback') {
      // What was to be undone has gone with the connection.
      operation.succeed(NOTHING)
      this.state.move('idle')
      return
    }
    operation.fail(operation.calledOff ?? (unknown ? outcomeUnknown(error) : lostError(error)))
  }

  /** Marks the transaction failed; the first failure is the one that counts. */
  #fail(error: unknown): void {
    if (this.state.name === 'active' || this.state.name === 'idle') this.state.move('failed', error)
  }

  #abortedBy(cause: unknown): TransactionAbortedError {
    return new TransactionAbortedError(
      'The transaction was aborted by an earlier failure (see cause); call rollback() before anything else',
      { cause },
    )
  }

  #diedBeforeBegin(flight: Flight, operation: Operation, error: Error): boolean {
    if (flight.beginning === 0 || flight.beginAnswered || this.#replayed) return false
    if (this.#abandoned !== undefined || operation.calledOff !== undefined) return false
    if (flight.operations.some(({ kind }) => kind === 'commit')) return false
    const { connection } = this
    if (connection?.lost !== undefined) return true
    if (!isFatal(error)) return false
    // FATAL comes right before the end of the socket; be sure that it is the end.
    process.nextTick(() => connection?.destroy(error))
    return true
  }

  // Sending -------------------------------------------------------------------------------------------------------

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // After every microtask of this tick, so that whatever they ask for travels together.
    process.nextTick(this.#pump)
  }

  #advance(): void {
    while (this.#flight === undefined && !this.#acquiring && !this.#cancelling) {
      const next = this.#queue[0]
      if (next === undefined) {
        this.#rest()
        return
      }
      if (this.#settleLocally(next)) {
        this.#queue.shift()
        continue
      }
      if (this.#lease === undefined) this.#acquire()
      else this.#send(this.#lease)
    }
  }

  /** Settles what needs no server; false if the operation has to be sent. */
  #settleLocally(operation: Operation): boolean {
    const { name, cause } = this.state
    const ends = undoes(operation)
    if (this.#abandoned !== undefined && !ends) {
      operation.fail(this.#abandoned)
      return true
    }
    if (operation.kind === 'rollback' && (name === 'idle' || name === 'lost' || this.#endedOnServer())) {
      this.#deferred.length = 0
      if (name !== 'idle') this.state.move('idle')
      operation.succeed(NOTHING)
      return true
    }
    if (operation.kind === 'commit' && name === 'idle') {
      operation.succeed(NOTHING)
      return true
    }
    if (name === 'lost') {
      operation.fail(lostError(cause))
      return true
    }
    if (name === 'failed' && !ends) {
      operation.fail(this.#abortedBy(cause))
      return true
    }
    return false
  }

  /** The transaction failed and is over on the server: a refused BEGIN or COMMIT, a connection that was never had. */
  #endedOnServer(): boolean {
    if (this.state.name !== 'failed') return false
    return this.#lease === undefined || this.#lease.connection.transactionStatus === 'idle'
  }

  #acquire(): void {
    this.#acquiring = true
    this.#parts.acquire().then(
      (lease) => {
        this.#acquiring = false
        this.adopt(lease)
        this.#advance()
      },
      (error: unknown) => {
        this.#acquiring = false
        const waiting = this.#queue.splice(0)
        if (!this.autocommit && waiting.length > 0) this.#fail(error)
        for (const operation of waiting) operation.fail(error)
        this.#advance()
      },
    )
  }

  #send(lease: Lease): void {
    const { connection } = lease
    if (connection.lost !== undefined && (this.state.name === 'active' || this.state.name === 'idle')) {
      // Nothing of a transaction that has not begun is lost with it: the next round takes another connection.
      if (this.state.name === 'active') this.state.move('lost', connection.lost)
      this.#poison = connection.lost
      this.release()
      return
    }
    if (this.#queue[0]?.kind === 'exclusive' && (this.autocommit || this.state.name === 'active')) {
      this.#runExclusive(connection, this.#queue.shift() as Operation)
      return
    }
    this.#submit(lease, this.#takeBatch(connection))
  }

  /** Takes from the queue what travels in the next packet, with the steps that have to come before it. */
  #takeBatch(connection: DriverConnection): Flight {
    const begin = this.state.name === 'idle' ? this.#beginOperations(connection) : []
    // What is undone takes with it whatever was put off inside.
    if (undoes(this.#queue[0])) this.#deferred.length = 0
    const operations: Operation[] = [...begin, ...this.#deferred.splice(0)]
    const unproven = begin.length > 0 && !this.#proven
    if (unproven) (begin[0] as Operation).flushAfter = true
    let statements = 0
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (next.kind === 'exclusive' || (next.kind === 'commit' && unproven)) break
      if (next.cancellable && statements > 0) break
      operations.push(next)
      this.#queue.shift()
      statements++
      if (next.cancellable || next.kind === 'commit' || next.kind === 'rollback') break
    }
    return flightOf(operations, begin.length)
  }

  #beginOperations(connection: DriverConnection): Operation[] {
    return (this.#begin?.(connection) ?? NO_STATEMENTS).map((statement) => {
      const step = this.#step(statement)
      if (statement.onRows !== undefined) step.promise.then(({ rows }) => statement.onRows?.(rows), ignore)
      return step
    })
  }

  #step(statement: OperationStatement): Operation {
    const operation = new Operation(this, 'step', statement)
    operation.promise.catch(ignore)
    return operation
  }

  #submit(lease: Lease, flight: Flight): void {
    const { connection } = lease
    const { clock, prePingTimeoutMillis, observer } = this.#parts
    this.#flight = flight
    if (flight.beginning > 0) {
      this.state.move('active')
      observer?.began?.(connection)
      this.#parts.onBegin?.()
      if (flight.operations[0]?.flushAfter === true) {
        const timeout = (): void =>
          connection.destroy(new Error(`No answer to BEGIN within ${prePingTimeoutMillis} ms (pre-ping)`))
        flight.probe = clock.setTimer(timeout, prePingTimeoutMillis)
      }
    }
    const last = flight.operations[flight.operations.length - 1]
    if (last !== undefined) lease.describe(last.text)
    if (observer !== undefined) {
      const now = clock.now()
      for (const operation of flight.operations) operation.sentAt = now
    }
    const sync = this.autocommit && !this.state.inTransaction ? 'separate' : 'shared'
    connection.submit({ statements: flight.operations, sync, onEnd: () => this.#landed(flight) })
  }

  #runExclusive(connection: DriverConnection, operation: Operation): void {
    const flight = flightOf([operation], 0)
    this.#flight = flight
    this.#lease?.describe(operation.text)
    operation.sentAt = this.#parts.clock.now()
    // The work settles the operation with its own value; here only success or failure counts.
    ;(operation.work as NonNullable<Operation['work']>)(connection).then(
      () => {
        this.answered(operation, NOTHING)
        this.#landed(flight)
      },
      (error: unknown) => {
        this.refused(operation, error instanceof Error ? error : new Error(String(error)))
        this.#landed(flight)
      },
    )
  }

  /** The server is ready for the next packet, or the connection is gone. */
  #landed(flight: Flight): void {
    flight.probe?.cancel()
    this.#flight = undefined
    this.#proven = true
    const lost = this.connection?.lost
    if (flight.replay && lost !== undefined) {
      this.#replayed = true
      this.state.move('idle')
      // BEGIN and its settings are made anew.
      this.#queue.unshift(...flight.operations.slice(flight.beginning))
      this.#poison = lost
      this.release()
    } else if (lost !== undefined) {
      if (this.state.name === 'active' || this.state.name === 'failed')
        this.state.move('lost', this.state.cause ?? lost)
      this.#poison ??= lost
      this.release()
    } else if (this.state.name === 'active' && this.connection?.transactionStatus === 'idle') {
      this.#fail(new IllegalStateError('A statement ended the transaction behind the back of its session'))
    }
    this.#advance()
  }

  /** Nothing is left to do. */
  #rest(): void {
    if (this.state.inTransaction) return
    this.#replayed = false
    if (this.#parts.releaseWhenIdle) this.release()
  }

  #cancelFlight(reason: Error): void {
    const flight = this.#flight
    const connection = this.connection
    if (flight === undefined || connection === undefined || this.#cancelling) return
    const { clock, cancelTimeoutMillis } = this.#parts
    this.#cancelling = true
    const patience = clock.setTimer(
      () => {
        if (this.#flight === flight) connection.destroy(reason)
      },
      cancelTimeoutMillis,
      false,
    )
    // Until the server has taken the cancel, nothing else is sent that it could hit.
    const taken = (): void => {
      this.#cancelling = false
      if (this.#flight === flight) return
      patience.cancel()
      this.#advance()
    }
    connection.cancel(cancelTimeoutMillis).then(taken, taken)
  }

  #observe(operation: Operation, result: StatementResult | undefined, error: Error | undefined): void {
    const { observer, clock } = this.#parts
    if (observer === undefined) return
    const duration = operation.sentAt === 0 ? 0 : clock.now() - operation.sentAt
    const connection = this.connection
    if (error !== undefined) observer.refused?.(operation, connection, error, duration)
    else if (result !== undefined && connection !== undefined) {
      observer.answered?.(operation, connection, result, duration)
    }
  }
}

const NO_STATEMENTS: readonly BeginStatement[] = []
const NOTHING: StatementResult = { command: '', rowCount: null, fields: [], rows: [], suspended: false }

function undoes(operation: Operation | undefined): boolean {
  return operation?.kind === 'rollback' || operation?.kind === 'rollbackTo'
}

function flightOf(operations: readonly Operation[], beginning: number): Flight {
  return { operations, beginning, beginAnswered: false, refused: false, replay: false, probe: undefined }
}

function ignore(): void {
  // The operation that comes after it reports the failure.
}

/** The server or the socket ended the session (25006 did not). */
function isFatal(error: Error): boolean {
  return isDisconnect(error) && (error as { code?: unknown }).code !== '25006'
}

function lostError(cause: unknown): ConnectionLostError {
  return new ConnectionLostError('The connection was lost; what the transaction had done was not stored', {
    cause,
  })
}

function outcomeUnknown(cause: unknown): CommitOutcomeUnknownError {
  return new CommitOutcomeUnknownError(
    'The connection was lost after COMMIT was sent and before its answer came: look whether it was stored before you retry',
    { cause },
  )
}
