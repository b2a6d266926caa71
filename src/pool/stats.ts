/** The statistics of a pool: current gauges, and counters and distributions since it was made. */
import { Histogram, type HistogramSnapshot } from './histogram.js'

/** Why a connection was closed. */
export type CloseReason =
  /** More connections than `poolSize` keeps, or than a lowered limit allows. */
  | 'overflow'
  /** Older than `poolRecycleMillis`. */
  | 'recycled'
  /** Idle for longer than `idleTimeoutMillis`. */
  | 'idle'
  /** Older than the last disconnect or `refresh()`. */
  | 'stale'
  /** The server or the network ended it. */
  | 'lost'
  /** A ping (pre-ping, keep-alive) failed. */
  | 'probe'
  /** It could not be reset. */
  | 'reset'
  /** It was released while a statement was still running. */
  | 'busy'
  /** `Lease.invalidate` or `softInvalidate`. */
  | 'invalidated'
  /** Its lease was garbage-collected without release. */
  | 'reclaimed'
  /** The pool was disposed. */
  | 'disposed'

/** A pool at one moment. `size` = `idle` + `borrowed` + `connecting` + `checking` + `closing`. */
export interface PoolStats {
  readonly name: string
  readonly poolSize: number
  readonly maxOverflow: number
  /** `poolSize + maxOverflow`; Infinity if there is no limit. */
  readonly capacity: number
  /** Slots in use: connections open, opening or closing. Never more than `capacity`. */
  readonly size: number
  readonly idle: number
  readonly borrowed: number
  readonly connecting: number
  /** Connections being pinged or reset. */
  readonly checking: number
  readonly closing: number
  /** Slots above `poolSize`; never negative. */
  readonly overflow: number
  /** Acquires in the queue. */
  readonly waiting: number
  readonly suspended: boolean
  readonly disposed: boolean
  /** Incremented by each disconnect and by `refresh()`; connections of an older generation are replaced. */
  readonly generation: number
  /** Why the last connect failed; undefined since one succeeded. */
  readonly lastConnectError: Error | undefined
  readonly counters: PoolCounters
  readonly closed: Readonly<Record<CloseReason, number>>
  /** Waiting times of the acquires that had to wait. The number of the others is `counters.acquired - counters.waited`. */
  readonly wait: HistogramSnapshot
  /** From acquire to release. */
  readonly use: HistogramSnapshot
  readonly connect: HistogramSnapshot
}

/** Counters since the pool was made. */
export interface PoolCounters {
  /** Leases handed out. */
  acquired: number
  /** Leases that ended: released, invalidated, detached or reclaimed. */
  released: number
  /** Acquires that went through the queue, however they ended. */
  waited: number
  timedOut: number
  aborted: number
  /** Acquires refused because the queue was full, or the pool suspended and the caller can go elsewhere (`failsFast`). */
  refused: number
  connected: number
  connectFailed: number
  /** Pings sent: pre-pings and keep-alives. */
  pinged: number
  reset: number
  /** Leases held longer than `leakDetectionMillis`. */
  leaked: number
}

/** The counting half of {@link PoolStats}. */
export class Statistics {
  readonly counters: PoolCounters = {
    acquired: 0,
    released: 0,
    waited: 0,
    timedOut: 0,
    aborted: 0,
    refused: 0,
    connected: 0,
    connectFailed: 0,
    pinged: 0,
    reset: 0,
    leaked: 0,
  }
  readonly closed: Record<CloseReason, number> = {
    overflow: 0,
    recycled: 0,
    idle: 0,
    stale: 0,
    lost: 0,
    probe: 0,
    reset: 0,
    busy: 0,
    invalidated: 0,
    reclaimed: 0,
    disposed: 0,
  }
  readonly wait: Histogram = new Histogram()
  readonly use: Histogram = new Histogram()
  readonly connect: Histogram = new Histogram()

  snapshot(): Pick<PoolStats, 'counters' | 'closed' | 'wait' | 'use' | 'connect'> {
    return {
      counters: { ...this.counters },
      closed: { ...this.closed },
      wait: this.wait.snapshot(),
      use: this.use.snapshot(),
      connect: this.connect.snapshot(),
    }
  }

  /** Connections that were closed, or are being closed. */
  get closedCount(): number {
    return Object.values(this.closed).reduce((sum, count) => sum + count, 0)
  }
}

/** One line for people. */
export function describeStats(stats: PoolStats): string {
  const { name, size, capacity, idle, borrowed, connecting, checking, closing, waiting } = stats
  const states = { 'in use': borrowed, idle, connecting, 'being checked': checking, closing }
  const parts = Object.entries(states).map(([state, count]) => `${String(count)} ${state}`)
  const mode = stats.disposed ? ' (disposed)' : stats.suspended ? ' (suspended)' : ''
  return `Pool '${name}'${mode}: ${String(size)} of ${String(capacity)} connections, ${parts.join(', ')}; ${String(waiting)} waiting`
}
