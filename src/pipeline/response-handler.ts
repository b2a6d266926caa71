/**
 * Interprets the server's answers: settles the operations, changes the state of the transaction, and records what the transaction has
 * done. It does not decide what is sent.
 */
import { isDisconnect, isServerError } from '../database-errors.js'
import type { DriverConnection, StatementResult } from '../driver/driver.js'
import { StatementSkipped } from '../driver/driver.js'
import type { TransactionMessage } from '../internal/channels.js'
import { isSerializableRefused } from '../internal/standby-refusals.js'
import {
  isAnswerOfStandby,
  POSITION_QUERY,
  READER_POSITION_QUERY,
  readWalPosition,
  type WalPosition,
} from '../internal/wal-position.js'
import { ExplicitTransactions } from './explicit-transactions.js'
import { observe, type PipelineHost, type PipelineSetup, type TransactionListener } from './contract.js'
import type { Dispatcher } from './dispatcher.js'
import {
  answeredFirst,
  arePlainReads,
  hasOpenCommit,
  isUnanswered,
  isUnbegun,
  onlyReads,
  type InFlightBatch,
  type Replay,
  type ReplayReason,
} from './in-flight-batch.js'
import { passOver } from './local-answers.js'
import { NOTHING, Operation, type OperationOwner } from './operation.js'
import { mayStore, ReadTracker } from './read-tracker.js'
import type { RefusedBegin } from './refused-begin.js'
import {
  answeredWithRollback,
  connectionLost,
  endsSession,
  isRecoveryConflict,
  outcomeUnknown,
  committedButUnreadable,
} from './transaction-errors.js'
import type { BeginPlan } from './transaction-options.js'
import { type CurrentState, TransactionState, UNBEGUN } from './transaction-state.js'
import { TransactionTrace } from './transaction-trace.js'
import { judge, mayHaveStored, type Verdict } from './verdict.js'

export class ResponseHandler implements OperationOwner {
  /** How often a batch was sent once more because its connection was lost. */
  replays = 0
  /** Why nothing is sent any more. */
  abandoned: Error | undefined = undefined
  readonly #host: PipelineHost
  readonly #setup: PipelineSetup
  readonly #owner: TransactionListener
  readonly #dispatcher: Dispatcher
  // Made when they are needed: many sessions wait for a connection at a time.
  #state: TransactionState | undefined = undefined
  #trace: TransactionTrace | undefined = undefined
  #explicit: ExplicitTransactions | undefined = undefined
  #reads: ReadTracker | undefined = undefined
  #refusedBegin: RefusedBegin | undefined = undefined
  #refused: { readonly error: Error; readonly text: string } | undefined = undefined
  /** Makes the query for the position of a write; undefined if the owner does not ask for it. */
  readonly positionQuery: (() => Operation) | undefined
  /** Receives the answer to the last query for the position. */
  #tellPosition: ((position: WalPosition | undefined) => void) | undefined = undefined
  /** The steps (SAVEPOINT) of earlier batches of the transaction, as long as no statement of the caller was answered in it. */
  #stepsAhead: readonly Operation[] | undefined = undefined
  /** True: the next BEGIN is sent again, so its owner knows of the transaction. */
  #isSentAgain = false

  constructor(host: PipelineHost, setup: PipelineSetup, owner: TransactionListener, dispatcher: Dispatcher) {
    this.#host = host
    this.#setup = setup
    this.#owner = owner
    this.#dispatcher = dispatcher
    const { storing } = owner
    this.positionQuery =
      storing === undefined
        ? undefined
        : () => {
            this.#tellPosition = storing()
            return new Operation(this, 'step', setup.readOnly ? READER_POSITION_QUERY : POSITION_QUERY)
          }
  }

  /** The transaction may have written. `SET TRANSACTION READ WRITE` allows that in a read-only one. */
  get mayHaveWritten(): boolean {
    return this.#setup.readOnly ? this.#reads?.turned === true : this.#reads?.pure === false
  }

  get state(): CurrentState {
    return this.#state ?? UNBEGUN
  }

  /** The state, to be changed. */
  get mutableState(): TransactionState {
    return (this.#state ??= new TransactionState())
  }

  /** What the transaction has read; undefined before its first answer. */
  get reads(): ReadTracker | undefined {
    return this.#reads
  }

  /** Why BEGIN, or a setting after it, was refused. */
  get refusedBegin(): RefusedBegin | undefined {
    return this.#refusedBegin
  }

  /** Number of the open or last transaction. A cursor compares it to know whether its transaction is over. */
  get transaction(): number {
    return this.#trace?.count ?? 0
  }

  /** The transactions of `begin()`. */
  get explicitTransactions(): ExplicitTransactions {
    return (this.#explicit ??= new ExplicitTransactions())
  }

  /** The channel message of the transaction that a statement issued now belongs to; undefined without subscribers or transaction. */
  get traced(): TransactionMessage | undefined {
    return this.standsAlone ? undefined : (this.#trace ??= new TransactionTrace()).expect(this.#host.source)
  }

  get autocommit(): boolean {
    return this.plan === undefined
  }

  /** How the next transaction begins; undefined if every statement is its own transaction. */
  get plan(): BeginPlan | undefined {
    return this.#explicit?.open === true || !this.#setup.autocommit ? this.#setup.beginning.plan : undefined
  }

  answered(operation: Operation, result: StatementResult): void {
    const { inFlight } = this.#dispatcher
    if (inFlight !== undefined) answeredFirst(inFlight)
    observe(this.#host, operation, inFlight?.handedOff ?? this.#dispatcher.connection, result)
    if (inFlight !== undefined && inFlight.position === operation) {
      if (isAnswerOfStandby(result.rows)) return settleHeld(inFlight.held)
      return this.located(readWalPosition(result.rows), inFlight.held)
    }
    ;(this.#reads ??= new ReadTracker()).note(operation, result)
    if (operation.kind === 'commit' && result.command !== 'COMMIT') {
      const error = answeredWithRollback(this.state.cause)
      this.mutableState.fail(error)
      operation.fail(error)
      return
    }
    const hasStored = operation.kind === 'commit' || (this.standsAlone && mayStore(operation, result))
    if (hasStored) this.mutableState.hasStored = true
    if (operation.kind === 'commit') this.transactionEnded('committed')
    if (operation.kind === 'rollback') this.transactionEnded('rolled back')
    if (operation.kind === 'rollbackTo' && this.state.name === 'failed') this.mutableState.move('active')
    if (operation.kind === 'commit' || inFlight?.alone === true)
      this.#settleStored(() => operation.succeed(result))
    else operation.succeed(result)
  }

  /** Settles a call whose work is stored: once the position is known, if the batch asks for it. A later read must show that work. */
  #settleStored(settle: () => void): void {
    const { inFlight } = this.#dispatcher
    if (inFlight?.position === undefined) settle()
    else (inFlight.held ??= []).push(settle)
  }

  /** Passes on the position of what was stored (undefined: unknown), and only then settles the calls that stored it. */
  located(position: WalPosition | undefined, held: InFlightBatch['held']): void {
    const tell = this.#tellPosition ?? this.#owner.storing?.()
    this.#tellPosition = undefined
    tell?.(position)
    settleHeld(held)
  }

  refused(operation: Operation, error: Error): void {
    const { inFlight } = this.#dispatcher
    if (inFlight !== undefined) {
      if (inFlight.replay !== undefined && error instanceof StatementSkipped) return
      const reason = inFlight.replay === undefined && this.#reasonToReplay(inFlight, operation, error)
      if (reason) inFlight.replay = { reason, error }
      if (inFlight.replay !== undefined) return
    }
    // The answers before the query for the position stand, also if that query failed.
    if (inFlight !== undefined && inFlight.position === operation) {
      // Skipped because COMMIT was refused: nothing is stored.
      const isNothing = error instanceof StatementSkipped && inFlight.held === undefined
      return isNothing ? undefined : this.located(undefined, inFlight.held)
    }
    if (error instanceof StatementSkipped)
      return passOver(operation, inFlight, this.state.cause, this.#refusedBegin)
    const connection = inFlight?.handedOff ?? this.#dispatcher.connection
    const verdict = judge(operation, error, {
      inFlight,
      isLost: connection?.lost !== undefined,
      alone: this.standsAlone,
      // What a session has written before does not matter to a statement that is its own transaction.
      stores: mayHaveStored(this.standsAlone ? undefined : this.#reads, inFlight),
    })
    const { outcome, seen, reason } = verdict
    observe(this.#host, operation, connection, reason)
    // The server has run no later operation of the batch.
    if (inFlight !== undefined && (seen === 'refusal' || seen === 'end')) inFlight.refused = true
    if (verdict.ends || outcome === 'unknown') this.#lost(operation, verdict)
    else if (outcome === 'committed')
      this.#settleStored(() => this.#failed(operation, committedButUnreadable(reason)))
    else this.#failed(operation, reason)
  }

  /** The server refused the operation itself. */
  #failed(operation: Operation, error: Error): void {
    // 25006: the connection works, but its server refuses writes.
    if (isDisconnect(error) && !this.#setup.readOnly) this.#dispatcher.poison(error)
    const reason = operation.calledOff ?? error
    if (!this.standsAlone) this.mutableState.fail(reason)
    const { inFlight } = this.#dispatcher
    const isBegin = inFlight !== undefined && inFlight.operations.indexOf(operation) < inFlight.beginning
    if (isBegin) this.#refusedBegin = { error, text: operation.text, told: false }
    if (isBegin || operation.kind === 'commit') this.#trace?.refused(error)
    if (isBegin || operation.kind === 'statement') this.#refused = { error, text: operation.text }
    operation.fail(reason)
  }

  /** The text of the statement that the server refused with this error (it may be BEGIN or a setting); undefined for other errors. */
  originOf(error: unknown): string | undefined {
    return this.#refused?.error === error ? this.#refused?.text : undefined
  }

  /** The connection is lost, or the answer leaves open whether the operation is stored. */
  #lost(operation: Operation, { outcome, seen, reason }: Verdict): void {
    const unknown =
      outcome === 'unknown' ? outcomeUnknown(operation.calledOff ?? reason, this.standsAlone) : undefined
    this.mutableState.lose(unknown ?? reason)
    if (operation.kind === 'commit') this.#trace?.refused(reason)
    if (seen !== 'success without standby') this.#dispatcher.poison(reason)
    if (operation.kind === 'rollback') {
      // The server has rolled back with the loss of the connection.
      this.transactionEnded('rolled back')
      return operation.succeed(NOTHING)
    }
    if (unknown !== undefined) this.mutableState.outcomeUnknown = true
    const lost = isRecoveryConflict(reason) ? reason : connectionLost(reason)
    const fail = (): void => operation.fail(unknown ?? operation.calledOff ?? lost)
    if (seen === 'success without standby') this.#settleStored(fail)
    else fail()
  }

  /** The transaction has ended. */
  transactionEnded(outcome: 'committed' | 'rolled back'): void {
    const ending = this.state.outcomeUnknown ? 'unknown' : outcome
    this.#trace?.ended(ending)
    if (this.state.name !== 'idle') this.mutableState.move('idle')
    this.#isSentAgain = false
    this.#explicit?.ended(ending)
  }

  /** True if a statement of the transaction, answered or under way, may have stored something. */
  get storing(): boolean {
    return this.#reads?.plain === false || !arePlainReads(this.#dispatcher.inFlight?.operations ?? [])
  }

  /** Every statement is a transaction of its own. */
  get standsAlone(): boolean {
    return this.autocommit && !this.state.inTransaction
  }

  /**
   * A batch is sent again, on another connection.
   * @returns what is sent after BEGIN.
   */
  moved({ operations, beginning, position }: InFlightBatch, replay: Replay): readonly Operation[] {
    if (replay.reason === 'lost') this.replays += 1
    const again = [...(this.#stepsAhead ?? []), ...operations.slice(beginning)]
    this.#stepsAhead = undefined
    this.#isSentAgain = true
    this.mutableState.move('idle')
    this.#owner.moved?.(replay)
    for (const operation of again) operation.renew()
    return again.filter((one) => one !== position)
  }

  /** A batch was answered: if it had nothing but steps, they begin the transaction on another server as well. */
  landed({ operations, beginning }: InFlightBatch): void {
    if (!this.#isMovable) return
    const ahead = beginning > 0 ? [] : this.#stepsAhead
    const steps = operations.slice(beginning)
    const isUntold = steps.every(({ kind, succeeded }) => kind === 'step' && succeeded)
    this.#stepsAhead = isUntold && ahead !== undefined ? [...ahead, ...steps] : undefined
  }

  /** Why the batch may be sent once more, unseen by its caller. */
  #reasonToReplay(inFlight: InFlightBatch, operation: Operation, error: Error): ReplayReason | undefined {
    // A stream of COPY, or the answers of a script, may have reached the caller.
    const isRepeatable = operation.kind !== 'exclusive' && this.#isUnanswered(inFlight)
    const isMovable = this.#isMovable && this.abandoned === undefined && isRepeatable
    // On the primary 40001 has other reasons, and another attempt there is the caller's decision.
    const isAtReplica = isMovable && this.#setup.isAtReplica?.() === true
    if (isAtReplica && isRecoveryConflict(error) && onlyReads(inFlight)) {
      const isOver = endsSession(error) && !this.#dispatcher.isReplaceable(error)
      return isOver ? undefined : 'conflict'
    }
    if (this.#diedBeforeBegin(inFlight, error)) return 'lost'
    if (!isMovable || !isServerError(error)) return undefined
    if (isAtReplica && isSerializableRefused(error)) return 'serializable'
    // After a check that failed the server has run nothing, so it does not matter what the statements do. A check also fails where
    // the role may not run it, or the server does not know its function.
    return operation.kind === 'check' ? 'behind' : undefined
  }

  /** The connection died before it answered BEGIN, and nothing can have been stored: the batch may go to another one. */
  #diedBeforeBegin(inFlight: InFlightBatch, error: Error): boolean {
    if (this.replays > (this.#setup.otherServers ?? 0) || this.abandoned !== undefined) return false
    const isUntold = this.#isMovable && this.#isUnanswered(inFlight) && onlyReads(inFlight)
    if (!isUnbegun(inFlight) && !isUntold) return false
    if (hasOpenCommit(inFlight) && mayHaveStored(this.#reads, inFlight)) return false
    return this.#dispatcher.isReplaceable(error)
  }

  /** No statement of the caller was answered since BEGIN. */
  #isUnanswered(inFlight: InFlightBatch): boolean {
    return (inFlight.beginning > 0 || this.#stepsAhead !== undefined) && isUnanswered(inFlight)
  }

  get #isMovable(): boolean {
    return this.#setup.otherServers !== undefined
  }

  /** The transaction failed and is over on the server: a refused BEGIN or COMMIT, or no connection could be acquired. */
  get endedOnServer(): boolean {
    if (this.state.name !== 'failed') return false
    const { connection } = this.#dispatcher
    return connection === undefined || connection.transactionStatus === 'idle'
  }

  /** BEGIN is sent. */
  transactionBegan(connection: DriverConnection): void {
    this.mutableState.move('active')
    ;(this.#trace ??= new TransactionTrace()).began(this.#host.source, connection.id)
    this.#host.observer?.began(connection)
    if (!this.#isSentAgain) this.#owner.began?.()
    this.#isSentAgain = false
  }
}

function settleHeld(held: InFlightBatch['held']): void {
  for (const settle of held ?? []) settle()
}
