/**
 * The contract of a pool: who may use which connection, for how long, and what is known about it.
 *
 * 1. A lease is bound to one physical connection for ever; it is released or invalidated exactly once.
 * 2. Never more than `poolSize + maxOverflow` sockets are open or opening, those being closed included.
 * 3. Every acquire settles exactly once; waiters are served first in, first out.
 */
import type { DriverConnection } from '../driver/driver.js'
import type { PoolStats } from './stats.js'

/** Options of one acquire. */
export interface AcquireOptions {
  /** Gives up waiting. The connect that may be under way ends idle. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a slot at most this long, instead of `poolTimeoutMillis`; 0 = fail at once, null = for ever. */
  readonly timeoutMillis?: number | null | undefined
  /**
   * Who proves that an idle connection is alive: the `pool` by a ping (default), or the `caller` by its first batch
   * (which the caller may do for free; see `Lease.proven`).
   */
  readonly proof?: 'pool' | 'caller' | undefined
}

/** The loan of one connection. */
export interface Lease {
  readonly connection: DriverConnection
  /** False: idle for longer than `prePingSkipMillis` and not pinged; the caller said that it proves it. */
  readonly proven: boolean
  /** Gives the connection back. Idempotent, never throws; resets in the background what has to be reset. */
  release(): void
  /**
   * Gives the slot back and closes the connection. With an error that is a disconnect (see `isDisconnect`) every older connection of the pool is
   * replaced before it is lent again. Idempotent, never throws.
   */
  invalidate(reason?: unknown): void
  /** Tells the pool what the lease is doing, for its diagnosis. Keep it cheap: a reference is stored, nothing copied. */
  describe(statement: string): void
}

/** What `dispose` did. */
export interface DisposeReport {
  /** Connections that were closed in good order. */
  readonly closed: number
  /** Connections still in use at the deadline: their statements were cancelled and their sockets dropped. */
  readonly forced: number
  /** Waiting acquires that were rejected. */
  readonly rejected: number
  readonly durationMillis: number
}

export interface Pool {
  acquire(options?: AcquireOptions): Promise<Lease>
  stats(): PoolStats
  /** One line for people: sizes, use, waiters. */
  status(): string
  /** Changes the limits at run time; connections above them are closed when they come back. */
  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void
  /** Holds every new acquire until `resume()`; their timeouts do not run meanwhile. */
  suspend(): void
  resume(): void
  /** Replaces every connection: idle ones now, borrowed ones when they come back. */
  refresh(): void
  /** See `Engine.dispose`. */
  dispose(options?: { readonly timeoutMillis?: number }): Promise<DisposeReport>
}
