/**
 * The pool's statistics, and the error of an acquire that timed out: its phase, and the holders of the connections. Every count is
 * derived from the part that owns the fact; none is kept twice.
 */
import type { HealthChecks } from './health-checks.js'
import type { Closer } from './closer.js'
import type { Connector } from './connector.js'
import { PoolTimeoutError, type AcquirePhase, type Holder } from './errors.js'
import type { CallSite } from './call-site.js'
import type { ConnectionRecord } from './record.js'
import type { WaitQueue, Waiter } from './wait-queue.js'
import type { Eligibility } from './eligibility.js'
import type { PoolContext } from './pool-context.js'
import { meantMillis } from './seconds.js'
import { describeStats, type PoolStats } from './stats.js'

const NAMED_HOLDERS = 5
const LONGEST_STATEMENT = 200

/** The parts that own the facts. */
export interface Observed {
  readonly waitQueue: WaitQueue
  readonly connector: Connector
  readonly healthChecks: HealthChecks
  readonly closer: Closer
  readonly eligibility: Eligibility
}

export class Diagnostics {
  readonly #pool: PoolContext
  readonly #parts: Observed

  constructor(pool: PoolContext, parts: Observed) {
    this.#pool = pool
    this.#parts = parts
  }

  get borrowed(): number {
    const { size, idle } = this.#pool.slots
    const { healthChecks, connector, closer } = this.#parts
    return size - idle - connector.connecting - healthChecks.pinging - healthChecks.resetting - closer.closing
  }

  /** How many waiters can be served before a connection is released. */
  get reachable(): number {
    return this.#pool.limits.capacity - this.borrowed
  }

  /** What the waiter at this position of the queue was waiting for. */
  phaseAt(position: number): AcquirePhase {
    const { capacity } = this.#pool.limits
    const { pinging, resetting } = this.#parts.healthChecks
    const { connecting, failing } = this.#parts.connector
    if (position < pinging) return 'ping'
    if (position < pinging + resetting) return 'reset'
    const isStuck = failing && this.#pool.slots.size < capacity
    return isStuck || position < pinging + resetting + connecting ? 'connect' : 'wait'
  }

  /** Counts and announces an acquire that timed out. @returns its error, which names the holders of connections. */
  timedOut(waiter: Waiter, phase: AcquirePhase, lateMillis: number): PoolTimeoutError {
    const { clock, driver, events, options, slots, statistics } = this.#pool
    statistics.counters.timedOut += 1
    const now = clock.now()
    const borrowed = [...slots.all()].filter(({ state }) => state === 'borrowed')
    const { context } = waiter
    const { timeoutMillis = options.poolTimeoutMillis } = waiter.options
    const meant = meantMillis('poolTimeoutMillis', timeoutMillis)
    const acquire = { phase, waitedMillis: now - waiter.since, context, lateMillis, meant }
    const error = poolTimeoutError(acquire, this.stats(), driver.target, borrowed, now)
    events.emit('timeout', { error })
    return error
  }

  /** Lines that name the holders of connections, the longest first. */
  holders(): readonly string[] {
    const now = this.#pool.clock.now()
    const borrowed = [...this.#pool.slots.all()].filter(({ state }) => state === 'borrowed')
    return longestFirst(borrowed).map((record) => holderLine(holderOf(record, undefined, now)))
  }

  stats(): PoolStats {
    const { name, limits, slots, statistics } = this.#pool
    const { waitQueue, connector, healthChecks, closer, eligibility } = this.#parts
    const { disposed, generation } = eligibility
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
      checking: healthChecks.pinging + healthChecks.resetting,
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

  /** The statistics in one line, for messages. */
  status(): string {
    return describeStats(this.stats())
  }
}

/** What is known about the acquire that gave up. */
interface TimedOutAcquire {
  readonly phase: AcquirePhase
  readonly waitedMillis: number
  readonly context: object | undefined
  readonly lateMillis: number
  /** The timeout in milliseconds, if it looks like one in seconds. */
  readonly meant: string | undefined
}

/** @param target where the pool connects, without secrets. */
function poolTimeoutError(
  acquire: TimedOutAcquire,
  stats: PoolStats,
  target: string,
  borrowed: readonly ConnectionRecord[],
  now: number,
): PoolTimeoutError {
  const holders = longestFirst(borrowed)
    .slice(0, NAMED_HOLDERS)
    .map((record) => holderOf(record, acquire.context, now))
  const own = borrowed.filter((record) => isSame(record.context, acquire.context)).length
  const lines = [headline(acquire, stats, target), ...holders.map(holderLine)]
  if (borrowed.length > holders.length) lines.push(`  and ${String(borrowed.length - holders.length)} more`)
  if (own > 0) {
    lines.push(
      `The waiting code holds ${String(own)} of them itself. Let it use the connection that it has: nested acquires deadlock the pool under load.`,
    )
  }
  const { meant } = acquire
  if (meant !== undefined) lines.push(`poolTimeoutMillis is in milliseconds: did you mean ${meant}?`)
  if (acquire.lateMillis > 0) {
    lines.push(
      `The event loop was blocked for about ${millis(acquire.lateMillis)}: the delay may be in this process, not in the pool.`,
    )
  }
  if (stats.lastConnectError !== undefined)
    lines.push(`Last failure to connect: ${stats.lastConnectError.message}`)
  const { phase, waitedMillis } = acquire
  const details = { phase, waitedMillis, stats, holders, eventLoopDelayMillis: acquire.lateMillis }
  return new PoolTimeoutError(
    lines.join('\n'),
    details,
    stats.lastConnectError && { cause: stats.lastConnectError },
  )
}

function longestFirst(records: readonly ConnectionRecord[]): ConnectionRecord[] {
  return [...records].sort((one, other) => one.acquiredAt - other.acquiredAt)
}

const PHASES: Readonly<Record<AcquirePhase, string>> = {
  wait: 'every connection was in use',
  connect: 'none could be opened in time',
  ping: 'an idle connection did not answer its ping in time',
  reset: 'a released connection was still being reset',
}

function headline({ phase, waitedMillis }: TimedOutAcquire, stats: PoolStats, target: string): string {
  const waited =
    waitedMillis === 0 ? 'No connection is free' : `No connection came within ${millis(waitedMillis)}`
  return `${waited}: ${PHASES[phase]}. ${describeStats(stats)}. Target: ${target}.`
}

function holderOf(record: ConnectionRecord, context: object | undefined, now: number): Holder {
  return {
    connectionId: record.connection.id,
    processId: record.connection.processId,
    heldMillis: now - record.acquiredAt,
    statement: record.statement,
    stack: stackOf(record.callSite),
    sameContext: isSame(record.context, context),
  }
}

function isSame(one: object | undefined, other: object | undefined): boolean {
  return one !== undefined && one === other
}

function holderLine({ connectionId, processId, heldMillis, statement, stack }: Holder): string {
  const head = `  connection ${String(connectionId)} (backend ${String(processId)}) held for ${millis(heldMillis)}`
  const doing = statement === undefined ? '' : `, last statement: ${shorten(statement)}`
  return stack === undefined ? head + doing : `${head}${doing}, acquired\n${stack}`
}

function shorten(statement: string): string {
  const line = statement.replace(/\s+/g, ' ').trim()
  return line.length > LONGEST_STATEMENT ? `${line.slice(0, LONGEST_STATEMENT)}...` : line
}

function millis(value: number): string {
  return `${String(Math.round(value))} ms`
}

/** The frames of a captured stack, without its headline. */
export function stackOf(callSite: CallSite | undefined): string | undefined {
  return callSite?.stack.split('\n').slice(1).join('\n')
}
