/** The server, or the way to it, refuses every connection. */
import dns from 'node:dns'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  ConnectError,
  createSessionFactory,
  PoolTimeoutError,
  type ConnectionOptions,
  type Engine,
  type EngineOptions,
} from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines, useServer } from './support.js'

const engine = useEngines()
const server = useServer({
  settings: { max_connections: 8, superuser_reserved_connections: 3, max_wal_senders: 0 },
})
afterEach(() => {
  vi.restoreAllMocks()
})

function select(pool: Engine, options?: ConnectionOptions): Promise<unknown> {
  return createSessionFactory({ bind: pool }).withSession((session) => session.scalar('select 1'), options)
}

/** Waits for the first failure, which the error of a timeout has as its cause: on a slow machine the timeout may come before. */
async function hasFailedToConnect(pool: Engine): Promise<void> {
  await waitUntil(() => pool.stats().counters.connectFailed > 0)
}

function times<Value>(count: number, make: () => Value): Value[] {
  return Array.from({ length: count }, make)
}

describe('a password', () => {
  test('that is wrong is told to 20 waiters long before their time is over, and the pool works once it is right', async () => {
    using proxy = await startProxy(server().url)
    let password = 'wr0ng-secret'
    const pool = engine({ url: proxy.url, password: () => password, poolSize: 4, maxOverflow: 0 })
    const from = performance.now()
    const errors = await Promise.all(times(20, () => failureOf(select(pool))))
    expect(performance.now() - from).toBeLessThan(15_000)
    for (const error of errors) {
      expect(error).toBeInstanceOf(ConnectError)
      expect(error).toMatchObject({ fatal: true, sqlState: '28P01' })
      expect(error.message).toMatch(
        /password authentication failed .* Check the user name and the password\.$/,
      )
      expect(error.message).not.toContain(password)
    }
    // One attempt tells everybody; a second may have been under way.
    expect(proxy.connections.length).toBeLessThanOrEqual(2)
    await waitUntil(() => pool.stats().size === 0)

    password = server().password
    expect(await Promise.all(times(20, () => select(pool)))).toEqual(times(20, () => 1))
  })

  test('is asked for each new connection: after a rotation old connections live on, and new ones are let in', async () => {
    const asked: string[] = []
    let password = 'first'
    await query(server().url, "create role rotating login password 'first'")
    const pool = engine({
      url: server().url,
      user: 'rotating',
      password: async () => {
        asked.push(password)
        return Promise.resolve(password)
      },
    })
    const old = await pool.connect()
    const before = await old.scalar('select pg_backend_pid()')

    await query(server().url, "alter role rotating password 'second'")
    password = 'second'
    const fresh = await pool.connect()
    expect(await fresh.scalar('select pg_backend_pid()')).not.toBe(before)
    expect(await old.scalar('select pg_backend_pid()')).toBe(before)
    expect(asked).toEqual(['first', 'second'])
    await Promise.all([old.close(), fresh.close()])
  })

  test('that is not rotated here yet fails new connections only', async () => {
    await query(server().url, "create role late login password 'first'")
    const pool = engine({ url: server().url, user: 'late', password: 'first' })
    await select(pool)
    await query(server().url, "alter role late password 'second'")
    expect(await select(pool)).toBe(1)
    const held = await pool.connect()
    expect(await failureOf(pool.connect())).toMatchObject({ name: 'ConnectError', sqlState: '28P01' })
    expect(await held.scalar('select 1')).toBe(1)
    await held.close()
    expect(await select(pool)).toBe(1)
  })
})

describe('max_connections', () => {
  test('that is reached makes calls wait for what the pool has, and all of them succeed', async () => {
    await query(server().url, "create role guest login password 'guest'")
    const guest: EngineOptions = { url: server().url, user: 'guest', password: 'guest', poolSize: 10 }
    const others = engine(guest)
    const taken = await Promise.all(times(3, () => others.connect()))
    const pool = engine(guest)
    const { withSession } = createSessionFactory({ bind: pool })
    const calls = times(30, () => withSession((session) => session.scalar('select 1 from pg_sleep(0.01)')))
    expect(await Promise.all(calls)).toEqual(times(30, () => 1))
    const { connected, connectFailed, timedOut } = pool.stats().counters
    expect({ connected, timedOut }).toEqual({ connected: 2, timedOut: 0 })
    expect(connectFailed).toBeGreaterThan(0)

    // The next caller does not wait for a release: there is room in this pool, and soon at the server.
    const held = await Promise.all(times(2, () => pool.connect()))
    const third = pool.connect()
    await waitUntil(() => pool.stats().counters.connectFailed > connectFailed)
    await Promise.all(taken.map((connection) => connection.close()))
    await others.dispose()
    await Promise.all([...held, await third].map((connection) => connection.close()))
  })

  test('that leaves nothing at all is waited for as well, and named when the time is over', async () => {
    await query(server().url, "create role crowded login password 'crowded' connection limit 0")
    const pool = engine({ url: server().url, user: 'crowded', password: 'crowded' })
    const patient = select(pool)
    await hasFailedToConnect(pool)
    const error = await failureOf(select(pool, { poolTimeoutMillis: 200 }))
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error).toMatchObject({ phase: 'connect', cause: { sqlState: '53300' } })
    expect(error.message).toContain('use smaller pools or a pooler')

    await query(server().url, 'alter role crowded connection limit 1')
    expect(await patient).toBe(1)
  })
})

describe('a server that accepts and then says nothing', () => {
  test('is given up after connectTimeoutMillis, never met by more than maxConnecting sockets, and used when it speaks', async () => {
    let answer: 'silence' | 'welcome' = 'silence'
    using fake = await startFakeServer({
      onStartup: () => answer,
      onStatement: (sql) =>
        sql === 'select 1' ? { tag: 'SELECT 1', columns: ['?'], rows: [['1']] } : undefined,
    })
    const pool = engine({ url: fake.url, connectTimeoutMillis: 100, maxConnecting: 2, poolSize: 10 })
    const patient = times(20, () => select(pool))
    await hasFailedToConnect(pool)
    const error = await failureOf(select(pool, { poolTimeoutMillis: 500 }))
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect(error.message).toContain('timed out while authenticating')
    expect(fake.mostSockets).toBeLessThanOrEqual(2)

    answer = 'welcome'
    expect(await Promise.all(patient)).toEqual(times(20, () => '1'))
  })

  test('is a connect error at once with connectRetry fail', async () => {
    using fake = await startFakeServer({ onStartup: () => 'silence' })
    const pool = engine({ url: fake.url, connectTimeoutMillis: 100, connectRetry: 'fail' })
    const error = await failureOf(select(pool))
    expect(error).toMatchObject({ name: 'ConnectError', fatal: false })
    expect(error.message).toContain('timed out while authenticating')
    await waitUntil(() => fake.openSockets === 0)
  })
})

describe('a name', () => {
  type Callback = (error: NodeJS.ErrnoException | null, address?: string, family?: number) => void

  /** The name service says that until it is restored. */
  function dnsFails(code: 'ENOTFOUND' | 'EAI_AGAIN'): { mockRestore(): void } {
    const fail = (host: string, _: unknown, callback: Callback): void => {
      const error = Object.assign(new Error(`getaddrinfo ${code} ${host}`), { code, syscall: 'getaddrinfo' })
      process.nextTick(callback, error)
    }
    return vi.spyOn(dns, 'lookup').mockImplementation(fail as never)
  }

  test('that does not exist fails every waiter now', async () => {
    dnsFails('ENOTFOUND')
    const pool = engine({ host: 'db.example', user: 'me', password: 'secret' })
    for (const error of await Promise.all(times(20, () => failureOf(select(pool))))) {
      expect(error).toMatchObject({ name: 'ConnectError', fatal: true })
      expect(error.message).toContain('the host is unknown (ENOTFOUND). Check the name of the host.')
    }
  })

  test('that the name service cannot answer for now is asked for again, and the calls succeed', async () => {
    const lookup = dnsFails('EAI_AGAIN')
    const pool = engine({ url: server().url, host: 'localhost' })
    const calls = times(20, () => select(pool))
    await waitUntil(() => pool.stats().counters.connectFailed >= 4)
    expect(pool.stats().lastConnectError?.message).toContain('the name service did not answer (EAI_AGAIN)')
    lookup.mockRestore()
    expect(await Promise.all(calls)).toEqual(times(20, () => 1))
  })
})
