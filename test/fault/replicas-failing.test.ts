/** Replicas that do not answer, or not in time: no caller gets an error, and no read waits for the same replica twice. */
import { describe, expect, test } from 'vitest'
import { ConnectError, createSessionFactory } from '../../src/index.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { pair, portOf, reach, useCluster } from './replica-servers.js'
import { failureOf } from './support.js'

const { cluster, makeEngine, serversFor } = useCluster()

describe('a replica that fails', () => {
  test('is left out, and the primary reads: no caller is told', async () => {
    using proxy = await startProxy(cluster.standby.url)
    const write = makeEngine({ url: cluster.primary.url })
    const read = makeEngine({ url: proxy.url, hostTimeoutMillis: 1000 })
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'session' })
    const port = (): Promise<unknown> => portOf(factory)
    expect(await port()).toBe(cluster.standby.port)
    proxy.cutNew()
    for (const connection of proxy.connections) void connection.cut('reset')
    for (let call = 0; call < 3; call += 1) expect(await port()).toBe(cluster.primary.port)
  })

  test('was away from the start: the first read goes on when the connect has failed', async () => {
    using proxy = await startProxy(cluster.standby.url)
    proxy.refuse()
    const { factory, read } = serversFor(proxy.url)
    const ports = await Promise.all(Array.from({ length: 5 }, () => portOf(factory)))
    expect(new Set(ports)).toEqual(new Set([cluster.primary.port]))
    // No read has waited for its hostTimeoutMillis.
    expect(read.stats()).toMatchObject({
      counters: { timedOut: 0, acquired: 0 },
      replica: { ejections: 1, isIn: false, inFlight: 0 },
    })
    await proxy.accept()
    await waitUntil(async () => (await portOf(factory)) === cluster.standby.port)
  })

  test('has a connection in use, and cannot open another one, is waited for', async () => {
    using proxy = await startProxy(cluster.standby.url)
    const { factory, read } = serversFor(proxy.url)
    const held = await read.connect()
    await held.execute('select 1')
    proxy.cutNew()
    const reading = portOf(factory)
    await waitUntil(() => read.stats().counters.connectFailed > 0)
    await held.close()
    expect(await reading).toBe(cluster.standby.port)
    expect(read.stats().replica).toMatchObject({ ejections: 0 })
  })

  test('dies with a statement on its way: the statement goes to the next server', async () => {
    using proxy = await startProxy(cluster.standby.url)
    const { factory } = serversFor(proxy.url)
    const port = (): Promise<unknown> => portOf(factory)
    expect(await port()).toBe(cluster.standby.port)
    const cut = proxy.cutAt({
      from: 'server',
      when: 'after',
      message: ({ name }) => name === 'CommandComplete',
    })
    const answer = port()
    await cut
    proxy.refuse()
    expect([cluster.standby.port, cluster.primary.port]).toContain(await answer)
  })

  test('that cancels a statement in favour of what it replays is not asked for it again', async () => {
    const write = makeEngine({ url: cluster.primary.url })
    const read = makeEngine({ url: cluster.standby.url })
    const factory = createSessionFactory({ bind: { write, read }, consistency: 'eventual' })
    // As PostgreSQL does it: SQLSTATE 40001, raised by the first call only where it runs on the standby.
    await cluster.primary.query(`create or replace function conflict() returns int language plpgsql as $$
       begin
         if pg_is_in_recovery() then raise exception 'canceling statement due to conflict with recovery' using errcode = '40001'; end if;
         return current_setting('port')::int;
       end $$`)
    await reach(cluster.primary, cluster.standby)
    const port = await factory.withSession((session) => session.scalar('select conflict()'), {
      readOnly: true,
    })
    expect(port).toBe(cluster.primary.port)
    expect(read.stats().replica).toMatchObject({ conflicts: 1, isIn: true })
    expect(write.stats().primaryReads).toMatchObject({ conflict: 1 })
  })
})

describe('of two replicas, one that', () => {
  /** Both through proxies; the first has connections in its pool. */
  const twoReplicas = async () => {
    const [toFirst, toOther] = [await startProxy(cluster.standby.url), await startProxy(cluster.late.url)]
    const write = makeEngine({ url: cluster.primary.url })
    const first = makeEngine({ url: toFirst.url, hostTimeoutMillis: 1_000, poolSize: 2 })
    const other = makeEngine({ url: toOther.url, hostTimeoutMillis: 20_000, poolSize: 2 })
    const factory = createSessionFactory({ bind: { write, read: [first, other] }, consistency: 'session' })
    const ports = await Promise.all(Array.from({ length: 4 }, () => portOf(factory)))
    expect(ports.filter((port) => port === cluster.standby.port)).toHaveLength(2)
    const events: string[] = []
    first.on('replicaEjected', ({ pauseMillis }) => events.push(`ejected for ${String(pauseMillis)} ms`))
    first.on('replicaReturned', () => events.push('returned'))
    write.on('primaryRead', ({ reason }) => events.push(reason))
    return {
      toFirst,
      first,
      factory,
      events,
      write,
      [Symbol.dispose]: () => [toFirst, toOther].forEach((proxy) => proxy.close()),
    }
  }

  test('is killed, is read no more: its connections are lost, and no read fails', async () => {
    using servers = await twoReplicas()
    const { toFirst, factory, events, first } = servers
    toFirst.refuse()
    for (const connection of toFirst.connections) void connection.cut('reset')
    for (let call = 0; call < 20; call += 1) {
      const ports = await Promise.all([portOf(factory), portOf(factory)])
      expect(ports).toEqual([cluster.late.port, cluster.late.port])
    }
    expect(events[0]).toBe('ejected for 1000 ms')
    expect(events).not.toContain('no replica')
    expect(first.stats().replica).toMatchObject({ isIn: false, inFlight: 0 })
  })

  test('does not answer any more, delays the reads that are under way, and no later ones', async () => {
    using servers = await twoReplicas()
    const { toFirst, factory, events, first } = servers
    toFirst.blackHole()
    const ports = await Promise.all(Array.from({ length: 10 }, () => portOf(factory)))
    expect(new Set(ports)).toEqual(new Set([cluster.late.port]))
    expect(events).toEqual(['ejected for 1000 ms'])
    const { reads } = first.stats().replica ?? {}
    for (let call = 0; call < 20; call += 1) expect(await portOf(factory)).toBe(cluster.late.port)
    expect(first.stats().replica?.reads).toBe(reads)
    // A probe in the background finds that it is back.
    toFirst.pass()
    for (const connection of toFirst.connections) void connection.cut('reset')
    await waitUntil(async () => (await portOf(factory)) === cluster.standby.port)
    expect(events.at(-1)).toBe('returned')
  })

  test('answers 10 s late is left out as well', async () => {
    using servers = await twoReplicas()
    const { toFirst, factory, events } = servers
    toFirst.delay(10_000)
    for (let call = 0; call < 5; call += 1) expect(await portOf(factory)).toBe(cluster.late.port)
    expect(events[0]).toBe('ejected for 1000 ms')
    expect(events).not.toContain('no replica')
  })

  test('has all its connections in use is not left out: the read goes on to the other', async () => {
    using servers = await twoReplicas()
    const { first, factory, events } = servers
    first.resize({ poolSize: 1, maxOverflow: 0 })
    const held = await first.connect()
    const ports = await Promise.all(Array.from({ length: 4 }, () => portOf(factory)))
    expect(new Set(ports)).toEqual(new Set([cluster.late.port]))
    expect(events).toEqual([])
    await held.close()
  })

  test('is suspended leaves its reads to the other, also those that wait for one of its connections', async () => {
    using servers = await twoReplicas()
    const { first, factory, events } = servers
    first.resize({ poolSize: 1, maxOverflow: 0 })
    const held = await first.connect()
    await held.execute('select 1')
    // Both replicas have a connection in use, so the next read waits at the first one.
    await factory.withSession(
      async (session) => {
        expect(await session.scalar("select current_setting('port')::int")).toBe(cluster.late.port)
        const waiting = portOf(factory)
        await waitUntil(() => first.stats().waiting === 1)
        first.suspend()
        expect(await waiting).toBe(cluster.late.port)
      },
      { readOnly: true, propagation: 'requiresNew' },
    )
    expect(await portOf(factory)).toBe(cluster.late.port)
    expect(events).toEqual([])
    await held.close()
    first.resume()
    expect(first.stats()).toMatchObject({ waiting: 0, replica: { isIn: true, inFlight: 0 } })
  })

  test('is behind leaves the read to the other, without a wait', async () => {
    const write = makeEngine({ url: cluster.primary.url })
    const read = [makeEngine({ url: cluster.late.url }), makeEngine({ url: cluster.standby.url })]
    const factory = createSessionFactory({
      bind: { write, read },
      consistency: 'session',
      staleWaitMillis: 0,
    })
    await cluster.late.query('select pg_wal_replay_pause()')
    try {
      await pair({ factory }, 8)
      await reach(cluster.primary, cluster.standby)
      expect(await portOf(factory)).toBe(cluster.standby.port)
    } finally {
      await cluster.late.query('select pg_wal_replay_resume()')
    }
  })
})

test("with whenNoReplica: 'fail', reads fail instead of going to the primary", async () => {
  using proxy = await startProxy(cluster.standby.url)
  const { factory, write } = serversFor(proxy.url, { whenNoReplica: 'fail' })
  expect(await portOf(factory)).toBe(cluster.standby.port)
  proxy.refuse()
  for (const connection of proxy.connections) void connection.cut('reset')
  const error = await failureOf(portOf(factory))
  expect(error).toBeInstanceOf(ConnectError)
  expect((error as Error).cause).toBeInstanceOf(Error)
  expect(write.stats().primaryReads).toMatchObject({ 'no replica': 0 })
  expect(await portOf(factory, {})).toBe(cluster.primary.port)
})

test("a suspended replica without another one: the primary reads, or the read waits (whenNoReplica: 'fail')", async () => {
  const servers = serversFor(cluster.standby.url)
  servers.read.suspend()
  expect(await portOf(servers.factory)).toBe(cluster.primary.port)
  expect(servers.write.stats().primaryReads).toMatchObject({ 'no replica': 1 })
  const failing = serversFor(cluster.standby.url, { whenNoReplica: 'fail' })
  failing.read.suspend()
  const reading = portOf(failing.factory)
  await waitUntil(() => failing.read.stats().waiting === 1)
  failing.read.resume()
  expect(await reading).toBe(cluster.standby.port)
  expect(failing.read.stats().replica).toMatchObject({ isIn: true, inFlight: 0 })
})

test('the primary reads once, and says how often and why', async () => {
  const { factory, write, read } = serversFor(cluster.late.url, { staleWaitMillis: 0 })
  await cluster.late.query('select pg_wal_replay_pause()')
  try {
    expect([await pair({ factory }, 9), await pair({ factory }, 9)].map(({ port }) => port)).toEqual([
      cluster.primary.port,
      cluster.primary.port,
    ])
  } finally {
    await cluster.late.query('select pg_wal_replay_resume()')
  }
  await reach(cluster.primary, cluster.late)
  expect(await portOf(factory)).toBe(cluster.late.port)
  expect(write.stats()).toMatchObject({
    role: 'primary',
    replica: undefined,
    primaryReads: { behind: 2, 'position unknown': 0, conflict: 0, 'no replica': 0 },
  })
  expect(read.stats()).toMatchObject({
    role: 'standby',
    primaryReads: undefined,
    replica: { isIn: true, behind: 2, ejections: 0, reads: 3, replayed: { timeline: 1 } },
  })
})
