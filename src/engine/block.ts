/** A block of user code with a transaction around it: committed when it returns, rolled back when it throws. */
import { AbortedError, UnawaitedStatementError } from '../errors.js'
import type { Conversation } from './conversation.js'
import { abortedBy, requireNotAborted, type StatementRunner } from './statement-runner.js'

/** Whose transaction it is. */
export interface BlockOwner {
  readonly conversation: Conversation
  readonly runner: StatementRunner
  commit(): Promise<void>
  rollback(): Promise<void>
}

/** Options of a block. */
export interface BlockOptions {
  /** Abort rejects the block, cancels its statement on the server and rolls back. */
  readonly signal?: AbortSignal | undefined
  /** False: roll back at the end, also when the block returns. Default true. */
  readonly commit?: boolean | undefined
  /** True: COMMIT's answer brings no news, so the value is given without waiting for it (see `onFormality`). */
  readonly commitIsFormality?: (() => boolean) | undefined
  /** Given the COMMIT that nobody waits for. */
  readonly onFormality?: ((committing: Promise<void>) => void) | undefined
}

/**
 * Runs the block and ends its transaction.
 * @throws what the block throws, first and foremost; UnawaitedStatementError; AbortedError; what COMMIT throws.
 */
export async function runBlock<Value>(
  owner: BlockOwner,
  work: () => Value | Promise<Value>,
  options: BlockOptions = {},
): Promise<Value> {
  const { signal, commit = true } = options
  const { conversation, runner } = owner
  requireNotAborted(signal)
  const onAbort = (): void => conversation.abandon(abortedBy(signal as AbortSignal))
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const returned = work()
    // The block returned its only statement: nothing can follow, so COMMIT travels with it.
    const riding = commit && runner.isOnlyCall(returned) ? owner.commit() : undefined
    riding?.catch(ignore)
    // A COMMIT under way decides itself how the block ends: an abort only hurries it.
    const value = await (signal === undefined || riding !== undefined ? returned : orAbort(returned, signal))
    requireAwaited(conversation)
    if (riding !== undefined) await riding
    else if (!commit) await owner.rollback()
    else if (options.commitIsFormality?.() === true) options.onFormality?.(owner.commit())
    else await owner.commit()
    return value
  } catch (error) {
    try {
      await owner.rollback()
    } catch {
      // The connection is gone, and the transaction with it; the first error is the one that tells why.
    }
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

function requireAwaited(conversation: Conversation): void {
  const texts = conversation.pending.map(({ text }) => text)
  if (texts.length === 0) return
  throw new UnawaitedStatementError(
    `The block returned while ${texts.length} of its statements were still running, so it was rolled back ` +
      `(an await is missing): ${texts.join('; ')}`,
    texts,
  )
}

function orAbort<Value>(returned: Value | Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortedBy(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    Promise.resolve(returned)
      .then(resolve, (error: unknown) => {
        // A statement that was called off says the same, but not who did it.
        reject(signal.aborted && error instanceof AbortedError ? abortedBy(signal) : error)
      })
      .finally(() => signal.removeEventListener('abort', onAbort))
  })
}

function ignore(): void {
  // Awaited where the block's own outcome is known.
}
