/** What every pool class promises, over a driver whose failures and time are in the test's hands. */
import { describe, expect, it } from 'vitest'
import { AbortedError, EngineDisposedError } from '../../src/errors.js'
import { PoolTimeoutError } from '../../src/pool/errors.js'
import { NullPool } from '../../src/pool/null-pool.js'
import type { PoolOptions } from '../../src/pool/options.js'
import { QueuePool } from '../../src/pool/queue-pool.js'
import { disconnect, fatal, Pending, transient } from '../unit/pool/fake-driver.js'
import { acquireMany, connectionOf, failureOf, makePool } from '../unit/pool/make-pool.js'
import { settle } from '../unit/pool/manual-clock.js'

/** The same pool in both classes: as many connections as the case needs, none kept by the second. */
const CLASSES: readonly (readonly [name: string, options: PoolOptions])[] = [
  ['QueuePool', { poolClass: QueuePool, poolSize: 20, maxConnecting: Infinity }],
  ['NullPool', { poolClass: NullPool }],
]

describe.each(CLASSES)('%s', (_, options) => {
  it('opens nothing before the first acquire, nor when it is recreated or disposed (case 1)', async () => {
    const { pool, driver } = makePool(options)
    const next = pool.recreate()
    await next.dispose()
    await pool.dispose()
    expect(driver.attempts).toBe(0)
  })

  it('gives the connection back at the end of a using block, also when the block throws (case 4)', async () => {
    const { pool } = makePool(options)
    const work = async (): Promise<void> => {
      using lease = await pool.acquire()
      expect(pool.stats().borrowed).toBe(1)
      expect(lease.active).toBe(true)
      throw new Error('the work failed')
    }
    await expect(work()).rejects.toThrow('the work failed')
    expect(pool.stats().borrowed).toBe(0)
  })

  it('is recreated with the same class, options, limits and listeners (cases 6 and 16)', async () => {
    const { pool, driver } = makePool({ ...options, poolTimeoutMillis: 77 })
    const heard: number[] = []
    pool.events.on('release', ({ connection }) => heard.push(connection.id))
    const next = pool.recreate() as QueuePool
    expect(next).toBeInstanceOf(pool.constructor)
    expect(next.stats()).toMatchObject({ name: 'songs', capacity: pool.stats().capacity, size: 0 })
    for (const each of [pool, next]) (await each.acquire()).release()
    expect(heard).toEqual([1, 2])
    await next.dispose()
    expect(driver.attempts).toBe(2)
  })

  it('announces the first connection once and each connection once (cases 9, 10 and 19)', async () => {
    const { pool } = makePool(options)
    const heard: string[] = []
    pool.events.on('firstConnect', ({ connection }) => heard.push(`first ${String(connection.id)}`))
    pool.events.on('connect', ({ connection }) => heard.push(`connect ${String(connection.id)}`))
    await acquireMany(pool, 3)
    expect(heard).toEqual(['first 1', 'connect 1', 'connect 2', 'connect 3'])
  })

  it('calls listeners in the order in which they were added, once per acquire (cases 11 and 12)', async () => {
    const { pool } = makePool(options)
    const heard: string[] = []
    pool.events.on('acquire', () => heard.push('one'))
    pool.events.on('acquire', () => heard.push('two'))
    ;(await pool.acquire()).release()
    ;(await pool.acquire()).release()
    expect(heard).toEqual(['one', 'two', 'one', 'two'])
  })

  it('names the connection and the reason when a lease is invalidated (cases 14 and 15)', async () => {
    const { pool } = makePool(options)
    const heard: [string, number, unknown][] = []
    pool.events.on('invalidate', ({ connection, reason }) => heard.push(['hard', connection.id, reason]))
    pool.events.on('softInvalidate', ({ connection, reason }) => heard.push(['soft', connection.id, reason]))
    const reason = new Error('odd')
    const [one, two, three, four] = await acquireMany(pool, 4)
    one?.invalidate(reason)
    two?.invalidate()
    three?.softInvalidate(reason)
    four?.softInvalidate()
    expect(heard).toEqual([
      ['hard', 1, reason],
      ['hard', 2, undefined],
      ['soft', 3, reason],
      ['soft', 4, undefined],
    ])
  })

  it('goes on when a listener throws (case 17)', async () => {
    const { pool } = makePool(options)
    const warnings: string[] = []
    const listener = (warning: Error): void => void warnings.push(warning.message)
    process.on('warning', listener)
    pool.events.on('connect', () => {
      throw new Error('broken listener')
    })
    pool.events.on('acquire', () => {
      throw new Error('broken listener')
    })
    ;(await pool.acquire()).release()
    await settle()
    process.off('warning', listener)
    expect(pool.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toContain('broken listener')
  })

  it('works again after a connect that failed, with the counts as they were (cases 25, 35 and 36)', async () => {
    const { pool, driver } = makePool(options)
    const connects: number[] = []
    pool.events.on('connect', ({ connection }) => connects.push(connection.id))
    driver.onConnect = (attempt) => (attempt === 1 ? fatal() : undefined)
    expect(await failureOf(pool.acquire())).toMatchObject({ code: 'CONNECT_FAILED', fatal: true })
    expect(connects).toEqual([])
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, overflow: 0, waiting: 0 })
    const lease = await pool.acquire()
    expect(pool.stats().borrowed).toBe(1)
    lease.release()
  })

  it('opens other connections while one hangs (case 26)', async () => {
    const { pool, driver } = makePool(options)
    const hanging = new Pending()
    driver.onConnect = (attempt) => (attempt === 1 ? hanging : undefined)
    const [first, second] = [pool.acquire(), pool.acquire()]
    ;(await first).release()
    hanging.resolve()
    ;(await second).release()
    await settle()
    expect(pool.stats()).toMatchObject({ borrowed: 0, waiting: 0, connecting: 0 })
  })

  it('opens another connection after one was invalidated, once, whatever closing says (cases 5 and 38)', async () => {
    const { pool, driver } = makePool(options)
    const lease = await pool.acquire()
    connectionOf(lease).onClose = () => new Error('no goodbye')
    lease.invalidate()
    lease.invalidate()
    const next = await pool.acquire()
    expect(next.connection).not.toBe(lease.connection)
    await settle()
    expect(connectionOf(lease)).toMatchObject({ open: false, destroys: 1, cancels: 0 })
    expect(driver.open).toEqual([next.connection])
    next.release()
  })

  it('frees the slot of a detached connection, which no other caller gets (cases 8, 39 and 40)', async () => {
    const { pool } = makePool(options)
    const detached: number[] = []
    pool.events.on('detach', ({ connection }) => detached.push(connection.id))
    const lease = await pool.acquire()
    const connection = connectionOf(lease)
    expect(lease.detach()).toBe(connection)
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0 })
    lease.release()
    lease.invalidate()
    expect(() => lease.detach()).toThrow('has ended')
    await pool.dispose()
    expect(connection.open).toBe(true)
    expect(detached).toEqual([1])
  })

  it('ignores a second release (case 41)', async () => {
    const { pool, driver } = makePool(options)
    const lease = await pool.acquire()
    lease.release()
    const next = await pool.acquire()
    lease.release()
    lease.invalidate()
    expect(next.active).toBe(true)
    expect(pool.stats()).toMatchObject({ borrowed: 1, counters: { acquired: 2, released: 1 } })
    expect(driver.open.map(({ id }) => id)).toContain(next.connection.id)
    next.release()
  })

  it('does not ping a connection that was just opened (cases 48 and 49)', async () => {
    const { pool, driver } = makePool(options)
    const lease = await pool.acquire()
    expect(lease.proven).toBe(true)
    lease.invalidate()
    ;(await pool.acquire()).release()
    expect(driver.connections.map(({ pings }) => pings)).toEqual([0, 0])
  })

  it('rejects all waiting callers at once after a fatal connect failure', async () => {
    const { pool, driver } = makePool({ ...options, maxConnecting: 2 })
    driver.onConnect = () => fatal()
    const failures = await Promise.all(Array.from({ length: 20 }, () => failureOf(pool.acquire())))
    expect(new Set(failures)).toHaveLength(1)
    expect(failures[0]).toMatchObject({ sqlState: '28P01', fatal: true })
    await settle()
    expect(driver.attempts).toBeLessThanOrEqual(2)
    expect(pool.stats()).toMatchObject({ size: 0, waiting: 0 })
  })

  it('keeps callers waiting until their own timeout when the failure may pass', async () => {
    const { pool, driver, clock } = makePool({ ...options, poolTimeoutMillis: 1_000 })
    driver.onConnect = () => transient('the server is starting up')
    const late = failureOf(pool.acquire())
    await clock.advance(1_000)
    const error = (await late) as PoolTimeoutError
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error).toMatchObject({ phase: 'connect', waitedMillis: 1_000 })
    expect(error.cause).toMatchObject({ message: 'the server is starting up' })
    const served = pool.acquire({ timeoutMillis: 5_000 })
    driver.onConnect = () => undefined
    await clock.advance(2_000)
    ;(await served).release()
  })

  it('leaves the queue when its signal is aborted, and the connect ends without harm', async () => {
    const { pool, driver } = makePool(options)
    const hanging = new Pending()
    driver.onConnect = () => hanging
    const abort = new AbortController()
    const waiting = failureOf(pool.acquire({ signal: abort.signal }))
    abort.abort(new Error('the client went away'))
    const error = await waiting
    expect(error).toBeInstanceOf(AbortedError)
    expect(error.cause).toMatchObject({ message: 'the client went away' })
    hanging.resolve()
    await settle()
    expect(pool.stats()).toMatchObject({ borrowed: 0, waiting: 0, connecting: 0, counters: { aborted: 1 } })
    expect(await failureOf(pool.acquire({ signal: abort.signal }))).toBeInstanceOf(AbortedError)
  })

  it('does not listen to a signal any longer than it waits', async () => {
    const { pool } = makePool(options)
    const abort = new AbortController()
    const lease = await pool.acquire({ signal: abort.signal })
    abort.abort()
    expect(lease.active).toBe(true)
    expect(pool.stats()).toMatchObject({ waiting: 0, borrowed: 1, counters: { aborted: 0 } })
    lease.release()
  })

  it('refuses new work after dispose and leaves no connection', async () => {
    const { pool, driver, clock } = makePool(options)
    const leases = await acquireMany(pool, 3)
    const disposed = pool.dispose({ timeoutMillis: 1_000 })
    expect(await failureOf(pool.acquire())).toBeInstanceOf(EngineDisposedError)
    leases[0]?.release()
    leases[1]?.invalidate()
    connectionOf(leases[2] as never).busy = true
    await clock.advance(1_000)
    expect(await disposed).toEqual({ closed: 2, forced: 1, rejected: 0, durationMillis: 1_000 })
    expect(await pool.dispose()).toBe(await disposed)
    leases[2]?.release()
    expect(connectionOf(leases[2] as never)).toMatchObject({ cancels: 1, destroys: 1, open: false })
    expect(driver.open).toEqual([])
    expect(clock.timers.all).toBe(0)
    expect(pool.stats()).toMatchObject({ size: 0, borrowed: 0, disposed: true })
  })

  it('refuses to be disposed within a time that is none, and goes on', async () => {
    const { pool } = makePool(options)
    for (const wrong of [{ timeoutMillis: -1 }, { timeoutMillis: NaN }, { timeout: 5 }, 5]) {
      expect(await failureOf(pool.dispose(wrong as never))).toMatchObject({ code: 'INVALID_OPTION' })
    }
    ;(await pool.acquire()).release()
  })

  it('is an async disposable', async () => {
    const { pool } = makePool(options)
    {
      await using scoped = pool
      ;(await scoped.acquire()).release()
    }
    expect(pool.stats()).toMatchObject({ disposed: true, size: 0 })
  })

  it('holds acquires while it is suspended, and their time as well', async () => {
    const { pool, clock } = makePool({ ...options, poolTimeoutMillis: 100 })
    pool.suspend()
    const waiting = pool.acquire()
    await clock.advance(10_000)
    expect(pool.stats()).toMatchObject({ waiting: 1, suspended: true, size: 0 })
    pool.resume()
    ;(await waiting).release()
  })

  it('destroys a connection that comes back while a statement is running on it', async () => {
    const { pool } = makePool(options)
    const lease = await pool.acquire()
    connectionOf(lease).busy = true
    lease.release()
    await settle()
    expect(connectionOf(lease)).toMatchObject({ open: false, destroys: 1, cancels: 1 })
    expect(pool.stats()).toMatchObject({ size: 0, closed: { busy: 1 } })
  })

  it('does not lend a connection again that was lost', async () => {
    const { pool } = makePool(options)
    const lease = await pool.acquire()
    connectionOf(lease).kill(disconnect())
    expect(lease.active).toBe(true)
    lease.release()
    const next = await pool.acquire()
    expect(next.connection).not.toBe(lease.connection)
    next.release()
  })

  it('settles every acquire exactly once and rejects nothing unheard', async () => {
    const unheard: unknown[] = []
    const listener = (reason: unknown): void => void unheard.push(reason)
    process.on('unhandledRejection', listener)
    const { pool, driver, clock } = makePool({ ...options, maxConnecting: 3, poolTimeoutMillis: 500 })
    driver.onConnect = (attempt) => (attempt % 3 === 0 ? transient() : undefined)
    let settled = 0
    const work = Array.from({ length: 40 }, async (__, index) => {
      try {
        const lease = await pool.acquire()
        await settle()
        if (index % 4 === 0) lease.invalidate(disconnect())
        else lease.release()
      } catch (error) {
        expect(error).toBeInstanceOf(PoolTimeoutError)
      }
      settled += 1
    })
    await clock.advance(10_000)
    await Promise.all(work)
    process.off('unhandledRejection', listener)
    expect(settled).toBe(40)
    expect(unheard).toEqual([])
    expect(pool.stats()).toMatchObject({ borrowed: 0, waiting: 0, connecting: 0, closing: 0 })
  })
})
