/**
 * Warns if an option in milliseconds has a value that is common in seconds. Such a pool works, but is slow or fails under load.
 */
import { isDevelopment, warnOnce } from '../internal/development.js'
import { captureCallSite, lineOf } from './call-site.js'
import type { PoolOptions } from './options.js'

/** Values that are common in seconds, and hardly ever meant as milliseconds. */
const COMMON_SECONDS: Readonly<Partial<Record<keyof PoolOptions, readonly number[]>>> = {
  poolTimeoutMillis: [5, 10, 15, 20, 30, 45, 60],
  connectTimeoutMillis: [5, 10, 15, 20, 30, 60],
  poolRecycleMillis: [300, 600, 900, 1_200, 1_800, 3_600, 7_200, 14_400],
  idleTimeoutMillis: [10, 30, 60, 120, 300, 600, 900, 1_800, 3_600],
  keepAliveMillis: [30, 60, 120, 300],
}

/** The duration that was probably meant, as it is written; undefined for any other value. */
export function meantMillis(option: keyof PoolOptions, value: unknown): string | undefined {
  if (typeof value !== 'number' || COMMON_SECONDS[option]?.includes(value) !== true) return undefined
  return String(value * 1_000).replace(/\B(?=(\d{3})+$)/g, '_')
}

/** Warns in development, once for each line that makes an engine. */
export function warnOfSeconds(options: PoolOptions): void {
  if (!isDevelopment()) return
  for (const [name, value] of Object.entries(options)) {
    const meant = meantMillis(name as keyof PoolOptions, value)
    if (meant === undefined) continue
    const line = lineOf(captureCallSite(warnOfSeconds))
    warnOnce(
      'LIFEGUARD_SECONDS',
      `${name} ${line}`,
      `${name} is ${String(value)} milliseconds, which is unusually short: did you mean ${meant}? (${line})`,
    )
  }
}
