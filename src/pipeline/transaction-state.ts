/**
 * The state of a pipeline's transaction, and the transitions between states.
 *
 *     idle ──statement──> active ──commit/rollback──> idle
 *                           │ a statement fails            ▲
 *                           ├──────────> failed ──rollback─┤
 *                           │ connection dies              │
 *                           └──────────> lost ────rollback─┘
 *
 * `rollbackTo` leads from failed back to active, if the failure happened inside the savepoint.
 */
import { IllegalStateError } from '../errors.js'
import { EndedBehindError } from './script.js'

export type TransactionStateName = 'idle' | 'active' | 'failed' | 'lost'

const FOLLOWERS: Readonly<Record<TransactionStateName, readonly TransactionStateName[]>> = {
  idle: ['active', 'failed'],
  active: ['idle', 'failed', 'lost'],
  failed: ['idle', 'active', 'lost'],
  lost: ['idle'],
}

/** The state, as those see it that do not change it. */
export type CurrentState = Readonly<
  Pick<TransactionState, 'name' | 'cause' | 'inTransaction' | 'outcomeUnknown' | 'hasStored'>
>

export class TransactionState {
  #name: TransactionStateName = 'idle'
  #cause: unknown
  /** True while `lost` or `failed` if the transaction may be stored, because COMMIT was on its way or a script has run one. */
  outcomeUnknown = false
  /** PostgreSQL has confirmed a COMMIT, or a statement that is its own transaction. Stays true. */
  hasStored = false

  get name(): TransactionStateName {
    return this.#name
  }

  /** The first failure, while `failed` or `lost`. */
  get cause(): unknown {
    return this.#cause
  }

  /** A transaction has begun and has not ended; it may have failed. */
  get inTransaction(): boolean {
    return this.#name === 'active' || this.#name === 'failed' || this.#name === 'lost'
  }

  /** @throws IllegalStateError if the diagram above has no such arrow. */
  move(to: TransactionStateName, cause?: unknown): void {
    if (!FOLLOWERS[this.#name].includes(to)) {
      throw new IllegalStateError(`A transaction cannot go from ${this.#name} to ${to}`)
    }
    this.#name = to
    this.outcomeUnknown = false
    this.#cause = cause
  }

  /** A statement of the transaction failed. The first failure stays the cause. */
  fail(cause: unknown): void {
    if (this.#name !== 'active' && this.#name !== 'idle') return
    this.move('failed', cause)
    this.outcomeUnknown = cause instanceof EndedBehindError && cause.isStored
  }

  /** The connection was lost; an earlier failure stays the cause. */
  lose(cause: unknown): void {
    if (this.#name === 'active' || this.#name === 'failed') this.move('lost', this.#cause ?? cause)
  }
}

/** The state of every transaction that has not begun. */
export const UNBEGUN: CurrentState = new TransactionState()
