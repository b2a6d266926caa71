/** Replicas that replay late: what a session that only reads shows, from where, and at how many round trips. */
import { describe, expect, test } from 'vitest'
import {
  type IsolationLevel,
  type SessionFactory,
  createSessionFactory,
  declarativeBase,
  integer,
} from '../../src/index.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { nextValue, pair, reach, type Seen, useCluster, WHERE, whilePaused } from './replica-servers.js'
import { failureOf } from './support.js'

const { cluster, makeEngine, serversFor } = useCluster()

class Note extends declarativeBase().entity('notes', {
  id: integer().primaryKey(),
  n: integer().notNull(),
}) {}

/** Calls a function that begins later, and waits for it. */
const flow = <Value>(work: () => Promise<Value>): Promise<Value> => Promise.resolve().then(work)

describe("consistency: 'session'", () => {
  test.each<[string, IsolationLevel | undefined, string]>([
    ['READ COMMITTED', undefined, 'on'],
    ['READ COMMITTED', 'READ COMMITTED', 'off'],
    ['REPEATABLE READ', 'REPEATABLE READ', 'on'],
    ['REPEATABLE READ', 'REPEATABLE READ', 'off'],
  ])(
    'never shows less than was written (%s %s, synchronous_commit %s)',
    async (_name, isolationLevel, synchronous) => {
      const connectArgs = { serverSettings: { synchronous_commit: synchronous } }
      const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 }, { connectArgs })
      const seen = await Promise.all(
        Array.from({ length: 5 }, (_, caller) =>
          servers.factory.causalFlow(async () => {
            const all: Awaited<ReturnType<typeof pair>>[] = []
            for (let round = 0; round < 5; round += 1)
              all.push(await pair(servers, caller + 1, isolationLevel))
            return all
          }),
        ),
      )
      for (const { n, wrote, port } of seen.flat()) {
        expect(n).toBe(wrote)
        expect(port).toBe(cluster.late.port)
      }
    },
  )

  test('without the check, the same reads show less: the test can fail', async () => {
    const servers = serversFor(cluster.late.url, { consistency: 'eventual' })
    await whilePaused(cluster.late, async () => {
      const { n, wrote, port } = await pair(servers, 1)
      expect(port).toBe(cluster.late.port)
      expect(n).not.toBe(wrote)
    })
  })

  test('asks the primary when the replica is still behind after staleWaitMillis', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 0 })
    await whilePaused(cluster.late, async () => {
      const { n, wrote, port } = await pair(servers, 1)
      expect([n, port]).toEqual([wrote, cluster.primary.port])
    })
  })

  test.each(["select n from notes where 'delete' <> ''", 'explain select 1', "set local work_mem = '8MB'"])(
    'a replica that is behind has run nothing, so the primary runs it, whatever it is: %s',
    async (statement) => {
      const { factory, write } = serversFor(cluster.late.url, { staleWaitMillis: 0 })
      await whilePaused(cluster.late, async () => {
        await factory.withSession((session) => session.execute('update notes set n = n where id = 1'))
        await factory.withSession((session) => session.execute(statement), { readOnly: true })
        expect(write.stats().primaryReads).toMatchObject({ behind: 1 })
      })
    },
  )

  test('holds for entities, for savepoints, for autocommit, and after a rollback', async () => {
    const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    await flow(async () => {
      const read = (): Promise<number> =>
        factory.withSession((session) => session.getOne(Note, 50).then(({ n }) => n), { readOnly: true })
      await factory.withSession(async (session) => {
        ;(await session.getOne(Note, 50)).n = 1
      })
      expect(await read()).toBe(1)
      await factory.withSession(async (session) => {
        await session.beginNested(() => session.execute('update notes set n = 2 where id = 50'))
      })
      expect(await read()).toBe(2)
      await factory.withSession((session) => session.execute('update notes set n = 3 where id = 50'), {
        autocommit: true,
      })
      expect(await read()).toBe(3)
      const undone = factory.withSession(async (session) => {
        await session.execute('update notes set n = 4 where id = 50')
        throw new Error('no')
      })
      await expect(undone).rejects.toThrow('no')
      expect(await read()).toBe(3)
    })
  })

  test('asks the primary after a write whose position could not be asked for', async () => {
    const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    await flow(async () => {
      await factory.withSession((session) => session.executeScript('update notes set n = -7 where id = 51'), {
        autocommit: true,
      })
      const seen = await factory.withSession((session) => session.execute<Seen>(WHERE, [51]), {
        readOnly: true,
      })
      expect(seen.one()).toEqual({ n: -7, port: cluster.primary.port })
    })
  })

  test('does not concern another flow of control', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    await servers.factory.causalFlow(() => pair(servers, 2))
    const others = await servers.factory.causalFlow(() =>
      servers.factory.withSession((session) => Promise.resolve(session.causalityToken), { readOnly: true }),
    )
    expect(others).toBeUndefined()
  })

  test('costs a write no round trip, nor a read from a replica that is there', async () => {
    const proxies: Proxy[] = [await startProxy(cluster.primary.url), await startProxy(cluster.standby.url)]
    const [toPrimary, toStandby] = proxies as [Proxy, Proxy]
    try {
      // On a slow machine the connection would be idle for long enough to be checked.
      const writing = { url: toPrimary.url, poolPrePing: false }
      const servers = serversFor(toStandby.url, { staleWaitMillis: 5_000 }, writing)
      await flow(async () => {
        await pair(servers, 3)
        await reach(cluster.primary, cluster.standby)
        for (const proxy of proxies) proxy.reset()
        const wrote = nextValue()
        await servers.factory.withSession((session) =>
          session.execute('update notes set n = $1 where id = 3', [wrote]),
        )
        expect(toPrimary.roundTrips).toBe(1)
        await reach(cluster.primary, cluster.standby)
        const seen = await servers.factory.withSession((session) => session.execute<Seen>(WHERE, [3]), {
          readOnly: true,
        })
        expect(seen.one()).toEqual({ n: wrote, port: cluster.standby.port })
        expect(toStandby.roundTrips).toBe(1)
      })
    } finally {
      for (const proxy of proxies) proxy[Symbol.dispose]()
    }
  })

  test('a connection that was past the position is not checked again', async () => {
    using toStandby = await startProxy(cluster.standby.url)
    const servers = serversFor(toStandby.url, { staleWaitMillis: 5_000 })
    const statements = async (): Promise<number> => {
      toStandby.reset()
      await servers.factory.withSession((session) => session.execute(WHERE, [4]), { readOnly: true })
      const sent = toStandby.connections.flatMap((connection) => connection.names('client'))
      return sent.filter((name) => name === 'Execute').length
    }
    await flow(async () => {
      await statements()
      const without = await statements()
      await servers.factory.withSession((session) => session.execute('update notes set n = n where id = 4'))
      await reach(cluster.primary, cluster.standby)
      const [checked, again] = [await statements(), await statements()]
      // The check, and COMMIT AND CHAIN.
      expect([checked, again]).toEqual([without + 2, without])
    })
  })

  test('an idle standby behind the header of a page is not waited for', async () => {
    const { factory } = serversFor(cluster.standby.url, { staleWaitMillis: 0 })
    await cluster.primary.query('select pg_switch_wal()')
    await waitUntil(async () => {
      // The insert position is behind the long header of a new segment, and nothing follows.
      const [row] = await cluster.primary.query<{ end: string }>(
        'select (pg_current_wal_insert_lsn() - 40)::text as end',
      )
      const there = `select pg_last_wal_replay_lsn() = '${String(row?.end)}'::pg_lsn as there`
      return (await cluster.standby.query<{ there: boolean }>(there))[0]?.there === true
    })
    await flow(async () => {
      // Counts as a write, and writes nothing.
      await factory.withSession((session) => session.execute('update notes set n = 9 where false'))
      const port = await factory.withSession(
        (session) => session.scalar("select current_setting('port')::int"),
        {
          readOnly: true,
        },
      )
      expect(port).toBe(cluster.standby.port)
    })
  })
})

describe('which sessions go to a replica', () => {
  const portIn = (factory: SessionFactory, options: object): Promise<unknown> =>
    flow(() =>
      factory.withSession((session) => session.scalar("select current_setting('port')::int"), options),
    )

  test('only those with readOnly: true, and not serializable ones', async () => {
    const { factory } = serversFor(cluster.standby.url)
    expect(await portIn(factory, {})).toBe(cluster.primary.port)
    expect(await portIn(factory, { readOnly: true })).toBe(cluster.standby.port)
    expect(await portIn(factory, { readOnly: true, isolationLevel: 'REPEATABLE READ' })).toBe(
      cluster.standby.port,
    )
    expect(await portIn(factory, { readOnly: true, isolationLevel: 'SERIALIZABLE' })).toBe(
      cluster.primary.port,
    )
  })

  test("none with consistency: 'strong', the default", async () => {
    expect(
      await portIn(serversFor(cluster.standby.url, { consistency: undefined }).factory, { readOnly: true }),
    ).toBe(cluster.primary.port)
  })

  test('several replicas share the reads', async () => {
    const write = makeEngine({ url: cluster.primary.url })
    const read = [makeEngine({ url: cluster.standby.url }), makeEngine({ url: cluster.late.url })]
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'session' })
    const ports = await Promise.all(Array.from({ length: 6 }, () => portIn(factory, { readOnly: true })))
    expect(new Set(ports)).toEqual(new Set([cluster.standby.port, cluster.late.port]))
  })
})

describe('session.causalityToken', () => {
  test('carries what was written to another process', async () => {
    const one = serversFor(cluster.late.url)
    const other = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    for (let round = 0; round < 5; round += 1) {
      const wrote = nextValue()
      const token = await flow(async () => {
        await one.factory.withSession((session) =>
          session.execute('update notes set n = $1 where id = 60', [wrote]),
        )
        return await one.factory.withSession((session) => Promise.resolve(session.causalityToken))
      })
      expect(token).toMatch(/^[\w-]{10,99}$/)
      const seen = await flow(() =>
        other.factory.withSession((session) => session.execute<Seen>(WHERE, [60]), {
          readOnly: true,
          after: token,
        }),
      )
      expect(seen.one()).toEqual({ n: wrote, port: cluster.late.port })
    }
  })

  test.each(['empty', 'forged', 'of another version', 'of another cluster', 'huge'] as const)(
    'that is %s means the primary, and is no error',
    async (kind) => {
      const token = ODD_TOKENS[kind]
      const { factory } = serversFor(cluster.standby.url, { staleWaitMillis: 20 })
      const port = await flow(() =>
        factory.withSession((session) => session.scalar("select current_setting('port')::int"), {
          readOnly: true,
          after: token,
        }),
      )
      expect(port).toBe(cluster.primary.port)
    },
  )
})

const ODD_TOKENS = {
  empty: '',
  forged: 'not a token',
  'of another version': Buffer.from('2.x').toString('base64url'),
  'of another cluster': Buffer.from('1.7.1.1').toString('base64url'),
  huge: 'x'.repeat(100_000),
} as const

test('an abort ends the wait for a replica', async () => {
  const stopped = await cluster.primary.startStandby({ recovery_min_apply_delay: '1h' })
  try {
    const servers = serversFor(stopped.url, { staleWaitMillis: 60_000 })
    const controller = new AbortController()
    await flow(async () => {
      await servers.factory.withSession((session) =>
        session.execute('update notes set n = n + 1 where id = 5'),
      )
      const reading = servers.factory.withSession((session) => session.execute(WHERE, [5]), {
        readOnly: true,
        signal: controller.signal,
      })
      await waitUntil(() => servers.read.stats().counters.acquired > 2)
      controller.abort()
      expect(await failureOf(reading)).toMatchObject({ code: 'ABORTED' })
    })
  } finally {
    await stopped.dispose()
  }
})
