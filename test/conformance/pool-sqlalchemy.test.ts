/**
 * What SQLAlchemy's test suite asserts about QueuePool and NullPool, in this pool's words. The numbers are those of
 * the list of cases this project follows; what is not taken over stands in `docs/pool.md`, with the reason.
 */
import { describe, expect, it } from 'vitest'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { NullPool } from '../../src/pool/null-pool.js'
import type { Lease } from '../../src/pool/pool.js'
import { disconnect, fatal, Pending, transient } from '../unit/pool/fake-driver.js'
import { acquireMany, connectionOf, failureOf, gauges, makePool } from '../unit/pool/make-pool.js'
import { settle } from '../unit/pool/manual-clock.js'

/** Opens connections one after the other, as SQLAlchemy does. */
const ALWAYS_PING = { prePingSkipMillis: 0, maxConnecting: Infinity }

function ids(leases: readonly Lease[]): number[] {
  return leases.map(({ connection }) => connection.id)
}

describe('QueuePool: connections and what is attached to them', () => {
  it('keeps the same connection object until it is replaced (cases 2 and 3)', async () => {
    const { pool } = makePool()
    const info = new WeakMap<object, string>()
    const first = await pool.acquire()
    info.set(first.connection, 'attached')
    first.release()
    const second = await pool.acquire()
    expect(info.get(second.connection)).toBe('attached')
    second.invalidate()
    const third = await pool.acquire()
    expect(info.has(third.connection)).toBe(false)
    third.release()
  })

  it('announces no close on return, but one per connection on dispose (case 7)', async () => {
    const { pool } = makePool()
    const closed: [number, string][] = []
    pool.events.on('close', ({ connection, reason }) => closed.push([connection.id, reason]))
    const leases = await acquireMany(pool, 2)
    for (const lease of leases) lease.release()
    await settle()
    expect(closed).toEqual([])
    await pool.dispose()
    expect(closed.sort()).toEqual([
      [1, 'disposed'],
      [2, 'disposed'],
    ])
  })

  it('announces the reset before the release (case 13)', async () => {
    const { pool } = makePool()
    const heard: string[] = []
    pool.events.on('reset', ({ mode }) => heard.push(`reset ${mode}`))
    pool.events.on('release', () => heard.push('release'))
    const lease = await pool.acquire()
    connectionOf(lease).transactionStatus = 'transaction'
    lease.release()
    await settle()
    expect(heard).toEqual(['reset rollback', 'release'])
  })

  it('makes the first acquires wait for one connection each, announced once (case 19)', async () => {
    const { pool } = makePool({ maxConnecting: Infinity })
    let first = 0
    pool.events.on('firstConnect', () => (first += 1))
    const leases = await acquireMany(pool, 5)
    expect(new Set(ids(leases)).size).toBe(5)
    expect(first).toBe(1)
    for (const lease of leases) lease.release()
  })
})

describe('QueuePool: sizes', () => {
  it('counts size, idle, overflow and borrowed (case 20)', async () => {
    const { pool } = makePool({ poolSize: 3, maxOverflow: -1 })
    const seen: (readonly number[])[] = []
    const leases: Lease[] = []
    for (let count = 0; count < 6; count += 1) {
      leases.push(await pool.acquire())
      seen.push(gauges(pool))
    }
    for (const lease of leases) {
      lease.release()
      await settle()
      seen.push(gauges(pool))
    }
    expect(seen).toEqual([
      [1, 0, 0, 1],
      [2, 0, 0, 2],
      [3, 0, 0, 3],
      [4, 0, 1, 4],
      [5, 0, 2, 5],
      [6, 0, 3, 6],
      [6, 1, 3, 5],
      [6, 2, 3, 4],
      [6, 3, 3, 3],
      [5, 3, 2, 2],
      [4, 3, 1, 1],
      [3, 3, 0, 0],
    ])
  })

  it.each([
    ['without overflow', 5, 0],
    ['with overflow', 5, 5],
  ])('never exceeds its capacity with 40 contenders, %s (case 24)', async (_, poolSize, maxOverflow) => {
    const { pool, driver } = makePool({ poolSize, maxOverflow, maxConnecting: Infinity })
    let most = 0
    pool.events.on('acquire', () => (most = Math.max(most, driver.opening + driver.open.length)))
    const work = Array.from({ length: 40 }, async () => {
      const lease = await pool.acquire()
      await settle()
      lease.release()
    })
    await Promise.all(work)
    expect(most).toBe(poolSize + maxOverflow)
    expect(driver.attempts).toBe(poolSize + maxOverflow)
  })

  it('lets a lost slot be used again (case 25)', async () => {
    const { pool, driver } = makePool({ poolSize: 2, maxOverflow: 3, connectRetry: 'fail' })
    driver.onConnect = () => transient()
    expect(await failureOf(pool.acquire())).toMatchObject({ code: 'CONNECT_FAILED' })
    expect(gauges(pool)).toEqual([0, 0, 0, 0])
    driver.onConnect = () => undefined
    expect(await acquireMany(pool, 5)).toHaveLength(5)
  })

  it('is unlimited with poolSize 0: no caller waits, all connections are kept, none is overflow (case 30)', async () => {
    const { pool } = makePool({ poolSize: 0, maxConnecting: Infinity })
    const leases = await acquireMany(pool, 30)
    expect(gauges(pool)).toEqual([30, 0, 0, 30])
    for (const lease of leases) lease.release()
    expect(gauges(pool)).toEqual([30, 30, 0, 0])
  })

  it('closes what comes back while poolSize are idle: 5 rounds of 4 at 2 + 2 (case 31)', async () => {
    const { pool, driver } = makePool({ poolSize: 2, maxOverflow: 2 })
    for (let round = 0; round < 5; round += 1) {
      const leases = await acquireMany(pool, 4)
      for (const lease of leases) lease.release()
      await settle()
    }
    expect(pool.stats()).toMatchObject({ idle: 2, size: 2, closed: { overflow: 10 } })
    expect(driver.open).toHaveLength(2)
  })

  it.each([
    ['lifo', true, [3, 2, 1]],
    ['fifo', false, [1, 2, 3]],
  ])('lends idle connections in the chosen order: %s (case 42)', async (_, poolUseLifo, order) => {
    const { pool } = makePool({ poolSize: 3, poolUseLifo })
    const leases = await acquireMany(pool, 3)
    for (const lease of leases) lease.release()
    expect(ids(await acquireMany(pool, 3))).toEqual(order)
  })

  it('rotates through all connections with fifo, and stays on one with lifo (case 42)', async () => {
    for (const [poolUseLifo, order] of [
      [true, [3, 3, 3, 3]],
      [false, [1, 2, 3, 1]],
    ] as const) {
      const { pool } = makePool({ poolSize: 3, poolUseLifo })
      for (const lease of await acquireMany(pool, 3)) lease.release()
      const seen: number[] = []
      for (let turn = 0; turn < 4; turn += 1) {
        const lease = await pool.acquire()
        seen.push(lease.connection.id)
        lease.release()
      }
      expect(seen).toEqual(order)
    }
  })
})

describe('QueuePool: waiting', () => {
  it.each([100, 500, 2_000])('fails after %d ms, not before (cases 21 and 22)', async (poolTimeoutMillis) => {
    const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis })
    await pool.acquire()
    let error: Error | undefined
    const waiting = pool.acquire().catch((reason: unknown) => (error = reason as Error))
    await clock.advance(poolTimeoutMillis - 1)
    expect(error).toBeUndefined()
    await clock.advance(1)
    await waiting
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error).toMatchObject({ phase: 'wait', waitedMillis: poolTimeoutMillis })
  })

  it('never fails a waiter early, whenever it joined (case 23)', async () => {
    const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 300 })
    await pool.acquire()
    const waits: Promise<Error>[] = []
    for (let count = 0; count < 8; count += 1) {
      waits.push(failureOf(pool.acquire()))
      await clock.advance(70)
    }
    await clock.advance(1_000)
    for (const error of await Promise.all(waits)) expect(error).toMatchObject({ waitedMillis: 300 })
  })

  it.each([
    ['0', 0],
    ['100', 100],
  ])('fails with a timeout of %s when every connection is in use (case 74)', async (_, timeoutMillis) => {
    const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0 })
    await pool.acquire()
    const failure = failureOf(pool.acquire({ timeoutMillis }))
    await clock.advance(timeoutMillis)
    expect(await failure).toBeInstanceOf(PoolTimeoutError)
  })

  it.each(
    [0, -1, 3].flatMap((maxOverflow) => [null, 30_000].map((timeout) => [maxOverflow, timeout] as const)),
  )(
    'serves those who wait after an invalidation: overflow %s, timeout %s (case 27)',
    async (maxOverflow, poolTimeoutMillis) => {
      const { pool } = makePool({ poolSize: 2, maxOverflow, poolTimeoutMillis })
      let served = 0
      const work = Array.from({ length: 12 }, async (__, index) => {
        const lease = await pool.acquire()
        await settle()
        served += 1
        if (index === 0) lease.invalidate()
        else lease.release()
      })
      await Promise.all(work)
      expect(served).toBe(12)
    },
  )

  it('wakes five waiters in turn after the only connection was invalidated, with one connect (case 28)', async () => {
    const { pool, driver } = makePool({ poolSize: 1, maxOverflow: 0 })
    const holder = await pool.acquire()
    const order: number[] = []
    const work = [1, 2, 3, 4, 5].map(async (number) => {
      const lease = await pool.acquire()
      order.push(number)
      lease.release()
    })
    holder.invalidate()
    await Promise.all(work)
    expect(order).toEqual([1, 2, 3, 4, 5])
    expect(driver.attempts).toBe(2)
  })

  it('serves the next waiter when the connect for another one fails (case 26)', async () => {
    const { pool, driver, clock } = makePool({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 2_000 })
    const hanging = new Pending()
    driver.onConnect = (attempt) => (attempt === 1 ? hanging : undefined)
    const abort = new AbortController()
    const first = failureOf(pool.acquire({ signal: abort.signal }))
    const second = pool.acquire()
    abort.abort()
    hanging.reject(transient())
    expect(await first).toMatchObject({ name: 'AbortError' })
    await clock.advance(20)
    ;(await second).release()
  })
})

describe('QueuePool: replacing connections', () => {
  it('replaces a connection that is too old, and no other (case 32)', async () => {
    const { pool, clock } = makePool({ poolRecycleMillis: 30_000, poolPrePing: false, keepAliveMillis: -1 })
    const cycle = async (): Promise<number> => {
      const lease = await pool.acquire()
      lease.release()
      return lease.connection.id
    }
    expect(await cycle()).toBe(1)
    await clock.advance(1_000)
    expect(await cycle()).toBe(1)
    await clock.advance(35_000)
    expect(await cycle()).toBe(2)
    expect(pool.stats().closed.recycled).toBe(1)
  })

  it('replaces every older connection after a disconnect (case 33)', async () => {
    const { pool, driver } = makePool({ poolSize: 3 })
    const leases = await acquireMany(pool, 3)
    leases[1]?.release()
    leases[2]?.release()
    leases[0]?.invalidate(disconnect())
    expect(ids(await acquireMany(pool, 3)).sort()).toEqual([4, 5, 6])
    await settle()
    expect(driver.open).toHaveLength(3)
    expect(pool.stats()).toMatchObject({ generation: 1, closed: { invalidated: 1, stale: 2 } })
  })

  it('lets a softly invalidated connection be used until it returns, and replaces it then (case 34)', async () => {
    const { pool } = makePool()
    const lease = await pool.acquire()
    lease.softInvalidate(new Error('odd'))
    expect(lease.active).toBe(true)
    expect(connectionOf(lease).open).toBe(true)
    lease.release()
    const next = await pool.acquire()
    expect(next.connection).not.toBe(lease.connection)
    next.release()
    await settle()
    expect(pool.stats()).toMatchObject({ size: 1, closed: { invalidated: 1 } })
  })

  it.each(['after an invalidation', 'after its age'])(
    'has the counts right when the replacement cannot be opened, and recovers: %s (cases 35 and 53)',
    async (what) => {
      const { pool, driver, clock } = makePool({
        poolSize: 1,
        maxOverflow: 1,
        poolRecycleMillis: 30_000,
        connectRetry: 'fail',
      })
      const lease = await pool.acquire()
      if (what === 'after an invalidation') lease.invalidate()
      else lease.release()
      await clock.advance(31_000)
      driver.onConnect = () => transient('stopped')
      for (let attempt = 0; attempt < 3; attempt += 1) {
        expect(await failureOf(pool.acquire())).toMatchObject({ message: 'stopped' })
      }
      expect(gauges(pool)).toEqual([0, 0, 0, 0])
      driver.onConnect = () => undefined
      await clock.advance(5_000)
      const [one, two] = await acquireMany(pool, 2)
      expect(gauges(pool)).toEqual([2, 0, 1, 2])
      one?.release()
      two?.release()
    },
  )

  it('announces no connect for a replacement that failed (case 36)', async () => {
    const { pool, driver } = makePool()
    let connects = 0
    pool.events.on('connect', () => (connects += 1))
    ;(await pool.acquire()).invalidate()
    driver.onConnect = () => fatal()
    await failureOf(pool.acquire())
    expect(connects).toBe(1)
  })

  it('replaces each of 15 connections once when all are lost at the same time (case 37)', async () => {
    const { pool, driver } = makePool({ poolSize: 10, maxOverflow: 5, maxConnecting: Infinity })
    let generations = 0
    pool.events.on('generation', () => (generations += 1))
    const leases = await acquireMany(pool, 15)
    for (const lease of leases) lease.invalidate(disconnect())
    const next = await acquireMany(pool, 15)
    expect(driver.attempts).toBe(30)
    expect(generations).toBe(1)
    expect(pool.stats()).toMatchObject({ closed: { invalidated: 15 }, borrowed: 15, generation: 1 })
    for (const lease of next) lease.release()
  })

  it('closes those borrowed ones that are older than a disconnect when they come back (case 55)', async () => {
    const { pool, driver } = makePool()
    const [one, two] = await acquireMany(pool, 2)
    one?.invalidate(disconnect())
    expect(two?.active).toBe(true)
    expect(driver.connections[1]?.open).toBe(true)
    two?.release()
    await settle()
    expect(driver.open).toEqual([])
    expect(pool.stats()).toMatchObject({ size: 0, closed: { stale: 1 } })
  })
})

describe('QueuePool: reset on return', () => {
  it.each([
    ['rollback', 'transaction', ['rollback']],
    ['rollback', 'failed', ['rollback']],
    ['rollback', 'idle', []],
    ['session', 'transaction', ['session']],
    ['session', 'idle', ['session']],
    [false, 'transaction', []],
    [false, 'idle', []],
  ] as const)(
    '%s: a connection in status %s is reset by %j (case 43)',
    async (poolResetOnReturn, status, resets) => {
      const { pool } = makePool({ poolResetOnReturn })
      const lease = await pool.acquire()
      connectionOf(lease).transactionStatus = status
      lease.release()
      await settle()
      expect(connectionOf(lease).resets).toEqual(resets)
      expect(pool.stats()).toMatchObject({ idle: 1, borrowed: 0, checking: 0 })
    },
  )

  it('closes a connection that cannot be reset, without an error for its caller (case 45)', async () => {
    const { pool } = makePool()
    const errors: unknown[] = []
    pool.events.on('reset', ({ error }) => errors.push(error))
    const lease = await pool.acquire()
    const failure = new Error('no reset')
    connectionOf(lease).transactionStatus = 'transaction'
    connectionOf(lease).onReset = () => failure
    expect(() => lease.release()).not.toThrow()
    await settle()
    expect(errors).toEqual([failure])
    expect(pool.stats()).toMatchObject({ size: 0, closed: { reset: 1 } })
  })

  it('does not reset what is invalidated or detached (case 45)', async () => {
    const { pool } = makePool({ poolResetOnReturn: 'session' })
    const [one, two] = await acquireMany(pool, 2)
    one?.invalidate()
    two?.detach()
    await settle()
    expect(connectionOf(one as Lease).resets).toEqual([])
    expect(connectionOf(two as Lease).resets).toEqual([])
  })
})

describe('QueuePool: dispose', () => {
  it('closes idle connections at once and borrowed ones when they come back (case 29)', async () => {
    const { pool, driver } = makePool()
    ;(await pool.acquire()).invalidate()
    const [one, two] = await acquireMany(pool, 2)
    one?.release()
    const disposed = pool.dispose({ timeoutMillis: null })
    await settle()
    expect(driver.open).toEqual([two?.connection])
    two?.release()
    expect(await disposed).toMatchObject({ closed: 2, forced: 0 })
    expect(driver.open).toEqual([])
  })
})

describe('QueuePool: dispose on a dead line', () => {
  it('does not wait for goodbyes longer than its own time', async () => {
    const { pool, driver, clock } = makePool()
    for (const lease of await acquireMany(pool, 2)) lease.release()
    for (const connection of driver.connections) connection.onClose = () => new Pending()
    const disposed = pool.dispose({ timeoutMillis: 300 })
    await clock.advance(300)
    expect(await disposed).toMatchObject({ closed: 2, forced: 0, durationMillis: 300 })
  })

  it('without a limit gives up on them by itself', async () => {
    const { pool, driver, clock } = makePool()
    ;(await pool.acquire()).release()
    driver.last.onClose = () => new Pending()
    const disposed = pool.dispose({ timeoutMillis: null })
    await clock.advance(2_000)
    expect(await disposed).toMatchObject({ closed: 1, forced: 0, durationMillis: 2_000 })
  })

  it('gives up a connect that is under way, and a probe', async () => {
    const { pool, driver, clock } = makePool({ prePingSkipMillis: 0 })
    ;(await pool.acquire()).release()
    driver.last.onPing = () => new Pending()
    driver.onConnect = () => new Pending()
    const waiting = [pool.acquire(), pool.acquire()].map((acquire) => failureOf(acquire))
    expect(pool.stats()).toMatchObject({ connecting: 1, checking: 1 })
    const disposed = pool.dispose({ timeoutMillis: 300 })
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'ENGINE_DISPOSED' })
    await clock.advance(300)
    expect(await disposed).toMatchObject({ closed: 0, forced: 1, rejected: 2 })
    expect(driver.open).toEqual([])
    await clock.advance(5_000)
    expect(pool.stats()).toMatchObject({ generation: 0, closed: { disposed: 1, probe: 0 } })
  })
})

describe('QueuePool: pre-ping', () => {
  it('pings a pooled connection once per acquire, but never a fresh one (cases 48 and 49)', async () => {
    const { pool, driver } = makePool(ALWAYS_PING)
    const first = await pool.acquire()
    expect(driver.last.pings).toBe(0)
    first.release()
    ;(await pool.acquire()).release()
    const third = await pool.acquire()
    expect(driver.last.pings).toBe(2)
    third.invalidate()
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(0)
  })

  it('skips the ping within prePingSkipMillis of the last use', async () => {
    const { pool, driver, clock } = makePool({ prePingSkipMillis: 500 })
    ;(await pool.acquire()).release()
    await clock.advance(499)
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(0)
    await clock.advance(500)
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(1)
  })

  it('replaces a stale connection without the caller noticing (case 50)', async () => {
    const { pool, driver } = makePool({ ...ALWAYS_PING, poolSize: 2 })
    for (const lease of await acquireMany(pool, 2)) lease.release()
    for (const connection of driver.connections) connection.onPing = () => disconnect()
    const lease = await pool.acquire()
    expect(lease.connection.id).toBe(3)
    lease.release()
    await settle()
    expect(pool.stats()).toMatchObject({ size: 1, generation: 1, closed: { probe: 1, stale: 1 } })
    expect(driver.open).toEqual([lease.connection])
  })

  it('tells the connect error when neither the ping nor a new connection works (cases 51 and 53)', async () => {
    const { pool, driver } = makePool({ ...ALWAYS_PING, connectRetry: 'fail' })
    ;(await pool.acquire()).release()
    driver.last.onPing = () => disconnect()
    driver.onConnect = () => transient('stopped')
    expect(await failureOf(pool.acquire())).toMatchObject({ message: 'stopped', code: 'CONNECT_FAILED' })
    await settle()
    expect(gauges(pool)).toEqual([0, 0, 0, 0])
    driver.onConnect = () => undefined
    ;(await pool.acquire()).release()
  })

  it('without it, an unnoticed loss shows at the first statement (case 52)', async () => {
    const { pool, driver } = makePool({ poolPrePing: false })
    ;(await pool.acquire()).release()
    driver.last.onPing = () => disconnect()
    const lease = await pool.acquire()
    expect(lease.connection.id).toBe(1)
    expect(driver.last.pings).toBe(0)
    lease.invalidate(disconnect())
  })
})

describe('NullPool', () => {
  it('opens a connection for each lease and closes it on release (case 47)', async () => {
    const { pool, driver } = makePool({ poolClass: NullPool })
    const seen: number[] = []
    for (let turn = 0; turn < 3; turn += 1) {
      const lease = await pool.acquire()
      seen.push(lease.connection.id)
      lease.release()
      await settle()
      expect(driver.open).toEqual([])
    }
    expect(seen).toEqual([1, 2, 3])
  })

  it('never hands a connection from one lease to the next, nor resets what it closes', async () => {
    const { pool, driver } = makePool({ poolClass: NullPool, maxConnecting: 1 })
    const first = await pool.acquire()
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const second = pool.acquire()
    connectionOf(first).transactionStatus = 'transaction'
    first.release()
    hanging.resolve()
    expect((await second).connection.id).toBe(2)
    expect(connectionOf(first).resets).toEqual([])
    ;(await second).release()
  })

  it('opens as many connections at the same time as are wanted', async () => {
    const { pool, driver } = makePool({ poolClass: NullPool })
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const leases = acquireMany(pool, 25)
    expect(driver.opening).toBe(25)
    hanging.resolve()
    for (const lease of await leases) lease.release()
  })

  it('has no size to change', () => {
    const { pool } = makePool({ poolClass: NullPool })
    expect(() => pool.resize({ poolSize: 3 })).toThrow('NullPool has no size')
  })
})
