/** Causality tokens between two processes, over HTTP: with the token of the writing process, the reading process misses no write. */
import { afterEach, describe, expect, test } from 'vitest'
import { ExampleProcess } from '../examples/processes.js'
import { byLength } from '../helpers/length.js'
import { type LocalServer, REPLICATION_HBA, startServer, SUPERUSER } from '../helpers/local-server.js'
import { compileProgram } from '../helpers/programs.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useLagging } from './lagging-replicas.js'
import { nextValue, type Seen } from './replica-servers.js'

const PAIRS = byLength(100, 1_000)
const CALLERS = 10
const SHORTEST_LAG_MILLIS = 150
/** How much longer than a pair the network delays replication at most. */
const LAG_IN_PAIRS = 3
const HEADER = 'x-causality-token'

const processes: ExampleProcess[] = []
afterEach(async () => {
  await Promise.all(processes.splice(0).map((one) => one[Symbol.asyncDispose]()))
})

interface Answer extends Seen {
  readonly token: string | null
}

class Service {
  readonly #url: string

  private constructor(url: string) {
    this.#url = url
  }

  static async start(write: string, read: readonly string[], staleWaitMillis: number): Promise<Service> {
    const started = new ExampleProcess(
      process.execPath,
      [compileProgram('test/fault/replicas-process.fixture.ts')],
      {
        WRITE_URL: write,
        READ_URLS: read.join(' '),
        STALE_WAIT_MILLIS: String(staleWaitMillis),
      },
    )
    processes.push(started)
    const [, port = ''] = await started.says(/listening on (\d+)/)
    return new Service(`http://127.0.0.1:${port}`)
  }

  /** @returns the token of the write. */
  async write(id: number, n: number): Promise<string> {
    const response = await fetch(`${this.#url}/${String(id)}/${String(n)}`, { method: 'POST' })
    expect(response.status).toBe(200)
    return response.headers.get(HEADER) ?? ''
  }

  async read(id: number, token?: string): Promise<Answer> {
    const headers = token === undefined ? {} : { [HEADER]: token }
    const response = await fetch(`${this.#url}/${String(id)}`, { headers })
    const answer = (await response.json()) as Seen
    expect([response.status, answer]).toEqual([200, { n: expect.any(Number), port: expect.any(Number) }])
    return { ...answer, token: response.headers.get(HEADER) }
  }

  async primaryReads(): Promise<Record<string, number>> {
    return (await (await fetch(`${this.#url}/stats`)).json()) as Record<string, number>
  }
}

describe('replicas that lag', () => {
  const servers = useLagging()

  test('a token that a second process gets: none of the pairs is stale, without it many are', async () => {
    const { primary, replicas } = servers
    const start = (): Promise<Service> =>
      Service.start(
        primary.url,
        replicas.map(({ url }) => url),
        20_000,
      )
    const [one, other] = await Promise.all([start(), start()])
    servers.lag(Math.max(SHORTEST_LAG_MILLIS, LAG_IN_PAIRS * (await pairMillis(one, other))))
    const stale = { withToken: 0, without: 0 }
    const fromPrimary: number[] = []
    let left = PAIRS
    const caller = async (id: number): Promise<void> => {
      while (left-- > 0) {
        const n = nextValue()
        const token = await one.write(id, n)
        const [seen, control] = await Promise.all([other.read(id, token), other.read(id)])
        if (seen.n !== n) stale.withToken += 1
        if (seen.port === primary.port) fromPrimary.push(n)
        if (control.n !== n) stale.without += 1
      }
    }
    await Promise.all(Array.from({ length: CALLERS }, (_, at) => caller(at + 1)))
    console.log(
      `${String(PAIRS)} pairs over HTTP: ${String(stale.withToken)} stale with a token ` +
        `(${String(fromPrimary.length)} read from the primary), ${String(stale.without)} without`,
    )
    expect(stale.withToken).toBe(0)
    expect(fromPrimary.length).toBeLessThan(PAIRS / 10)
    expect(stale.without).toBeGreaterThan(PAIRS / 10)
  }, 600_000)
})

/** How long a pair takes, the longest of some: on a slow machine replication has to lag for longer. */
async function pairMillis(one: Service, other: Service): Promise<number> {
  const callers = Array.from({ length: CALLERS }, async (_, at) => {
    // The first one also connects.
    for (let round = 0; round < 3; round += 1) {
      const startedAt = performance.now()
      await one.write(at + 1, nextValue())
      await other.read(at + 1)
      if (round === 2) return performance.now() - startedAt
    }
    return 0
  })
  return Math.max(...(await Promise.all(callers)))
}

describe('a token from before a failover', () => {
  const STALE_WAIT_MILLIS = 300
  const conninfo = ({ port, user, password }: Pick<LocalServer, 'port' | 'user' | 'password'>): string =>
    `host=127.0.0.1 port=${String(port)} user=${user} password=${password}`

  test.each(['is on the new primary', 'was lost with the old primary'])(
    'whose write %s costs one read of the primary, which gives a new token',
    async (kind) => {
      const isLost = kind.startsWith('was lost')
      await using old = await startServer({
        hba: REPLICATION_HBA,
        settings: { max_wal_senders: 10, wal_level: 'replica' },
      })
      await old.query('create table notes (id integer primary key, n integer not null)')
      await old.query('insert into notes select i, 0 from generate_series(1, 10) i')
      using replication = await startProxy(old.url)
      await using next = await old.startStandby({
        primary_conninfo: conninfo({ ...SUPERUSER, port: replication.port }),
      })
      await using follower = await old.startStandby({ primary_conninfo: conninfo(next) })
      const hosts = `postgres://${old.user}:${old.password}@127.0.0.1:${String(old.port)},127.0.0.1:${String(next.port)}/postgres?target_session_attrs=primary`
      const start = (): Promise<Service> => Service.start(hosts, [follower.url], STALE_WAIT_MILLIS)
      const [one, other] = await Promise.all([start(), start()])
      const reached = async (n: number): Promise<boolean> =>
        (await follower.query<{ n: number }>('select n from notes where id = 1'))[0]?.n === n
      await one.write(1, 1)
      await waitUntil(() => reached(1))
      if (isLost) {
        // The next write stays on the old primary.
        replication.refuse()
        await replication.cut()
      }
      const token = await one.write(1, 2)
      if (!isLost) await waitUntil(() => reached(2))
      await old.stop('immediate')
      await next.query('select pg_promote()')

      const startedAt = performance.now()
      const first = await other.read(1, token)
      const tookMillis = performance.now() - startedAt
      console.log(`a token whose write ${kind}: answered after ${tookMillis.toFixed(0)} ms`)
      expect(first).toMatchObject({ n: isLost ? 1 : 2, port: next.port })
      expect(await other.primaryReads()).toMatchObject({ behind: 1, 'position unknown': 0, 'no replica': 0 })
      expect(first.token).not.toBe(token)
      // The new token is of the new timeline, which the follower reaches.
      await waitUntil(async () => (await other.read(1, first.token ?? '')).port === follower.port, {
        deadlineMillis: 40_000,
      })
      const written = await one.write(1, 3)
      expect((await other.read(1, written)).n).toBe(3)
    },
    120_000,
  )
})
