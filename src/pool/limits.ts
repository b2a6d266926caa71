/** The limits of a pool: how many connections it may have, and how many idle ones it keeps. */
import { InvalidOptionError } from '../errors.js'
import { checkInteger, checkObject, refuseUnknownKeys } from '../internal/validate.js'

export interface Limits {
  /** As the caller gave it. */
  readonly poolSize: number
  /** As the caller gave it. */
  readonly maxOverflow: number
  /** How many idle connections are kept open. */
  readonly keep: number
  /** The highest number of slots. */
  readonly capacity: number
}

/** 0 and -1 mean that there is no limit. */
export function limitsOf({
  poolSize,
  maxOverflow,
}: {
  readonly poolSize: number
  readonly maxOverflow: number
}): Limits {
  const keep = poolSize === 0 ? Infinity : poolSize
  return { poolSize, maxOverflow, keep, capacity: maxOverflow === -1 ? Infinity : keep + maxOverflow }
}

export type LimitChange = { readonly [Name in 'poolSize' | 'maxOverflow']?: number | undefined }

/** @throws InvalidOptionError */
export function changeLimits(current: Limits, change: LimitChange, minIdle: number): Limits {
  checkObject('the new limits', change)
  refuseUnknownKeys('resize', change, ['poolSize', 'maxOverflow'])
  const { poolSize = current.poolSize, maxOverflow = current.maxOverflow } = change
  checkLimits({ poolSize, maxOverflow, minIdle })
  return limitsOf({ poolSize, maxOverflow })
}

/** @throws InvalidOptionError */
export function checkLimits(limits: {
  readonly poolSize: number
  readonly maxOverflow: number
  readonly minIdle: number
}): void {
  const poolSize = checkInteger('poolSize', limits.poolSize, { min: 0 })
  const minIdle = checkInteger('minIdle', limits.minIdle, { min: 0 })
  checkInteger('maxOverflow', limits.maxOverflow, { min: 0, also: [-1] })
  if (poolSize === 0 || minIdle <= poolSize) return
  throw new InvalidOptionError(
    'minIdle',
    `minIdle ${String(minIdle)} cannot be kept: no more than poolSize ${String(poolSize)} connections stay idle`,
  )
}
