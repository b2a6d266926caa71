/** The hooks of one session: those of its factory, and its own, which are forgotten when a transaction ends. */
import { HookError } from '../errors.js'
import { ambientOf, runAmbient } from '../internal/ambient.js'
import type { Unsubscribe } from '../internal/emitter.js'
import type { EntityHooks } from './flush-coordinator.js'
import { HookSet, warnOfHook, type SessionEvent, type SessionHook } from './session-hooks.js'

/** A commit waits for its hooks. */
interface Waiting {
  closed: boolean
}

export class TransactionHooks<S extends object> implements EntityHooks {
  readonly #session: S
  readonly #factory: HookSet<S>
  #own: HookSet<S> | undefined = undefined
  #ending = false

  constructor(session: S, factory: HookSet<S>) {
    this.#session = session
    this.#factory = factory
  }

  /** The hooks of an ended transaction are running. */
  get ending(): boolean {
    return this.#ending
  }

  /** The current call is made by a `beforeCommit` hook, which a commit waits for. */
  get holdUpCommit(): boolean {
    const waiting = ambientOf(this) as Waiting | undefined
    return waiting?.closed === false
  }

  add(event: SessionEvent, hook: SessionHook<S>): Unsubscribe {
    return (this.#own ??= new HookSet()).add(event, hook)
  }

  has(...events: readonly SessionEvent[]): boolean {
    return events.some((event) => this.#factory.has(event) || this.#own?.has(event) === true)
  }

  /** True if the session itself has been given such a hook, which runs also where nothing had begun. */
  hasOwn(event: SessionEvent): boolean {
    return this.#own?.has(event) === true
  }

  /** Forgets the session's own. */
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

  /** @throws what a hook throws: the others are not called. */
  async aroundFlush(event: 'beforeFlush' | 'afterFlush'): Promise<void> {
    for (const hook of this.#of(event)) await hook(this.#session)
  }

  /** Undefined if there are none. @throws what a hook throws: the others are not called. */
  beforeCommit(): Promise<void> | undefined {
    const hooks = this.#of('beforeCommit')
    if (hooks.length === 0) return undefined
    const waiting: Waiting = { closed: false }
    const run = async (): Promise<void> => {
      for (const hook of hooks) await hook(this.#session)
    }
    return runAmbient(this, waiting, run).finally(() => (waiting.closed = true))
  }

  /** Runs what was to run at the end of a transaction, and forgets it. @throws HookError after a commit. */
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
