/** Two servers that both are primaries, because one was promoted while the other went on: an engine never goes back to the older one. */
import { expect, test } from 'vitest'
import { ConnectError, type Engine, createSessionFactory } from '../../src/index.js'
import { SUPERUSER } from '../helpers/local-server.js'
import type { Proxy } from '../helpers/proxy.js'
import { useTwoPrimaries } from '../helpers/two-primaries.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()

const servers = useTwoPrimaries()

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
    const engine = engineFor([servers.toOld, servers.toNext], attrs)
    const held = await engine.connect()
    expect(await portOf(engine)).toBe(servers.old.port)
    await servers.promote()
    servers.toOld.cutNew('reset')
    const other = await engine.connect()
    expect(Number((await other.execute("select current_setting('port')")).scalar())).toBe(servers.old.port)
    const third = await engine.connect()
    expect(Number((await third.execute("select current_setting('port')")).scalar())).toBe(servers.next.port)
    await Promise.all([held.close(), other.close(), third.close()])
    expect(await portOf(engine)).toBe(servers.next.port)
    // The network heals, and the later primary cannot be reached.
    servers.toOld.pass()
    cut(servers.toNext)
    const error = await failureOf(portOf(engine))
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({ fatal: false })
    expect((error as Error).message).toContain(
      'it is an older primary (timeline 1, and a primary of timeline 2 was found before)',
    )
    servers.toNext.pass()
    expect(await portOf(engine)).toBe(servers.next.port)
  },
)

test('behind one address: connections to the later one replace those to the older one, and not the other way round', async () => {
  const engine = engineFor([servers.toOld], 'primary')
  const held = await engine.connect()
  await servers.promote()
  servers.toOld.redirect(servers.next.url)
  expect(await portOf(engine)).toBe(servers.next.port)
  await held.close()
  expect(await Promise.all([portOf(engine), portOf(engine)])).toEqual([servers.next.port, servers.next.port])
  servers.toOld.redirect(servers.old.url)
  await Promise.all(servers.toOld.connections.map((connection) => connection.cut('reset')))
  expect(((await failureOf(portOf(engine))) as Error).message).toContain('it is an older primary')
})
