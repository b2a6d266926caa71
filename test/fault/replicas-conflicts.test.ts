/** Conflicts with recovery: a standby cancels a statement in favour of what it replays, and inside a savepoint it ends the session. */
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createSessionFactory, isRetryable, type Session, type SessionFactory } from '../../src/index.js'
import type { LocalServer } from '../helpers/local-server.js'
import { waitUntil } from '../helpers/wait-until.js'
import { portOf, reach, type Servers, useCluster } from './replica-servers.js'
import { failureOf } from './support.js'

const { cluster, makeEngine, serversFor } = useCluster()

/** Does not wait for its readers. */
let impatient: LocalServer
beforeAll(async () => {
  await cluster.primary.query('create table victims (n int)')
  await cluster.primary.query('insert into victims values (1)')
  impatient = await cluster.primary.startStandby({ max_standby_streaming_delay: 0 })
})
afterAll(() => impatient.dispose())
beforeEach(() => reach(cluster.primary, impatient))

/** Sleeps while it holds a lock, but only at the standby that does not wait for its readers. */
const slowly = (): string =>
  `select current_setting('port')::int as port, (select pg_sleep(case when current_setting('port') = '${String(impatient.port)}' then 60 else 0 end)) from victims limit 1`

const portSlowly = (session: Session): Promise<unknown> => session.scalar(slowly())

/** The standby replays a lock of the table while it is being read there. */
async function conflict(): Promise<void> {
  const reading =
    "select count(*)::int as n from pg_stat_activity where query like '%select current_setting%' and wait_event = 'PgSleep'"
  await waitUntil(async () => (await impatient.query<{ n: number }>(reading))[0]?.n === 1)
  await cluster.primary.query('begin; lock table victims in access exclusive mode; commit')
}

const inSavepoint = (session: Session): Promise<unknown> => session.beginNested(() => portSlowly(session))

async function readWithConflict<Value>(
  factory: SessionFactory,
  work: (session: Session) => Promise<Value>,
): Promise<Value> {
  const [value] = await Promise.all([factory.withSession(work, { readOnly: true }), conflict()])
  return value
}

describe('a statement that conflicts before the caller has got a result', () => {
  const WORKS: Readonly<Record<string, (session: Session) => Promise<unknown>>> = {
    'without a savepoint': portSlowly,
    'in a savepoint': inSavepoint,
    'in a savepoint in a savepoint': (session) => session.beginNested(() => inSavepoint(session)),
    'in a savepoint, with a time limit of its own': (session) =>
      session.beginNested(() => session.scalar(slowly(), { timeoutMillis: 50_000 })),
    'in a savepoint that the caller ends': async (session) => {
      const savepoint = await session.beginNested()
      const port = await portSlowly(session)
      await savepoint.commit()
      return port
    },
  }
  test.each(Object.keys(WORKS))('is run by the primary: %s', async (name) => {
    const { factory, read, write } = serversFor(impatient.url)
    const seen = await readWithConflict(factory, async (session) => {
      const port = await WORKS[name]?.(session)
      // The savepoints are there as well: one that fails now does not end the transaction.
      await expect(session.beginNested(() => session.execute('select 1 / 0'))).rejects.toThrow('division')
      return [port, await session.scalar("select current_setting('port')::int")]
    })
    expect(seen).toEqual([cluster.primary.port, cluster.primary.port])
    expect(read.stats().replica).toMatchObject({ conflicts: 1, isIn: true, ejections: 0, inFlight: 0 })
    expect(write.stats().primaryReads).toMatchObject({ conflict: 1 })
  })

  test('in a savepoint goes to another replica first', async () => {
    const write = makeEngine({ url: cluster.primary.url })
    const read = [makeEngine({ url: impatient.url }), makeEngine({ url: cluster.standby.url })]
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'eventual' })
    expect(await readWithConflict(factory, inSavepoint)).toBe(cluster.standby.port)
    expect(write.stats().primaryReads).toMatchObject({ conflict: 0 })
  })
})

describe('a statement that conflicts when the caller has got a result', () => {
  test.each<[string, (session: Session) => Promise<unknown>]>([
    ['without a savepoint', portSlowly],
    ['in a savepoint', inSavepoint],
  ])('is told as what it is, and may be retried (%s)', async (_name, work) => {
    const { factory } = serversFor(impatient.url)
    const told = readWithConflict(factory, async (session) => {
      expect(await session.scalar("select current_setting('port')::int")).toBe(impatient.port)
      return await work(session)
    })
    const error = await failureOf(told)
    expect(error).toMatchObject({ code: 'DATABASE_ERROR', sqlState: '40001' })
    expect((error as Error).message).toContain('due to conflict with recovery')
    expect(isRetryable(error)).toBe(true)
    expect(await portOf(factory)).toBe(impatient.port)
  })
})

describe('work that gives its rows bit by bit', () => {
  const copyOut = async (session: Session): Promise<string> =>
    (await text(await session.copyTo(`copy (${slowly()}) to stdout`))).trim()
  const stream = async (session: Session): Promise<unknown> => {
    const ports: unknown[] = []
    for await (const { port } of session.stream<{ port: number }>(slowly(), [], { batchSize: 1 }))
      ports.push(port)
    return ports
  }

  test('COPY is not begun anew: its caller is told', async () => {
    const { factory } = serversFor(impatient.url)
    const error = await failureOf(readWithConflict(factory, copyOut))
    expect(error).toMatchObject({ sqlState: '40001' })
    expect(isRetryable(error)).toBe(true)
  })

  test('the first rows of a stream come from the primary instead', async () => {
    const { factory } = serversFor(impatient.url)
    expect(await readWithConflict(factory, stream)).toEqual([cluster.primary.port])
    const nested = (session: Session): Promise<unknown> => session.beginNested(() => stream(session))
    expect(await readWithConflict(factory, nested)).toEqual([cluster.primary.port])
  })

  test('both go on at the primary if the replica is behind', async () => {
    const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 0 })
    await cluster.late.query('select pg_wal_replay_pause()')
    try {
      await factory.withSession((session) => session.execute('update notes set n = n where id = 40'))
      const readOnly = { readOnly: true }
      const port = String(cluster.primary.port)
      expect(await factory.withSession(stream, readOnly)).toEqual([cluster.primary.port])
      expect((await factory.withSession(copyOut, readOnly)).split('\t')[0]).toBe(port)
    } finally {
      await cluster.late.query('select pg_wal_replay_resume()')
    }
  })
})

test('a session that the standby ends in a savepoint is replaced', async () => {
  const { factory, read } = serversFor(impatient.url)
  const [port] = await Promise.all([
    factory.withSession(inSavepoint, { readOnly: true }),
    waitUntil(async () => {
      const [row] = await impatient.query<{ n: number }>(
        "select count(pg_terminate_backend(pid))::int as n from pg_stat_activity where query like 'select current_setting%' and wait_event = 'PgSleep'",
      )
      return row?.n === 1
    }),
  ])
  expect(port).toBe(cluster.primary.port)
  expect(read.stats().replica).toMatchObject({ conflicts: 0, ejections: 1 })
})

test('40001 that the primary reports is the error of the caller: it is asked once', async () => {
  const { factory, read }: Servers = serversFor(cluster.standby.url)
  await cluster.primary.query(`create or replace function never() returns int language plpgsql as
     $$ begin raise exception 'this is not the right time' using errcode = '40001'; end $$`)
  await reach(cluster.primary, cluster.standby)
  const error = await failureOf(
    factory.withSession((session) => session.execute('select never()'), { readOnly: true }),
  )
  expect(error).toMatchObject({ sqlState: '40001' })
  expect(read.stats().replica).toMatchObject({ conflicts: 1 })
})
