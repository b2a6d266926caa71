import { describe, expect, it } from 'vitest'
import { resolvePoolOptions, type PoolOptions } from '../../../src/pool/options.js'
import { QueuePool } from '../../../src/pool/queue-pool.js'
import { FakeDriver } from './fake-driver.js'
import { ManualClock } from './manual-clock.js'

function make(options: PoolOptions = {}): { pool: QueuePool; driver: FakeDriver; clock: ManualClock } {
  const clock = new ManualClock()
  const driver = new FakeDriver(clock)
  return {
    clock,
    driver,
    pool: new QueuePool({ driver, clock, name: 'songs', options: resolvePoolOptions(options) }),
  }
}

describe('QueuePool', () => {
  it('lends the same connection again after it was released', async () => {
    const { pool, driver } = make()
    const first = await pool.acquire()
    first.release()
    const second = await pool.acquire()
    expect(second.connection).toBe(first.connection)
    expect(driver.attempts).toBe(1)
    second.release()
    expect(await pool.dispose()).toMatchObject({ closed: 1, forced: 0, rejected: 0 })
    expect(driver.open).toEqual([])
  })
  it('serves waiters first in, first out', async () => {
    const { pool, driver } = make({ poolSize: 1, maxOverflow: 0 })
    const lease = await pool.acquire()
    const order: number[] = []
    const waits = [1, 2, 3].map(async (n) => {
      const l = await pool.acquire()
      order.push(n)
      l.release()
    })
    lease.release()
    await Promise.all(waits)
    expect(order).toEqual([1, 2, 3])
    expect(driver.attempts).toBe(1)
    expect(pool.stats()).toMatchObject({ size: 1, idle: 1, borrowed: 0, waiting: 0 })
  })
  it('says who holds the connections when the time is over', async () => {
    const { pool, clock } = make({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 100 })
    const lease = await pool.acquire()
    lease.describe('select 1')
    const waiting = pool.acquire().catch((e: unknown) => e)
    await clock.advance(100)
    console.log(String(await waiting))
  })
})
