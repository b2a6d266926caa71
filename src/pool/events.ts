/** The events of a pool. Listeners run synchronously; their errors never reach the pool. */
import type { DriverConnection, ResetMode } from '../driver/driver.js'
import type { PoolTimeoutError } from './errors.js'
import type { CloseReason } from './stats.js'

/** The payload of most events: the connection that they are about. Do not run statements on it from a listener. */
export interface ConnectionEvent {
  readonly connection: DriverConnection
}

/** A lease was held too long, was released after all, or was garbage-collected without release. */
export interface LeakEvent extends ConnectionEvent {
  readonly heldMillis: number
  /**
   * `held`: still out after `leakDetectionMillis`; `returned`: reported before, and released now; `reclaimed`: garbage-
   * collected without release, so the connection was closed and its slot is free.
   */
  readonly stage: 'held' | 'returned' | 'reclaimed'
  /** The last statement, if the holder described it. */
  readonly statement: string | undefined
  /** Where it was acquired; only with `captureStacks`. */
  readonly stack: string | undefined
}

/** Maps an event's name to its payload. */
export interface PoolEvents {
  /** A connection was opened. */
  connect: ConnectionEvent & { readonly durationMillis: number }
  /** The pool's first connection was opened: emitted once, before `connect`. */
  firstConnect: ConnectionEvent & { readonly durationMillis: number }
  /** An attempt to connect failed. */
  connectFailed: { readonly error: Error; readonly fatal: boolean }
  /** A lease was handed out. `waitedMillis` is 0 if the caller did not wait. */
  acquire: ConnectionEvent & { readonly waitedMillis: number }
  /** A lease was released, and its connection was reset if need be (see `reset`, which comes before). */
  release: ConnectionEvent & { readonly heldMillis: number }
  /** A released connection was reset. `error` is set if that failed; the connection is closed then. */
  reset: ConnectionEvent & { readonly mode: ResetMode; readonly error?: unknown }
  /** A lease was invalidated: its connection is closed now. */
  invalidate: ConnectionEvent & { readonly reason: unknown }
  /** A lease was invalidated softly: its connection is closed when it is released. */
  softInvalidate: ConnectionEvent & { readonly reason: unknown }
  /** A connection was closed; its slot is free. */
  close: ConnectionEvent & { readonly reason: CloseReason; readonly ageMillis: number; readonly uses: number }
  /** A connection was detached from the pool permanently; the caller of `detach()` must close it. */
  detach: ConnectionEvent
  leak: LeakEvent
  /** An acquire joined the queue; `ahead` others are before it. */
  wait: { readonly ahead: number }
  /** An acquire gave up. */
  timeout: { readonly error: PoolTimeoutError }
  /** Every connection opened before is replaced before its next use. */
  generation: { readonly generation: number; readonly reason: unknown }
}
