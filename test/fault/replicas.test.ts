/** Replicas that replay late: what a session that only reads shows, from where, and at how many round trips. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Engine,
  type EngineOptions,
  type IsolationLevel,
  type SessionFactory,
  type SessionFactoryOptions,
  createSessionFactory,
  declarativeBase,
  integer,
} from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { type LocalServer, REPLICATION_HBA, startServer } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()

class Note extends declarativeBase().entity('notes', {
  id: integer().primaryKey(),
  n: integer().notNull(),
}) {}

let primary: LocalServer
let standby: LocalServer
let late: LocalServer
beforeAll(async () => {
  primary = await startServer({
    hba: REPLICATION_HBA,
    settings: { max_wal_senders: 10, wal_level: 'replica' },
  })
  await query(primary.url, 'create table notes (id integer primary key, n integer not null)')
  await query(primary.url, 'create table marks (n int)')
  await query(primary.url, 'insert into notes select i, 0 from generate_series(1, 100) i')
  standby = await primary.startStandby({ wal_receiver_status_interval: '1s' })
  late = await primary.startStandby({ recovery_min_apply_delay: '150ms' })
})
afterAll(() => Promise.all([primary, standby, late].map((server) => server.dispose())))

let marks = 0

/** Waits until the server has what is committed now. */
async function reach(server: LocalServer): Promise<void> {
  const mark = ++marks
  await query(primary.url, `set synchronous_commit = on; insert into marks values (${String(mark)})`)
  await waitUntil(async () => {
    const [row] = await query<{ n: number }>(
      server.url,
      `select count(*)::int as n from marks where n = ${String(mark)}`,
    )
    return row?.n === 1
  })
}
beforeEach(async () => {
  await Promise.all([reach(standby), reach(late)])
})

interface Servers {
  readonly factory: SessionFactory
  readonly write: Engine
  readonly read: Engine
}

function serversFor(
  replica: string,
  options: Partial<SessionFactoryOptions> = {},
  writing: EngineOptions = {},
): Servers {
  const write = makeEngine({ url: primary.url, ...writing })
  const read = makeEngine({ url: replica })
  const factory = createSessionFactory({ consistency: 'session', ...options, bind: { write, read } })
  return { factory, write, read }
}

const WHERE = "select current_setting('port')::int as port, n from notes where id = $1"

interface Seen {
  readonly port: number
  readonly n: number
}

let values = 0

/** Writes a value, and reads it back in a session that only reads. */
async function pair(
  { factory }: Servers,
  id: number,
  isolationLevel?: IsolationLevel,
): Promise<Seen & { wrote: number }> {
  const wrote = ++values
  await factory.withSession((session) =>
    session.execute('update notes set n = $1 where id = $2', [wrote, id]),
  )
  const seen = await factory.withSession((session) => session.execute<Seen>(WHERE, [id]), {
    readOnly: true,
    isolationLevel,
  })
  return { ...seen.one(), wrote }
}

/** A flow of control of its own, as each request is. */
const flow = <Value>(work: () => Promise<Value>): Promise<Value> =>
  new AsyncLocalStorage<object>().run({}, () => Promise.resolve().then(work))

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
      const servers = serversFor(late.url, { staleWaitMillis: 5_000 }, { connectArgs })
      const seen = await Promise.all(
        Array.from({ length: 5 }, (_, caller) =>
          flow(async () => {
            const all: Awaited<ReturnType<typeof pair>>[] = []
            for (let round = 0; round < 5; round += 1)
              all.push(await pair(servers, caller + 1, isolationLevel))
            return all
          }),
        ),
      )
      for (const { n, wrote, port } of seen.flat()) {
        expect(n).toBe(wrote)
        expect(port).toBe(late.port)
      }
    },
  )

  test('without the check, the same reads show less: the test can fail', async () => {
    const servers = serversFor(late.url, { consistency: 'eventual' })
    const { n, wrote, port } = await flow(() => pair(servers, 1))
    expect(port).toBe(late.port)
    expect(n).not.toBe(wrote)
  })

  test('asks the primary when the replica is still behind after staleWaitMillis', async () => {
    const servers = serversFor(late.url, { staleWaitMillis: 0 })
    const { n, wrote, port } = await flow(() => pair(servers, 1))
    expect([n, port]).toEqual([wrote, primary.port])
  })

  test('holds for entities, for savepoints, for autocommit, and after a rollback', async () => {
    const { factory } = serversFor(late.url, { staleWaitMillis: 5_000 })
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
    const { factory } = serversFor(late.url, { staleWaitMillis: 5_000 })
    await flow(async () => {
      await factory.withSession((session) => session.executeScript('update notes set n = -7 where id = 51'), {
        autocommit: true,
      })
      const seen = await factory.withSession((session) => session.execute<Seen>(WHERE, [51]), {
        readOnly: true,
      })
      expect(seen.one()).toEqual({ n: -7, port: primary.port })
    })
  })

  test('does not concern another flow of control', async () => {
    const servers = serversFor(late.url, { staleWaitMillis: 5_000 })
    await flow(() => pair(servers, 2))
    const others = await flow(() =>
      servers.factory.withSession((session) => Promise.resolve(session.causalityToken), { readOnly: true }),
    )
    expect(others).toBeUndefined()
  })

  test('costs a write no round trip, nor a read from a replica that is there', async () => {
    const proxies: Proxy[] = [await startProxy(primary.url), await startProxy(standby.url)]
    const [toPrimary, toStandby] = proxies as [Proxy, Proxy]
    try {
      const servers = serversFor(toStandby.url, { staleWaitMillis: 5_000 }, { url: toPrimary.url })
      await flow(async () => {
        await pair(servers, 3)
        await reach(standby)
        for (const proxy of proxies) proxy.reset()
        const wrote = ++values
        await servers.factory.withSession((session) =>
          session.execute('update notes set n = $1 where id = 3', [wrote]),
        )
        expect(toPrimary.roundTrips).toBe(1)
        await reach(standby)
        const seen = await servers.factory.withSession((session) => session.execute<Seen>(WHERE, [3]), {
          readOnly: true,
        })
        expect(seen.one()).toEqual({ n: wrote, port: standby.port })
        expect(toStandby.roundTrips).toBe(1)
      })
    } finally {
      for (const proxy of proxies) proxy[Symbol.dispose]()
    }
  })

  test('an idle standby behind the header of a page is not waited for', async () => {
    const { factory } = serversFor(standby.url, { staleWaitMillis: 0 })
    await query(primary.url, 'select pg_switch_wal()')
    await waitUntil(async () => {
      // The insert position is behind the long header of a new segment, and nothing follows.
      const [row] = await query<{ end: string }>(
        primary.url,
        'select (pg_current_wal_insert_lsn() - 40)::text as end',
      )
      const there = `select pg_last_wal_replay_lsn() = '${String(row?.end)}'::pg_lsn as there`
      return (await query<{ there: boolean }>(standby.url, there))[0]?.there === true
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
      expect(port).toBe(standby.port)
    })
  })
})

describe('which sessions go to a replica', () => {
  const portIn = (factory: SessionFactory, options: object): Promise<unknown> =>
    flow(() =>
      factory.withSession((session) => session.scalar("select current_setting('port')::int"), options),
    )

  test('only those with readOnly: true, and not serializable ones', async () => {
    const { factory } = serversFor(standby.url)
    expect(await portIn(factory, {})).toBe(primary.port)
    expect(await portIn(factory, { readOnly: true })).toBe(standby.port)
    expect(await portIn(factory, { readOnly: true, isolationLevel: 'REPEATABLE READ' })).toBe(standby.port)
    expect(await portIn(factory, { readOnly: true, isolationLevel: 'SERIALIZABLE' })).toBe(primary.port)
  })

  test("none with consistency: 'strong', the default", async () => {
    expect(
      await portIn(serversFor(standby.url, { consistency: undefined }).factory, { readOnly: true }),
    ).toBe(primary.port)
  })

  test('several replicas share the reads', async () => {
    const write = makeEngine({ url: primary.url })
    const read = [makeEngine({ url: standby.url }), makeEngine({ url: late.url })]
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'session' })
    const ports = await Promise.all(Array.from({ length: 6 }, () => portIn(factory, { readOnly: true })))
    expect(new Set(ports)).toEqual(new Set([standby.port, late.port]))
  })
})

describe('a replica that fails', () => {
  test('is left out, and the primary reads: no caller is told', async () => {
    using proxy = await startProxy(standby.url)
    const write = makeEngine({ url: primary.url })
    const read = makeEngine({ url: proxy.url, hostTimeoutMillis: 200 })
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'session' })
    const port = (): Promise<unknown> =>
      factory.withSession((session) => session.scalar("select current_setting('port')::int"), {
        readOnly: true,
      })
    expect(await port()).toBe(standby.port)
    proxy.cutNew()
    for (const connection of proxy.connections) void connection.cut('reset')
    for (let call = 0; call < 3; call += 1) expect(await port()).toBe(primary.port)
  })

  test('dies with a statement on its way: the statement goes to the next server', async () => {
    using proxy = await startProxy(standby.url)
    const { factory } = serversFor(proxy.url)
    const port = (): Promise<unknown> =>
      factory.withSession((session) => session.scalar("select current_setting('port')::int"), {
        readOnly: true,
      })
    expect(await port()).toBe(standby.port)
    const cut = proxy.cutAt({
      from: 'server',
      when: 'after',
      message: ({ name }) => name === 'CommandComplete',
    })
    const answer = port()
    await cut
    proxy.refuse()
    expect([standby.port, primary.port]).toContain(await answer)
  })

  test('that cancels a statement in favour of what it replays is not asked for it again', async () => {
    const write = makeEngine({ url: primary.url })
    const read = makeEngine({ url: standby.url })
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'eventual' })
    // As PostgreSQL does it: SQLSTATE 40001, raised by the first call only where it runs on the standby.
    await query(
      primary.url,
      `create or replace function conflict() returns int language plpgsql as $$
       begin
         if pg_is_in_recovery() then raise exception 'canceling statement due to conflict with recovery' using errcode = '40001'; end if;
         return current_setting('port')::int;
       end $$`,
    )
    await reach(standby)
    const port = await factory.withSession((session) => session.scalar('select conflict()'), {
      readOnly: true,
    })
    expect(port).toBe(primary.port)
  })
})

describe('session.causalityToken', () => {
  test('carries what was written to another process', async () => {
    const one = serversFor(late.url)
    const other = serversFor(late.url, { staleWaitMillis: 5_000 })
    for (let round = 0; round < 5; round += 1) {
      const wrote = ++values
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
      expect(seen.one()).toEqual({ n: wrote, port: late.port })
    }
  })

  test.each(['empty', 'forged', 'of another version', 'of another cluster', 'huge'] as const)(
    'that is %s means the primary, and is no error',
    async (kind) => {
      const token = ODD_TOKENS[kind]
      const { factory } = serversFor(standby.url, { staleWaitMillis: 20 })
      const port = await flow(() =>
        factory.withSession((session) => session.scalar("select current_setting('port')::int"), {
          readOnly: true,
          after: token,
        }),
      )
      expect(port).toBe(primary.port)
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
  const stopped = await primary.startStandby({ recovery_min_apply_delay: '1h' })
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
