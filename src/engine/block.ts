/** A block of user code with a transaction around it: committed when it returns, rolled back when it throws. */
import { IllegalStateError, UnawaitedStatementError, UnreadableResultError } from '../errors.js'
import { abortedBy, onAbort, requireNotAborted } from '../internal/abort.js'
import { BlockContext } from './block-context.js'
import type { Ambient } from '../internal/ambient.js'
import type { Conversation } from './conversation.js'
import type { TransactionScope } from './savepoint-scopes.js'
import type { StatementRunner } from './statement-runner.js'
import { abortedTooLate } from './transaction-errors.js'

/** Whose transaction it is. */
export interface BlockOwner {
  readonly conversation: Conversation
  readonly runner: StatementRunner
  /** What else the block is part of. */
  readonly ambient?: Ambient | undefined
  /** The transaction of `begin()`, if the block is one in a session or connection that goes on after it. */
  readonly scope?: TransactionScope | undefined
  /** True if there was something to commit. */
  commit(): Promise<boolean>
  rollback(): Promise<unknown>
  /** False: something has to happen between the last statement and COMMIT, so that the two cannot travel together. */
  rides?(): boolean
  /** Ends the transaction without waiting for COMMIT's answer, if that can bring no news; false otherwise. */
  conclude?(): boolean
  /** Comes last, however the block ends; a promise is awaited. */
  readonly close?: (() => Promise<void> | undefined) | undefined
}

/**
 * Runs the block and ends its transaction.
 *
 * @param signal Abort rejects the block, cancels its statement on the server and rolls back. A COMMIT on its way is waited for,
 *   as is a statement that commits by itself: what became of them decides.
 * @param commit False: roll back at the end, also when the block returns.
 * @throws what the block throws, first and foremost; UnawaitedStatementError; AbortedError; what COMMIT throws.
 */
export async function runBlock<Value>(
  owner: BlockOwner,
  work: () => Value | Promise<Value>,
  signal?: AbortSignal,
  commit = true,
): Promise<Value> {
  const { conversation, runner, scope } = owner
  requireNotAborted(signal)
  const block = new BlockContext(conversation)
  const unlisten = signal && onAbort(signal, () => conversation.abandon(abortedBy(signal)))
  try {
    const returned = block.run(work, owner.ambient)
    // The block returned its only statement: nothing can follow, so COMMIT travels with it.
    const alone = runner.isOnlyCall(returned) && !runner.isNesting(scope) && block.joined === 0
    if (commit && alone && owner.rides?.() !== false) return await ride(owner, block, returned)
    const value = await (signal === undefined ? returned : untilAborted(conversation, returned, signal))
    // A commit or rollback that nobody has awaited belongs to the block, and decides what is left to do.
    const ended = runner.ended(scope)
    if (ended !== undefined) await (signal === undefined ? ended : untilAborted(conversation, ended, signal))
    block.over = true
    if (scope?.ended === true) throw endedAround()
    requireAwaited(owner, block)
    if (!commit) await owner.rollback()
    else if (owner.conclude?.() !== true) await owner.commit()
    return value
  } catch (thrown) {
    block.over = true
    const error = block.failureOf(thrown)
    try {
      runner.calls.silence(scope)
      if (!(error instanceof UnawaitedStatementError)) runner.giveUp(error)
      runner.letGo(error, scope)
      await owner.rollback()
    } catch {
      // The connection is gone, and the transaction with it; the first error is the one that tells why.
    }
    throw error
  } finally {
    unlisten?.()
    const closing = owner.close?.()
    if (closing !== undefined) await closing
  }
}

/**
 * COMMIT travels with the statement that the block has returned. It decides how the block ends: what goes on behind it is
 * refused, and an abort only hurries it.
 */
async function ride<Value>(
  owner: BlockOwner,
  block: BlockContext,
  returned: Value | Promise<Value>,
): Promise<Value> {
  block.over = true
  const committing = owner.commit()
  committing.catch(ignore)
  let value: Value
  try {
    value = await returned
  } catch (error) {
    // The server may have run what cannot be read here.
    const committed = await committing.catch(() => false)
    if (!committed) throw error
    throw new UnreadableResultError(
      'The transaction was committed, but its result cannot be read (see cause)',
      {
        cause: error,
      },
    )
  }
  await committing
  return value
}

/**
 * Waits for what the block has returned. After an abort that is for nothing longer than for what may be stored.
 * @throws AbortedError, or CommitOutcomeUnknownError if something of it may be stored that the block has not told.
 */
async function untilAborted<Value>(
  conversation: Conversation,
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
  const isStored = await conversation.committing
  if (isStored === undefined && !conversation.state.hasStored) throw abortedBy(signal)
  // The block hears of it first, also of what was answered a moment ago, and may come to its end by that.
  const reacted = await Promise.race([settling, turns(TURNS_TO_REACT)])
  if (reacted !== undefined) return reacted()
  throw isStored === true ? abortedTooLate(abortedBy(signal)) : abortedBy(signal)
}

/** Statements that are refused at once take a turn each. */
const TURNS_TO_REACT = 16

/** Lets everything happen that waits for nothing from outside. */
async function turns(count: number): Promise<undefined> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => process.nextTick(resolve))
  return undefined
}

function endedAround(): IllegalStateError {
  return new IllegalStateError(
    'The transaction of begin() was ended and rolled back while its block ran: close() was called, or the block around it ended',
  )
}

/** `begin()` where a block has the whole session or connection, from its first moment on. */
export function ownedByBlock(block: string): IllegalStateError {
  return new IllegalStateError(
    `begin() was called in a block of ${block}, which is a transaction itself: call beginNested() for a part that can be undone by itself`,
  )
}

function requireAwaited({ conversation, runner, scope }: BlockOwner, block: BlockContext): void {
  const isNesting = runner.isNesting(scope)
  const streams = runner.streamTexts
  if (conversation.quiet && !isNesting && block.joined === 0 && streams.length === 0) return
  const pending = conversation.pending.map(({ text }) => text)
  const texts = pending.length > 0 ? pending : streams
  if (texts.length === 0 && !isNesting && block.joined === 0) return
  const what =
    pending.length > 1
      ? `${pending.length} of its statements were still running`
      : pending.length === 1
        ? 'a statement of it was still running'
        : texts.length > 0
          ? 'a stream of it was still being read (if its loop is awaited: leave it by break, return or close())'
          : isNesting
            ? 'a nested block of it was still running'
            : 'a block that had joined it was still running'
  throw new UnawaitedStatementError(
    `The block returned while ${what}, so its transaction was rolled back (an await is missing)${texts.length === 0 ? '' : `: ${texts.join('; ')}`}`,
    texts,
  )
}

function ignore(): void {
  // Awaited where the block's own outcome is known.
}
