/**
 * The contract of a pool: which caller may use which connection, for how long, and its statistics.
 *
 * 1. A lease is bound to one physical connection; it is released or invalidated exactly once.
 * 2. Never more than `poolSize + maxOverflow` sockets exist: open, being opened or being closed.
 * 3. Every acquire settles exactly once; waiting callers are served first in, first out.
 */
import type { DriverConnection } from '../driver/driver.js'
import type { CallSite } from './call-site.js'
import type { PoolStats } from './stats.js'

/** Options of one acquire. */
export interface AcquireOptions {
  /** Abort cancels the wait. A connection that is being opened meanwhile becomes idle in the pool. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of `poolTimeoutMillis`; 0 and null mean the same as there. */
  readonly timeoutMillis?: number | null | undefined
  /**
   * What checks that an idle connection is alive: the `pool` by a ping (default), or the `caller` by its first batch, which
   * costs no round trip (see `Lease.proven`).
   */
  readonly proof?: 'pool' | 'caller' | undefined
  /**
   * True: the caller can go elsewhere. It does not wait for `resume()`, nor for another attempt if the pool has no connection and cannot
   * open one.
   */
  readonly failsFast?: boolean | undefined
  /**
   * An object that is the same for all acquires of one async context, for example the store of an AsyncLocalStorage. The error
   * of a timeout then says whether that context holds a connection itself.
   */
  readonly context?: object | undefined
  /** With `captureStacks`: the call site to report. Default: where `acquire` is called. */
  readonly callSite?: CallSite | undefined
}

/** Receives the result of a request, instead of a promise. */
export interface LeaseReceiver {
  leased(lease: Lease): void
  refused(error: unknown): void
}

/** Options of `Lease.release`. */
export interface ReleaseOptions {
  /**
   * True: the first waiting caller (see `wantedMillis`) gets the connection although COMMIT is not answered yet. Default false:
   * it gets the connection after the answer.
   */
  readonly beforeCommitIsAnswered?: boolean | undefined
}

/** The checkout of one connection. Also a `Disposable`: `using lease = await pool.acquire()` releases it. */
export interface Lease {
  readonly connection: DriverConnection
  /**
   * False: the connection was idle for longer than `prePingSkipMillis` and was not pinged, because `proof` is `'caller'`. It
   * may be dead.
   */
  readonly proven: boolean
  /**
   * Remaining timeout of the first waiting caller, who gets this connection if it is released now. Undefined if no caller waits,
   * or if that caller has no timeout.
   */
  readonly wantedMillis: number | undefined
  /** False once it was released, invalidated or detached, or the pool took the connection away. */
  readonly active: boolean
  /**
   * Returns the connection to the pool. Idempotent, never throws; the connection is reset in the background if need be.
   */
  release(options?: ReleaseOptions): void
  /**
   * Frees the slot and closes the connection. If `reason` is a disconnect (see `isDisconnect`), every older connection of the
   * pool is replaced before its next use. Idempotent, never throws.
   */
  invalidate(reason?: unknown): void
  /** Keeps the lease active, but closes its connection when it is released. Idempotent, never throws. */
  softInvalidate(reason?: unknown): void
  /**
   * Takes callers out of the wait queue, the first ones first, who will use this connection together with its holder: they get no
   * lease of their own. Optional: without it, no caller shares a connection.
   * @param most No more than so many.
   * @param takes Whether a waiting caller is taken; decides at once, and must not throw.
   */
  takeAlong?(most: number, takes: (receiver: LeaseReceiver) => boolean): void
  /**
   * Takes the connection out of the pool permanently. Its slot is free at once; the caller must close the connection.
   * @throws IllegalStateError if the lease is not active any more.
   */
  detach(): DriverConnection
  /** Tells the pool which statement runs, for error messages. Cheap: the pool stores the reference and copies nothing. */
  describe(statement: string): void
  [Symbol.dispose](): void
}

/** Options of `dispose`. */
export interface DisposeOptions {
  /** How long borrowed connections may still be used. Default 10000; 0 = close them at once, null = no limit. */
  readonly timeoutMillis?: number | null | undefined
}

/** What `dispose` did. */
export interface DisposeReport {
  /** Connections that were closed without being in use. */
  readonly closed: number
  /** Connections still in use at the deadline: their statements were cancelled and their sockets dropped. */
  readonly forced: number
  /** Waiting acquires that were rejected. */
  readonly rejected: number
  readonly durationMillis: number
}

/** Hands out connections. `QueuePool` and `NullPool` implement it; `poolClass` also takes a class of your own. */
export interface Pool {
  /**
   * Checks a connection out. Waiting callers are served first in, first out.
   * @throws PoolTimeoutError, PoolQueueFullError, ConnectError, AbortedError, EngineDisposedError
   */
  acquire(options?: AcquireOptions): Promise<Lease>
  /**
   * As `acquire`, but passes the result to `receiver` instead of a promise, so that each of many waiting callers takes less
   * memory. The receiver is called in the async context of its caller, and never on the stack of the code that releases the
   * connection. Optional: without it, sessions use `acquire`.
   * @param context In place of `options.context`.
   * @param callSite In place of `options.callSite`.
   */
  request?(
    receiver: LeaseReceiver,
    options: AcquireOptions,
    context: object | undefined,
    callSite: CallSite | undefined,
  ): void
  stats(): PoolStats
  /** One line for people: sizes, use, waiters. */
  status(): string
  /** The holders of checked-out connections, the longest first, as lines for people. */
  holders?(): readonly string[]
  /** Changes the limits at run time. Excess connections are closed, borrowed ones when they are released. @throws InvalidOptionError */
  resize(limits: { readonly poolSize?: number; readonly maxOverflow?: number }): void
  /** Holds every new acquire without `failsFast` until `resume()`; their timeouts do not run meanwhile. */
  suspend(): void
  resume(): void
  /** Replaces every connection: idle ones now, borrowed ones when they are released. */
  refresh(): void
  /**
   * A new pool with the same options, limits and listeners, without connections. It takes over the callers that wait here, and
   * opens connections for them and for `minIdle` only. Nothing else changes in this pool: dispose it afterwards.
   */
  recreate(): Pool
  /**
   * Refuses new work, rejects waiting callers, lets borrowed connections finish until the deadline, then cancels their
   * statements on the server and closes them. Idempotent: later calls get the first one's report.
   */
  dispose(options?: DisposeOptions): Promise<DisposeReport>
  [Symbol.asyncDispose](): Promise<void>
}
