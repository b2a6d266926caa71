/** A primary that does not answer any more while another one is promoted: nothing is waited for there, and a healthy one is left alone. */
import { describe, expect, test } from 'vitest'
import { type Engine, createSessionFactory, isRetryable, type SessionFactory } from '../../src/index.js'
import { listenTo } from '../helpers/listener.js'
import { type LocalServer, SUPERUSER } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'
import { useTwoPrimaries } from '../helpers/two-primaries.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()

const servers = useTwoPrimaries('create table notes (text text primary key)')

function engineOf(
  poolSize: number,
  { more = [], hostTimeoutMillis }: { more?: readonly Proxy[]; hostTimeoutMillis?: number } = {},
): { engine: Engine; factory: SessionFactory } {
  const engine = makeEngine({
    hostTimeoutMillis,
    hosts: [servers.toOld, ...more, servers.toNext].map(({ port }) => ({ host: '127.0.0.1', port })),
    ...SUPERUSER,
    database: 'postgres',
    poolSize,
    maxOverflow: 0,
    connectArgs: {
      target_session_attrs: 'primary',
      serverSettings: { synchronous_commit: 'on', application_name: 'watched' },
    },
  })
  return { engine, factory: createSessionFactory({ bind: engine }) }
}

const portOf = ({ withSession }: SessionFactory): Promise<unknown> =>
  withSession((session) => session.scalar("select current_setting('port')::int"))

/** Backends of the engine at a server, by what they wait for. */
const waits = async (server: LocalServer): Promise<unknown[]> =>
  (
    await server.query<{ event: string }>(
      "select coalesce(wait_event, '') as event from pg_stat_activity where application_name = 'watched'",
    )
  ).map(({ event }) => event)

/** From now on every COMMIT waits for a standby, as in a synchronous cluster. */
async function makeSynchronous(): Promise<void> {
  await servers.old.query("alter system set synchronous_standby_names = '*'")
  await servers.old.query('select pg_reload_conf()')
}

describe('a primary that waits for a standby which was promoted', () => {
  test('is not waited for: the COMMIT is unknown, and the next write goes to the later primary', async () => {
    await makeSynchronous()
    const { engine, factory } = engineOf(2)
    await factory.withSession((session) => session.execute("insert into notes values ('replicated')"))
    await servers.promote()
    const told = await Promise.all(
      ['a', 'b'].map((text) =>
        failureOf(factory.withSession((session) => session.execute('insert into notes values ($1)', [text]))),
      ),
    )
    for (const error of told) {
      expect(error).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
      const cause = (error as Error).cause as Error
      expect(cause.message).toBe(
        `127.0.0.1:${String(servers.toNext.port)} was promoted (timeline 2), so the connection to 127.0.0.1:${String(servers.toOld.port)} (timeline 1) was closed`,
      )
    }
    expect(await portOf(factory)).toBe(servers.next.port)
    expect(await servers.next.query('select text from notes')).toEqual([{ text: 'replicated' }])
    expect(engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
  })

  test('still answers new connections: they are not made there', async () => {
    await makeSynchronous()
    const { factory } = engineOf(2)
    const waiting = failureOf(
      (async () => {
        await factory.withSession(async (session) => {
          await session.execute("insert into notes values ('a')")
          await servers.promote()
        })
      })(),
    )
    expect(await waiting).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
    expect(await Promise.all(Array.from({ length: 4 }, () => portOf(factory)))).toEqual(
      Array.from({ length: 4 }, () => servers.next.port),
    )
  })
})

describe('a primary that falls silent in a transaction', () => {
  test('is not waited for when another one is promoted: the block may be run again', async () => {
    const { factory } = engineOf(1)
    const runs: number[] = []
    const block = factory.withSession(
      async (session) => {
        runs.push(Number(await session.scalar("select current_setting('port')::int")))
        if (runs.length === 1) {
          servers.toOld.blackHole()
          await servers.promote()
        }
        await session.execute("insert into notes values ('a')")
      },
      { retry: { attempts: 3 } },
    )
    await block
    expect(runs).toEqual([servers.old.port, servers.next.port])
    expect(await servers.next.query('select text from notes')).toEqual([{ text: 'a' }])
  })

  test('tells a block without retry that it may', async () => {
    const { factory } = engineOf(1)
    const error = await failureOf(
      factory.withSession(async (session) => {
        await session.execute('select 1')
        servers.toOld.blackHole()
        await servers.promote()
        await session.execute("insert into notes values ('a')")
      }),
    )
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
    expect(isRetryable(error)).toBe(true)
  })
})

test('another host that is silent, too, does not delay the questions to the others', async () => {
  using hole = await startProxy(servers.next.url)
  hole.blackHole()
  const { factory } = engineOf(1, { more: [hole], hostTimeoutMillis: 60_000 })
  const error = await failureOf(
    factory.withSession(async (session) => {
      await session.execute('select 1')
      servers.toOld.blackHole()
      const hanging = session.execute("insert into notes values ('a')")
      void hanging.catch(() => undefined)
      await waitUntil(() => servers.toNext.roundTrips >= 2)
      await servers.promote()
      await hanging
    }),
  )
  expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
})

test('a connection that is held while a later primary is found leads to no write at the older one', async () => {
  const { engine, factory } = engineOf(2)
  const held = await engine.connect()
  await held.execute("insert into notes values ('before')")
  await held.commit()
  await held.execute("insert into notes values ('lost')")
  await servers.promote()
  // The network leads new connections to the later one only.
  servers.toOld.cutNew('reset')
  expect(await portOf(factory)).toBe(servers.next.port)
  const error = await failureOf(held.execute("insert into notes values ('later')"))
  expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
  await held.close()
  expect(await servers.old.query('select text from notes')).toEqual([{ text: 'before' }])
})

test('LISTEN at a primary that goes on is moved to the later one, and idle connections leave the pool', async () => {
  const { engine, factory } = engineOf(2)
  const songs = listenTo(engine, 'songs')
  await waitUntil(() => songs.connects === 1)
  const held = await engine.connect()
  await held.execute('select 1')
  await portOf(factory)
  expect(engine.stats()).toMatchObject({ idle: 1, borrowed: 1 })
  await servers.promote()
  servers.toOld.cutNew('reset')
  // The engine finds the later primary by the connection that it opens for this listener.
  const others = listenTo(engine, 'others')
  await waitUntil(() => songs.connects === 2 && others.connects === 1)
  await waitUntil(() => engine.stats().idle === 0)
  await servers.next.query("notify songs, 'after'")
  await waitUntil(() => songs.received.length === 1)
  expect(songs.received).toEqual(['after'])
  await Promise.all([songs.stop(), others.stop()])
  await held.close()
})

test('a statement that takes long is left alone: one connection asks each other host, and is closed afterwards', async () => {
  const { engine, factory } = engineOf(1)
  await using blocker = await engineOf(1).engine.connect()
  await blocker.execute('select pg_advisory_lock(7)')
  servers.toNext.reset()
  const long = factory.withSession((session) => session.scalar('select pg_advisory_lock(7) is not null'))
  await waitUntil(() => servers.toNext.roundTrips >= 3, { message: () => String(servers.toNext.roundTrips) })
  expect([servers.toNext.connections.length, servers.toNext.openConnections]).toEqual([1, 1])
  expect(await waits(servers.next)).toHaveLength(1)
  await blocker.execute('select pg_advisory_unlock(7)')
  expect(await long).toBe(true)
  await waitUntil(() => servers.toNext.openConnections === 0)
  expect(engine.stats().counters).toMatchObject({ connected: 1 })
})

test('the end of an engine ends the questions, too', async () => {
  const { engine, factory } = engineOf(1)
  const controller = new AbortController()
  const long = failureOf(
    factory.withSession((session) => session.execute('select pg_sleep(60)'), { signal: controller.signal }),
  )
  await waitUntil(() => servers.toNext.openConnections === 1)
  controller.abort()
  expect(await long).toMatchObject({ code: 'ABORTED' })
  await engine.dispose()
  await waitUntil(() => servers.toNext.openConnections === 0)
})

test('many other hosts are asked without a warning of too many listeners', async () => {
  const { factory } = engineOf(1, { more: Array.from({ length: 20 }, () => servers.toNext) })
  const warnings: string[] = []
  const onWarning = ({ name }: Error): void => void warnings.push(name)
  process.on('warning', onWarning)
  try {
    const controller = new AbortController()
    const long = failureOf(
      factory.withSession((session) => session.execute('select pg_sleep(60)'), { signal: controller.signal }),
    )
    await waitUntil(() => servers.toNext.openConnections === 21)
    controller.abort()
    await long
    await waitUntil(() => servers.toNext.openConnections === 0)
  } finally {
    process.off('warning', onWarning)
  }
  expect(warnings).toEqual([])
})
