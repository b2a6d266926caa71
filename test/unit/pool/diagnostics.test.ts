/** What the pool says about itself: timeouts, statistics, leaks, events, channels. */
import { channel, tracingChannel } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it } from 'vitest'
import { LifeguardError } from '../../../src/errors.js'
import { PoolTimeoutError } from '../../../src/pool/errors.js'
import type { LeakEvent } from '../../../src/pool/events.js'
import type { Lease } from '../../../src/pool/pool.js'
import { fatal, Pending, transient } from './fake-driver.js'
import { acquireMany, connectionOf, failureOf, makePool } from './make-pool.js'
import { settle } from './manual-clock.js'

const FULL = { poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 100 } as const

async function timeout(promise: Promise<unknown>): Promise<PoolTimeoutError> {
  const error = await failureOf(promise)
  expect(error).toBeInstanceOf(PoolTimeoutError)
  return error as PoolTimeoutError
}

describe('PoolTimeoutError', () => {
  it('names the pool, its state, and the holders of connections, with durations and statements', async () => {
    const { pool, clock } = makePool({ ...FULL, poolSize: 2 })
    const [one] = await acquireMany(pool, 2)
    await clock.advance(5_000)
    one?.describe('select *\n  from songs\n  where id = $1')
    const waiting = timeout(pool.acquire())
    await clock.advance(100)
    const error = await waiting
    expect(error.message).toBe(
      [
        "No connection came within 100 ms: every connection was in use. Pool 'songs': 2 of 2 connections, 2 in use, 0 idle, 0 connecting, 0 being checked, 0 closing; 0 waiting. Target: tester@fake:5432/songs.",
        '  connection 1 (backend 4001) held for 5100 ms, last statement: select * from songs where id = $1',
        '  connection 2 (backend 4002) held for 5100 ms',
      ].join('\n'),
    )
    expect(error).toMatchObject({
      code: 'POOL_TIMEOUT',
      phase: 'wait',
      waitedMillis: 100,
      eventLoopDelayMillis: 0,
      stats: { size: 2, borrowed: 2 },
      holders: [
        { connectionId: 1, processId: 4001, heldMillis: 5_100, sameContext: false },
        { connectionId: 2 },
      ],
    })
    expect(error).toBeInstanceOf(LifeguardError)
  })

  it('names the five longest holders and counts the others', async () => {
    const { pool, clock } = makePool({ ...FULL, poolSize: 8 })
    for (let count = 0; count < 8; count += 1) {
      await pool.acquire()
      await clock.advance(10)
    }
    const { holders, message } = await timeout(pool.acquire({ timeoutMillis: 0 }))
    expect(holders.map(({ connectionId }) => connectionId)).toEqual([1, 2, 3, 4, 5])
    expect(message).toContain('and 3 more')
    expect(message).toContain('No connection is free')
  })

  it('shortens long statements', async () => {
    const { pool } = makePool(FULL)
    const lease = await pool.acquire()
    lease.describe(`select ${'x, '.repeat(500)}`)
    const { message } = await timeout(pool.acquire({ timeoutMillis: 0 }))
    expect(message.length).toBeLessThan(600)
    expect(message).toContain('...')
  })

  it('shows the line that acquired, with captureStacks', async () => {
    const { pool } = makePool({ ...FULL, captureStacks: true })
    const leakyFunction = async (): Promise<Lease> => await pool.acquire()
    await leakyFunction()
    const { holders, message } = await timeout(pool.acquire({ timeoutMillis: 0 }))
    expect(holders[0]?.stack).toContain('leakyFunction')
    expect(holders[0]?.stack).toContain('diagnostics.test.ts')
    expect(holders[0]?.stack).not.toContain('queue-pool')
    expect(message).toContain('leakyFunction')
  })

  it('shows the line of a holder that had to wait as well', async () => {
    const { pool } = makePool({ ...FULL, captureStacks: true })
    const patientFunction = (): Promise<Lease> => pool.acquire()
    const first = await pool.acquire()
    const second = patientFunction()
    first.release()
    await second
    const { holders } = await timeout(pool.acquire({ timeoutMillis: 0 }))
    expect(holders[0]?.stack).toContain('patientFunction')
  })

  it('forgets what the previous lease of the connection did', async () => {
    const { pool } = makePool({ ...FULL, captureStacks: true })
    const first = await pool.acquire({ context: {} })
    first.describe('select secret')
    first.release()
    await pool.acquire()
    first.describe('select another secret')
    const { holders, message } = await timeout(pool.acquire({ timeoutMillis: 0, context: {} }))
    expect(holders[0]?.statement).toBeUndefined()
    expect(message).not.toContain('secret')
  })

  it('says when the code that waits holds the connections itself', async () => {
    const { pool } = makePool({ ...FULL, poolSize: 2 })
    const context = {}
    await pool.acquire({ context })
    await pool.acquire()
    const { holders, message } = await timeout(pool.acquire({ context, timeoutMillis: 0 }))
    expect(holders.map(({ sameContext }) => sameContext)).toEqual([true, false])
    expect(message).toContain('The waiting code holds 1 of them itself')
    const other = await timeout(pool.acquire({ context: {}, timeoutMillis: 0 }))
    expect(other.message).not.toContain('itself')
  })

  it('says when the event loop was blocked, and lets what is ready be served first', async () => {
    const { pool, clock } = makePool(FULL)
    const lease = await pool.acquire()
    const served = pool.acquire()
    const late = timeout(pool.acquire())
    // What a socket had received while the loop was blocked is handled after the timers, and before the next ones.
    clock.setTimer(() => lease.release(), 1_000)
    await clock.freeze(1_000)
    ;(await served).invalidate
    const error = await late
    expect(error.eventLoopDelayMillis).toBe(900)
    expect(error.message).toContain('The event loop was blocked for about 900 ms')
  })

  it('carries the last failure to connect as its cause', async () => {
    const { pool, driver, clock } = makePool({ ...FULL, poolSize: 2 })
    await pool.acquire()
    driver.onConnect = () => fatal('no such database')
    await failureOf(pool.acquire())
    driver.onConnect = () => new Pending()
    const waiting = timeout(pool.acquire())
    await clock.advance(100)
    const error = await waiting
    expect(error).toMatchObject({ phase: 'connect', cause: { message: 'no such database' } })
    expect(error.message).toContain('Last failure to connect: no such database')
  })

  it('says in which phase the time went', async () => {
    const { pool, driver, clock } = makePool({ ...FULL, prePingTimeoutMillis: 5_000, prePingSkipMillis: 0 })
    ;(await pool.acquire()).release()
    const ping = new Pending()
    driver.last.onPing = () => ping
    const pinging = timeout(pool.acquire())
    await clock.advance(100)
    expect(await pinging).toMatchObject({ phase: 'ping' })
    ping.resolve()
    await settle()
    const lease = await pool.acquire({ proof: 'caller' })
    const reset = new Pending()
    connectionOf(lease).onReset = () => reset
    connectionOf(lease).transactionStatus = 'transaction'
    lease.release()
    const resetting = timeout(pool.acquire())
    await clock.advance(100)
    expect(await resetting).toMatchObject({ phase: 'reset' })
    reset.resolve()
    await settle()
    const holder = await pool.acquire({ proof: 'caller' })
    holder.invalidate()
    driver.onConnect = () => new Pending()
    const connecting = timeout(pool.acquire())
    await clock.advance(100)
    expect(await connecting).toMatchObject({ phase: 'connect' })
  })

  it('tells each waiter its own phase: the first was about to get what is being opened', async () => {
    const { pool, driver, clock } = makePool({ ...FULL, poolSize: 2 })
    await pool.acquire()
    driver.onConnect = () => new Pending()
    const waiting = [1, 2, 3].map(() => timeout(pool.acquire()))
    await clock.advance(100)
    expect((await Promise.all(waiting)).map(({ phase }) => phase)).toEqual(['connect', 'wait', 'wait'])
  })

  it('does not blame a failure to connect where there is no room for a connection anyway', async () => {
    const { pool, driver, clock } = makePool({ ...FULL, poolSize: 2 })
    await pool.acquire()
    driver.onConnect = () => transient()
    const one = timeout(pool.acquire())
    await clock.advance(100)
    expect(await one).toMatchObject({ phase: 'connect' })
    pool.resize({ poolSize: 1 })
    const two = timeout(pool.acquire())
    await clock.advance(100)
    expect(await two).toMatchObject({ phase: 'wait' })
  })

  it('is announced', async () => {
    const { pool } = makePool(FULL)
    const heard: unknown[] = []
    pool.events.on('timeout', ({ error }) => heard.push(error))
    await pool.acquire()
    const error = await timeout(pool.acquire({ timeoutMillis: 0 }))
    expect(heard).toEqual([error])
    expect(pool.stats().counters.timedOut).toBe(1)
  })
})

describe('Statistics', () => {
  it('count and measure what happened', async () => {
    const { pool, driver, clock } = makePool({ poolSize: 1, maxOverflow: 0 })
    const slow = new Pending()
    driver.onConnect = () => slow
    const first = pool.acquire()
    await clock.advance(40)
    slow.resolve()
    const lease = await first
    const second = pool.acquire()
    await clock.advance(250)
    lease.release()
    ;(await second).release()
    ;(await pool.acquire()).release()
    const { counters, wait, use, connect } = pool.stats()
    expect(counters).toMatchObject({ acquired: 3, released: 3, waited: 2, connected: 1, pinged: 0, reset: 0 })
    expect(wait).toMatchObject({ count: 2, sumMillis: 290, maxMillis: 250 })
    expect(use).toMatchObject({ count: 3, sumMillis: 250, maxMillis: 250 })
    expect(connect).toMatchObject({ count: 1, sumMillis: 40 })
  })

  it('are a copy that does not change', async () => {
    const { pool } = makePool()
    const before = pool.stats()
    ;(await pool.acquire()).release()
    expect(before.counters.acquired).toBe(0)
    expect(before.idle).toBe(0)
  })

  it('fit in one line', async () => {
    const { pool } = makePool()
    await pool.acquire()
    expect(pool.status()).toBe(
      "Pool 'songs': 1 of 15 connections, 1 in use, 0 idle, 0 connecting, 0 being checked, 0 closing; 0 waiting",
    )
    pool.suspend()
    expect(pool.status()).toContain("'songs' (suspended):")
    await pool.dispose({ timeoutMillis: 0 })
    expect(pool.status()).toContain("'songs' (disposed):")
  })
})

describe('Leaks', () => {
  function listen(pool: ReturnType<typeof makePool>['pool']): LeakEvent[] {
    const heard: LeakEvent[] = []
    pool.events.on('leak', (event) => heard.push(event))
    return heard
  }

  it('are reported once, and again when the lease comes back after all', async () => {
    const { pool, clock } = makePool({ leakDetectionMillis: 1_000, captureStacks: true })
    const heard = listen(pool)
    const forgetfulFunction = (): Promise<Lease> => pool.acquire()
    const lease = await forgetfulFunction()
    lease.describe('select 1')
    await clock.advance(999)
    expect(heard).toEqual([])
    await clock.advance(501)
    expect(heard).toMatchObject([{ stage: 'held', statement: 'select 1', heldMillis: 1_000 }])
    expect(heard[0]?.stack).toContain('forgetfulFunction')
    await clock.advance(10_000)
    expect(heard).toHaveLength(1)
    lease.release()
    expect(heard[1]).toMatchObject({ stage: 'returned', heldMillis: 11_500 })
    expect(pool.stats().counters.leaked).toBe(1)
    const quick = await pool.acquire()
    quick.release()
    await clock.advance(10_000)
    expect(pool.stats().idle).toBe(1)
    expect(heard).toHaveLength(2)
  })

  it('are not looked for by default', async () => {
    const { pool, clock } = makePool()
    const heard = listen(pool)
    const lease = await pool.acquire()
    await clock.advance(10_000_000)
    lease.release()
    expect(heard).toEqual([])
  })

  it('become a process warning without a listener', async () => {
    const { pool, clock } = makePool({ leakDetectionMillis: 1_000, captureStacks: true })
    const warnings: Error[] = []
    const listener = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listener)
    const lease = await pool.acquire()
    await clock.advance(2_000)
    await settle()
    process.off('warning', listener)
    expect(warnings).toMatchObject([{ name: 'LifeguardWarning', code: 'LIFEGUARD_LEAK' }])
    expect(warnings[0]?.message).toContain("Pool 'songs': the lease of connection 1 is still checked out")
    expect(warnings[0]?.message).toMatch(/acquired\n +at .*diagnostics\.test\.ts/)
    lease.release()
  })

  it('a lease that was garbage-collected is reported, its connection destroyed, its slot free', async () => {
    const { pool, driver, clock } = makePool({ poolSize: 1, maxOverflow: 0, captureStacks: true })
    const heard = listen(pool)
    await (async function leakingFunction() {
      await pool.acquire()
    })()
    const waiting = pool.acquire()
    await clock.advance(10_000)
    await collected(() => heard.length > 0)
    expect(heard).toMatchObject([{ stage: 'reclaimed', connection: { id: 1 } }])
    expect(heard[0]?.stack).toContain('leakingFunction')
    const lease = await waiting
    expect(lease.connection.id).toBe(2)
    expect(driver.connections[0]).toMatchObject({ open: false, destroys: 1 })
    expect(pool.stats()).toMatchObject({ closed: { reclaimed: 1 }, counters: { acquired: 2, released: 1 } })
    lease.release()
  })

  it('a lease that was released before it was collected is left alone', async () => {
    const { pool, clock } = makePool({ poolSize: 1 })
    const heard = listen(pool)
    const probe: { ref?: WeakRef<Lease> } = {}
    await (async () => {
      const lease = await pool.acquire()
      probe.ref = new WeakRef(lease)
      await clock.advance(10_000)
      lease.release()
    })()
    const next = await pool.acquire()
    await collected(() => probe.ref?.deref() === undefined)
    await settle()
    expect(heard).toEqual([])
    expect(next.active).toBe(true)
    next.release()
  })
})

/** Collects garbage until that has happened. */
async function collected(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !condition(); turn += 1) {
    // In a turn of its own: looking at a WeakRef keeps its target until the turn ends.
    await settle()
    globalThis.gc?.()
    await settle()
  }
  expect(condition(), 'nothing was collected').toBe(true)
}

describe('Events', () => {
  it('tell the life of a connection in order', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    const heard: string[] = []
    for (const name of ['firstConnect', 'connect', 'acquire', 'release', 'reset', 'close', 'wait'] as const) {
      pool.events.on(name, (event) => heard.push('ahead' in event ? `${name} ${String(event.ahead)}` : name))
    }
    const lease = await pool.acquire()
    connectionOf(lease).transactionStatus = 'failed'
    lease.release()
    await settle()
    await pool.dispose()
    expect(heard).toEqual(['wait 0', 'firstConnect', 'connect', 'acquire', 'reset', 'release', 'close'])
  })

  it('tell every end of a lease as a release', async () => {
    const { pool, clock } = makePool()
    const heard: [number, number][] = []
    pool.events.on('release', ({ connection, heldMillis }) => heard.push([connection.id, heldMillis]))
    const [one, two, three, four, five] = await acquireMany(pool, 5)
    await clock.advance(70)
    connectionOf(one as Lease).busy = true
    one?.release()
    two?.invalidate()
    three?.detach()
    connectionOf(four as Lease).transactionStatus = 'failed'
    connectionOf(four as Lease).onReset = () => new Error('no reset')
    four?.release()
    await settle()
    five?.release()
    expect(heard).toEqual([1, 2, 3, 4, 5].map((id) => [id, 70]))
  })

  it('say why and after how long a connection was closed', async () => {
    const { pool, clock } = makePool()
    const heard: unknown[] = []
    pool.events.on('close', ({ reason, ageMillis, uses }) => heard.push({ reason, ageMillis, uses }))
    ;(await pool.acquire()).release()
    const lease = await pool.acquire()
    await clock.advance(1_234)
    lease.invalidate()
    await settle()
    expect(heard).toEqual([{ reason: 'invalidated', ageMillis: 1_234, uses: 2 }])
  })

  it('may do anything to the pool', async () => {
    const { pool, clock } = makePool(FULL)
    const lease = await pool.acquire()
    const others = [1, 2, 3].map(() => failureOf(pool.acquire()))
    pool.events.on('timeout', () => {
      void pool.dispose({ timeoutMillis: 0 })
      pool.acquire().catch(() => undefined)
      lease.release()
    })
    await clock.advance(100)
    for (const error of await Promise.all(others)) expect(error).toBeInstanceOf(LifeguardError)
    expect(pool.stats()).toMatchObject({ size: 0, waiting: 0 })
  })
})

describe('Diagnostics channels', () => {
  const subscriptions: (() => void)[] = []
  afterEach(() => subscriptions.splice(0).forEach((unsubscribe) => unsubscribe()))

  function listenTo(name: string): unknown[] {
    const heard: unknown[] = []
    const listener = (message: unknown): void => void heard.push(message)
    channel(name).subscribe(listener)
    subscriptions.push(() => channel(name).unsubscribe(listener))
    return heard
  }

  function trace(name: string): [string, object][] {
    const heard: [string, object][] = []
    const handlers = Object.fromEntries(
      ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].map((step) => [
        step,
        (message: object) => void heard.push([step, { ...message }]),
      ]),
    ) as never
    tracingChannel(name).subscribe(handlers)
    subscriptions.push(() => tracingChannel(name).unsubscribe(handlers))
    return heard
  }

  it('trace acquires and connects', async () => {
    const [acquires, connects] = [trace('lifeguard:acquire'), trace('lifeguard:connect')]
    const { pool } = makePool()
    ;(await pool.acquire()).release()
    expect(acquires.map(([step]) => step)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
    expect(acquires.at(-1)?.[1]).toMatchObject({ pool: 'songs', connectionId: 1 })
    expect(connects.at(-1)?.[1]).toMatchObject({
      pool: 'songs',
      target: 'tester@fake:5432/songs',
      connectionId: 1,
    })
  })

  it('trace the errors of acquires and connects', async () => {
    const [acquires, connects] = [trace('lifeguard:acquire'), trace('lifeguard:connect')]
    const { pool, driver } = makePool()
    driver.onConnect = () => fatal('no such database')
    await failureOf(pool.acquire())
    for (const heard of [acquires, connects]) {
      expect(heard.find(([step]) => step === 'error')?.[1]).toMatchObject({
        error: { message: 'no such database' },
      })
    }
  })

  it('tell releases, closed connections and leaks', async () => {
    const released = listenTo('lifeguard:release')
    const closed = listenTo('lifeguard:connection:closed')
    const leaks = listenTo('lifeguard:leak')
    const { pool, clock } = makePool({ leakDetectionMillis: 1_000 })
    const lease = await pool.acquire()
    await clock.advance(1_500)
    lease.release()
    await pool.dispose()
    expect(released).toEqual([{ pool: 'songs', connectionId: 1, heldMillis: 1_500 }])
    expect(closed).toEqual([{ pool: 'songs', connectionId: 1, reason: 'disposed', ageMillis: 1_500 }])
    expect(leaks).toMatchObject([{ stage: 'held', connectionId: 1 }, { stage: 'returned' }])
  })
})
