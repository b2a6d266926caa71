/** The events of a pool. Listeners run synchronously; what they throw never reaches the pool. */
import type { DriverConnection, ResetMode } from '../driver/driver.js'
import type { PoolTimeoutError } from './errors.js'
import type { CloseReason } from './stats.js'

/** What most events carry: the connection they are about. Do not run statements on it from a listener. */
export interface ConnectionEvent {
  readonly connection: DriverConnection
}

/** A lease was held too long, came back after all, or was garbage-collected without release. */
export interface LeakEvent extends ConnectionEvent {
  readonly heldMillis: number
  /**
   * `held`: still out after `leakDetectionMillis`; `returned`: reported before, and came back; `reclaimed`: nobody can
   * release it any more, so the connection was closed and the slot is free again.
   */
  readonly stage: 'held' | 'returned' | 'reclaimed'
  /** What it was doing last, if the holder said so. */
  readonly statement: string | undefined
  /** Where it was acquired; only with `captureStacks`. */
  readonly stack: string | undefined
}

/** Maps an event's name to its payload. */
export interface PoolEvents {
  /** A connection was opened. */
  connect: ConnectionEvent & { readonly durationMillis: number }
  /** The first connection ever was opened: once per pool, before its `connect`. */
  firstConnect: ConnectionEvent & { readonly durationMillis: number }
  /** An attempt to connect failed. */
  connectFailed: { readonly error: Error; readonly fatal: boolean }
  /** A lease was handed out. `waitedMillis` is 0 if nothing had to be waited for. */
  acquire: ConnectionEvent & { readonly waitedMillis: number }
  /** A lease came back; what had to be reset was reset (see `reset`, which comes before). */
  release: ConnectionEvent & { readonly heldMillis: number }
  /** A connection was cleaned on its return. `error` is set if that failed; it is closed then. */
  reset: ConnectionEvent & { readonly mode: ResetMode; readonly error?: unknown }
  /** A lease was invalidated: its connection is closed now. */
  invalidate: ConnectionEvent & { readonly reason: unknown }
  /** A lease was invalidated softly: its connection is closed when it comes back. */
  softInvalidate: ConnectionEvent & { readonly reason: unknown }
  /** A connection was closed; its slot is free. */
  close: ConnectionEvent & { readonly reason: CloseReason; readonly ageMillis: number; readonly uses: number }
  /** A connection left the pool for good and belongs to whoever detached it. */
  detach: ConnectionEvent
  leak: LeakEvent
  /** An acquire joined the queue; `ahead` others are before it. */
  wait: { readonly ahead: number }
  /** An acquire gave up. */
  timeout: { readonly error: PoolTimeoutError }
  /** Every connection opened before is replaced before it is lent again. */
  generation: { readonly generation: number; readonly reason: unknown }
}
