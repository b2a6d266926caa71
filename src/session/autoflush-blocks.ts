/**
 * Blocks in which queries do not flush: those of `noAutoflush`, and the hooks of a flush.
 *
 * 1. Calls in the hook of a flush are part of that flush, so they never start another one.
 * 2. A rollback ends the flush. If a hook has called it, that hook may continue; another hook of the same flush may not.
 */
import { AbortedError } from '../errors.js'
import { runInScope, scopeValueOf } from '../internal/async-scope.js'

/** A running block. */
interface Block {
  /** True for the hooks of a flush. */
  readonly isHook: boolean
  /** How many rollbacks the code of the block knows of. */
  rollbacks: number
  closed: boolean
}

export class AutoflushBlocks {
  #rollbacks = 0

  /** How many times the session was rolled back. */
  get rollbacks(): number {
    return this.#rollbacks
  }

  /** True if the current call is made in a block in which queries do not flush. */
  get isInside(): boolean {
    return this.#current !== undefined
  }

  /** True if the current call is made by a hook of a flush. */
  get inFlushHook(): boolean {
    return this.#current?.isHook === true
  }

  /** Runs a block of the caller: inside the hook of a flush it stays a part of that flush. */
  run<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    const { isHook = false, rollbacks = this.#rollbacks } = this.#current ?? {}
    return this.#run({ isHook, rollbacks, closed: false }, work)
  }

  /** Runs the hooks of a flush. @param rollbacks The number of rollbacks when the flush was called. */
  runFlushHooks<Value>(work: () => Value | Promise<Value>, rollbacks: number): Promise<Value> {
    return this.#run({ isHook: true, rollbacks, closed: false }, work)
  }

  /** Counts a rollback. If a hook of a flush has called it, that hook may continue. */
  noteRollback(): void {
    this.#rollbacks++
    const block = this.#current
    if (block?.isHook === true) block.rollbacks = this.#rollbacks
  }

  /** @throws AbortedError if a rollback was called since then: earlier changes must not be stored. */
  requireNoRollbackSince(rollbacks: number): void {
    if (this.#rollbacks === rollbacks) return
    throw new AbortedError(
      'The transaction was rolled back while the flush waited (for its hooks, or for its turn): nothing of it was stored',
    )
  }

  /** @throws AbortedError if the current call is made by the hook of a flush that was rolled back meanwhile. */
  requireCurrentHook(): void {
    const block = this.#current
    if (block?.isHook === true) this.requireNoRollbackSince(block.rollbacks)
  }

  get #current(): Block | undefined {
    const block = scopeValueOf(this) as Block | undefined
    return block?.closed === true ? undefined : block
  }

  async #run<Value>(block: Block, work: () => Value | Promise<Value>): Promise<Value> {
    try {
      return await runInScope(this, block, work)
    } finally {
      block.closed = true
    }
  }
}
