/** A hundred thousand leases with faults all the way: nothing leaks, memory stays where it was. */
import { describe, expect, it } from 'vitest'
import { resolvePoolOptions } from '../../src/pool/resolve-options.js'
import { QueuePool } from '../../src/pool/queue-pool.js'
import { disconnect, FakeDriver, Pending, transient, type FakeConnection } from '../unit/pool/fake-driver.js'
import { ManualClock, settle } from '../unit/pool/manual-clock.js'

const LEASES = 100_000
const WORKERS = 40
const CAPACITY = 7

/** Numbers that look random and are the same in every run. */
function dice(seed: number): (share: number) => boolean {
  let state = seed
  return (share) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32 < share
  }
}

function heapMegabytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

describe('A pool in the long run', () => {
  it('leaks neither slots nor sockets nor memory', { timeout: 300_000 }, async () => {
    const happens = dice(20_240_607)
    const clock = new ManualClock()
    const driver = new FakeDriver(clock)
    const options = resolvePoolOptions({
      poolSize: 4,
      maxOverflow: CAPACITY - 4,
      poolRecycleMillis: 4_000,
      idleTimeoutMillis: 1_000,
      keepAliveMillis: 500,
      prePingSkipMillis: 20,
      prePingTimeoutMillis: 50,
      captureStacks: false,
    })
    const pool = new QueuePool({ driver, clock, name: 'soak', options })
    let most = 0
    driver.onConnect = () => {
      // Only connections that are open still matter.
      driver.connections.splice(0, driver.connections.length, ...driver.open)
      most = Math.max(most, driver.opening + driver.open.length)
      return happens(0.2) ? transient() : undefined
    }
    pool.events.on('connect', ({ connection }) => {
      const fake = connection as FakeConnection
      fake.onPing = () => (happens(0.1) ? (happens(0.3) ? new Pending() : disconnect()) : undefined)
      fake.onReset = () => (happens(0.1) ? new Error('no reset') : undefined)
    })

    let begun = 0
    const outcomes = { served: 0, aborted: 0, timedOut: 0 }
    const once = async (): Promise<void> => {
      begun += 1
      const abort = new AbortController()
      if (happens(0.05)) queueMicrotask(() => abort.abort())
      try {
        const lease = await pool.acquire({ signal: abort.signal })
        const fake = lease.connection as FakeConnection
        if (happens(0.3)) await settle()
        if (happens(0.02)) fake.kill()
        if (happens(0.1)) fake.transactionStatus = 'transaction'
        if (happens(0.01)) fake.busy = true
        if (happens(0.02)) lease.invalidate(happens(0.5) ? disconnect() : new Error('odd'))
        if (happens(0.02)) lease.softInvalidate()
        lease.release()
        outcomes.served += 1
      } catch (error) {
        outcomes[(error as Error).name === 'AbortError' ? 'aborted' : 'timedOut'] += 1
      }
    }

    const run = async (until: number): Promise<void> => {
      let working = WORKERS
      const workers = Array.from({ length: WORKERS }, async () => {
        while (begun < until) await once()
        working -= 1
      })
      while (working > 0) await clock.advance(5)
      await Promise.all(workers)
    }

    await run(LEASES / 5)
    const before = heapMegabytes()
    await run(LEASES)
    await clock.advance(60_000)
    expect(heapMegabytes() - before).toBeLessThan(8)

    expect(most).toBe(CAPACITY)
    expect(outcomes.served).toBeGreaterThan(LEASES * 0.9)
    expect(outcomes).toMatchObject({ timedOut: 0 })
    const { counters, ...gauges } = pool.stats()
    expect(counters.acquired).toBe(counters.released)
    expect(gauges).toMatchObject({ borrowed: 0, waiting: 0, connecting: 0, checking: 0, closing: 0 })
    await pool.dispose()
    await settle()
    expect(driver.open).toEqual([])
    expect(driver.opening).toBe(0)
    expect(clock.timers.all).toBe(0)
  })
})
