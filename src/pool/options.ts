/**
 * The options of a pool: meaning, default and extremes in one place.
 *
 * 1. Defaults stand here and nowhere else; `docs/pool.md` repeats them and a test compares.
 * 2. Nothing is corrected in silence: an unknown, impossible or contradictory option is refused.
 */
import { InvalidOptionError } from '../errors.js'
import {
  checkBoolean,
  checkInteger,
  checkMillis,
  checkObject,
  checkOneOf,
  refuseUnknownKeys,
} from '../internal/validate.js'
import { checkLimits } from './limits.js'
import { NullPool } from './null-pool.js'
import type { Pool } from './pool.js'
import { QueuePool, type PoolParts } from './queue-pool.js'

/** A class of pools, as `poolClass` takes it: QueuePool, NullPool, or one of your own. */
export type PoolClass = new (parts: PoolParts) => Pool

/** Options of a pool as the caller gives them; each may be left out. `docs/pool.md` gives advice on each. */
export interface PoolOptions {
  /** Connections kept open when nobody uses them. Default 5; 0 = unlimited (then leave `maxOverflow` out). */
  readonly poolSize?: number | undefined
  /**
   * Extra connections above `poolSize` under load. A released connection is closed if `poolSize` are idle and no caller waits.
   * Default 10; 0 = none, -1 = no limit.
   */
  readonly maxOverflow?: number | undefined
  /**
   * How long an acquire waits for a connection, opening and proving one included. Default 30000; `null` = for ever.
   * 0 = never wait for a release: fail at once if every connection is in use, and with the connect error if
   * one has to be opened and cannot.
   */
  readonly poolTimeoutMillis?: number | null | undefined
  /**
   * A connection older than this is not handed out again; one in use is replaced when it is released. Default 1800000;
   * -1 = never. Shortened by a random jitter of up to a tenth.
   */
  readonly poolRecycleMillis?: number | undefined
  /** Prove that an idle connection is alive before it is lent. Default true. */
  readonly poolPrePing?: boolean | undefined
  /** A connection that was used so recently needs no proof. Default 500; 0 = always prove. */
  readonly prePingSkipMillis?: number | undefined
  /** How long a proof (pre-ping or keep-alive) may take. Default 1000. */
  readonly prePingTimeoutMillis?: number | undefined
  /** Lend the connection that came back last (default true: few stay hot) or first (false: all take turns). */
  readonly poolUseLifo?: boolean | undefined
  /**
   * What happens to a connection that comes back. Default `'rollback'`: ROLLBACK if a transaction is open. `'session'`:
   * settings, LISTEN, cursors, advisory locks and temporary tables as well, each time. `false`: nothing.
   */
  readonly poolResetOnReturn?: 'rollback' | 'session' | false | undefined
  /** Close a connection that was idle for so long, down to `minIdle`. Default 600000; -1 = never. */
  readonly idleTimeoutMillis?: number | undefined
  /** Idle connections to keep ready, opened in the background. Default 0; at most `poolSize`. */
  readonly minIdle?: number | undefined
  /** Prove idle connections about this often, so that no firewall forgets them. Default 120000; -1 = never. */
  readonly keepAliveMillis?: number | undefined
  /** Acquires that may wait for somebody's release; one more is refused at once. Default Infinity; 0 = none. */
  readonly maxWaiting?: number | undefined
  /** Connections being opened at the same time. Default 2 (NullPool: Infinity). */
  readonly maxConnecting?: number | undefined
  /** How long opening a connection may take, authentication included. Default 10000. */
  readonly connectTimeoutMillis?: number | undefined
  /**
   * What a connect failure that may pass (server restarting, too many connections) means to those who wait.
   * Default `'wait'`: go on trying, with pauses, until their own time is over. `'fail'`: they get the error.
   */
  readonly connectRetry?: 'wait' | 'fail' | undefined
  /** Report leases held longer than this. Default 0 = off. */
  readonly leakDetectionMillis?: number | undefined
  /** Remember where each lease was acquired (costs some ten microseconds). Default: true unless NODE_ENV is `production`. */
  readonly captureStacks?: boolean | undefined
  /** Default QueuePool. NullPool: a connection per lease, closed on release; refuses every option about idle ones. */
  readonly poolClass?: PoolClass | undefined
}

type Defined<Options> = { readonly [Name in keyof Options]: Exclude<Options[Name], undefined> }

/** All options, complete and checked. */
export type ResolvedPoolOptions = Defined<Required<PoolOptions>>

/** The defaults, except those that depend on the pool's class or on the environment. */
const DEFAULTS = {
  poolSize: 5,
  maxOverflow: 10,
  poolTimeoutMillis: 30_000,
  poolRecycleMillis: 1_800_000,
  poolPrePing: true,
  prePingSkipMillis: 500,
  prePingTimeoutMillis: 1_000,
  poolUseLifo: true,
  poolResetOnReturn: 'rollback',
  idleTimeoutMillis: 600_000,
  minIdle: 0,
  keepAliveMillis: 120_000,
  maxWaiting: Infinity,
  maxConnecting: 2,
  connectTimeoutMillis: 10_000,
  connectRetry: 'wait',
  leakDetectionMillis: 0,
  captureStacks: true,
  poolClass: QueuePool,
} as const satisfies PoolOptions

/** Names of all options, for whoever has to tell them from others. */
export const POOL_OPTION_NAMES: readonly (keyof PoolOptions)[] = Object.keys(
  DEFAULTS,
) as (keyof PoolOptions)[]

/** A NullPool has no idle connections, so nothing about them can be meant. */
const REFUSED_BY_NULL_POOL: readonly (keyof PoolOptions)[] = [
  'poolSize',
  'maxOverflow',
  'poolRecycleMillis',
  'poolPrePing',
  'prePingSkipMillis',
  'prePingTimeoutMillis',
  'poolUseLifo',
  'poolResetOnReturn',
  'idleTimeoutMillis',
  'minIdle',
  'keepAliveMillis',
  'maxWaiting',
]

/**
 * Checks the options and fills in the defaults. The result is frozen.
 * @throws InvalidOptionError for a key that does not exist, a value out of range, or two options that contradict.
 */
export function resolvePoolOptions(input: PoolOptions = {}): ResolvedPoolOptions {
  checkObject('pool options', input)
  refuseUnknownKeys('a pool', input, POOL_OPTION_NAMES)
  if (input.poolClass === NullPool) refuseWithNullPool(input)
  const given = { ...DEFAULTS, ...defaultsFor(input.poolClass), ...withoutUndefined(input) }
  checkLimits(given)
  const options: ResolvedPoolOptions = {
    poolSize: given.poolSize,
    maxOverflow: given.maxOverflow,
    poolTimeoutMillis: checkMillis('poolTimeoutMillis', given.poolTimeoutMillis, { min: 0, also: [null] }),
    poolRecycleMillis: checkMillis('poolRecycleMillis', given.poolRecycleMillis, { min: 1, also: [-1] }),
    poolPrePing: checkBoolean('poolPrePing', given.poolPrePing),
    prePingSkipMillis: checkMillis('prePingSkipMillis', given.prePingSkipMillis, { min: 0 }),
    prePingTimeoutMillis: checkMillis('prePingTimeoutMillis', given.prePingTimeoutMillis, { min: 1 }),
    poolUseLifo: checkBoolean('poolUseLifo', given.poolUseLifo),
    poolResetOnReturn: checkOneOf('poolResetOnReturn', given.poolResetOnReturn, [
      'rollback',
      'session',
      false,
    ]),
    idleTimeoutMillis: checkMillis('idleTimeoutMillis', given.idleTimeoutMillis, { min: 1, also: [-1] }),
    minIdle: given.minIdle,
    keepAliveMillis: checkMillis('keepAliveMillis', given.keepAliveMillis, { min: 1, also: [-1] }),
    maxWaiting: checkInteger('maxWaiting', given.maxWaiting, { min: 0, also: [Infinity] }),
    maxConnecting: checkInteger('maxConnecting', given.maxConnecting, { min: 1, also: [Infinity] }),
    connectTimeoutMillis: checkMillis('connectTimeoutMillis', given.connectTimeoutMillis, { min: 1 }),
    connectRetry: checkOneOf('connectRetry', given.connectRetry, ['wait', 'fail']),
    leakDetectionMillis: checkMillis('leakDetectionMillis', given.leakDetectionMillis, { min: 0 }),
    captureStacks: checkBoolean('captureStacks', given.captureStacks),
    poolClass: checkClass(given.poolClass),
  }
  refuseContradictions(input, options)
  return Object.freeze(options)
}

function defaultsFor(poolClass: PoolClass | undefined): Defined<PoolOptions> {
  const captureStacks = process.env['NODE_ENV'] !== 'production'
  return poolClass === NullPool ? { captureStacks, maxConnecting: Infinity } : { captureStacks }
}

function withoutUndefined(input: PoolOptions): Defined<PoolOptions> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))
}

function checkClass(value: unknown): PoolClass {
  if (typeof value === 'function') return value as PoolClass
  throw new InvalidOptionError(
    'poolClass',
    'poolClass must be a class: QueuePool, NullPool or one of your own',
  )
}

function refuseWithNullPool(input: PoolOptions): void {
  const meaningless = REFUSED_BY_NULL_POOL.find((name) => input[name] !== undefined)
  if (meaningless === undefined) return
  throw new InvalidOptionError(
    meaningless,
    `${meaningless} means nothing with NullPool: every lease opens a connection and closes it`,
  )
}

/** Only what the caller wrote can contradict: a default gives way. */
function refuseContradictions(input: PoolOptions, options: ResolvedPoolOptions): void {
  const { poolSize, maxOverflow, minIdle, idleTimeoutMillis, poolRecycleMillis, keepAliveMillis } = options
  if (poolSize === 0 && input.maxOverflow !== undefined && maxOverflow !== -1) {
    throw new InvalidOptionError(
      'maxOverflow',
      'maxOverflow means nothing with poolSize 0, which is unlimited: leave it out',
    )
  }
  if (
    input.idleTimeoutMillis !== undefined &&
    input.poolRecycleMillis !== undefined &&
    poolRecycleMillis !== -1 &&
    idleTimeoutMillis >= poolRecycleMillis
  ) {
    throw new InvalidOptionError(
      'idleTimeoutMillis',
      `idleTimeoutMillis ${String(idleTimeoutMillis)} is never reached: poolRecycleMillis ${String(poolRecycleMillis)} closes the connection first`,
    )
  }
  if (
    input.keepAliveMillis !== undefined &&
    input.idleTimeoutMillis !== undefined &&
    minIdle === 0 &&
    idleTimeoutMillis !== -1 &&
    keepAliveMillis >= idleTimeoutMillis
  ) {
    throw new InvalidOptionError(
      'keepAliveMillis',
      `keepAliveMillis ${String(keepAliveMillis)} never comes: idleTimeoutMillis ${String(idleTimeoutMillis)} closes the connection first`,
    )
  }
  if (input.prePingSkipMillis !== undefined && input.poolPrePing === false) {
    throw new InvalidOptionError(
      'prePingSkipMillis',
      'prePingSkipMillis means nothing with poolPrePing false',
    )
  }
}
