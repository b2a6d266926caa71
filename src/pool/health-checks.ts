/**
 * The pool's own round trips: pings and resets, each with its own time limit. Meanwhile the connection is neither idle nor checked
 * out; afterwards it is free, or closed.
 */
import type { ResetMode } from '../driver/driver.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'
import { errorFrom } from '../internal/thrown.js'

const RESET_MILLIS = 5_000

/** Receives the connection after a check. */
export interface CheckHost {
  passed(record: ConnectionRecord, now: number): void
  failed(record: ConnectionRecord, reason: CloseReason, error: Error): void
}

export class HealthChecks {
  readonly #pool: PoolContext
  readonly #host: CheckHost
  #pinging = 0
  #resetting = 0

  constructor(pool: PoolContext, host: CheckHost) {
    this.#pool = pool
    this.#host = host
  }

  /** Connections being pinged; each will serve a waiter, if it is alive. */
  get pinging(): number {
    return this.#pinging
  }

  get resetting(): number {
    return this.#resetting
  }

  /** Pings a connection. */
  async ping(record: ConnectionRecord): Promise<void> {
    const { clock, options, statistics } = this.#pool
    record.state = 'checking'
    statistics.counters.pinged += 1
    this.#pinging += 1
    const error = await failureOf(record.connection.ping(options.prePingTimeoutMillis))
    this.#pinging -= 1
    if (isClosing(record)) return
    if (error !== undefined) return this.#host.failed(record, 'probe', error)
    record.lastAliveAt = clock.now()
    this.#host.passed(record, record.lastAliveAt)
  }

  /** Waits for the answer to a COMMIT or ROLLBACK, which has a time limit of its own. */
  async settle(record: ConnectionRecord): Promise<void> {
    const { connection } = record
    record.state = 'checking'
    this.#resetting += 1
    await connection.commitHandoff?.settled
    this.#resetting -= 1
    if (isClosing(record)) return
    if (connection.lost !== undefined) return this.#host.failed(record, 'lost', connection.lost)
    record.lastAliveAt = record.idleSince = this.#pool.clock.now()
    this.#host.passed(record, record.lastAliveAt)
  }

  /** Resets a connection. `done` is called in any case, before the connection is handed out or closed. */
  async reset(record: ConnectionRecord, mode: ResetMode, done: () => void): Promise<void> {
    const { clock, events, statistics } = this.#pool
    const { connection } = record
    record.state = 'checking'
    statistics.counters.reset += 1
    this.#resetting += 1
    const error = await failureOf(connection.reset(mode, RESET_MILLIS))
    this.#resetting -= 1
    if (isClosing(record)) return
    events.emit('reset', error === undefined ? { connection, mode } : { connection, mode, error })
    done()
    if (error !== undefined) return this.#host.failed(record, 'reset', error)
    record.lastAliveAt = record.idleSince = clock.now()
    this.#host.passed(record, record.lastAliveAt)
  }
}

function failureOf(work: Promise<void>): Promise<Error | undefined> {
  return work.then(() => undefined, errorFrom)
}

/** True if the pool was disposed meanwhile and did not wait for the check. */
function isClosing(record: ConnectionRecord): boolean {
  return record.state === 'closing'
}
