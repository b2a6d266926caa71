/** An administrator ends sessions, or takes the server out of service. */
import { describe, expect, test } from 'vitest'
import {
  ConnectionLostError,
  createSessionFactory,
  isDisconnect,
  isRetryable,
  ReadOnlyError,
  type Engine,
  type Session,
} from '../../src/index.js'
import { startServer } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { socketsAreRead, waitUntil } from '../helpers/wait-until.js'
import { failureOf, pass, useEngines, useServer } from './support.js'

const engine = useEngines()
const server = useServer()

function select(pool: Engine): Promise<unknown> {
  return createSessionFactory({ bind: pool }).withSession((session) => session.scalar('select 1'))
}

function pidOf(on: Pick<Session, 'scalar'>): Promise<number | null> {
  return on.scalar<number>('select pg_backend_pid()')
}

async function terminate(pid: number | null): Promise<void> {
  await server().query('select pg_terminate_backend($1, 5000)', [pid])
  await socketsAreRead()
}

describe('pg_terminate_backend', () => {
  test('on an idle connection fails no call, and does not affect the others', async () => {
    const pool = engine({ url: server().url })
    const held = await Promise.all([pool.connect(), pool.connect()])
    const [pid] = await Promise.all(held.map(pidOf))
    await Promise.all(held.map((connection) => connection.close()))
    await terminate(pid ?? null)
    await waitUntil(() => pool.stats().size === 1)
    expect(await Promise.all([select(pool), select(pool)])).toEqual([1, 1])
    expect(pool.stats()).toMatchObject({ generation: 0, closed: { lost: 1 } })
  })

  test('on a borrowed connection without a transaction is not even noticed', async () => {
    const pool = engine({ url: server().url })
    await using connection = await pool.connect()
    const pid = await pidOf(connection)
    await connection.commit()
    await terminate(pid)
    expect(await pidOf(connection)).not.toBe(pid)
  })

  test('between two statements loses the transaction, once and for all, and the session goes on after rollback', async () => {
    await server().query('create table kept (id int)')
    const pool = engine({ url: server().url })
    await using session = createSessionFactory({ bind: pool })()
    await session.execute('insert into kept values (1)')
    await terminate(await pidOf(session))

    for (let attempt = 0; attempt < 2; attempt++) {
      const error = await failureOf(session.execute('insert into kept values (2)'))
      expect(error).toBeInstanceOf(ConnectionLostError)
      expect(error).toMatchObject({ cause: { sqlState: '57P01' } })
      expect(error.message).toContain('safe to run the whole transaction again')
      expect(isRetryable(error)).toBe(true)
    }
    expect(await failureOf(session.commit())).toBeInstanceOf(ConnectionLostError)
    await session.rollback()
    await session.execute('insert into kept values (3)')
    await session.commit()
    expect(await server().query('select id from kept')).toEqual([{ id: 3 }])
  })

  test('during a statement says so, and the block is not repeated unless that was asked for', async () => {
    const pool = engine({ url: server().url })
    const { withSession } = createSessionFactory({ bind: pool })
    let runs = 0
    const work = async (session: Session): Promise<number | null> => {
      runs++
      const pid = await pidOf(session)
      if (runs === 1) void waitUntil(() => pool.stats().borrowed === 1).then(() => terminate(pid))
      await session.execute('select pg_sleep($1)', [runs === 1 ? 60 : 0])
      return runs
    }
    const error = await failureOf(withSession(work))
    expect(error).toBeInstanceOf(ConnectionLostError)
    expect(error.cause).toMatchObject({ sqlState: '57P01' })
    expect(runs).toBe(1)

    runs = 0
    expect(await withSession(work, { retry: { attempts: 2 } })).toBe(2)
  })

  test('on every connection at once fails one call per connection, and no later call', async () => {
    const pool = engine({ url: server().url, poolSize: 5, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const busy = Array.from({ length: 5 }, () =>
      failureOf(withSession((session) => session.execute('select pg_sleep(60)'))),
    )
    await waitUntil(async () => (await sleepers()) === 5)
    const later = Array.from({ length: 20 }, () => select(pool))
    await server().query(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep(60)%'",
    )
    await Promise.all(busy)
    expect(await Promise.all(later)).toEqual(later.map(() => 1))
    expect(pool.stats().generation).toBe(1)
  })
})

async function sleepers(): Promise<number> {
  const active = "select 1 from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'"
  return (await server().query(active)).length
}

describe('idle_in_transaction_session_timeout', () => {
  test('ends a transaction whose block dawdles; the next statement says so, and the process lives', async () => {
    const pool = engine({ url: server().url, idleInTransactionTimeoutMillis: 50 })
    const work = createSessionFactory({ bind: pool }).withSession(async (session) => {
      const pid = await pidOf(session)
      // The block waits for something that is not the database.
      await waitUntil(
        async () =>
          (await server().query(`select from pg_stat_activity where pid = ${String(pid)}`)).length === 0,
      )
      await session.execute('select 2')
    })
    const error = await failureOf(work)
    expect(error).toBeInstanceOf(ConnectionLostError)
    expect(error.cause).toMatchObject({ sqlState: '25P03' })
    expect(error.cause).toMatchObject({
      message: expect.stringContaining('idle-in-transaction timeout') as string,
    })
    expect(await select(pool)).toBe(1)
  })
})

describe('a failover', () => {
  test('25006 replaces every connection, and the next call reaches the new primary', async () => {
    await using next = await startServer()
    await server().query('create table written (at text)')
    await next.query('create table written (at text)')
    using proxy = await startProxy(server().url)
    const pool = engine({ url: proxy.url, poolSize: 3, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    const write = (): Promise<unknown> =>
      withSession((session) => session.execute("insert into written values (current_setting('port'))"))
    const held = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
    await Promise.all(held.map((connection) => connection.close()))

    // The old primary goes on to answer, but takes no writes any more; new connections lead to the new one.
    await server().query('alter system set default_transaction_read_only = on')
    await server().query('select pg_reload_conf()')
    proxy.redirect(next.url)
    await waitUntil(async () => {
      const [row] = await server().query<{ on: string }>(
        "select current_setting('transaction_read_only') as on",
      )
      return row?.on === 'on'
    })
    // Reads are none the wiser: the connections are well.
    expect(await select(pool)).toBe(1)
    expect(pool.stats()).toMatchObject({ idle: 3, generation: 0, counters: { connected: 3 } })

    const error = await failureOf(write())
    expect(error).toBeInstanceOf(ReadOnlyError)
    expect(error).toMatchObject({ sqlState: '25006' })
    expect(isDisconnect(error)).toBe(true)
    // Nothing was stored, and a fresh connection leads to the new primary.
    expect(isRetryable(error)).toBe(true)
    await Promise.all([write(), write(), write()])
    expect(pool.stats().generation).toBe(1)
    expect(await next.query('select at from written')).toEqual(
      Array.from({ length: 3 }, () => ({ at: String(next.port) })),
    )
    await server().query('alter system reset default_transaction_read_only')
    await server().query('select pg_reload_conf()')
  })

  test('25006 where the session may write is run again by retry, on a fresh connection', async () => {
    await using next = await startServer()
    await server().query('create table retried (at text)')
    await next.query('create table retried (at text)')
    using proxy = await startProxy(server().url)
    const pool = engine({ url: proxy.url, poolSize: 3, maxOverflow: 0 })
    const { withSession } = createSessionFactory({ bind: pool })
    for (const autocommit of [false, true]) {
      proxy.redirect(server().url)
      pool.refresh()
      await select(pool)
      await server().query('alter system set default_transaction_read_only = on')
      await server().query('select pg_reload_conf()')
      await waitUntil(async () => {
        const [row] = await server().query<{ on: string }>('show default_transaction_read_only')
        return Object.values(row ?? {})[0] === 'on'
      })
      proxy.redirect(next.url)
      await withSession(
        (session) => session.execute("insert into retried values (current_setting('port'))"),
        { retry: { attempts: 2, backoff: () => 0 }, autocommit },
      )
      await server().query('alter system reset default_transaction_read_only')
      await server().query('select pg_reload_conf()')
    }
    const at = String(next.port)
    expect(await next.query('select at from retried')).toEqual([{ at }, { at }])
    expect(await server().query('select at from retried')).toEqual([])
  })

  test.each([{ readOnly: false }, { isolationLevel: 'SERIALIZABLE' as const }])(
    'a BEGIN that a standby refuses (%o) is run again by retry, on the new primary',
    async (options) => {
      await using old = await startServer()
      await using next = await startServer()
      await next.query('create table begun (at text)')
      using proxy = await startProxy(old.url)
      const pool = engine({ url: proxy.url, poolSize: 2, maxOverflow: 0 })
      const { withSession } = createSessionFactory({ bind: pool })
      await old.stop()
      old.demote()
      await old.start()
      const write = (session: Session): Promise<unknown> =>
        session.execute("insert into begun values (current_setting('port'))")
      const error = await failureOf(withSession(write, options))
      expect(error).toBeInstanceOf(ReadOnlyError)
      expect(error).toMatchObject({ sqlState: '0A000' })
      expect([isDisconnect(error), isRetryable(error)]).toEqual([true, true])
      // A session that only reads is told that another attempt helps nothing.
      const reading = await failureOf(
        withSession(write, { ...options, isolationLevel: 'SERIALIZABLE', readOnly: true }),
      )
      expect(isRetryable(reading)).toBe(false)
      let attempts = 0
      await withSession(
        (session) => {
          if (++attempts === 2) expect(pool.stats().generation).toBeGreaterThan(0)
          proxy.redirect(next.url)
          return write(session)
        },
        { ...options, retry: { attempts: 2, backoff: () => 0 } },
      )
      expect(await next.query('select at from begun')).toEqual([{ at: String(next.port) }])
    },
  )

  test('25006 in a transaction that was to be read-only means nothing', async () => {
    const pool = engine({ url: server().url })
    const { withSession } = createSessionFactory({ bind: pool })
    const error = await failureOf(
      withSession((session) => session.execute('create table never ()'), { readOnly: true }),
    )
    expect(error).toBeInstanceOf(ReadOnlyError)
    expect(isRetryable(error)).toBe(false)
    expect(pool.stats()).toMatchObject({ generation: 0, size: 1 })
  })

  test('can be planned: suspended callers wait, whatever their time, and refresh sends them to the new primary', async () => {
    await using next = await startServer()
    using proxy = await startProxy(server().url)
    const poolTimeoutMillis = 2_000
    const pool = engine({ url: proxy.url, poolSize: 3, maxOverflow: 0, poolTimeoutMillis })
    const { withSession } = createSessionFactory({ bind: pool })
    const port = (): Promise<unknown> =>
      withSession((session) => session.scalar("select current_setting('port')"))
    expect(await port()).toBe(String(server().port))
    pool.suspend()
    const since = performance.now()
    const calls = Array.from({ length: 10 }, port)
    await waitUntil(() => pool.stats().waiting === 10)
    await waitUntil(() => performance.now() - since > 1.1 * poolTimeoutMillis)
    proxy.redirect(next.url)
    pool.refresh()
    await waitUntil(() => pool.stats().size === 0)
    // The failover takes longer than the callers would wait for a connection.
    await pass(200)
    pool.resume()
    expect(new Set(await Promise.all(calls))).toEqual(new Set([String(next.port)]))
  })
})
