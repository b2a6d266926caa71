/** Serializable transactions, which no standby can run: by option, by the default of the connection, or by the block's first statement. */
import { describe, expect, test } from 'vitest'
import { createSessionFactory, isRetryable, type Session } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { nextValue, portOf, reach, useCluster } from './replica-servers.js'
import { failureOf } from './support.js'

const { cluster, makeEngine, serversFor } = useCluster()

/** As `alter role ... set default_transaction_isolation = ...` does it. */
const withDefault = (url: string, level: string): string =>
  `${url}?options=${encodeURIComponent(`-c default_transaction_isolation=${level}`)}`

const serializable = (url: string): string => withDefault(url, 'serializable')

const port = (session: Session): Promise<unknown> => session.scalar("select current_setting('port')::int")

describe('where the default isolation level is serializable', () => {
  test.each(['eventual', 'session'] as const)(
    'a block reads from the primary, and later ones do not ask the replica again (%s)',
    async (consistency) => {
      const { factory, read, write } = serversFor(serializable(cluster.standby.url), { consistency })
      for (let call = 0; call < 3; call += 1) expect(await portOf(factory)).toBe(cluster.primary.port)
      // After a write the first read would be checked.
      await factory.withSession((session) => session.execute('update notes set n = n where id = 20'))
      await reach(cluster.primary, cluster.standby)
      expect(await portOf(factory)).toBe(cluster.primary.port)
      expect(read.stats()).toMatchObject({ replica: { reads: 1, isIn: true, ejections: 0, behind: 0 } })
      expect(write.stats().primaryReads).toMatchObject({ serializable: 4, behind: 0, 'no replica': 0 })
    },
  )

  test('also the check of a position is refused, and the primary reads at once', async () => {
    const { factory, write } = serversFor(serializable(cluster.standby.url), { staleWaitMillis: 600_000 })
    await factory.withSession((session) => session.execute('update notes set n = n where id = 20'))
    expect(await portOf(factory)).toBe(cluster.primary.port)
    expect(write.stats().primaryReads).toMatchObject({ serializable: 1, behind: 0 })
  })

  test.each<[string, (session: Session) => Promise<unknown>, object]>([
    ['SET LOCAL', (session) => session.execute("set local work_mem = '8MB'"), {}],
    ['SHOW', (session) => session.execute('show work_mem'), {}],
    ['EXPLAIN', (session) => session.execute('explain select 1'), {}],
    ['a savepoint', (session) => session.beginNested(() => session.execute('select 1')), {}],
    ['a setting', () => Promise.resolve(), { settings: { 'app.tenant': '7' } }],
  ])('it may begin with %s', async (_what, begin, options) => {
    const { factory } = serversFor(serializable(cluster.standby.url))
    const seen = await factory.withSession(
      async (session) => {
        await begin(session)
        return await port(session)
      },
      { readOnly: true, ...options },
    )
    expect(seen).toBe(cluster.primary.port)
  })

  test("with whenNoReplica: 'fail' the primary reads as well, because the replicas are healthy", async () => {
    const { factory } = serversFor(serializable(cluster.standby.url), { whenNoReplica: 'fail' })
    expect(await portOf(factory)).toBe(cluster.primary.port)
    expect(await portOf(factory)).toBe(cluster.primary.port)
  })

  test('a block with another level reads from the replica', async () => {
    const { factory } = serversFor(serializable(cluster.standby.url))
    expect(await portOf(factory)).toBe(cluster.primary.port)
    const isolationLevel = 'REPEATABLE READ'
    expect(await portOf(factory, { readOnly: true, isolationLevel })).toBe(cluster.standby.port)
  })

  test('a replica with another default is asked instead', async () => {
    const write = makeEngine({ url: cluster.primary.url })
    const read = [serializable(cluster.standby.url), cluster.late.url].map((url) => makeEngine({ url }))
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'eventual' })
    const ports = []
    for (let call = 0; call < 4; call += 1) ports.push(await portOf(factory))
    expect(ports.slice(1)).toEqual([cluster.late.port, cluster.late.port, cluster.late.port])
  })

  test('a session that may write, and whose server is a standby, is told that it is', async () => {
    const engine = makeEngine({ url: serializable(cluster.standby.url) })
    const { withSession } = createSessionFactory({ bind: engine })
    const error = await failureOf(withSession((session) => session.execute('select 1')))
    expect(error).toMatchObject({ name: 'ReadOnlyError', sqlState: '0A000' })
    expect(isRetryable(error)).toBe(true)
    expect(engine.stats().generation).toBe(1)
  })
})

test('a block whose first statement makes it serializable is run by the primary', async () => {
  const { factory, read } = serversFor(cluster.standby.url)
  const seen = await factory.withSession(
    async (session) => {
      await session.execute('set transaction isolation level serializable')
      return await port(session)
    },
    { readOnly: true },
  )
  expect(seen).toBe(cluster.primary.port)
  // The next block is not concerned.
  expect(await portOf(factory)).toBe(cluster.standby.port)
  expect(read.stats().replica).toMatchObject({ isIn: true, behind: 0 })
})

test('the default of a connection that is known may change', async () => {
  const { factory } = serversFor(cluster.standby.url)
  expect(await portOf(factory)).toBe(cluster.standby.port)
  const wrote = nextValue()
  await cluster.standby.query("alter system set default_transaction_isolation = 'serializable'")
  try {
    await cluster.standby.query('select pg_reload_conf()')
    await factory.withSession((session) => session.execute('update notes set n = $1 where id = 21', [wrote]))
    const seen = await factory.withSession((session) => session.scalar('select n from notes where id = 21'), {
      readOnly: true,
    })
    expect(seen).toBe(wrote)
  } finally {
    const url = withDefault(cluster.standby.url, 'read\\ committed')
    await query(url, 'alter system reset default_transaction_isolation')
    await query(url, 'select pg_reload_conf()')
  }
})
