/** Two servers that both are primaries, because one was promoted while the other went on: an engine never goes back to the older one. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConnectError, type Engine, createSessionFactory } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { type LocalServer, REPLICATION_HBA, SUPERUSER, startServer } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()

let old: LocalServer
let next: LocalServer
let toOld: Proxy
let toNext: Proxy
beforeEach(async () => {
  old = await startServer({ hba: REPLICATION_HBA, settings: { max_wal_senders: 4, wal_level: 'replica' } })
  next = await old.startStandby()
  toOld = await startProxy(old.url)
  toNext = await startProxy(next.url)
})
afterEach(async () => {
  for (const proxy of [toOld, toNext]) proxy.close()
  await Promise.all([old.dispose(), next.dispose()])
})

function engineFor(proxies: readonly Proxy[], target_session_attrs: 'primary' | 'read-write'): Engine {
  return makeEngine({
    hosts: proxies.map(({ port }) => ({ host: '127.0.0.1', port })),
    ...SUPERUSER,
    database: 'postgres',
    connectRetry: 'fail',
    poolSize: 2,
    connectArgs: { target_session_attrs },
  })
}

const portOf = async (engine: Engine): Promise<number> => {
  const { withSession } = createSessionFactory({ bind: engine })
  return Number(await withSession((session) => session.scalar("select current_setting('port')")))
}

/** What a network does that does not lead to a server any more. */
function cut(proxy: Proxy): void {
  proxy.cutNew('reset')
  for (const connection of proxy.connections) void connection.cut('reset')
}

test.each(['primary', 'read-write'] as const)(
  'in a list of hosts (%s): the later one is found, and the older one is refused afterwards',
  async (attrs) => {
    const engine = engineFor([toOld, toNext], attrs)
    const held = await engine.connect()
    expect(await portOf(engine)).toBe(old.port)
    await query(next.url, 'select pg_promote()')
    toOld.cutNew('reset')
    const other = await engine.connect()
    expect(Number((await other.execute("select current_setting('port')")).scalar())).toBe(old.port)
    const third = await engine.connect()
    expect(Number((await third.execute("select current_setting('port')")).scalar())).toBe(next.port)
    await Promise.all([held.close(), other.close(), third.close()])
    expect(await portOf(engine)).toBe(next.port)
    // The network heals, and the later primary cannot be reached.
    toOld.pass()
    cut(toNext)
    const error = await failureOf(portOf(engine))
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ fatal: false })
    expect((error as Error).message).toContain(
      'it is an older primary (timeline 1, and a primary of timeline 2 was found before)',
    )
    toNext.pass()
    expect(await portOf(engine)).toBe(next.port)
  },
)

test('behind one address: connections to the later one replace those to the older one, and not the other way round', async () => {
  const engine = engineFor([toOld], 'primary')
  const held = await engine.connect()
  await query(next.url, 'select pg_promote()')
  toOld.redirect(next.url)
  expect(await portOf(engine)).toBe(next.port)
  await held.close()
  expect(await Promise.all([portOf(engine), portOf(engine)])).toEqual([next.port, next.port])
  toOld.redirect(old.url)
  await Promise.all(toOld.connections.map((connection) => connection.cut('reset')))
  expect(((await failureOf(portOf(engine))) as Error).message).toContain('it is an older primary')
})
