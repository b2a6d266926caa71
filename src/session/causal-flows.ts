/**
 * Which causal flow a call belongs to: reads of one flow need not show the writes of another.
 *
 * 1. A flow is begun with `run`, and contains the function and everything that it calls and awaits.
 * 2. Outside of every flow, all writes of this process count. In JavaScript, code after an `await` does not see the async context that
 *    the awaited function has set, so a flow that began with its first write would miss writes of awaited functions.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { WalPosition } from '../internal/wal-position.js'
import { Causality, readToken } from './causality.js'

/** The flows of one session factory. */
export class CausalFlows {
  readonly #storage = new AsyncLocalStorage<Causality>()
  /** What this process has written, in flows or outside. */
  readonly #shared = new Causality()

  /**
   * The causality of the caller's flow.
   * @param after The token of another process. Outside of a flow it applies to the rest of the caller's async context.
   */
  current(after?: string): Causality {
    const known = this.#storage.getStore() ?? this.#shared
    if (after === undefined) return known
    // A token can be forged, so it must not affect the whole process.
    const causality = known === this.#shared ? new Causality(known, { isPart: true }) : known
    if (causality !== known) this.#storage.enterWith(causality)
    causality.add(readToken(after))
    return causality
  }

  /** True if the primary has told this process a position. */
  get isLocated(): boolean {
    return this.#shared.isLocated
  }

  /** The latest position that the primary has told this process. */
  get seen(): WalPosition | undefined {
    return this.#shared.latest
  }

  /** The token of the caller's flow, for another process. */
  get token(): string | undefined {
    return (this.#storage.getStore() ?? this.#shared).token
  }

  /** Runs a function in a separate flow. Inside of another flow it begins with what that has written. */
  run<Value>(work: () => Value, after: string | undefined): Value {
    const outer = this.#storage.getStore()
    const causality = new Causality(outer ?? this.#shared)
    causality.add(outer?.latest)
    causality.add(outer?.needed)
    if (after !== undefined) causality.add(readToken(after))
    return this.#storage.run(causality, work)
  }
}
