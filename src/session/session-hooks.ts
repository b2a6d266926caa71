/** The hooks of a session: functions of the user that run at the stages of a transaction, and how they are called. */
import { HookError } from '../errors.js'
import { scopeValueOf, runInScope } from '../internal/async-scope.js'
import type { Unsubscribe } from '../internal/emitter.js'
import { checkCallback } from '../internal/validate.js'
import { stackOf } from '../internal/thrown.js'

/**
 * The hooks of a transaction, in order.
 *
 * - `begin`: a transaction has begun. Not awaited; an error becomes a warning.
 * - `beforeFlush`: changes of entities are about to be written; may change more objects. Awaited; if it throws, the flush
 *   rejects with the error and writes nothing. Queries in it do not flush; `flush()` and `beginNested()` write as a part of
 *   this flush, without further hooks.
 * - `afterFlush`: the changes were written, before COMMIT. Awaited; if it throws, the flush rejects with the error.
 *   With one of these two hooks, a commit that flushes costs one more round trip.
 * - `beforeCommit`: may still issue statements. Awaited; if it throws, the commit rejects with the error.
 *   In these three hooks `rollback()` and `close()` cancel the flush or commit, which then rejects; `commit()` throws.
 * - `afterCommit`: PostgreSQL has confirmed COMMIT. Awaited; the transaction cannot be undone, and the session cannot
 *   be used in the hook. If it throws, `commit()` rejects with `HookError` after the other hooks have run.
 * - `afterRollback`: the transaction was rolled back. Awaited; an error becomes a warning, because the caller should see the
 *   error that led to the rollback.
 *
 * Neither of the last two is called when the outcome is unknown (`CommitOutcomeUnknownError`).
 */
export type SessionEvent =
  'begin' | 'beforeFlush' | 'afterFlush' | 'beforeCommit' | 'afterCommit' | 'afterRollback'

/** Called with the session. */
export type SessionHook<S> = (session: S) => unknown

/** Hooks by event, in the order in which they were added. */
export class HookSet<S extends object> implements FactoryHooks {
  readonly #hooks = new Map<SessionEvent, Set<SessionHook<S>>>()

  add(event: SessionEvent, hook: SessionHook<S>): Unsubscribe {
    checkCallback(typeof event === 'string' ? `the hook ${event}` : 'a hook', hook)
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

  forSession(session: S): TransactionHooks<S> {
    return new TransactionHooks(session, this)
  }
}

/** Warns of a hook that failed where its error cannot reach a caller. */
function warnOfHook(event: SessionEvent, error: unknown): void {
  const text = stackOf(error)
  process.emitWarning(`A hook of '${event}' threw: ${text}`, {
    type: 'LifeguardWarning',
    code: 'LIFEGUARD_HOOK',
  })
}

/** The hooks of a session, as its flushes, commits and rollbacks call them. */
export interface CalledHooks {
  /** True while the hooks of an ended transaction run. */
  readonly ending: boolean
  /** True if the current call is made by a `beforeCommit` hook, which a commit waits for. */
  readonly inBeforeCommit: boolean
  add(event: SessionEvent, hook: SessionHook<object>): Unsubscribe
  /** True if such a hook was added to the session itself; it also runs if no transaction had begun. */
  hasOwn(event: SessionEvent): boolean
  /** Removes the session's own hooks. */
  clear(): void
  began(): void
  /** @throws what a hook throws: the others are not called. */
  aroundFlush(event: 'beforeFlush' | 'afterFlush'): Promise<void>
  /** Undefined if there are none. @throws what a hook throws: the others are not called. */
  beforeCommit(): Promise<void> | undefined
  /** Runs the hooks of an ended transaction, and removes the session's own. @throws HookError after a commit. */
  ended(event: 'afterCommit' | 'afterRollback'): Promise<void>
}

/** The hooks of a factory, as its sessions see them. */
export interface FactoryHooks {
  has(event: SessionEvent): boolean
  /** The hooks of one of its sessions. */
  forSession(session: object): CalledHooks
}

/** Makes the hooks of a session when one is added or has to be called, because many sessions may wait for a connection at the same time. */
export abstract class HookOwner<Parts extends { readonly hooks: FactoryHooks }> {
  /** Set by the session, before anything else is called. */
  session!: object
  readonly parts: Parts
  /** Undefined: the session has no hooks of its own, and those of its factory were not called. */
  usedHooks: CalledHooks | undefined = undefined

  constructor(parts: Parts) {
    this.parts = parts
  }

  get hooks(): CalledHooks {
    return (this.usedHooks ??= this.parts.hooks.forSession(this.session))
  }

  hasHook(event: SessionEvent): boolean {
    return this.parts.hooks.has(event) || this.usedHooks?.hasOwn(event) === true
  }
}

/** A commit that waits for its hooks. */
interface Waiting {
  closed: boolean
}

/** The hooks of one session: those of its factory, and its own, which are removed when a transaction ends. */
class TransactionHooks<S extends object> implements CalledHooks {
  readonly #session: S
  readonly #factory: HookSet<S>
  #own: HookSet<S> | undefined = undefined
  #ending = false

  constructor(session: S, factory: HookSet<S>) {
    this.#session = session
    this.#factory = factory
  }

  get ending(): boolean {
    return this.#ending
  }

  get inBeforeCommit(): boolean {
    const waiting = scopeValueOf(this) as Waiting | undefined
    return waiting?.closed === false
  }

  add(event: SessionEvent, hook: SessionHook<S>): Unsubscribe {
    return (this.#own ??= new HookSet()).add(event, hook)
  }

  hasOwn(event: SessionEvent): boolean {
    return this.#own?.has(event) === true
  }

  clear(): void {
    this.#own?.clear()
  }

  began(): void {
    for (const hook of this.#of('begin')) {
      try {
        const returned = hook(this.#session)
        if (returned instanceof Promise) returned.catch((error: unknown) => warnOfHook('begin', error))
      } catch (error) {
        warnOfHook('begin', error)
      }
    }
  }

  async aroundFlush(event: 'beforeFlush' | 'afterFlush'): Promise<void> {
    for (const hook of this.#of(event)) await hook(this.#session)
  }

  beforeCommit(): Promise<void> | undefined {
    const hooks = this.#of('beforeCommit')
    if (hooks.length === 0) return undefined
    const waiting: Waiting = { closed: false }
    const run = async (): Promise<void> => {
      for (const hook of hooks) await hook(this.#session)
    }
    return runInScope(this, waiting, run).finally(() => (waiting.closed = true))
  }

  async ended(event: 'afterCommit' | 'afterRollback'): Promise<void> {
    const hooks = this.#of(event)
    this.clear()
    if (hooks.length === 0) return
    const errors: unknown[] = []
    this.#ending = true
    try {
      for (const hook of hooks) {
        try {
          await hook(this.#session)
        } catch (error) {
          errors.push(error)
        }
      }
    } finally {
      this.#ending = false
    }
    if (errors.length === 0) return
    if (event === 'afterRollback') for (const error of errors) warnOfHook(event, error)
    else {
      const cause = errors.length === 1 ? errors[0] : new AggregateError(errors)
      throw new HookError('The transaction was committed, but an afterCommit hook threw (see cause)', {
        cause,
      })
    }
  }

  #of(event: SessionEvent): readonly SessionHook<S>[] {
    return [...this.#factory.of(event), ...(this.#own?.of(event) ?? [])]
  }
}
