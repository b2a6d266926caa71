/** What a pool knows about itself. Every count is derived from the part that owns the fact; none is kept twice. */
import type { Checks } from './health-checks.js'
import type { Closer } from './closer.js'
import type { Connector } from './connector.js'
import type { AcquirePhase, PoolTimeoutError } from './errors.js'
import type { Gate, Waiter } from './wait-queue.js'
import type { Limits } from './limits.js'
import type { Shared } from './pool-context.js'
import type { PoolStats } from './stats.js'
import { poolTimeoutError } from './timeout-error.js'

/** The parts that own the facts. */
export interface Observed {
  readonly gate: Gate
  readonly connector: Connector
  readonly checks: Checks
  readonly closer: Closer
}

/** What only the pool itself knows. */
export interface PoolState {
  readonly limits: Limits
  readonly generation: number
  readonly disposed: boolean
}

export class Diagnosis {
  readonly #shared: Shared
  readonly #parts: Observed

  constructor(shared: Shared, parts: Observed) {
    this.#shared = shared
    this.#parts = parts
  }

  get borrowed(): number {
    const { size, idle } = this.#shared.slots
    const { checks, connector, closer } = this.#parts
    return size - idle - connector.connecting - checks.probing - checks.resetting - closer.closing
  }

  /** So many waiters can be served without anybody releasing anything. */
  reachable({ capacity }: Limits): number {
    return capacity - this.borrowed
  }

  /** What the waiter at that place of the queue was about to get. */
  phaseAt(position: number, { capacity }: Limits): AcquirePhase {
    const { probing, resetting } = this.#parts.checks
    const { connecting, failing } = this.#parts.connector
    if (position < probing) return 'ping'
    if (position < probing + resetting) return 'reset'
    const isStuck = failing && this.#shared.slots.size < capacity
    return isStuck || position < probing + resetting + connecting ? 'connect' : 'wait'
  }

  timeoutError(waiter: Waiter, phase: AcquirePhase, lateMillis: number, stats: PoolStats): PoolTimeoutError {
    const { clock, driver, slots } = this.#shared
    const now = clock.now()
    const borrowed = [...slots.all()].filter(({ state }) => state === 'borrowed')
    const acquire = { phase, waitedMillis: now - waiter.since, context: waiter.options.context, lateMillis }
    return poolTimeoutError(acquire, stats, driver.target, borrowed, now)
  }

  stats({ limits, generation, disposed }: PoolState): PoolStats {
    const { name, slots, statistics } = this.#shared
    const { gate, connector, checks, closer } = this.#parts
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
      checking: checks.probing + checks.resetting,
      closing: closer.closing,
      overflow: Math.max(0, slots.size - keep),
      waiting: gate.size,
      suspended: gate.suspended,
      disposed,
      generation,
      lastConnectError: connector.lastError,
      ...statistics.snapshot(),
    }
  }
}
