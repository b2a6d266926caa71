/** A block of user code with a transaction around it: committed when it returns, rolled back when it throws. */
import { IllegalStateError, UnawaitedStatementError, UnreadableResultError } from '../errors.js'
import { abortedBy, onAbort } from '../internal/abort.js'
import { BlockContext } from './block-context.js'
import { runInside } from './begun-transaction.js'
import type { AsyncScope } from '../internal/async-scope.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { type TransactionScope, withLine } from './scope.js'
import type { StatementRunner } from './statement-runner.js'
import { abortedTooLate } from '../pipeline/transaction-errors.js'

/** A COMMIT that is queued after the statements of its block. */
export interface PendingCommit {
  /** Waits for the answer; true if a transaction was committed. Call it once. @throws as `BlockOwner.commit`. */
  settle(): Promise<boolean>
}

/** The session or connection that the block runs on. */
export interface BlockOwner {
  readonly pipeline: Pipeline
  readonly runner: StatementRunner
  /** True if there was something to commit. */
  commit(): Promise<boolean>
  rollback(): Promise<unknown>
  /**
   * Sends COMMIT in the batch of this tick's statements. Undefined: something has to happen between the last statement and
   * COMMIT.
   */
  queueCommit(): PendingCommit | undefined
  /** Commits without waiting for the answer, if COMMIT can store nothing. @returns false if the caller has to commit. */
  commitWithoutWaiting?(): boolean
  /** See `BlockOptions.closes`. */
  close?(): Promise<void> | undefined
}

/** How a block is run. */
export interface BlockOptions {
  /**
   * Abort rejects the block, cancels its statement on the server and rolls back. A COMMIT on its way is waited for, as is a
   * statement that commits by itself: their outcome decides.
   */
  readonly signal?: AbortSignal | undefined
  /** False: roll back at the end, also when the block returns. Default: true. */
  readonly commit?: boolean | undefined
  /** The transaction of `begin()`, if the session or connection stays open after the block. */
  readonly scope?: TransactionScope | undefined
  /** Async scope that the block is part of as well. */
  readonly asyncScope?: AsyncScope | undefined
  /** True: the owner is closed last, however the block ends. Default: false. */
  readonly closes?: boolean | undefined
}

/**
 * Runs the block and ends its transaction.
 *
 * @throws the error of the block, if it throws; otherwise UnawaitedStatementError, AbortedError or the error of COMMIT.
 */
export function runBlock<Value>(
  owner: BlockOwner,
  work: () => Value | Promise<Value>,
  options: BlockOptions,
): Promise<Value> {
  const { signal, asyncScope } = options
  if (signal?.aborted === true) return Promise.reject(abortedBy(signal))
  const run = new BlockRun<Value>(owner, options)
  let returned: Value | Promise<Value>
  let isCommitQueued: boolean
  try {
    returned = run.run(owner.pipeline, work, asyncScope)
    isCommitQueued = run.queueCommit(returned)
  } catch (error) {
    return run.threw(error)
  }
  if (isCommitQueued) return withCommit(run, returned as Promise<Value>)
  return ended(
    run,
    signal === undefined ? Promise.resolve(returned) : untilAborted(owner, options.scope, returned, signal),
  )
}

/**
 * COMMIT is sent with the statement that the block has returned, and decides how the block ends: later statements are refused,
 * and an abort only limits the wait for the answer.
 */
function withCommit<Value>(run: BlockRun<Value>, returned: Promise<Value>): Promise<Value> {
  // Most blocks that wait for a connection wait here, so this takes as little memory as possible: `then` instead of `await`, one
  // function for both ends, and `bind`, which needs no closure.
  const settled = run.settledWithCommit.bind(run)
  return returned.then(settled, settled)
}

function ended<Value>(run: BlockRun<Value>, returned: Promise<Value>): Promise<Value> {
  return returned.then(
    (value) => run.returned(value),
    (error: unknown) => run.threw(error),
  )
}

/** The state of a block until its transaction has ended. */
class BlockRun<Value> extends BlockContext {
  readonly #owner: BlockOwner
  readonly #scope: TransactionScope | undefined
  readonly #signal: AbortSignal | undefined
  readonly #commits: boolean
  readonly #closes: boolean
  /** Stops listening to the block's signal. */
  readonly #unlisten: (() => void) | undefined
  #commit: PendingCommit | undefined = undefined
  /** The promise of the statement that COMMIT is sent with. */
  #returned: Promise<Value> | undefined = undefined

  constructor(owner: BlockOwner, { signal, scope, commit = true, closes = false }: BlockOptions) {
    super()
    this.#owner = owner
    this.#scope = scope
    this.#signal = signal
    this.#commits = commit
    this.#closes = closes
    this.#unlisten = signal && onAbort(signal, () => owner.pipeline.abandon(abortedBy(signal)))
  }

  /** Queues COMMIT behind the only statement of the block, if the block has returned it. @returns false if it has not. */
  queueCommit(returned: Value | Promise<Value>): boolean {
    const { runner } = this.#owner
    const isAlone = runner.calls.isOnlyCall(returned) && !runner.isNesting(this.#scope) && this.joined === 0
    if (!this.#commits || !isAlone) return false
    this.#commit = runInside(runner, this.#scope, () => this.#owner.queueCommit())
    if (this.#commit === undefined) return false
    this.over = true
    this.#returned = returned as Promise<Value>
    return true
  }

  /** The statement that COMMIT was sent with has settled. */
  async settledWithCommit(): Promise<Value> {
    let value: Value
    try {
      value = await (this.#returned as Promise<Value>)
    } catch (error) {
      return await this.#refusedWithCommit(error)
    }
    try {
      await ADOPTION
      await this.#committed()
    } catch (error) {
      return await this.threw(error)
    }
    const leaving = this.#leave()
    if (leaving !== undefined) await leaving
    return value
  }

  /** The statement has failed, or its answer cannot be read. In the second case the server may have committed. */
  async #refusedWithCommit(error: unknown): Promise<Value> {
    const committed = await this.#committed().catch(() => false)
    if (!committed) return await this.threw(error)
    const message = 'The transaction was committed, but its result cannot be read (see cause)'
    return await this.threw(new UnreadableResultError(message, { cause: error }))
  }

  /** The block has returned. */
  async returned(value: Value): Promise<Value> {
    const owner = this.#owner
    const { runner } = owner
    const [scope, signal] = [this.#scope, this.#signal]
    try {
      // A commit or rollback that the block has not awaited belongs to it. After that there may be no transaction to end.
      const ended = runner.calls.ended(scope)
      if (ended !== undefined)
        await (signal === undefined ? ended : untilAborted(owner, scope, ended, signal))
      this.over = true
      if (scope?.ended === true) throw endedAround()
      requireAwaited(owner, scope, this)
      if (!this.#commits) await runInside(runner, scope, () => owner.rollback())
      else if (owner.commitWithoutWaiting?.() !== true) {
        await ADOPTION
        await ADOPTION
        await runInside(runner, scope, () => owner.commit())
      }
    } catch (error) {
      return await this.threw(error)
    }
    const leaving = this.#leave()
    if (leaving !== undefined) await leaving
    return value
  }

  /** The block has thrown, or COMMIT has failed: rolls back and rejects. */
  async threw(thrown: unknown): Promise<never> {
    const owner = this.#owner
    const { runner } = owner
    const scope = this.#scope
    this.over = true
    const error = this.failureOf(thrown)
    try {
      runner.calls.silence(scope)
      if (!(error instanceof UnawaitedStatementError)) runner.calls.giveUp(error)
      runner.abandonOpenWork(error, scope)
      await runInside(runner, scope, () => owner.rollback())
    } catch {
      // The connection is lost, and the transaction with it. The first error tells why.
    }
    const leaving = this.#leave()
    if (leaving !== undefined) await leaving
    throw error
  }

  #committed(): Promise<boolean> {
    const { runner } = this.#owner
    return runInside(runner, this.#scope, () => this.#commit?.settle() ?? Promise.resolve(false))
  }

  #leave(): Promise<void> | undefined {
    this.#unlisten?.()
    return this.#closes ? this.#owner.close?.() : undefined
  }
}

/**
 * Waits for the promise of the block. After an abort it waits only for a COMMIT, or a statement that commits by itself.
 * @throws AbortedError, or CommitOutcomeUnknownError if something may be stored that the block has not reported.
 */
async function untilAborted<Value>(
  { pipeline, runner }: BlockOwner,
  scope: TransactionScope | undefined,
  returned: Value | Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  const settling = Promise.resolve(returned).then(
    (value) => () => value,
    (error: unknown) => () => {
      throw error
    },
  )
  let unlisten: (() => void) | undefined
  const aborted = new Promise<undefined>((resolve) => {
    unlisten = onAbort(signal, () => resolve(undefined))
    if (signal.aborted) resolve(undefined)
  })
  const settled = await Promise.race([settling, aborted])
  unlisten?.()
  if (settled !== undefined) return settled()
  const isStored = await pipeline.committing
  if (isStored === undefined && !pipeline.state.hasStored) throw abortedBy(signal)
  // commit() has stored it and waits for its hooks. The block waits for them as well, as after the COMMIT at its end.
  if (!pipeline.state.inTransaction) await runner.calls.ended(scope)?.catch(ignore)
  // The block gets the answer first, and may return because of it.
  const reacted = await Promise.race([settling, ticks(TICKS_TO_REACT)])
  if (reacted !== undefined) return reacted()
  throw isStored === true ? abortedTooLate(abortedBy(signal)) : abortedBy(signal)
}

/** Each statement that is refused at once takes one tick. */
const TICKS_TO_REACT = 16

/** Lets pending microtasks and ticks run. */
async function ticks(count: number): Promise<undefined> {
  for (let tick = 0; tick < count; tick++) await new Promise<void>((resolve) => process.nextTick(resolve))
  return undefined
}

/**
 * Awaited twice: a promise that a handler of `then` returns is adopted in the second microtask from now. V8 follows an error to the
 * caller's line only after that, and a COMMIT that is answered already would fail in the next microtask.
 */
const ADOPTION = Promise.resolve()

function endedAround(): IllegalStateError {
  return new IllegalStateError(
    'The transaction of begin() was ended and rolled back while its block ran: close() was called, or the block around it ended',
  )
}

/** `begin()` where a block has the whole session or connection, from its first moment on. */
export function ownedByBlock(block: string): IllegalStateError {
  return new IllegalStateError(
    `begin() was called in a block of ${block}, which is a transaction itself: call beginNested() for a part that can be rolled back separately`,
  )
}

function requireAwaited(
  { pipeline, runner }: BlockOwner,
  scope: TransactionScope | undefined,
  block: BlockContext,
): void {
  const isNesting = runner.isNesting(scope)
  const streams = runner.calls.streamTexts
  if (pipeline.quiet && !isNesting && block.joined === 0 && streams.length === 0) return
  const { pending } = pipeline
  const texts = pending.length > 0 ? pending.map(({ text }) => text) : streams
  const shown = pending.length > 0 ? pending.map(withLine) : streams
  if (texts.length === 0 && !isNesting && block.joined === 0) return
  const what =
    pending.length > 1
      ? `${pending.length} of its statements were still running`
      : pending.length === 1
        ? 'a statement of it was still running'
        : texts.length > 0
          ? 'a stream of it was still being read (await its loop; leave it early by break, return or close())'
          : isNesting
            ? 'a nested block of it was still running'
            : 'a block that had joined it was still running'
  throw new UnawaitedStatementError(
    `The block returned while ${what}, so its transaction was rolled back (an await is missing)${texts.length === 0 ? '' : `: ${shown.join('; ')}`}`,
    texts,
  )
}

function ignore(): void {
  // See where it is used.
}
