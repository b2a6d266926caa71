/** A primary with two standbys, one of which replays late, and factories that write to one and read from another. */
import { afterAll, beforeAll, beforeEach } from 'vitest'
import {
  type Engine,
  type EngineOptions,
  type IsolationLevel,
  type SessionFactory,
  type SessionFactoryOptions,
  createSessionFactory,
} from '../../src/index.js'
import { type LocalServer, REPLICATION_HBA, startServer } from '../helpers/local-server.js'
import { waitUntil } from '../helpers/wait-until.js'
import { type Seen, WHERE } from './replica-statements.js'
import { useEngines } from './support.js'

export { type Seen, WHERE } from './replica-statements.js'

export interface Cluster {
  readonly primary: LocalServer
  /** Replays at once. */
  readonly standby: LocalServer
  /** Replays 150 ms late. */
  readonly late: LocalServer
}

export interface Servers {
  readonly factory: SessionFactory
  readonly write: Engine
  readonly read: Engine
}

let marks = 0

/** Waits until the server has what is committed now. */
export async function reach(primary: LocalServer, server: LocalServer): Promise<void> {
  const mark = ++marks
  await primary.query(`set local synchronous_commit = on; insert into marks values (${String(mark)})`)
  await waitUntil(async () => {
    const [row] = await server.query<{ n: number }>(
      `select count(*)::int as n from marks where n = ${String(mark)}`,
    )
    return row?.n === 1
  })
}

/** Runs `work` while the replica replays nothing: how long a slow machine takes does not matter then. */
export async function whilePaused(replica: LocalServer, work: () => Promise<void>): Promise<void> {
  await replica.query('select pg_wal_replay_pause()')
  try {
    await work()
  } finally {
    await replica.query('select pg_wal_replay_resume()')
  }
}

/** The cluster of a file, with a table `notes`. Before each test both standbys have everything. */
export function useCluster(): {
  readonly cluster: Cluster
  readonly makeEngine: ReturnType<typeof useEngines>
  readonly serversFor: (
    replica: string,
    options?: Partial<SessionFactoryOptions>,
    writing?: EngineOptions,
  ) => Servers
} {
  const makeEngine = useEngines()
  const cluster = {} as { -readonly [Name in keyof Cluster]: Cluster[Name] }
  beforeAll(async () => {
    const primary = await startServer({
      hba: REPLICATION_HBA,
      settings: { max_wal_senders: 10, wal_level: 'replica' },
    })
    cluster.primary = primary
    await primary.query('create table notes (id integer primary key, n integer not null)')
    await primary.query('create table marks (n int)')
    await primary.query('insert into notes select i, 0 from generate_series(1, 100) i')
    const [standby, late] = await primary.startStandbys([
      { wal_receiver_status_interval: '1s' },
      { recovery_min_apply_delay: '150ms' },
    ])
    Object.assign(cluster, { standby, late })
  })
  afterAll(() => Promise.all(Object.values(cluster).map((server: LocalServer) => server.dispose())))
  beforeEach(async () => {
    await Promise.all([reach(cluster.primary, cluster.standby), reach(cluster.primary, cluster.late)])
  })
  const serversFor = (
    replica: string,
    options: Partial<SessionFactoryOptions> = {},
    writing: EngineOptions = {},
  ): Servers => {
    const write = makeEngine({ url: cluster.primary.url, ...writing })
    const read = makeEngine({ url: replica })
    const factory = createSessionFactory({ consistency: 'session', ...options, bind: { write, read } })
    return { factory, write, read }
  }
  return { cluster, makeEngine, serversFor }
}

let values = 0

/** A value that no row has. */
export const nextValue = (): number => ++values

/** Writes a value, and reads it back in a session that only reads. */
export async function pair(
  { factory }: Pick<Servers, 'factory'>,
  id: number,
  isolationLevel?: IsolationLevel,
): Promise<Seen & { wrote: number }> {
  const wrote = nextValue()
  await factory.withSession((session) =>
    session.execute('update notes set n = $1 where id = $2', [wrote, id]),
  )
  const seen = await factory.withSession((session) => session.execute<Seen>(WHERE, [id]), {
    readOnly: true,
    isolationLevel,
  })
  return { ...seen.one(), wrote }
}

/** The port of the server that a session reads from. */
export function portOf(factory: SessionFactory, options: object = { readOnly: true }): Promise<unknown> {
  return factory.withSession((session) => session.scalar("select current_setting('port')::int"), options)
}
