/**
 * Write-then-read pairs of 20 callers on replicas that replay 5 and 25 ms late, at each isolation level, with `synchronous_commit` on and
 * off: none is stale.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSessionFactory, type IsolationLevel, type SessionFactory } from '../../src/index.js'
import { query } from '../helpers/databases.js'
import { byLength } from '../helpers/length.js'
import { type LocalServer, REPLICATION_HBA, startServer } from '../helpers/local-server.js'
import { pair } from './replica-servers.js'
import { useEngines } from './support.js'

const CALLERS = 20
/** Of each of the six kinds, and of the pairs with a token. */
const PAIRS = byLength(100, 1_700)
const TOKENS = byLength(60, 1_000)

const makeEngine = useEngines()
let primary: LocalServer
let replicas: readonly LocalServer[]
beforeAll(async () => {
  primary = await startServer({
    hba: REPLICATION_HBA,
    settings: { max_wal_senders: 10, wal_level: 'replica' },
  })
  await query(primary.url, 'create table notes (id integer primary key, n integer not null)')
  await query(primary.url, 'insert into notes select i, 0 from generate_series(1, 100) i')
  const first = await primary.startStandby({ recovery_min_apply_delay: '5ms' })
  replicas = [first, await primary.startStandby({ recovery_min_apply_delay: '25ms' })]
})
afterAll(() => Promise.all([primary, ...replicas].map((server) => server.dispose())))

function factoryFor(synchronous: string, consistency: 'session' | 'eventual'): SessionFactory {
  const write = makeEngine({
    url: primary.url,
    connectArgs: { serverSettings: { synchronous_commit: synchronous } },
  })
  const read = replicas.map(({ url }) => makeEngine({ url }))
  return createSessionFactory({ bind: { write, read }, consistency, staleWaitMillis: 10_000 })
}

/** @returns how many were stale. */
async function pairs(factory: SessionFactory, count: number, level?: IsolationLevel): Promise<number> {
  let stale = 0
  let left = count
  const caller = async (id: number): Promise<void> => {
    while (left-- > 0) {
      const { n, wrote } = await factory.causalFlow(() => pair({ factory }, id, level))
      if (n !== wrote) stale += 1
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, (_, at) => caller(at + 1)))
  return stale
}

const LEVELS: readonly (IsolationLevel | undefined)[] = [undefined, 'READ COMMITTED', 'REPEATABLE READ']

test.each(LEVELS.flatMap((level) => [[level, 'on'] as const, [level, 'off'] as const]))(
  'none is stale (%s, synchronous_commit %s)',
  async (level, synchronous) => {
    expect(await pairs(factoryFor(synchronous, 'session'), PAIRS, level)).toBe(0)
  },
  600_000,
)

test('without the check, all are while replay pauses: the pairs can be stale', async () => {
  await Promise.all(replicas.map(({ url }) => query(url, 'select pg_wal_replay_pause()')))
  try {
    expect(await pairs(factoryFor('on', 'eventual'), PAIRS)).toBe(PAIRS)
  } finally {
    await Promise.all(replicas.map(({ url }) => query(url, 'select pg_wal_replay_resume()')))
  }
}, 600_000)

test('none is stale for another process that has the token', async () => {
  const [one, other] = [factoryFor('on', 'session'), factoryFor('on', 'session')]
  let left = TOKENS
  const caller = async (id: number): Promise<void> => {
    while (left-- > 0) {
      const n = left
      const token = await one.causalFlow(async () => {
        await one.withSession((session) =>
          session.execute('update notes set n = $1 where id = $2', [n, id + 20]),
        )
        return one.causalityToken()
      })
      const seen = await other.causalFlow(
        () =>
          other.withSession(
            (session) => session.scalar<number>('select n from notes where id = $1', [id + 20]),
            { readOnly: true },
          ),
        { after: token },
      )
      expect(seen).toBe(n)
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, (_, at) => caller(at + 1)))
}, 600_000)
