/** Read-only sessions inside of blocks that write, and several factories with the same engines. */
import { tracingChannel } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import { createSessionFactory, type Propagation, type Session, type SessionFactory } from '../../src/index.js'
import { Engine } from '../../src/engine/engine.js'
import { resolveEngineOptions } from '../../src/engine/options.js'
import { withRollback } from '../../src/integrations/testing.js'
import { systemClock } from '../../src/internal/clock.js'
import { type LocalServer, SUPERUSER } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { nextValue, portOf, reach, type Seen, type Servers, useCluster, WHERE } from './replica-servers.js'

const { cluster, makeEngine, serversFor } = useCluster()

const port = (factory: SessionFactory, propagation?: Propagation): Promise<unknown> =>
  factory.withSession((session) => session.scalar("select current_setting('port')::int"), {
    readOnly: true,
    propagation,
  })

describe('inside of a block that writes', () => {
  test.each([undefined, 'requiresNew', 'required', 'nested'] as const)(
    'a read-only block reads from the primary (propagation %s)',
    async (propagation) => {
      const { factory, write } = serversFor(cluster.standby.url, { consistency: 'eventual' })
      await factory.withSession(async () => {
        expect(await port(factory, propagation)).toBe(cluster.primary.port)
      })
      // No replica could have done this read, so it is not counted.
      expect(write.stats().primaryReads).toMatchObject({ behind: 0, 'no replica': 0 })
      expect(await port(factory, propagation)).toBe(cluster.standby.port)
    },
  )

  test('it sees what the flow has committed, although the replica has not', async () => {
    const { factory } = serversFor(cluster.late.url, { consistency: 'eventual' })
    const wrote = nextValue()
    await cluster.late.query('select pg_wal_replay_pause()')
    try {
      await factory.withSession(async (session) => {
        await session.execute('update notes set n = $1 where id = 30', [wrote])
        await session.commit()
        const seen = await factory.withSession((inner) => inner.scalar('select n from notes where id = 30'), {
          readOnly: true,
        })
        expect(seen).toBe(wrote)
      })
    } finally {
      await cluster.late.query('select pg_wal_replay_resume()')
    }
  })

  test('so does a block in that block, and a session that is made by hand', async () => {
    const { factory } = serversFor(cluster.standby.url)
    await factory.withSession(async () => {
      await factory.withSession(async () => expect(await port(factory)).toBe(cluster.primary.port), {
        readOnly: true,
      })
      await using session = factory({ readOnly: true })
      expect(await session.scalar("select current_setting('port')::int")).toBe(cluster.primary.port)
    })
  })

  test('a block of another factory, or after the end of the writing one, is not concerned', async () => {
    const [one, other] = [serversFor(cluster.standby.url), serversFor(cluster.standby.url)]
    let later: (() => Promise<unknown>) | undefined
    await one.factory.withSession(async (session) => {
      expect(await port(other.factory)).toBe(cluster.standby.port)
      later = () => port(one.factory)
      await session.close()
      expect(await later()).toBe(cluster.standby.port)
    })
  })

  test('a block in a read-only block goes to a replica', async () => {
    const { factory } = serversFor(cluster.standby.url)
    await factory.withSession(async () => expect(await port(factory)).toBe(cluster.standby.port), {
      readOnly: true,
    })
  })
})

test.each(['commit', 'rollback'] as const)(
  'a transaction that begins in the tick of the %s before it, and so on the same connection, sees a write of unknown position',
  async (end) => {
    const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 0, detectSharing: false })
    await cluster.late.query('select pg_wal_replay_pause()')
    try {
      await using session = factory({ readOnly: true })
      expect(await session.scalar("select current_setting('port')::int")).toBe(cluster.late.port)
      for (const next of ['the replica', 'the primary']) {
        const wrote = nextValue()
        await factory.withSession((writer) => writer.executeScript(`update notes set n = ${String(wrote)}`), {
          autocommit: true,
        })
        const ended = session[end]()
        const seen = await session.execute<Seen>(WHERE, [31])
        await ended
        expect([next, seen.one()]).toEqual([next, { n: wrote, port: cluster.primary.port }])
      }
    } finally {
      await cluster.late.query('select pg_wal_replay_resume()')
    }
  },
)

test('a transaction that goes on to another server is one to hooks and tracing channels', async () => {
  const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 0 })
  const seen: string[] = []
  const channel = tracingChannel<object, { outcome?: string }>('lifeguard:transaction')
  const subscribers = {
    start: () => void seen.push('start'),
    asyncEnd: ({ outcome }: { outcome?: string }) => void seen.push(String(outcome)),
  } as never
  await cluster.late.query('select pg_wal_replay_pause()')
  try {
    await factory.withSession((session) => session.execute('update notes set n = n where id = 32'))
    factory.on('begin', () => void seen.push('hook'))
    channel.subscribe(subscribers)
    expect(await portOf(factory)).toBe(cluster.primary.port)
    expect(seen).toEqual(['start', 'hook', 'committed'])
  } finally {
    channel.unsubscribe(subscribers)
    await cluster.late.query('select pg_wal_replay_resume()')
  }
})

test.each(['session', 'eventual'] as const)(
  'in withRollback, read-only sessions see what the test has written (%s)',
  async (consistency) => {
    const { factory, write } = serversFor(cluster.standby.url, { consistency })
    await withRollback(write, async () => {
      await factory.withSession((session) => session.execute('update notes set n = 777 where id = 31'))
      const row = await factory.withSession((session) => session.execute<Seen>(WHERE, [31]), {
        readOnly: true,
      })
      expect(row.one()).toEqual({ n: 777, port: cluster.primary.port })
    })
    expect(await portOf(factory)).toBe(cluster.standby.port)
    expect(factory.causalityToken()).toBeUndefined()
  },
)

test('an engine that is given twice as a replica is one replica', async () => {
  using proxy = await startProxy(cluster.standby.url)
  const write = makeEngine({ url: cluster.primary.url })
  const read = makeEngine({ url: proxy.url })
  const factory = createSessionFactory({ bind: { write, read: [read, read] }, consistency: 'eventual' })
  expect(await portOf(factory)).toBe(cluster.standby.port)
  proxy.blackHole()
  expect(await portOf(factory)).toBe(cluster.primary.port)
  expect(read.stats().replica).toMatchObject({ reads: 2, ejections: 1, inFlight: 0 })
})

test('factories with the same engines share what is known of them: none overwrites the statistics of another', async () => {
  using proxy = await startProxy(cluster.standby.url)
  const write = makeEngine({ url: cluster.primary.url })
  const read = makeEngine({ url: proxy.url })
  const make = (): SessionFactory => createSessionFactory({ bind: { write, read }, consistency: 'eventual' })
  const [one, other] = [make(), make()]
  for (const factory of [one, other, one]) expect(await portOf(factory)).toBe(cluster.standby.port)
  expect(read.stats().replica).toMatchObject({ reads: 3, ejections: 0 })
  proxy.refuse()
  for (const connection of proxy.connections) void connection.cut('reset')
  for (const factory of [one, other]) expect(await portOf(factory)).toBe(cluster.primary.port)
  const late = make()
  expect(read.stats().replica).toMatchObject({ ejections: 1, isIn: false })
  expect(write.stats().primaryReads).toMatchObject({ 'no replica': 2 })
  expect(await portOf(late)).toBe(cluster.primary.port)
  expect(write.stats().primaryReads).toMatchObject({ 'no replica': 3 })
})

async function see({ factory }: Pick<Servers, 'factory'>, id: number): Promise<Seen> {
  const rows = await factory.withSession((session) => session.execute<Seen>(WHERE, [id]), { readOnly: true })
  return rows.one()
}

test.each<[string, (session: Session, update: string) => Promise<unknown>]>([
  [
    'SET TRANSACTION READ WRITE',
    async (session, update) => {
      await session.execute('set transaction read write')
      return session.execute(update)
    },
  ],
  [
    'SET TRANSACTION READ WRITE in the batch of the write',
    (session, update) =>
      Promise.all([session.execute('set transaction read write'), session.execute(update)]),
  ],
  [
    'transaction_read_only = off, and commit()',
    async (session, update) => {
      await session.execute('set local transaction_read_only = off')
      await session.execute(update)
      await session.commit()
    },
  ],
  ['a script', (session, update) => session.executeScript(`set transaction read write; ${update}`)],
])('a read-only session of the primary that writes is seen by later reads: %s', async (_how, write) => {
  const servers = serversFor(cluster.late.url, { staleWaitMillis: 0 })
  const wrote = nextValue()
  await cluster.late.query('select pg_wal_replay_pause()')
  try {
    await servers.factory.withSession(
      (session) => write(session, `update notes set n = ${String(wrote)} where id = 18`),
      // No standby runs a serializable transaction.
      { readOnly: true, isolationLevel: 'SERIALIZABLE' },
    )
    expect(await see(servers, 18)).toMatchObject({ n: wrote })
  } finally {
    await cluster.late.query('select pg_wal_replay_resume()')
  }
})

test('a read-only session that sets something leaves its flow as it is', async () => {
  const servers = serversFor(cluster.standby.url)
  await servers.factory.withSession(
    async (session) => {
      await session.execute("set local application_name = 'writer'")
      await session.execute(WHERE, [18])
    },
    { readOnly: true },
  )
  expect(servers.factory.causalityToken()).toBeUndefined()
  expect(await see(servers, 18)).toMatchObject({ port: cluster.standby.port })
})

test('a primary that has refused the query for its position is asked again after a while', async () => {
  const user = 'asker'
  const { primary, standby } = cluster
  await primary.query(
    `create role ${user} login password '${SUPERUSER.password}' in role pg_read_all_data;
     revoke execute on function pg_catalog.pg_control_system() from public`,
  )
  try {
    await reach(primary, standby)
    let later = 0
    const clock = { ...systemClock, now: () => systemClock.now() + later }
    const as = ({ url }: LocalServer): Engine =>
      makeEngine({ url, user }, (options) => new Engine({ options: resolveEngineOptions(options), clock }))
    const read = as(standby)
    const bind = { write: as(primary), read }
    // The server may write records of its own that the replica has not replayed yet.
    const factory = createSessionFactory({ bind, consistency: 'session', staleWaitMillis: 20_000 })
    await factory.withSession((session) => session.executeScript('select 1'), { autocommit: true })
    expect(await portOf(factory)).toBe(primary.port)
    await primary.query(`grant execute on function pg_catalog.pg_control_system() to ${user}`)
    await reach(primary, standby)
    // It is not asked by each read.
    expect([await portOf(factory), await portOf(factory)]).toEqual([primary.port, primary.port])
    later = 60_000
    // This read asks it.
    expect(await portOf(factory)).toBe(primary.port)
    expect(await portOf(factory)).toBe(standby.port)
  } finally {
    await primary.query(
      `grant execute on function pg_catalog.pg_control_system() to public;
       drop owned by ${user}; drop role ${user}`,
    )
  }
})
