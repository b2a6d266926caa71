/** The methods of an engine that look at its pool, or control it. */
import type { Clock } from '../internal/clock.js'
import type { Pool } from '../pool/pool.js'
import type { PoolStats } from '../pool/stats.js'
import { checkMillisOf, checkPool, type CheckOptions, type EngineCheck } from './check.js'

/** The part of an `Engine` that is about its pool. */
export abstract class PoolControls {
  /** The pool of this moment: `recreate()` replaces it. */
  protected abstract get controlled(): { readonly pool: Pool; readonly clock: Clock }

  /** Gauges, counters and histograms of the pool at this moment. */
  stats(): PoolStats {
    return this.controlled.pool.stats()
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

  /** Holds every new acquire until `resume()`, for example during a planned failover. */
  suspend(): void {
    this.controlled.pool.suspend()
  }

  resume(): void {
    this.controlled.pool.resume()
  }
}
