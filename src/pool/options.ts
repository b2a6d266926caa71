/** The options of a pool: meaning, default and extremes of each. `resolve-options.ts` has the defaults and the checks. */
import type { Driver } from '../driver/driver.js'
import type { Clock } from '../internal/clock.js'
import type { Emitter } from '../internal/emitter.js'
import type { PoolEvents } from './events.js'
import type { Pool } from './pool.js'

/** The argument of the constructor of a pool. */
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

/** Options of a pool; each may be left out. `docs/pool.md` has advice on each. Durations are milliseconds. */
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
  /** A connection that was used within this time is not pinged. Default 500; 0 = always ping. */
  readonly prePingSkipMillis?: number | undefined
  /** How long a ping (pre-ping or keep-alive) may take. Default 1000. */
  readonly prePingTimeoutMillis?: number | undefined
  /**
   * True: hand out the connection that was released last, so few connections stay busy. False: the one that was idle longest.
   * Default true.
   */
  readonly poolUseLifo?: boolean | undefined
  /**
   * How a released connection is reset. Default `'rollback'`: ROLLBACK if a transaction is open. `'session'`: at each release
   * also settings, LISTEN, cursors, advisory locks and temporary tables. `false`: no reset.
   */
  readonly poolResetOnReturn?: 'rollback' | 'session' | false | undefined
  /** Close a connection after this idle time, down to `minIdle`. Default 600000; -1 = never. */
  readonly idleTimeoutMillis?: number | undefined
  /** Idle connections to keep ready, opened in the background. Default 0; at most `poolSize`. */
  readonly minIdle?: number | undefined
  /** False: `minIdle` only limits the idle timeout, as `min` of pg.Pool does; no connection is opened for it. Default true. */
  readonly openMinIdle?: boolean | undefined
  /** Ping idle connections about this often, so that no firewall drops them. Default 120000; -1 = never. */
  readonly keepAliveMillis?: number | undefined
  /** How many callers may wait for a release; a further one fails at once with PoolQueueFullError. Default Infinity; 0 = none. */
  readonly maxWaiting?: number | undefined
  /** Maximum number of connections being opened at the same time. Default 2 (NullPool: Infinity). */
  readonly maxConnecting?: number | undefined
  /** How long opening a connection may take, authentication included. Default 10000. */
  readonly connectTimeoutMillis?: number | undefined
  /**
   * What waiting callers do after a connect failure that may pass (server restarting, too many connections). Default `'wait'`:
   * they keep waiting until their own timeout, while the pool tries again with pauses. `'fail'`: they get the error.
   */
  readonly connectRetry?: 'wait' | 'fail' | undefined
  /** Report connections that are held longer than this. Default 0 = off. */
  readonly leakDetectionMillis?: number | undefined
  /** Remember where each lease was acquired (costs some ten microseconds). Default: true unless NODE_ENV is `production`. */
  readonly captureStacks?: boolean | undefined
  /**
   * Default QueuePool. NullPool opens a connection per lease and closes it on release; it refuses options about idle
   * connections and sizes.
   */
  readonly poolClass?: PoolClass | undefined
}

/** The options that were given, or all of them where all are required. */
export type Defined<Options> = { readonly [Name in keyof Options]: Exclude<Options[Name], undefined> }

/** All options, complete and checked. */
export type ResolvedPoolOptions = Defined<Required<PoolOptions>>
