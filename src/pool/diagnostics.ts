/** What a pool knows about itself. Every count is derived from the part that owns the fact; none is kept twice. */
import type { HealthChecks } from './health-checks.js'
import type { Closer } from './closer.js'
import type { Connector } from './connector.js'
import type { AcquirePhase, PoolTimeoutError } from './errors.js'
import type { WaitQueue, Waiter } from './wait-queue.js'
import type { Limits } from './limits.js'
import type { PoolContext } from './pool-context.js'
import type { PoolStats } from './stats.js'
import { poolTimeoutError } from './timeout-error.js'

/** The parts that own the facts. */
export interface Observed {
  readonly waitQueue: WaitQueue
  readonly connector: Connector
  readonly healthChecks: HealthChecks
  readonly closer: Closer
}

/** What only the pool itself knows. */
export interface PoolState {
  readonly limits: Limits
  readonly generation: number
  readonly disposed: boolean
}

export class Diagnostics {
  readonly #pool: PoolContext
  readonly #parts: Observed

  constructor(shared: PoolContext, parts: Observed) {
    this.#pool = shared
    this.#parts = parts
  }

  get borrowed(): number {
    const { size, idle } = this.#pool.slots
    const { healthChecks, connector, closer } = this.#parts
    return size - idle - connector.connecting - healthChecks.probing - healthChecks.resetting - closer.closing
  }

  /** So many waiters can be served without anybody releasing anything. */
  reachable({ capacity }: Limits): number {
    return capacity - this.borrowed
  }

  /** What the waiter at that place of the queue was about to get. */
  phaseAt(position: number, { capacity }: Limits): AcquirePhase {
    const { probing, resetting } = this.#parts.healthChecks
    const { connecting, failing } = this.#parts.connector
    if (position < probing) return 'ping'
    if (position < probing + resetting) return 'reset'
    const isStuck = failing && this.#pool.slots.size < capacity
    return isStuck || position < probing + resetting + connecting ? 'connect' : 'wait'
  }

  timeoutError(waiter: Waiter, phase: AcquirePhase, lateMillis: number, stats: PoolStats): PoolTimeoutError {
    const { clock, driver, slots } = this.#pool
    const now = clock.now()
    const borrowed = [...slots.all()].filter(({ state }) => state === 'borrowed')
    const acquire = { phase, waitedMillis: now - waiter.since, context: waiter.options.context, lateMillis }
    return poolTimeoutError(acquire, stats, driver.target, borrowed, now)
  }

  stats({ limits, generation, disposed }: PoolState): PoolStats {
    const { name, slots, statistics } = this.#pool
    const { waitQueue, connector, healthChecks, closer } = this.#parts
    const { poolSize, maxOverflow, keep, capacity } = limits
    return {
      name,
      poolSize,
      maxOverflow,
      capacity,
      size: slots.size,
      idle: slots.idle,
      borrowed: this.borrowed,
      connecting: connector.connecting,
      checking: healthChecks.probing + healthChecks.resetting,
      closing: closer.closing,
      overflow: Math.max(0, slots.size - keep),
      waiting: waitQueue.size,
      suspended: waitQueue.suspended,
      disposed,
      generation,
      lastConnectError: connector.lastError,
      ...statistics.snapshot(),
    }
  }
}
