/**
 * Checks the options of a pool and applies their defaults.
 *
 * 1. Defaults are defined only here. `docs/pool.md` repeats them, and a test compares.
 * 2. Nothing is corrected silently: an unknown, impossible or contradictory option is refused.
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
import type { Defined, PoolClass, PoolOptions, ResolvedPoolOptions } from './options.js'
import { QueuePool } from './queue-pool.js'
import { warnOfSeconds } from './seconds.js'

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
  openMinIdle: true,
  keepAliveMillis: 120_000,
  maxWaiting: Infinity,
  maxConnecting: 2,
  connectTimeoutMillis: 10_000,
  connectRetry: 'wait',
  leakDetectionMillis: 0,
  captureStacks: true,
  poolClass: QueuePool,
} as const satisfies PoolOptions

/** Names of all pool options, to tell them from the other options of an engine. */
export const POOL_OPTION_NAMES: readonly (keyof PoolOptions)[] = Object.keys(
  DEFAULTS,
) as (keyof PoolOptions)[]

/** Options about idle connections, of which a NullPool has none. */
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
  'openMinIdle',
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
    openMinIdle: checkBoolean('openMinIdle', given.openMinIdle),
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
  warnOfSeconds(input)
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
    'poolClass must be a class: QueuePool, NullPool or a class of your own',
  )
}

function refuseWithNullPool(input: PoolOptions): void {
  const meaningless = REFUSED_BY_NULL_POOL.find((name) => input[name] !== undefined)
  if (meaningless === undefined) return
  throw new InvalidOptionError(
    meaningless,
    `${meaningless} has no effect with NullPool: every lease opens a connection and closes it`,
  )
}

/** Only options that the caller wrote can contradict each other: a default yields. */
function refuseContradictions(input: PoolOptions, options: ResolvedPoolOptions): void {
  const { poolSize, maxOverflow, minIdle, idleTimeoutMillis, poolRecycleMillis, keepAliveMillis } = options
  if (poolSize === 0 && input.maxOverflow !== undefined && maxOverflow !== -1) {
    throw new InvalidOptionError(
      'maxOverflow',
      'maxOverflow has no effect with poolSize 0, which is unlimited: leave it out',
    )
  }
  if (input.openMinIdle !== undefined && minIdle === 0)
    throw new InvalidOptionError('openMinIdle', 'openMinIdle has no effect with minIdle 0')
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
      `keepAliveMillis (${String(keepAliveMillis)}) has no effect: idleTimeoutMillis ${String(idleTimeoutMillis)} closes the connection first`,
    )
  }
  if (input.prePingSkipMillis !== undefined && input.poolPrePing === false) {
    throw new InvalidOptionError(
      'prePingSkipMillis',
      'prePingSkipMillis has no effect with poolPrePing false',
    )
  }
}
