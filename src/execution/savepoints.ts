/**
 * The savepoints of one pipeline, innermost last.
 *
 * 1. SAVEPOINT is sent with the first statement inside, RELEASE with the first batch after it: an empty block sends nothing.
 * 2. Concurrent blocks run one after the other, so that the rollback of one cannot undo another. Actions that wait for their turn get
 *    it in the order of their calls, COMMIT and ROLLBACK included.
 * 3. A statement belongs to the block whose code issued it, not to the block that happens to be open. A statement from outside waits
 *    until the block has ended; a statement of a block that has ended is refused.
 * 4. The transaction of `begin()` is also a block, always the outermost one, until its COMMIT or ROLLBACK is answered. It has no
 *    SAVEPOINT. COMMIT or ROLLBACK inside does not end the block: its next statement begins another transaction.
 */
import { IllegalStateError, TransactionAbortedError, UnawaitedStatementError } from '../errors.js'
import { scopeValueOf, runInScope } from '../internal/async-scope.js'
import { checkCallback } from '../internal/validate.js'
import { needsTransaction } from './autocommit.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import type { Operation } from '../pipeline/operation.js'
import { begunAlready } from '../pipeline/transaction-errors.js'
import type { ScopeHooks } from './contract.js'
import {
  endedBlock,
  endedSavepoint,
  requireSettled,
  type WaitingAction,
  Scope,
  type Savepoint,
  type ScopeReports,
  type TransactionScope,
} from './scope.js'

/** How a transaction is ended. */
export type TransactionEnd = 'commit' | 'rollback'

export class Savepoints {
  readonly #pipeline: Pipeline
  readonly #hooks: ScopeHooks
  readonly #stack: Scope[] = []
  readonly #reports: ScopeReports
  readonly #waiting: WaitingAction[] = []
  /** The ROLLBACK TO that was sent last. */
  #undoing: Operation | undefined = undefined

  constructor(pipeline: Pipeline, hooks: ScopeHooks, reports: ScopeReports) {
    this.#pipeline = pipeline
    this.#hooks = hooks
    this.#reports = reports
  }

  /** No savepoint can be made any more. */
  get closed(): boolean {
    return this.#pipeline.closed
  }

  /** True while a savepoint or the transaction of `begin()` is open. */
  get active(): boolean {
    return this.#stack.length > 0
  }

  /**
   * Calls `action` when it is the turn of the caller's block: at once, unless a block inside it is open. An earlier caller
   * comes first. The action has to queue its operations before it returns.
   * @throws IllegalStateError if the caller's block has ended.
   */
  inTurn<Value>(action: () => Value): Value | Promise<Value> {
    if (this.#stack.length === 0 && this.#callerBlock() === undefined) return action()
    const block = this.#callerBlock()
    if (block === this.#innermostBlock()) return action()
    return new Promise((resolve, refuse) => {
      const start = (): void => {
        try {
          resolve(action())
        } catch (error) {
          refuse(error)
        }
      }
      this.#waiting.push({ block, start, refuse })
    })
  }

  /** True if a block is open that the caller is outside of. @throws IllegalStateError if the caller's block has ended. */
  get isBeside(): boolean {
    return this.#stack.length > 0 && this.#innermostBlock() !== this.#callerBlock()
  }

  /** True if the caller's code is part of a block. @throws IllegalStateError if that has ended. */
  get isInside(): boolean {
    return this.#callerBlock() !== undefined
  }

  /** @throws IllegalStateError if the caller's block has ended. */
  requireRunning(): void {
    this.#callerBlock()
  }

  /** @throws IllegalStateError inside a nested block, which must not end the transaction around it. */
  requireOutside(what: TransactionEnd): void {
    if (this.#callerBlock()?.name === undefined) return
    throw new IllegalStateError(
      `${what}() was called inside a nested block: return from it to keep its work, throw to roll it back`,
    )
  }

  /** True if the transaction of `begin()` is open, and the caller is outside of it. */
  get isOutside(): boolean {
    return this.#hasTransaction && this.#callerBlock() === undefined
  }

  /** @throws IllegalStateError where `begin()` would end a transaction of the caller. */
  requireNoTransaction(): void {
    const savepoint = this.#stack.find(({ isBlock }) => !isBlock)
    if (this.#callerBlock() !== undefined || savepoint !== undefined) throw begunAlready()
  }

  /** Opens the transaction of `begin()`. Call it when it is the caller's turn, and nothing else is under way. */
  openTransaction(): TransactionScope {
    const scope = new Scope(undefined, 'block')
    this.#stack.push(scope)
    return scope
  }

  /** The transaction of `begin()` has ended: starts the actions that waited for its end. */
  closeTransaction(scope: TransactionScope): void {
    if (scope.ended) return
    this.#pop(scope as Scope)
    this.#wake()
  }

  /** Queues a SAVEPOINT for each scope that has none yet. Call it right before a statement is queued. */
  establish(): void {
    for (const scope of this.#stack) {
      if (scope.name === undefined || scope.savepoint !== undefined) continue
      scope.savepoint = this.#pipeline.enqueue('step', { text: `SAVEPOINT ${scope.name}` })
    }
  }

  /** Notes a statement, so that its block can tell whether it has settled. */
  track(operation: Operation): void {
    const scope = this.#stack[this.#stack.length - 1]
    if (scope?.name === undefined) return
    scope.pending.add(operation)
    operation.among = scope.pending
  }

  /** Runs a block inside a savepoint: released when it returns, rolled back when it throws. */
  async run<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    checkCallback('beginNested', work)
    const scope = await this.#open('block')
    try {
      const value = await runInScope(this, scope, work)
      if (!scope.ended)
        requireSettled(this.#pendingIn(scope), this.isBusy(scope) || this.#reports.nests(scope))
      const releasing = this.#release(scope)
      if (releasing !== undefined) await releasing
      return value
    } catch (error) {
      this.#reports.reported(scope)
      const running = this.#pendingIn(scope)
      if (running.size > 0 && !(error instanceof UnawaitedStatementError)) this.#reports.left(error, running)
      this.#rollBack(scope)
      throw error
    }
  }

  /** Opens a savepoint that the caller ends. */
  async open(): Promise<Savepoint> {
    const scope = await this.#open('by hand')
    // How the caller has ended it; undefined if it ended with its transaction or an outer savepoint.
    let end: 'committed' | 'rolled back' | undefined
    const rollback = async (): Promise<void> => {
      if (!scope.ended) end = 'rolled back'
      this.#rollBack(scope)
    }
    return {
      commit: async () => {
        if (scope.ended) throw endedSavepoint(end)
        try {
          await this.#release(scope)
          end = 'committed'
        } catch (error) {
          await rollback()
          throw error
        }
      },
      rollback,
      [Symbol.asyncDispose]: rollback,
    }
  }

  /**
   * True while a block is open, or an action waits for the end of one.
   * @param within Only inside of this transaction.
   */
  isBusy(within?: TransactionScope): boolean {
    return (
      this.#innermostBlock() !== within || this.#waiting.some(({ block }) => this.#isInside(block, within))
    )
  }

  /**
   * Gives up the transaction: ends every savepoint, and refuses the actions that wait for one.
   * @param within Only inside of this transaction, which itself stays. Default: everything.
   */
  abandon(within?: TransactionScope): void {
    if (within?.ended === true) return
    const [refused, kept] = [[] as WaitingAction[], [] as WaitingAction[]]
    for (const waiter of this.#waiting) (this.#isInside(waiter.block, within) ? refused : kept).push(waiter)
    this.#waiting.splice(0, this.#waiting.length, ...kept)
    for (const waiter of refused) {
      waiter.refuse(new IllegalStateError('The transaction ended while this call waited for a nested block'))
    }
    this.#endFrom(within === undefined ? 0 : this.#stack.indexOf(within as Scope) + 1)
  }

  /** The transaction ends, and every savepoint with it. Code of their blocks that still runs is refused from now on. */
  endAll(): void {
    this.#endFrom(this.#hasTransaction ? 1 : 0)
  }

  #endFrom(index: number): void {
    for (const scope of this.#stack.splice(index)) scope.ended = true
    this.#wake()
  }

  #isInside(block: Scope | undefined, transaction: TransactionScope | undefined): boolean {
    if (transaction === undefined) return true
    return block !== undefined && this.#stack.indexOf(block) >= this.#stack.indexOf(transaction as Scope)
  }

  /** How many savepoints are open. */
  get #depth(): number {
    return this.#stack.length - (this.#hasTransaction ? 1 : 0)
  }

  get #hasTransaction(): boolean {
    const [outermost] = this.#stack
    return outermost !== undefined && outermost.name === undefined
  }

  /** @param ended By the end of a block, or by hand. */
  async #open(ended: 'block' | 'by hand'): Promise<Scope> {
    const entering = this.#hooks.entering?.()
    if (entering !== undefined) await entering
    const opening = this.inTurn(() => {
      if (this.#pipeline.autocommit) throw needsTransaction('beginNested()')
      // Names repeat by depth, so that the prepared SAVEPOINT statements are used again.
      const opened = new Scope(`lifeguard_${this.#depth + 1}`, ended)
      this.#stack.push(opened)
      this.#hooks.entered?.()
      return opened
    })
    return opening instanceof Promise ? await opening : opening
  }

  /** Undefined if there was nothing to wait for. */
  #release(scope: Scope): Promise<void> | undefined {
    if (scope.ended) throw endedBlock()
    const { releasing: hook } = this.#hooks
    // Statements of the hook belong inside. A savepoint without a block has no code of its own: it is the caller's turn.
    const releasing = hook && scope.isBlock ? runInScope(this, scope, hook) : hook?.()
    const waits =
      releasing !== undefined || this.#pendingIn(scope).size > 0 || this.#undoing?.settled === false
    return waits ? this.#releaseAfter(scope, releasing) : this.#released(scope)
  }

  async #releaseAfter(scope: Scope, releasing: Promise<void> | undefined): Promise<void> {
    if (releasing !== undefined) await releasing
    // A COPY that its reader left may still fail.
    for (const operation of this.#pendingIn(scope)) await operation.promise.catch(ignore)
    // The rollback of a block inside is under way: only its answer shows whether this block has failed, too.
    if (this.#undoing?.settled === false) await this.#undoing.promise.catch(ignore)
    this.#released(scope)
  }

  /** RELEASE is sent with the next batch. @throws IllegalStateError, TransactionAbortedError if the block cannot be kept. */
  #released(scope: Scope): undefined {
    if (scope.ended) throw endedBlock()
    const { name, cause } = this.#pipeline.state
    // Without a SAVEPOINT nothing was sent that could have failed.
    if (scope.savepoint !== undefined && (name === 'failed' || name === 'lost')) {
      throw this.#reports.explain(
        new TransactionAbortedError(
          'A statement of the nested block failed and its error was not passed on: the block was rolled back',
          { cause },
        ),
      )
    }
    this.#pop(scope)
    const release = { text: `RELEASE SAVEPOINT ${scope.name}` }
    // A SAVEPOINT that was not sent yet (its statement was taken back) stands in the queue, and what is deferred goes before that.
    if (scope.savepoint?.settled === true) this.#pipeline.defer(release)
    else if (scope.savepoint !== undefined) this.#pipeline.enqueue('step', release)
    this.#hooks.released?.(this.#depth)
    this.#wake()
  }

  #rollBack(scope: Scope): void {
    if (scope.ended) return
    this.#pop(scope)
    const { savepoint, name } = scope
    // A SAVEPOINT that was refused has nothing to go back to.
    if (savepoint !== undefined && (!savepoint.settled || savepoint.succeeded)) {
      // The answer is not waited for: it comes before the answer to the next statement.
      this.#undoing = this.#pipeline.enqueue('rollbackTo', { text: `ROLLBACK TO SAVEPOINT ${name}` })
      this.#pipeline.enqueue('step', { text: `RELEASE SAVEPOINT ${name}` })
    }
    this.#hooks.rolledBack?.(this.#depth)
    this.#wake()
  }

  /** Operations that have not settled, of the scope and of scopes left open inside it. */
  #pendingIn(scope: Scope): Set<Operation> {
    if (scope.ended) return new Set()
    return new Set(this.#stack.slice(this.#stack.indexOf(scope)).flatMap(({ pending }) => [...pending]))
  }

  /** Ends the scope, and scopes left open inside it. */
  #pop(scope: Scope): void {
    for (const ended of this.#stack.splice(this.#stack.indexOf(scope))) ended.ended = true
  }

  /** Starts the waiters that have their turn now. One of them may open a block, and so end the turn of the later ones. */
  #wake(): void {
    for (let at = 0; at < this.#waiting.length;) {
      const waiter = this.#waiting[at] as WaitingAction
      if (waiter.block?.ended !== true && waiter.block !== this.#innermostBlock()) {
        at++
        continue
      }
      this.#waiting.splice(at, 1)
      if (waiter.block?.ended === true) waiter.refuse(endedBlock())
      else waiter.start()
    }
  }

  #innermostBlock(): Scope | undefined {
    return this.#stack.findLast(({ isBlock }) => isBlock)
  }

  #callerBlock(): Scope | undefined {
    const scope = scopeValueOf(this) as Scope | undefined
    if (scope?.ended === true) throw endedBlock()
    return scope
  }
}

function ignore(): void {
  // If the rollback failed, the state of the transaction shows it.
}
