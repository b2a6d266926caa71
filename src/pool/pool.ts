/**
 * The contract of a pool: who may use which connection, for how long, and what is known about it.
 *
 * 1. A lease is bound to one physical connection for ever; it is released or invalidated exactly once.
 * 2. Never more than `poolSize + maxOverflow` sockets are open or opening, those being closed included.
 * 3. Every acquire settles exactly once; waiters are served first in, first out.
 */
import type { DriverConnection } from '../driver/driver.js'
import type { CallSite } from './call-site.js'
import type { PoolStats } from './stats.js'

/** Options of one acquire. */
export interface AcquireOptions {
  /** Gives up waiting. The connect that may be under way ends idle. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of `poolTimeoutMillis`; 0 and null mean the same as there. */
  readonly timeoutMillis?: number | null | undefined
  /**
   * Who proves that an idle connection is alive: the `pool` by a ping (default), or the `caller` by its first batch
   * (which the caller may do for free; see `Lease.proven`).
   */
  readonly proof?: 'pool' | 'caller' | undefined
  /**
   * Anything that is the same object for everything that one flow of control acquires, for example the store of an
   * AsyncLocalStorage. A timeout then says whether that flow waits for itself.
   */
  readonly context?: object | undefined
  /** With `captureStacks`: where the connection was asked for, if not where `acquire` is called. */
  readonly origin?: CallSite | undefined
}

/** The loan of one connection. Also a `Disposable`: `using lease = await pool.acquire()` releases it. */
export interface Lease {
  readonly connection: DriverConnection
  /** False: idle for longer than `prePingSkipMillis` and not pinged; the caller said that it proves it. */
  readonly proven: boolean
  /**
   * How long the first one will wait still who waits for a connection, and gets this one if it is released now. Undefined if there
   * is nobody, or somebody who would wait for ever.
   */
  readonly wantedMillis: number | undefined
  /** False once it was released, invalidated or detached, or the pool took the connection away. */
  readonly active: boolean
  /**
   * Gives the connection back. Idempotent, never throws; resets in the background what has to be reset.
   * @param isWanted True: for the one that `wantedMillis` is about, who goes on behind an end of a transaction that is awaited.
   *   Default: nobody gets it before that is answered.
   */
  release(isWanted?: boolean): void
  /**
   * Gives the slot back and closes the connection. With an error that is a disconnect (see `isDisconnect`) every older connection of the pool is
   * replaced before it is lent again. Idempotent, never throws.
   */
  invalidate(reason?: unknown): void
  /** Lets the lease go on, but closes its connection when it is released. Idempotent, never throws. */
  softInvalidate(reason?: unknown): void
  /**
   * Takes the connection out of the pool for good: its slot is free at once, and whoever detached it closes it.
   * @throws IllegalStateError if the lease is not active any more.
   */
  detach(): DriverConnection
  /** Tells the pool what the lease is doing, for its diagnosis. Keep it cheap: a reference is stored, nothing copied. */
  describe(statement: string): void
  [Symbol.dispose](): void
}

/** Options of `dispose`. */
export interface DisposeOptions {
  /** How long borrowed connections may go on. Default 10000; 0 = not at all, null = as long as they need. */
  readonly timeoutMillis?: number | null | undefined
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

/** Lends connections. `QueuePool` and `NullPool` are the ones there are; `poolClass` takes one of your own. */
export interface Pool {
  /**
   * Lends a connection. Those who have to wait are served first in, first out.
   * @throws PoolTimeoutError, PoolQueueFullError, ConnectError, AbortedError, EngineDisposedError
   */
  acquire(options?: AcquireOptions): Promise<Lease>
  stats(): PoolStats
  /** One line for people: sizes, use, waiters. */
  status(): string
  /** Changes the limits at run time; connections above them are closed when they come back. @throws InvalidOptionError */
  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void
  /** Holds every new acquire until `resume()`; their timeouts do not run meanwhile. */
  suspend(): void
  resume(): void
  /** Replaces every connection: idle ones now, borrowed ones when they come back. */
  refresh(): void
  /**
   * An empty pool with the same options, limits and listeners, which takes over who waits here. Nothing else of this one
   * changes: dispose it. Opens nothing by itself, except for them and `minIdle`.
   */
  recreate(): Pool
  /**
   * Refuses new work, rejects those who wait, lets borrowed connections finish until the deadline, then cancels their
   * statements on the server and closes them. Idempotent: later calls get the first one's report.
   */
  dispose(options?: DisposeOptions): Promise<DisposeReport>
  [Symbol.asyncDispose](): Promise<void>
}
