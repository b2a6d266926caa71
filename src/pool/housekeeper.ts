/**
 * The pool's only periodic timer. It never keeps the process alive, and stops while the pool is empty.
 *
 * Each tick closes stale, expired and long idle connections, pings quiet ones, looks for leaks, and refills `minIdle`. A tick comes earlier
 * than its period if an idle connection is due by then. After a tick that came much too late, every idle connection is pinged before its next use.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Timer } from '../internal/clock.js'
import type { Eligibility } from './eligibility.js'
import type { LeakWatch } from './leak-watch.js'
import type { ResolvedPoolOptions } from './options.js'
import type { ConnectionRecord } from './record.js'
import type { PoolContext } from './pool-context.js'
import type { CloseReason } from './stats.js'

const SHORTEST_PERIOD_MILLIS = 20
const LONGEST_PERIOD_MILLIS = 10_000

export interface HousekeepingHost {
  close(record: ConnectionRecord, reason: CloseReason): void
  ping(record: ConnectionRecord): void
  /** Opens connections up to `minIdle`. */
  refill(): void
}

export class Housekeeper {
  readonly #pool: PoolContext
  readonly #eligibility: Eligibility
  readonly #leaks: LeakWatch
  readonly #host: HousekeepingHost
  readonly #periodMillis: number
  /** Keeps the timer out of the async context of the request that opened the first connection. */
  readonly #context = new AsyncResource('lifeguard.Housekeeper')
  #timer: Timer | undefined = undefined
  #tickedAt = 0
  /** The same by the wall clock. */
  #tickedAtDate = 0
  /** When the next tick is due. */
  #nextAt = 0

  constructor(pool: PoolContext, eligibility: Eligibility, leaks: LeakWatch, host: HousekeepingHost) {
    this.#pool = pool
    this.#eligibility = eligibility
    this.#leaks = leaks
    this.#host = host
    this.#periodMillis = periodFor(pool.options)
  }

  /** Idempotent. */
  start(): void {
    if (this.#timer === undefined) this.#context.runInAsyncScope(() => this.#schedule())
  }

  /** A connection is idle from now on. */
  becameIdle(now: number): void {
    if (this.#timer === undefined || this.#nextAt <= this.#dueAt(now)) return
    this.#timer.cancel()
    this.#context.runInAsyncScope(() => this.#setTimer(now))
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(): void {
    const { clock } = this.#pool
    this.#tickedAt = clock.now()
    this.#tickedAtDate = Date.now()
    this.#setTimer(this.#tickedAt)
  }

  #setTimer(now: number): void {
    const { clock, slots, options } = this.#pool
    let nextAt = this.#tickedAt + this.#periodMillis
    if (slots.idle > options.minIdle) {
      for (const { state, idleSince } of slots.all()) {
        if (state === 'idle') nextAt = Math.min(nextAt, this.#dueAt(idleSince))
      }
    }
    this.#nextAt = Math.max(nextAt, now + 1)
    // Rounded, because a timer drops the fraction: 9.9999 ms would become 9.
    const millis = Math.round(this.#nextAt - now)
    this.#timer = clock.setTimer(() => this.#tick(), millis, { keepAlive: false })
  }

  /** When a connection that is idle since then has to be closed. A timer may be early by a part of a millisecond. */
  #dueAt(idleSince: number): number {
    const { idleTimeoutMillis } = this.#pool.options
    return idleTimeoutMillis === -1 ? Infinity : idleSince + idleTimeoutMillis + 1
  }

  #tick(): void {
    const { clock, slots, options } = this.#pool
    const now = clock.now()
    // The monotonic clock of some systems stands still while the machine sleeps; the wall clock does not.
    const passed = Math.max(now - this.#tickedAt, Date.now() - this.#tickedAtDate)
    if (passed > this.#periodMillis * 1.5) this.#suspectIdle()
    this.#closeIdle(now)
    this.#pingQuiet(now)
    this.#leaks.inspect(slots.all(), now)
    this.#host.refill()
    if (slots.size > 0 || (options.minIdle > 0 && options.openMinIdle)) this.#schedule()
    else this.#timer = undefined
  }

  #suspectIdle(): void {
    for (const record of this.#pool.slots.all()) if (record.state === 'idle') record.lastAliveAt = -Infinity
  }

  #closeIdle(now: number): void {
    const { slots, options } = this.#pool
    const { minIdle, idleTimeoutMillis } = options
    let spare = slots.idle - minIdle
    const reasonFor = (record: ConnectionRecord): CloseReason | undefined => {
      const reason = this.#eligibility.unfit(record, now)
      if (reason !== undefined || spare <= 0 || idleTimeoutMillis === -1) return reason
      return now - record.idleSince >= idleTimeoutMillis ? 'idle' : undefined
    }
    const done = new Map<ConnectionRecord, CloseReason>()
    slots.takeIf((record) => {
      const reason = reasonFor(record)
      if (reason === undefined) return false
      spare -= 1
      done.set(record, reason)
      return true
    })
    for (const [record, reason] of done) this.#host.close(record, reason)
  }

  #pingQuiet(now: number): void {
    const { slots, options } = this.#pool
    const { keepAliveMillis } = options
    if (keepAliveMillis === -1) return
    const quiet = slots.takeIf((record) => now - record.lastAliveAt >= keepAliveMillis)
    for (const record of quiet) this.#host.ping(record)
  }
}

/** The period of the timer: half of the shortest duration that it must notice. */
function periodFor(options: ResolvedPoolOptions): number {
  const { poolRecycleMillis, idleTimeoutMillis, keepAliveMillis, leakDetectionMillis } = options
  const durations = [poolRecycleMillis, idleTimeoutMillis, keepAliveMillis, leakDetectionMillis]
  const shortest = Math.min(...durations.filter((millis) => millis > 0))
  return Math.min(LONGEST_PERIOD_MILLIS, Math.max(SHORTEST_PERIOD_MILLIS, shortest / 2))
}
