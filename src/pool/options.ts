/**
 * The options of a pool: what each means, its default and its extremes. `resolve-options.ts` has the defaults and the checks.
 */
import type { Driver } from '../driver/driver.js'
import type { Clock } from '../internal/clock.js'
import type { Emitter } from '../internal/emitter.js'
import type { PoolEvents } from './events.js'
import type { Pool } from './pool.js'

/** What a pool is made of. */
export interface PoolParts {
  readonly driver: Driver
  /** See `resolvePoolOptions`. */
  readonly options: ResolvedPoolOptions
  /** The name in messages and statistics. */
  readonly name: string
  /** Number of the engine, for the messages of channels. Default 0: no engine. */
  readonly engineId?: number | undefined
  /** Default: the clock of the machine. */
  readonly clock?: Clock | undefined
  /** Default: a new emitter. `recreate()` passes the emitter of the old pool on. */
  readonly events?: Emitter<PoolEvents> | undefined
}

/** A class of pools, as `poolClass` takes it: QueuePool, NullPool, or a class of your own. */
export type PoolClass = new (parts: PoolParts) => Pool

/** Options of a pool as the caller gives them; each may be left out. `docs/pool.md` gives advice on each. */
export interface PoolOptions {
  /** Up to this many idle connections are kept open. Default 5; 0 = unlimited (then leave `maxOverflow` out). */
  readonly poolSize?: number | undefined
  /**
   * Extra connections above `poolSize` under load. A released connection is closed if `poolSize` are idle and no caller waits.
   * Default 10; 0 = none, -1 = no limit.
   */
  readonly maxOverflow?: number | undefined
  /**
   * How long an acquire waits for a connection, opening and pinging one included. Default 30000; `null` = no limit.
   * 0 = never wait for a release: fail at once if every connection is in use, and with the connect error if
   * one has to be opened and cannot.
   */
  readonly poolTimeoutMillis?: number | null | undefined
  /**
   * A connection older than this is not handed out again; one in use is replaced when it is released. Default 1800000;
   * -1 = never. Shortened by a random jitter of up to a tenth.
   */
  readonly poolRecycleMillis?: number | undefined
  /** Ping an idle connection before it is handed out. Default true. */
  readonly poolPrePing?: boolean | undefined
  /** A connection that was used in the last so many milliseconds is not pinged. Default 500; 0 = always ping. */
  readonly prePingSkipMillis?: number | undefined
  /** How long a ping (pre-ping or keep-alive) may take. Default 1000. */
  readonly prePingTimeoutMillis?: number | undefined
  /** Hand out the connection that was released last (default true: few stay hot) or first (false: all take turns). */
  readonly poolUseLifo?: boolean | undefined
  /**
   * How a released connection is reset. Default `'rollback'`: ROLLBACK if a transaction is open. `'session'`:
   * settings, LISTEN, cursors, advisory locks and temporary tables as well, each time. `false`: nothing.
   */
  readonly poolResetOnReturn?: 'rollback' | 'session' | false | undefined
  /** Close a connection after so many idle milliseconds, down to `minIdle`. Default 600000; -1 = never. */
  readonly idleTimeoutMillis?: number | undefined
  /** Idle connections to keep ready, opened in the background. Default 0; at most `poolSize`. */
  readonly minIdle?: number | undefined
  /** Ping idle connections about this often, so that no firewall drops them. Default 120000; -1 = never. */
  readonly keepAliveMillis?: number | undefined
  /** How many acquires may wait for a release; one more fails at once. Default Infinity; 0 = none. */
  readonly maxWaiting?: number | undefined
  /** Connections being opened at the same time. Default 2 (NullPool: Infinity). */
  readonly maxConnecting?: number | undefined
  /** How long opening a connection may take, authentication included. Default 10000. */
  readonly connectTimeoutMillis?: number | undefined
  /**
   * What waiting callers do after a connect failure that may pass (server restarting, too many connections). Default `'wait'`:
   * they keep waiting until their own timeout, while the pool tries again with pauses. `'fail'`: they get the error.
   */
  readonly connectRetry?: 'wait' | 'fail' | undefined
  /** Report leases held longer than this. Default 0 = off. */
  readonly leakDetectionMillis?: number | undefined
  /** Remember where each lease was acquired (costs some ten microseconds). Default: true unless NODE_ENV is `production`. */
  readonly captureStacks?: boolean | undefined
  /** Default QueuePool. NullPool: a connection per lease, closed on release; refuses every option about idle ones. */
  readonly poolClass?: PoolClass | undefined
}

/** The options that were given, or all of them where all are required. */
export type Defined<Options> = { readonly [Name in keyof Options]: Exclude<Options[Name], undefined> }

/** All options, complete and checked. */
export type ResolvedPoolOptions = Defined<Required<PoolOptions>>
