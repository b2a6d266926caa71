/** What users hang on the moments of a session's transaction. */
import type { Unsubscribe } from '../internal/emitter.js'
import { checkFunction } from '../internal/validate.js'

/**
 * The moments, in order.
 *
 * - `begin`: a transaction has begun. Not awaited; what it throws becomes a warning.
 * - `beforeFlush`: changes of entities are about to be written; may change more. Awaited; what it throws prevents the flush.
 *   Queries in it do not flush; `flush()` and `beginNested()` do, as a part of the flush, for which no hook runs again.
 * - `afterFlush`: they were written, in the transaction that is still open. Awaited; what it throws is the flush's error.
 *   A session whose factory has one of these two cannot send a flush and COMMIT in one packet.
 * - `beforeCommit`: may still issue statements; is awaited, and what it throws prevents the commit.
 *   In these three `rollback()` and `close()` prevent what is going on, which then rejects; `commit()` is refused.
 * - `afterCommit`: PostgreSQL has confirmed. Awaited; nothing can be undone any more, and the session cannot be used in
 *   it. What it throws is thrown as `HookError`, after the other hooks have run.
 * - `afterRollback`: the transaction was undone. Awaited; what it throws becomes a warning, because the error that led
 *   to the rollback is the one to see.
 *
 * Neither of the last two is called when the outcome is unknown (`CommitOutcomeUnknownError`).
 */
export type SessionEvent =
  'begin' | 'beforeFlush' | 'afterFlush' | 'beforeCommit' | 'afterCommit' | 'afterRollback'

/** Called with the session. */
export type SessionHook<S> = (session: S) => unknown

/** Hooks by moment, in the order in which they were added. */
export class HookSet<S> {
  readonly #hooks = new Map<SessionEvent, Set<SessionHook<S>>>()

  add(event: SessionEvent, hook: SessionHook<S>): Unsubscribe {
    checkFunction(`the hook ${String(event)}`, hook)
    const hooks = this.#hooks.get(event) ?? new Set()
    this.#hooks.set(event, hooks.add(hook))
    return () => void hooks.delete(hook)
  }

  has(event: SessionEvent): boolean {
    return (this.#hooks.get(event)?.size ?? 0) > 0
  }

  of(event: SessionEvent): readonly SessionHook<S>[] {
    const hooks = this.#hooks.get(event)
    return hooks === undefined ? [] : [...hooks]
  }

  clear(): void {
    this.#hooks.clear()
  }
}

/** A hook failed where its error can reach nobody. */
export function warnOfHook(event: SessionEvent, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.emitWarning(`A hook of '${event}' threw: ${text}`, {
    type: 'LifeguardWarning',
    code: 'LIFEGUARD_HOOK',
  })
}
