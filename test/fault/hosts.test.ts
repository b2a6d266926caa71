/** An engine with several hosts: which server a new connection goes to, and what becomes of those that are open. */
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ConnectArgs,
  ConnectError,
  type Engine,
  type EngineOptions,
  type HostOption,
  type PasswordRequest,
  type TargetSessionAttrs,
  createSessionFactory,
} from '../../src/index.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { freePort } from '../helpers/local-process.js'
import { type LocalServer, SUPERUSER, startServer } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()

let primary: LocalServer
let standby: LocalServer
let nothing: HostOption
beforeAll(async () => {
  ;[primary, standby] = await Promise.all([startServer(), startServer()])
  await standby.stop()
  standby.demote()
  await standby.start()
  nothing = { host: '127.0.0.1', port: await freePort() }
})
afterAll(() => Promise.all([primary.dispose(), standby.dispose()]))

function engineFor(
  hosts: readonly HostOption[],
  {
    attrs,
    ...options
  }: EngineOptions & { readonly attrs?: TargetSessionAttrs; readonly connectArgs?: ConnectArgs } = {},
): Engine {
  const connectArgs: ConnectArgs = { ...options.connectArgs, target_session_attrs: attrs }
  return makeEngine({
    hosts: hosts.map(({ host, port }) => ({ host, port })),
    ...SUPERUSER,
    database: 'postgres',
    connectRetry: 'fail',
    ...options,
    connectArgs,
  })
}

async function portOf(engine: Engine): Promise<number> {
  const { withSession } = createSessionFactory({ bind: engine, autocommit: true })
  return Number(await withSession((session) => session.scalar("select current_setting('port')")))
}

describe('target_session_attrs', () => {
  test.each<[TargetSessionAttrs, 'primary' | 'standby']>([
    ['any', 'standby'],
    ['read-write', 'primary'],
    ['read-only', 'standby'],
    ['primary', 'primary'],
    ['standby', 'standby'],
    ['prefer-standby', 'standby'],
  ])('%s leads to the %s, whichever comes first', async (attrs, wanted) => {
    const { port } = wanted === 'primary' ? primary : standby
    expect(await portOf(engineFor([standby, primary], { attrs }))).toBe(port)
    if (attrs !== 'any') expect(await portOf(engineFor([primary, standby], { attrs }))).toBe(port)
  })

  test('prefer-standby takes a primary where no standby answers', async () => {
    expect(await portOf(engineFor([nothing, primary], { attrs: 'prefer-standby' }))).toBe(primary.port)
    expect(await portOf(engineFor([primary], { attrs: 'prefer-standby' }))).toBe(primary.port)
  })

  test('read-write is not primary: a primary whose sessions are read-only is none', async () => {
    const connectArgs = { serverSettings: { default_transaction_read_only: 'on' } }
    expect(await portOf(engineFor([standby, primary], { attrs: 'primary', connectArgs }))).toBe(primary.port)
    const error = await failureOf(portOf(engineFor([standby, primary], { attrs: 'read-write', connectArgs })))
    expect((error as Error).message.match(/its sessions are read-only/g)).toHaveLength(2)
  })

  test('is asked of a single host, too', async () => {
    const error = await failureOf(portOf(engineFor([standby], { attrs: 'primary' })))
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ fatal: false })
    expect((error as Error).message).toMatch(/: it is a standby, and target_session_attrs is primary\.$/)
  })

  test('is asked, whatever the server reports at connect: a pooler may report what was true before', async () => {
    using pooler = await startFakeServer({
      onStatement: (sql) =>
        sql.includes('pg_is_in_recovery()::text')
          ? { tag: 'SELECT 1', columns: ['recovery', 'read_only'], rows: [['true', 'on']] }
          : undefined,
    })
    // It reports in_hot_standby = off.
    const { port } = new URL(pooler.url)
    const engine = engineFor([{ host: '127.0.0.1', port: Number(port) }, primary], { attrs: 'primary' })
    expect(await portOf(engine)).toBe(primary.port)
    expect(pooler.acceptedSockets).toBeGreaterThan(0)
  })

  test('leaves no connection at a server of the wrong role', async () => {
    const engine = engineFor([standby, primary], { attrs: 'primary', name: 'roles' })
    await portOf(engine)
    const others =
      "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    await waitUntil(async () => (await standby.query<{ n: number }>(others))[0]?.n === 0)
  })
})

describe('a host that does not serve', () => {
  test('is passed over: nothing listens, or its name is unknown', async () => {
    const unknown = { host: 'nowhere.invalid' }
    expect(await portOf(engineFor([nothing, unknown, primary]))).toBe(primary.port)
  })

  test('is passed over after hostTimeoutMillis if it takes the connection and says nothing', async () => {
    using proxy = await startProxy(standby.url)
    proxy.blackHole()
    const hole = { host: '127.0.0.1', port: proxy.port }
    expect(await portOf(engineFor([hole, primary], { hostTimeoutMillis: 2_000 }))).toBe(primary.port)
  })

  test('says why, each of them; what may pass is worth another attempt', async () => {
    const error = await failureOf(
      portOf(engineFor([nothing, { host: 'nowhere.invalid' }, standby], { attrs: 'primary' })),
    )
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ fatal: false })
    const where = `lifeguard@127.0.0.1:${String(nothing.port)},nowhere.invalid:5432,127.0.0.1:${String(standby.port)}/postgres`
    const [head, ...lines] = (error as Error).message.split('\n  ')
    expect(head).toBe(`Cannot connect to any of ${where}:`)
    expect(lines).toHaveLength(3)
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^127\.0\.0\.1:\d+: it is a standby, and target_session_attrs is primary\.$/),
        expect.stringMatching(/^127\.0\.0\.1:\d+: nothing listens there \(ECONNREFUSED\)\./),
        expect.stringMatching(
          /^nowhere\.invalid:5432: (the host is unknown \(ENOTFOUND\)|the name service did not answer)/,
        ),
      ]),
    )
    expect(((error as Error).cause as AggregateError).errors).toHaveLength(3)
  })

  test('ends the search if it refuses the password, as with libpq', async () => {
    const error = await failureOf(portOf(engineFor([primary, standby], { password: 'wrong' })))
    expect(error).toMatchObject({ fatal: true, sqlState: '28P01' })
    expect((error as Error).message).toContain(`127.0.0.1:${String(standby.port)}: not tried.`)
  })

  test('does not outlive connectTimeoutMillis', async () => {
    using proxy = await startProxy(standby.url)
    proxy.blackHole()
    const hole = { host: '127.0.0.1', port: proxy.port }
    const engine = engineFor([hole, hole, hole], { hostTimeoutMillis: 60_000, connectTimeoutMillis: 200 })
    const error = await failureOf(portOf(engine))
    expect((error as Error).message).toContain('timed out while')
  })
})

test('the password function is told the host of each attempt', async () => {
  const asked: PasswordRequest[] = []
  const password = (server: PasswordRequest): string => {
    asked.push(server)
    return SUPERUSER.password
  }
  expect(await portOf(engineFor([nothing, primary], { password }))).toBe(primary.port)
  expect(asked).toEqual([
    { host: nothing.host, port: nothing.port },
    { host: primary.host, port: primary.port },
  ])
})

test('a cancel goes to the server of its connection', async () => {
  const engine = engineFor([standby, primary], { attrs: 'primary' })
  const controller = new AbortController()
  const { withSession } = createSessionFactory({ bind: engine })
  const sleeping = withSession((session) => session.execute('select pg_sleep(60)'), {
    signal: controller.signal,
  })
  const sleepers =
    "select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'"
  const count = async (): Promise<number | undefined> => (await primary.query<{ n: number }>(sleepers))[0]?.n
  await waitUntil(async () => (await count()) === 1)
  controller.abort()
  expect(await failureOf(sleeping)).toMatchObject({ code: 'ABORTED' })
  await waitUntil(async () => (await count()) === 0)
})

test('with prefer-standby a refused password is not tried again', async () => {
  let asked = 0
  const password = (): string => {
    asked += 1
    return 'wrong'
  }
  const engine = engineFor([primary, standby], { attrs: 'prefer-standby', password })
  expect(await failureOf(portOf(engine))).toMatchObject({ fatal: true, sqlState: '28P01' })
  expect(asked).toBe(1)
})

test('COPY goes to the host that is meant, in both directions', async () => {
  const { withSession } = createSessionFactory({
    bind: engineFor([nothing, standby, primary], { attrs: 'primary' }),
  })
  await primary.query('create table if not exists copied (n int)')
  await withSession(async (session) => {
    await pipeline(Readable.from(['1\n', '2\n']), await session.copyFrom('copy copied from stdin'))
  })
  const lines = await withSession(async (session) => text(await session.copyTo('copy copied to stdout')))
  expect(lines).toBe('1\n2\n')
  expect(await primary.query('select n from copied')).toHaveLength(2)
})

test('LISTEN goes to the host that is meant', async () => {
  const engine = engineFor([standby, primary], { attrs: 'primary' })
  const listening = engine.listen('hosts', {
    onConnect: () => void primary.query("notify hosts, 'heard'"),
  })
  for await (const { payload } of listening) {
    expect(payload).toBe('heard')
    break
  }
})

test('a new connection that finds another primary replaces the older ones', async () => {
  await using next = await startServer()
  using old = await startProxy(primary.url)
  const engine = engineFor([{ host: '127.0.0.1', port: old.port }, next], {
    attrs: 'primary',
    poolSize: 3,
    maxOverflow: 0,
  })
  const held = await engine.connect()
  expect(await portOf(engine)).toBe(primary.port)
  // The old primary goes on for those that are connected, and takes no others: a partition.
  old.refuse()
  const other = await engine.connect()
  const third = await engine.connect()
  expect(engine.stats()).toMatchObject({ generation: 1, size: 3 })
  await Promise.all([held.close(), other.close(), third.close()])
  const ports = await Promise.all(Array.from({ length: 6 }, () => portOf(engine)))
  expect(new Set(ports)).toEqual(new Set([next.port]))
})
