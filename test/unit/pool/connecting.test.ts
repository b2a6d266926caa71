/** Opening connections: how many at a time, what a failure means, and to whom. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, it } from 'vitest'
import { fatal, Pending, transient } from './fake-driver.js'
import { acquireMany, failureOf, makePool } from './make-pool.js'
import { settle } from './manual-clock.js'

describe('Opening connections', () => {
  it('happens maxConnecting at a time, and only as many as are still wanted', async () => {
    const { pool, driver } = makePool({ poolSize: 10, maxConnecting: 2 })
    const attempts: Pending[] = []
    driver.onConnect = () => attempts[attempts.push(new Pending()) - 1]
    const leases = acquireMany(pool, 6)
    expect(driver.opening).toBe(2)
    attempts[0]?.resolve()
    await settle()
    expect(driver.opening).toBe(2)
    expect(pool.stats()).toMatchObject({ borrowed: 1, connecting: 2, waiting: 5 })
    for (let index = 1; index < 6; index += 1) {
      attempts[index]?.resolve()
      await settle()
    }
    await leases
    expect(driver.attempts).toBe(6)
  })

  it('does not hold up a spike that a few connections can serve', async () => {
    const { pool, driver, clock } = makePool({ poolSize: 20, maxConnecting: 2 })
    for (const lease of await acquireMany(pool, 5)) lease.release()
    driver.onConnect = () => {
      const slow = new Pending()
      clock.setTimer(slow.resolve, 150)
      return slow
    }
    let served = 0
    const work = Array.from({ length: 50 }, async () => {
      const lease = await pool.acquire()
      await new Promise<void>((resolve) => clock.setTimer(resolve, 2))
      lease.release()
      served += 1
    })
    await clock.advance(25)
    expect(served).toBe(50)
    expect(driver.attempts).toBe(7)
    await clock.advance(200)
    await Promise.all(work)
  })

  it('gives a waiter whatever comes first, and the late connection becomes idle', async () => {
    const { pool, driver } = makePool({ poolSize: 2 })
    const holder = await pool.acquire()
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const waiting = pool.acquire()
    holder.release()
    expect((await waiting).connection.id).toBe(1)
    hanging.resolve()
    await settle()
    expect(pool.stats()).toMatchObject({ borrowed: 1, idle: 1 })
  })

  it('ends at connectTimeoutMillis', async () => {
    const { pool, driver, clock } = makePool({ connectTimeoutMillis: 3_000, connectRetry: 'fail' })
    driver.onConnect = () => new Pending()
    const failure = failureOf(pool.acquire())
    await clock.advance(2_999)
    expect(pool.stats().connecting).toBe(1)
    await clock.advance(1)
    expect(await failure).toMatchObject({ code: 'CONNECT_FAILED' })
    expect(pool.stats().size).toBe(0)
  })

  it('does not happen in the async context of the waiting caller', async () => {
    const { pool, driver } = makePool()
    const requests = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    driver.onConnect = () => {
      seen.push(requests.getStore())
      return undefined
    }
    const lease = await requests.run('request 1', () => pool.acquire())
    lease.release()
    expect(seen).toEqual([undefined])
  })

  it('resumes each waiter in its own async context', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0 })
    const requests = new AsyncLocalStorage<string>()
    const lease = await pool.acquire()
    const seen: (string | undefined)[] = []
    pool.events.on('acquire', () => seen.push(requests.getStore()))
    const work = requests.run('request 2', async () => {
      const own = await pool.acquire()
      seen.push(requests.getStore())
      own.release()
    })
    requests.run('request 1', () => lease.release())
    expect(seen).toEqual([])
    await work
    expect(seen).toEqual(['request 2', 'request 2'])
  })
})

describe('A failure to connect that may pass', () => {
  it('leads to one attempt at a time, with growing pauses, and few attempts', async () => {
    const { pool, driver, clock } = makePool({ maxConnecting: 2 })
    const at: number[] = []
    let down = true
    driver.onConnect = () => {
      at.push(clock.now())
      expect(driver.opening).toBeLessThanOrEqual(2)
      return down ? transient() : undefined
    }
    const work = Array.from({ length: 20 }, async () => (await pool.acquire()).release())
    await clock.advance(1_500)
    expect(driver.attempts).toBeLessThanOrEqual(20)
    await clock.advance(20_000)
    const pauses = at.slice(3).map((time, index) => time - (at[index + 2] ?? 0))
    for (const [index, pause] of pauses.entries()) {
      // Half a second at most: so much later a promoted server is noticed.
      expect(pause).toBeLessThanOrEqual(501)
      expect(pause).toBeGreaterThanOrEqual(Math.min(10 * 2 ** index, 500) * 0.5)
    }
    down = false
    await clock.advance(2_000)
    await Promise.all(work)
    expect(pool.stats()).toMatchObject({ waiting: 0, lastConnectError: undefined })
  })

  it('fails no caller whose timeout allows to wait, and meanwhile releases serve others', async () => {
    const { pool, driver, clock } = makePool({ poolSize: 5 })
    const held = await acquireMany(pool, 2)
    driver.onConnect = () => transient('sorry, too many clients already')
    let served = 0
    const work = Array.from({ length: 30 }, async () => {
      const lease = await pool.acquire()
      await settle()
      lease.release()
      served += 1
    })
    await clock.advance(100)
    expect(pool.stats().lastConnectError).toMatchObject({ message: 'sorry, too many clients already' })
    for (const lease of held) lease.release()
    await Promise.all(work)
    expect(served).toBe(30)
    expect(driver.open).toHaveLength(2)
  })

  it('keeps the process alive while a caller waits for the next attempt, and only then', async () => {
    const { pool, driver, clock } = makePool({ poolTimeoutMillis: null })
    driver.onConnect = () => transient()
    const abort = new AbortController()
    const waiting = failureOf(pool.acquire({ signal: abort.signal }))
    await settle()
    expect(clock.timers.keepAlive).toBe(1)
    abort.abort()
    await waiting
    await clock.advance(5_000)
    expect(clock.timers.keepAlive).toBe(0)
    expect(driver.attempts).toBeLessThanOrEqual(3)
  })

  it('leaves no timer when the pool is disposed during a pause', async () => {
    const { pool, driver, clock } = makePool()
    driver.onConnect = () => transient()
    const waiting = failureOf(pool.acquire())
    await settle()
    await pool.dispose()
    await waiting
    expect(clock.timers.all).toBe(0)
  })

  it('rejects callers with timeout 0', async () => {
    const { pool, driver } = makePool({ poolTimeoutMillis: 0 })
    driver.onConnect = () => transient('starting up')
    expect(await failureOf(pool.acquire())).toMatchObject({ code: 'CONNECT_FAILED', message: 'starting up' })
    expect(await failureOf(pool.acquire())).toMatchObject({ code: 'CONNECT_FAILED', message: 'starting up' })
    expect(driver.attempts).toBe(1)
  })

  it("rejects all waiting callers with connectRetry 'fail', and the next acquire tries at once", async () => {
    const { pool, driver } = makePool({ connectRetry: 'fail' })
    driver.onConnect = (attempt) => (attempt <= 2 ? transient('starting up') : undefined)
    const failures = await Promise.all([1, 2, 3].map(() => failureOf(pool.acquire())))
    expect(failures.map(({ message }) => message)).toEqual(['starting up', 'starting up', 'starting up'])
    await settle()
    ;(await pool.acquire()).release()
    expect(driver.attempts).toBe(3)
  })
})

describe('A failure to connect that is fatal', () => {
  it('rejects all waiting callers at once, is not repeated, and does not outlive its reason', async () => {
    const { pool, driver, clock } = makePool()
    const heard: boolean[] = []
    pool.events.on('connectFailed', (event) => heard.push(event.fatal))
    driver.onConnect = () => fatal()
    const failures = await Promise.all(Array.from({ length: 20 }, () => failureOf(pool.acquire())))
    expect(new Set(failures.map(({ message }) => message))).toEqual(
      new Set(['password authentication failed']),
    )
    await clock.advance(60_000)
    expect(driver.attempts).toBe(2)
    expect(heard).toEqual([true, true])
    expect(pool.stats().counters).toMatchObject({ connectFailed: 2, connected: 0 })
    driver.onConnect = () => undefined
    ;(await pool.acquire()).release()
  })

  it('includes whatever is no ConnectError: a mistake in a password function is not retried', async () => {
    const { pool, driver } = makePool()
    const mistake = new TypeError('secrets is not defined')
    driver.onConnect = () => mistake
    expect(await failureOf(pool.acquire())).toBe(mistake)
  })

  it('does not affect callers that have a connection', async () => {
    const { pool, driver } = makePool({ poolSize: 2 })
    const lease = await pool.acquire()
    driver.onConnect = () => fatal()
    await failureOf(pool.acquire())
    lease.release()
    expect((await pool.acquire()).connection).toBe(lease.connection)
  })
})

describe('An acquire with poolTimeoutMillis 0', () => {
  it('may open a connection, but never waits for a release', async () => {
    const { pool } = makePool({ poolTimeoutMillis: 0, poolSize: 1, maxOverflow: 1 })
    const leases = await acquireMany(pool, 2)
    expect(await failureOf(pool.acquire())).toMatchObject({
      code: 'POOL_TIMEOUT',
      phase: 'wait',
      waitedMillis: 0,
    })
    leases[0]?.release()
    ;(await pool.acquire()).release()
  })

  it('counts the connections that others are waiting for', async () => {
    const { pool, driver } = makePool({ poolSize: 2, maxOverflow: 0 })
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const two = acquireMany(pool, 2)
    expect(await failureOf(pool.acquire({ timeoutMillis: 0 }))).toMatchObject({ code: 'POOL_TIMEOUT' })
    hanging.resolve()
    for (const lease of await two) lease.release()
  })

  it('is refused when the pool becomes too small for it', async () => {
    const { pool, driver } = makePool({ poolSize: 2, maxOverflow: 0 })
    const lease = await pool.acquire()
    driver.onConnect = () => new Pending()
    const impatient = failureOf(pool.acquire({ timeoutMillis: 0 }))
    pool.resize({ poolSize: 1 })
    expect(await impatient).toMatchObject({ code: 'POOL_TIMEOUT' })
    lease.release()
  })

  it('is refused by its place in the queue: those before it come first', async () => {
    const { pool, driver } = makePool({ poolSize: 3, maxOverflow: 0 })
    const lease = await pool.acquire()
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const first = pool.acquire({ timeoutMillis: 0 })
    const second = failureOf(pool.acquire({ timeoutMillis: 0 }))
    pool.resize({ poolSize: 2 })
    expect(await second).toMatchObject({ code: 'POOL_TIMEOUT' })
    expect(pool.stats().waiting).toBe(1)
    hanging.resolve()
    ;(await first).release()
    lease.release()
  })
})

describe('maxWaiting', () => {
  it('refuses the excess caller at once; callers whose connection is being opened do not count', async () => {
    const { pool } = makePool({ poolSize: 2, maxOverflow: 0, maxWaiting: 1 })
    const leases = acquireMany(pool, 2)
    const waiting = pool.acquire()
    const error = await failureOf(pool.acquire())
    expect(error).toMatchObject({ code: 'POOL_QUEUE_FULL', stats: { waiting: 3, capacity: 2 } })
    expect(error.message).toContain('No more than 1 acquires may wait (maxWaiting)')
    expect(pool.stats().counters.refused).toBe(1)
    for (const lease of await leases) lease.release()
    ;(await waiting).release()
  })

  it('of 0 lets no caller wait for a release', async () => {
    const { pool } = makePool({ poolSize: 1, maxOverflow: 0, maxWaiting: 0 })
    const lease = await pool.acquire()
    expect(await failureOf(pool.acquire())).toMatchObject({ code: 'POOL_QUEUE_FULL' })
    lease.release()
    ;(await pool.acquire()).release()
  })
})
