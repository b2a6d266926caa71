/** A pool over the fake driver, with time in the test's hands. */
import { expect, onTestFinished } from 'vitest'
import type { Lease, Pool } from '../../../src/pool/pool.js'
import type { PoolOptions } from '../../../src/pool/options.js'
import { resolvePoolOptions } from '../../../src/pool/resolve-options.js'
import type { QueuePool } from '../../../src/pool/queue-pool.js'
import { FakeDriver, type FakeConnection } from './fake-driver.js'
import { ManualClock, settle } from './manual-clock.js'

export interface MadePool {
  readonly pool: QueuePool
  readonly driver: FakeDriver
  readonly clock: ManualClock
}

/** Small numbers by default, so that limits are near. The end of the test disposes the pool, after which nothing may be left. */
export function makePool(options: PoolOptions = {}): MadePool {
  const clock = new ManualClock()
  const driver = new FakeDriver(clock)
  const resolved = resolvePoolOptions({ captureStacks: false, ...options })
  const pool = new resolved.poolClass({ driver, clock, name: 'songs', options: resolved }) as QueuePool
  const parts = { pool, driver, clock }
  // Not a hook of this module: of files that share a process, only the first would have it.
  onTestFinished(() => end(parts))
  return parts
}

/** What the driver made for that lease. */
export function connectionOf(lease: Lease): FakeConnection {
  return lease.connection as FakeConnection
}

/** The error that the promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

/** Several leases at the same time. */
export function acquireMany(pool: Pool, count: number): Promise<Lease[]> {
  return Promise.all(Array.from({ length: count }, () => pool.acquire()))
}

/** `size`, `idle`, `overflow` and `borrowed`, in the order of SQLAlchemy's tables. */
export function gauges(pool: Pool): readonly number[] {
  const { size, idle, overflow, borrowed } = pool.stats()
  return [size, idle, overflow, borrowed]
}

async function end({ pool, driver, clock }: MadePool): Promise<void> {
  const disposed = pool.dispose({ timeoutMillis: 0 })
  await clock.advance(5_000)
  await disposed
  await settle()
  expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, waiting: 0, connecting: 0, closing: 0 })
  expect(clock.timers.all, 'timers left after dispose').toBe(0)
  expect(driver.opening, 'connects left after dispose').toBe(0)
}
