/** The methods of an engine that inspect or control its pool. */
import { addForeignNames, OF_ENGINE } from '../internal/foreign-names.js'
import { requireMade } from '../internal/validate.js'
import type { Clock } from '../internal/clock.js'
import type { Pool } from '../pool/pool.js'
import type { EngineStats } from './replica-stats.js'
import type { EnginePart } from './substitutes.js'
import { statsOf, type StatsOptions } from '../pool/stats-window.js'
import { checkMillisOf, checkPool, type CheckOptions, type EngineCheck } from './check.js'

/** The parts of an engine that its controls need. */
export interface Controlled {
  /** The pool of this moment: `recreate()` replaces it. */
  readonly pool: Pool
  readonly clock: Clock
  readonly part: EnginePart
}

/** The part of an `Engine` that is about its pool. */
export abstract class PoolControls {
  static {
    addForeignNames(this.prototype, OF_ENGINE)
  }

  /** @throws InvalidOptionError for `new Engine({ url })`. */
  constructor(parts: { readonly options: unknown }) {
    requireMade(parts, 'options', 'An engine', 'createEngine({ url })')
  }

  protected abstract get controlled(): Controlled

  /**
   * Gauges, counters and histograms of the pool at this moment, the role of its server, and its part in a factory with replicas. Counters
   * and histograms begin with the pool; with `since` they are those since an earlier call. Nothing is reset.
   * @throws InvalidOptionError
   * @example
   * const before = engine.stats()
   * // a minute later
   * const { use } = engine.stats({ since: before })
   */
  stats(options: StatsOptions = {}): EngineStats {
    const { pool, part } = this.controlled
    const standby = part.latest?.deref()?.parameter('in_hot_standby')
    return {
      ...statsOf(pool.stats(), options),
      role: standby === undefined ? undefined : standby === 'on' ? 'standby' : 'primary',
      replica: part.replica?.stats(),
      primaryReads: part.primaryReads && { ...part.primaryReads },
    }
  }

  /** The pool in one line, for people. */
  status(): string {
    return this.controlled.pool.status()
  }

  /**
   * Whether the engine can serve: one round trip on a connection of the pool, for health and readiness endpoints. Never throws,
   * except for a wrong option; never waits longer than `timeoutMillis` (1000).
   * @throws InvalidOptionError
   * @example
   * const { ok, reason } = await engine.check({ timeoutMillis: 500 })
   */
  async check(options: CheckOptions = {}): Promise<EngineCheck> {
    const { pool, clock } = this.controlled
    return await checkPool(pool, clock, checkMillisOf(options))
  }

  /** Changes the pool's limits; connections above them are closed when they are released. */
  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void {
    this.controlled.pool.resize(limits)
  }

  /** Holds every new acquire until `resume()`, for example during a planned failover. Reads that can go to another server do so. */
  suspend(): void {
    this.controlled.pool.suspend()
  }

  resume(): void {
    this.controlled.pool.resume()
  }
}
