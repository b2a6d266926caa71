/** Which writes a read has to show, and which servers cannot show them, however far they are. */
import { AsyncResource } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import { createSessionFactory, isRetryable, type SessionFactory } from '../../src/index.js'
import type { LocalServer } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import {
  nextValue,
  pair,
  portOf,
  reach,
  type Seen,
  type Servers,
  useCluster,
  WHERE,
} from './replica-servers.js'
import { failureOf } from './support.js'

const { cluster, makeEngine, serversFor } = useCluster()

async function read({ factory }: Pick<Servers, 'factory'>, id: number, options = {}): Promise<Seen> {
  const rows = await factory.withSession((session) => session.execute<Seen>(WHERE, [id]), {
    readOnly: true,
    ...options,
  })
  return rows.one()
}

function raise(): never {
  throw new Error('This value cannot be read')
}

async function setStandbys(names: string): Promise<void> {
  await cluster.primary.query(`alter system set synchronous_standby_names = '${names}'`)
  await cluster.primary.query('select pg_reload_conf()')
}

describe('a write', () => {
  test('by a function that a SELECT calls', async () => {
    await cluster.primary.query(`create or replace function save(value int) returns int language sql as
       'update notes set n = value where id = 10 returning n'`)
    await reach(cluster.primary, cluster.late)
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    const wrote = nextValue()
    await servers.factory.withSession((session) => session.execute('select save($1)', [wrote]))
    expect(await read(servers, 10)).toEqual({ n: wrote, port: cluster.late.port })
    const next = nextValue()
    await servers.factory.withSession(async (session) => {
      await session.execute('select save($1)', [next])
      await session.commit()
    })
    expect(await read(servers, 10)).toEqual({ n: next, port: cluster.late.port })
  })

  test('in a function that is awaited, before the caller has used the factory', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    const wrote = nextValue()
    const save = async (): Promise<void> => {
      await new Promise<void>((resolve) => setImmediate(resolve))
      await servers.factory.withSession((session) =>
        session.execute('update notes set n = $1 where id = 11', [wrote]),
      )
    }
    await save()
    expect(await read(servers, 11)).toEqual({ n: wrote, port: cluster.late.port })
  })

  test('in a flow that another one waits for', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    const { factory } = servers
    await factory.causalFlow(async () => {
      const { wrote } = await factory.causalFlow(() => pair(servers, 12))
      expect(await read(servers, 12)).toMatchObject({ n: wrote })
    })
  })

  test('by a script that commits', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    const wrote = nextValue()
    const script = `update notes set n = ${String(wrote)} where id = 13; commit`
    await servers.factory.withSession((session) => session.executeScript(script)).catch(() => undefined)
    expect(await read(servers, 13)).toMatchObject({ n: wrote })
  })

  test('whose position is not known makes one read go to the primary, which tells its own', async () => {
    const servers = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
    await pair(servers, 14)
    await servers.factory.withSession(
      (session) => session.executeScript('update notes set n = -1 where id = 14'),
      {
        autocommit: true,
      },
    )
    expect(await read(servers, 14)).toEqual({ n: -1, port: cluster.primary.port })
    expect(await read(servers, 14)).toEqual({ n: -1, port: cluster.late.port })
  })

  test('whose rows cannot be read, or whose standby does not answer, is stored: its position is known before the caller is told', async () => {
    await cluster.late.query('select pg_wal_replay_pause()')
    try {
      const types = { getTypeParser: () => () => raise() }
      const text = 'update notes set n = $1 where id = 17 returning n'
      // The error may come in an earlier packet than the position, but not always.
      for (let round = 0; round < 10; round += 1) {
        const servers = serversFor(cluster.late.url, { staleWaitMillis: 0, autocommit: true })
        const wrote = nextValue()
        const error = await failureOf(servers.factory().execute({ text, values: [wrote], types }))
        expect(error).toMatchObject({ code: 'RESULT_UNREADABLE' })
        expect(await read(servers, 17, { autocommit: false })).toMatchObject({ n: wrote })
      }
      await setStandbys('absent_standby')
      const connectArgs = { serverSettings: { synchronous_commit: 'on' } }
      const servers = serversFor(cluster.late.url, { staleWaitMillis: 0, autocommit: true }, { connectArgs })
      const wrote = nextValue()
      const told = failureOf(servers.factory().execute('update notes set n = $1 where id = 17', [wrote]))
      await waitUntil(async () => {
        const [row] = await cluster.primary.query<{ done: boolean }>(
          "select bool_or(pg_cancel_backend(pid)) as done from pg_stat_activity where wait_event = 'SyncRep'",
        )
        return row?.done === true
      })
      expect(await told).toMatchObject({ code: 'COMMIT_OUTCOME_UNKNOWN' })
      expect(await read(servers, 17, { autocommit: false })).toMatchObject({ n: wrote })
    } finally {
      await setStandbys('')
      await cluster.late.query('select pg_wal_replay_resume()')
    }
  })

  test('is known after one read of the primary also if nothing else was written', async () => {
    const servers = serversFor(cluster.standby.url, { staleWaitMillis: 5_000 })
    await servers.factory.withSession(
      (session) => session.executeScript('update notes set n = -2 where id = 14'),
      { autocommit: true },
    )
    expect(await read(servers, 14)).toEqual({ n: -2, port: cluster.primary.port })
    expect(await read(servers, 14)).toEqual({ n: -2, port: cluster.standby.port })
  })
})

test('a standby at the address of the primary, as after a demotion, shows nothing older than the token', async () => {
  const { factory } = serversFor(cluster.standby.url)
  const write = makeEngine({ url: cluster.late.url })
  const demoted = createSessionFactory({
    bind: { write, read: makeEngine({ url: cluster.late.url }) },
    consistency: 'session',
    staleWaitMillis: 0,
  })
  await cluster.late.query('select pg_wal_replay_pause()')
  try {
    await factory.withSession((session) => session.execute('update notes set n = n where id = 16'))
    for (const after of [factory.causalityToken(), 'not a token']) {
      const error = await failureOf(
        demoted.withSession((session) => session.execute(WHERE, [16]), { readOnly: true, after }),
      )
      expect(error).toMatchObject({ code: 'CONNECT_FAILED', fatal: false })
      expect((error as Error).message).toContain('bind.write leads to a standby')
      expect(isRetryable(error)).toBe(true)
    }
    expect(write.stats().primaryReads).toMatchObject({ behind: 1, 'position unknown': 1 })
  } finally {
    await cluster.late.query('select pg_wal_replay_resume()')
  }
})

describe('a primary that was superseded, and goes on', () => {
  /** A factory whose `write` leads to the primary, and can be led to its successor. */
  async function withSuccessor(
    test: (parts: {
      readonly factory: SessionFactory
      readonly leadTo: (server: { readonly url: string }) => void
      readonly successor: LocalServer
      readonly token: string | undefined
      readonly wrote: number
    }) => Promise<void>,
  ): Promise<void> {
    const successor = await cluster.primary.startStandby()
    try {
      await successor.query('select pg_promote()')
      const [later, standby] = [makeEngine({ url: successor.url }), makeEngine({ url: cluster.standby.url })]
      const writer = createSessionFactory({ bind: { write: later, read: standby }, consistency: 'session' })
      const { wrote } = await pair({ factory: writer }, 19)
      using address = await startProxy(cluster.primary.url)
      const write = makeEngine({ url: address.url })
      const factory = createSessionFactory({
        bind: { write, read: standby },
        consistency: 'session',
        staleWaitMillis: 0,
      })
      const leadTo = ({ url }: { readonly url: string }): void => {
        address.redirect(url)
        write.refresh()
      }
      await test({ factory, leadTo, successor, token: writer.causalityToken(), wrote })
    } finally {
      await successor.dispose()
    }
  }

  const readWith = (factory: SessionFactory, after?: string): Promise<Seen> =>
    factory.withSession(async (session) => (await session.execute<Seen>(WHERE, [19])).one(), {
      readOnly: true,
      after,
    })

  test('shows nothing to a flow that has seen its successor', async () => {
    await withSuccessor(async ({ factory, leadTo, successor }) => {
      leadTo(successor)
      const portOfAnotherFlow = AsyncResource.bind(() => factory.causalFlow(() => portOf(factory)))
      await factory.causalFlow(async () => {
        const wrote = nextValue()
        await factory.withSession((session) =>
          session.execute('update notes set n = $1 where id = 19', [wrote]),
        )
        leadTo(cluster.primary)
        // A later write whose position is not known does not change what the flow has to see.
        for (const script of ['select 1', 'update notes set n = n where id = 20']) {
          await factory.withSession((session) => session.executeScript(script), { autocommit: true })
          const error = await failureOf(readWith(factory))
          expect(error).toMatchObject({ code: 'CONNECT_FAILED', fatal: false })
          expect((error as Error).message).toContain('bind.write leads to a primary of an older timeline')
          expect(isRetryable(error)).toBe(true)
        }
        // Another flow is not concerned.
        expect(await portOfAnotherFlow()).toBe(cluster.standby.port)
        leadTo(successor)
        expect(await readWith(factory)).toEqual({ n: wrote, port: successor.port })
      })
    })
  })

  test('shows nothing to a token of a later timeline that this process has seen', async () => {
    await withSuccessor(async ({ factory, leadTo, successor, token, wrote }) => {
      leadTo(successor)
      expect(await factory.causalFlow(() => readWith(factory, token))).toEqual({
        n: wrote,
        port: successor.port,
      })
      leadTo(cluster.primary)
      const error = await failureOf(factory.causalFlow(() => readWith(factory, token)))
      expect(error).toMatchObject({ code: 'CONNECT_FAILED', fatal: false })
    })
  })

  test('is read with a token that alone tells of a later timeline, because it may be forged', async () => {
    await withSuccessor(async ({ factory, token }) => {
      const seen = await factory.causalFlow(() => readWith(factory, token))
      expect(seen.port).toBe(cluster.primary.port)
      const [system] = await cluster.primary.query<{ id: string }>(
        'select system_identifier as id from pg_control_system()',
      )
      const forged = Buffer.from(`1.${system?.id ?? ''}.99.zzzzzzzzzzzz`).toString('base64url')
      expect((await factory.causalFlow(() => readWith(factory, forged))).port).toBe(cluster.primary.port)
    })
  })
})

describe('a replica', () => {
  test('that is several servers behind one address is checked on each connection', async () => {
    using proxy = await startProxy(cluster.standby.url)
    const write = makeEngine({ url: cluster.primary.url })
    const replica = makeEngine({ url: proxy.url, poolSize: 2 })
    const factory = createSessionFactory({
      bind: { write, read: replica },
      consistency: 'session',
      staleWaitMillis: 5_000,
    })
    const held = await replica.connect()
    await held.execute('select 1')
    // New connections lead to the server that is late.
    proxy.redirect(cluster.late.url)
    expect(await portOf(factory)).toBe(cluster.late.port)
    const wrote = nextValue()
    await factory.withSession((session) => session.execute('update notes set n = $1 where id = 15', [wrote]))
    await reach(cluster.primary, cluster.standby)
    const late = await replica.connect()
    await held.close()
    expect(await read({ factory }, 15)).toEqual({ n: wrote, port: cluster.standby.port })
    const again = await replica.connect()
    await late.close()
    expect((await read({ factory }, 15)).n).toBe(wrote)
    await again.close()
  })

  test('that was promoted, while the primary goes on, shows nothing of it', async () => {
    const promoted = await cluster.primary.startStandby()
    try {
      await promoted.query('select pg_promote()')
      await promoted.query('create table far as select i from generate_series(1, 20000) i')
      const servers = serversFor(promoted.url, { staleWaitMillis: 20 })
      const { n, wrote, port } = await pair(servers, 16)
      expect([n, port]).toEqual([wrote, cluster.primary.port])
      // A token of the new timeline does not suit a standby of the old one, however far that is.
      await cluster.primary.query('create table further as select i from generate_series(1, 60000) i')
      await reach(cluster.primary, cluster.standby)
      const other = createSessionFactory({
        bind: { write: makeEngine({ url: promoted.url }), read: makeEngine({ url: cluster.standby.url }) },
        consistency: 'session',
        staleWaitMillis: 20,
      })
      expect(await pair({ factory: other }, 17)).toMatchObject({ port: promoted.port })
    } finally {
      await cluster.primary.query('drop table if exists further')
      await promoted.dispose()
    }
  })

  test('that follows the new primary is read again', async () => {
    const next = await cluster.primary.startStandby()
    const follower = await cluster.primary.startStandby({ primary_conninfo: conninfoOf(next) })
    try {
      // What the follower was copied with has to be there before the new timeline begins: it could not follow otherwise.
      await reach(cluster.primary, next)
      await next.query('select pg_promote()')
      const write = makeEngine({ url: next.url })
      const factory = createSessionFactory({
        bind: { write, read: makeEngine({ url: follower.url }) },
        consistency: 'session',
        staleWaitMillis: 5_000,
      })
      // Each look may take as long as a stale read waits.
      await waitUntil(async () => (await pair({ factory }, 18)).port === follower.port, {
        deadlineMillis: 40_000,
        message: 'the follower to reach the new timeline',
      })
      const { n, wrote } = await pair({ factory }, 18)
      expect(n).toBe(wrote)
    } finally {
      await Promise.all([next.dispose(), follower.dispose()])
    }
  })
})

const conninfoOf = ({ host, port, user, password }: typeof cluster.primary): string =>
  `host=${host} port=${String(port)} user=${user} password=${password}`
