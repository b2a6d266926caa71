/** From birth to death of a connection: age, idleness, keep-alive, freezes, `minIdle`, the process. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { disconnect, Pending, transient } from './fake-driver.js'
import { acquireMany, connectionOf, failureOf, makePool, type MadePool } from './make-pool.js'
import { settle } from './manual-clock.js'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** So many connections that are idle. */
async function idle(made: MadePool, count: number): Promise<MadePool> {
  for (const lease of await acquireMany(made.pool, count)) lease.release()
  return made
}

const QUIET = { idleTimeoutMillis: -1, keepAliveMillis: -1, poolPrePing: false } as const

describe('The age of a connection', () => {
  it.each([
    [0, 60_000],
    [0.5, 57_000],
    [0.999, 54_006],
  ])('is limited with a jitter drawn once, at birth: %s of it', async (random, age) => {
    vi.spyOn(Math, 'random').mockReturnValue(random)
    const { pool, clock, driver } = makePool({
      ...QUIET,
      poolRecycleMillis: 60_000,
      poolSize: 1,
      maxOverflow: 0,
    })
    const lease = await pool.acquire()
    vi.spyOn(Math, 'random').mockReturnValue(0.999)
    await clock.advance(age - 1)
    lease.release()
    expect(pool.stats().idle).toBe(1)
    const second = await pool.acquire()
    expect(second.connection).toBe(lease.connection)
    await clock.advance(1)
    second.release()
    await settle()
    expect(pool.stats()).toMatchObject({ size: 0, closed: { recycled: 1 } })
    expect(driver.last.goodbyes).toBe(1)
  })

  it('is noticed in the background as well, so that an idle pool holds nothing old', async () => {
    const { pool, clock } = await idle(makePool({ ...QUIET, poolRecycleMillis: 60_000 }), 3)
    await clock.advance(70_000)
    expect(pool.stats()).toMatchObject({ size: 0, closed: { recycled: 3 } })
  })

  it('is noticed at acquire', async () => {
    const { pool, clock } = await idle(makePool({ ...QUIET, poolRecycleMillis: 60_000 }), 1)
    vi.spyOn(clock, 'setTimer').mockReturnValue({ cancel: () => undefined })
    await clock.advance(60_000 - 59_999 + 8_000)
    const before = pool.stats().closed.recycled
    await clock.advance(52_000)
    ;(await pool.acquire()).release()
    expect(pool.stats().closed.recycled).toBeGreaterThan(before)
  })

  it('does not matter with -1', async () => {
    const { pool, clock } = await idle(makePool({ ...QUIET, poolRecycleMillis: -1 }), 1)
    await clock.advance(100_000_000)
    expect(pool.stats()).toMatchObject({ size: 1, idle: 1 })
  })
})

describe('Idle connections', () => {
  it('are closed after idleTimeoutMillis, the coldest first', async () => {
    const { pool, clock, driver } = makePool({ ...QUIET, idleTimeoutMillis: 60_000 })
    for (const lease of await acquireMany(pool, 5)) {
      lease.release()
      await clock.advance(12_000)
    }
    await clock.advance(10_000)
    expect(driver.open.map(({ id }) => id)).toEqual([2, 3, 4, 5])
    await clock.advance(20_000)
    expect(driver.open.map(({ id }) => id)).toEqual([4, 5])
  })

  it('are closed when they are due, and not a part of the period later', async () => {
    const { pool, clock, driver } = makePool({ ...QUIET, idleTimeoutMillis: 10 })
    const [first, second] = await acquireMany(pool, 2)
    await clock.advance(17)
    first?.release()
    await clock.advance(5)
    second?.release()
    await clock.advance(6)
    expect(driver.open.map(({ id }) => id)).toEqual([2])
    await clock.advance(5)
    expect(driver.open).toEqual([])
  })

  it('stay when minIdle asks for them', async () => {
    const { pool, clock, driver } = makePool({ ...QUIET, idleTimeoutMillis: 60_000, minIdle: 2 })
    for (const lease of await acquireMany(pool, 5)) lease.release()
    await clock.advance(70_000)
    expect(pool.stats()).toMatchObject({ size: 2, idle: 2 })
    const before = driver.attempts
    await clock.advance(600_000)
    expect(driver.attempts).toBe(before)
  })

  it('that are in use again and again stay, the others go', async () => {
    const { pool, clock, driver } = await idle(makePool({ ...QUIET, idleTimeoutMillis: 60_000 }), 3)
    for (let turn = 0; turn < 8; turn += 1) {
      await clock.advance(10_000)
      ;(await pool.acquire()).release()
    }
    expect(driver.open.map(({ id }) => id)).toEqual([3])
  })

  it('are probed after keepAliveMillis without changing which one is hot', async () => {
    const { pool, clock, driver } = await idle(makePool({ ...QUIET, keepAliveMillis: 30_000 }), 3)
    await clock.advance(25_000)
    ;(await pool.acquire()).release()
    await clock.advance(10_000)
    expect(driver.connections.map(({ pings }) => pings)).toEqual([1, 1, 0])
    expect((await pool.acquire()).connection.id).toBe(3)
    expect(pool.stats().idle).toBe(2)
  })

  it('that do not answer a probe are dropped, and every older one with them', async () => {
    const { pool, clock, driver } = await idle(
      makePool({ ...QUIET, keepAliveMillis: 30_000, poolSize: 3 }),
      3,
    )
    const heard: unknown[] = []
    pool.events.on('generation', ({ generation }) => heard.push(generation))
    for (const connection of driver.connections) connection.onPing = () => new Pending()
    await clock.advance(36_000)
    expect(pool.stats()).toMatchObject({ size: 0, closed: { probe: 3 } })
    expect(heard).toEqual([1])
  })

  it('that the server ended are dropped at once, and only those', async () => {
    const { pool, driver } = await idle(makePool(QUIET), 3)
    driver.connections[1]?.kill()
    await settle()
    expect(pool.stats()).toMatchObject({ idle: 2, size: 2, generation: 0, closed: { lost: 1 } })
    expect((await pool.acquire()).connection.id).toBe(3)
  })

  it('do not keep the process alive, and used ones do', async () => {
    const { pool, driver, clock } = makePool()
    const lease = await pool.acquire()
    expect(driver.last.referenced).toBe(true)
    lease.release()
    expect(driver.last.referenced).toBe(false)
    expect(clock.timers).toEqual({ all: 1, keepAlive: 0 })
    const again = await pool.acquire()
    expect(driver.last.referenced).toBe(true)
    again.release()
  })

  it('leave no timer when the last one is gone', async () => {
    const { clock } = await idle(makePool({ ...QUIET, idleTimeoutMillis: 5_000 }), 2)
    expect(clock.timers.all).toBe(1)
    await clock.advance(20_000)
    expect(clock.timers.all).toBe(0)
  })
})

describe('A connection that was reset', () => {
  it('has shown by that that it is alive, and is idle since then', async () => {
    const { pool, clock, driver } = makePool({
      prePingSkipMillis: 500,
      idleTimeoutMillis: 1_000,
      keepAliveMillis: -1,
    })
    const lease = await pool.acquire()
    const slow = new Pending()
    connectionOf(lease).transactionStatus = 'transaction'
    connectionOf(lease).onReset = () => slow
    lease.release()
    await clock.advance(900)
    slow.resolve()
    await clock.advance(300)
    expect(pool.stats().idle).toBe(1)
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(0)
  })
})

describe('minIdle', () => {
  it('is filled from the start, in the background', async () => {
    const { pool, driver } = makePool({ ...QUIET, minIdle: 4, maxConnecting: 2 })
    expect(driver.opening).toBe(2)
    await settle()
    expect(pool.stats()).toMatchObject({ idle: 4, size: 4 })
  })

  it('is filled again after connections were lost or taken', async () => {
    const { pool, driver } = makePool({ ...QUIET, minIdle: 2, poolSize: 3 })
    await settle()
    driver.connections[0]?.kill()
    await settle()
    expect(pool.stats().idle).toBe(2)
    const leases = await acquireMany(pool, 2)
    await settle()
    expect(pool.stats()).toMatchObject({ borrowed: 2, idle: 0 })
    leases[0]?.invalidate()
    await settle()
    expect(pool.stats()).toMatchObject({ borrowed: 1, idle: 2 })
    leases[1]?.release()
  })

  it('that cannot be filled is tried again by the housekeeper, not in a loop', async () => {
    const { pool, driver, clock } = makePool({ ...QUIET, minIdle: 2 })
    driver.onConnect = () => transient()
    pool.refresh()
    await settle()
    for (const connection of driver.open) connection.kill()
    const before = driver.attempts
    await clock.advance(60_000)
    expect(clock.timers.keepAlive, 'timers that keep the process alive').toBe(0)
    expect(driver.attempts - before).toBeLessThanOrEqual(14)
    driver.onConnect = () => undefined
    await clock.advance(15_000)
    expect(pool.stats().idle).toBe(2)
  })
})

describe('minIdle with openMinIdle: false', () => {
  it('opens nothing, spares as many from the idle timeout, and closes what is too old', async () => {
    const { pool, clock, driver } = makePool({
      ...QUIET,
      idleTimeoutMillis: 1_000,
      poolRecycleMillis: 60_000,
      minIdle: 2,
      openMinIdle: false,
    })
    await clock.advance(10_000)
    expect([driver.attempts, clock.timers.keepAlive]).toEqual([0, 0])
    for (const lease of await acquireMany(pool, 3)) lease.release()
    await clock.advance(10_000)
    expect(pool.stats()).toMatchObject({ idle: 2, size: 2 })
    driver.open[0]?.kill()
    await clock.advance(10_000)
    expect(pool.stats()).toMatchObject({ idle: 1, size: 1 })
    await clock.advance(60_000)
    expect([pool.stats().size, driver.attempts]).toEqual([0, 3])
  })
})

describe('After a freeze', () => {
  it('nothing idle is trusted: the next acquire proves it, whatever the skip window says', async () => {
    const { pool, clock, driver } = await idle(
      makePool({ prePingSkipMillis: 1_000_000, keepAliveMillis: -1 }),
      1,
    )
    await clock.advance(60_000)
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(0)
    await clock.freeze(60_000)
    ;(await pool.acquire()).release()
    expect(driver.last.pings).toBe(1)
  })

  it('the keep-alive finds out at once which connections are dead', async () => {
    const { pool, clock, driver } = await idle(makePool({ keepAliveMillis: 300_000 }), 2)
    driver.connections[0]!.onPing = () => disconnect()
    await clock.freeze(60_000)
    expect(driver.connections.map(({ pings }) => pings)).toEqual([1, 1])
    expect(pool.stats()).toMatchObject({ closed: { probe: 1, stale: 1 } })
  })

  it('is noticed by the wall clock, where the monotonic one stood still', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 0 })
    const { clock, driver } = await idle(makePool({ keepAliveMillis: 300_000 }), 1)
    vi.setSystemTime(3_600_000)
    await clock.advance(10_000)
    expect(driver.last.pings).toBe(1)
  })
})

describe('Limits at run time', () => {
  it('may grow: waiting callers are served', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    await pool.acquire()
    const waiting = acquireMany(pool, 2)
    await settle()
    expect(pool.stats().waiting).toBe(2)
    pool.resize({ poolSize: 3 })
    expect(await waiting).toHaveLength(2)
    expect(pool.stats()).toMatchObject({ poolSize: 3, maxOverflow: 0, capacity: 3, borrowed: 3 })
  })

  it('may shrink: idle connections go at once, the coldest first, borrowed ones when they come back', async () => {
    const { pool, driver } = makePool({ poolSize: 4, maxOverflow: 2 })
    const leases = await acquireMany(pool, 6)
    for (const lease of leases.slice(0, 3)) lease.release()
    pool.resize({ poolSize: 2, maxOverflow: 0 })
    await settle()
    expect(pool.stats()).toMatchObject({ size: 3, idle: 0, borrowed: 3 })
    for (const lease of leases.slice(3)) lease.release()
    await settle()
    expect(pool.stats()).toMatchObject({ size: 2, idle: 2 })
    expect(driver.open).toHaveLength(2)
  })

  it('keeps waiting callers that do not fit any more', async () => {
    const { pool } = makePool({ poolSize: 2, maxOverflow: 0 })
    const leases = await acquireMany(pool, 2)
    const waiting = pool.acquire()
    pool.resize({ poolSize: 1 })
    leases[0]?.release()
    await settle()
    expect(pool.stats()).toMatchObject({ waiting: 1, size: 1 })
    leases[1]?.release()
    expect((await waiting).connection).toBe(leases[1]?.connection)
  })

  it.each<[object, string]>([
    [{ poolSize: -1 }, 'poolSize must be'],
    [{ maxOverflow: -2 }, 'maxOverflow must be'],
    [{ poolsize: 3 }, "did you mean 'poolSize'"],
    [{ poolSize: 1 }, 'minIdle 2 cannot be kept'],
  ])('cannot be %j', (limits, message) => {
    const { pool } = makePool({ minIdle: 2 })
    expect(() => pool.resize(limits)).toThrow(message)
    expect(pool.stats()).toMatchObject({ poolSize: 5, maxOverflow: 10 })
  })

  it('are those of the pool that takes over', async () => {
    const { pool } = makePool()
    pool.resize({ poolSize: 3, maxOverflow: 1 })
    const next = pool.recreate()
    expect(next.stats()).toMatchObject({ poolSize: 3, maxOverflow: 1, capacity: 4 })
    await next.dispose()
  })
})

describe('recreate', () => {
  const FULL = { poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 100 } as const

  it('takes over waiting callers, in order, with their signals and remaining timeouts', async () => {
    const { pool, clock } = makePool(FULL)
    const held = await pool.acquire()
    const signal = new AbortController()
    const [served, aborted, late] = [
      pool.acquire(),
      failureOf(pool.acquire({ signal: signal.signal })),
      failureOf(pool.acquire()),
    ]
    await clock.advance(60)
    const next = pool.recreate()
    expect(pool.stats().waiting).toBe(0)
    expect(next.stats()).toMatchObject({ waiting: 3, counters: { waited: 3 } })
    const lease = await served
    expect(lease.connection).not.toBe(held.connection)
    signal.abort()
    expect(await aborted).toMatchObject({ code: 'ABORTED' })
    await clock.advance(39)
    expect(next.stats().waiting).toBe(1)
    await clock.advance(1)
    expect(await late).toMatchObject({ code: 'POOL_TIMEOUT', waitedMillis: 100 })
    lease.release()
    held.release()
    expect(await pool.dispose()).toMatchObject({ rejected: 0, closed: 1 })
    await next.dispose()
  })

  it('of a suspended pool makes a suspended one, in which timeouts are paused as well', async () => {
    const { pool, driver, clock } = makePool(FULL)
    const held = await pool.acquire()
    let ended = false
    const late = failureOf(pool.acquire()).finally(() => (ended = true))
    await clock.advance(60)
    pool.suspend()
    await clock.advance(1_000)
    const next = pool.recreate()
    await clock.advance(1_000)
    expect(next.stats()).toMatchObject({ waiting: 1, suspended: true, size: 0 })
    const hanging = new Pending()
    driver.onConnect = () => hanging
    next.resume()
    await clock.advance(39)
    expect(ended).toBe(false)
    await clock.advance(1)
    expect(await late).toMatchObject({ code: 'POOL_TIMEOUT', phase: 'connect' })
    held.release()
    await next.dispose({ timeoutMillis: 0 })
  })
})

describe('refresh', () => {
  it('replaces idle connections now and borrowed ones when they come back', async () => {
    const { pool, driver } = makePool({ poolSize: 2 })
    const [one, two] = await acquireMany(pool, 2)
    one?.release()
    pool.refresh()
    await settle()
    expect(driver.open).toEqual([two?.connection])
    two?.release()
    await settle()
    expect(driver.open).toEqual([])
    expect(pool.stats()).toMatchObject({ generation: 1, closed: { stale: 2 } })
  })

  it('also replaces a connection whose opening had begun before', async () => {
    const { pool, driver } = makePool()
    const hanging = new Pending()
    driver.onConnect = (attempt) => (attempt === 1 ? hanging : undefined)
    const waiting = pool.acquire()
    pool.refresh()
    hanging.resolve()
    expect((await waiting).connection.id).toBe(2)
  })
})

describe('suspend', () => {
  it('lets borrowed connections come back, lends nothing, and serves in order afterwards', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    const lease = await pool.acquire()
    pool.suspend()
    pool.suspend()
    const order: number[] = []
    const work = [1, 2].map(async (number) => {
      const each = await pool.acquire()
      order.push(number)
      each.release()
    })
    lease.release()
    await settle()
    expect(pool.stats()).toMatchObject({ idle: 1, waiting: 2, suspended: true })
    pool.resume()
    pool.resume()
    await Promise.all(work)
    expect(order).toEqual([1, 2])
  })

  it('pauses the timeouts of callers that waited before', async () => {
    const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 100 })
    const lease = await pool.acquire()
    let failed = false
    const waiting = pool.acquire().catch(() => (failed = true))
    await clock.advance(60)
    pool.suspend()
    await clock.advance(1_000)
    pool.suspend()
    await clock.advance(1_000)
    pool.resume()
    await clock.advance(39)
    expect(failed).toBe(false)
    await clock.advance(1)
    await waiting
    expect(failed).toBe(true)
    lease.release()
  })

  it('changes no timeout when it is ended without having begun', async () => {
    const { pool, clock } = makePool({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 100 })
    const lease = await pool.acquire()
    const waiting = pool.acquire().catch((error: unknown) => error)
    await clock.advance(60)
    pool.resume()
    await clock.advance(40)
    expect(await waiting).toMatchObject({ code: 'POOL_TIMEOUT', waitedMillis: 100 })
    lease.release()
  })

  it('also holds callers with timeout 0, and refuses them afterwards if they would have to wait', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    const lease = await pool.acquire()
    pool.suspend()
    const impatient = pool.acquire({ timeoutMillis: 0 })
    impatient.catch(() => undefined)
    await settle()
    expect(pool.stats().waiting).toBe(1)
    pool.resume()
    await expect(impatient).rejects.toMatchObject({ code: 'POOL_TIMEOUT' })
    connectionOf(lease)
    lease.release()
  })
})
