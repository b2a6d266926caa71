/**
 * Write-then-read pairs on replicas that lag, at each isolation level, with `synchronous_commit` on and off: with
 * `consistency: 'session'` none is stale, while the same pairs beside them with `eventual` are.
 */
import { beforeAll, expect, test } from 'vitest'
import {
  createSessionFactory,
  type Engine,
  type IsolationLevel,
  type SessionFactory,
} from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { useLagging } from './lagging-replicas.js'
import { pair } from './replica-servers.js'
import { useEngines } from './support.js'

const CALLERS = 10
/** Of each of the six kinds, with each consistency. */
const PAIRS = byLength(50, 1_700)
const SHORTEST_LAG_MILLIS = 60
/** How much longer than a pair the network delays replication at most. */
const LAG_IN_PAIRS = 2

const makeEngine = useEngines()
const servers = useLagging()

interface Reader {
  readonly factory: SessionFactory
  readonly write: Engine
  /** The caller's rows, from this one on: readers do not write each other's. */
  readonly firstId: number
}

function reader(synchronous: 'on' | 'off', consistency: 'session' | 'eventual'): Reader {
  const write = makeEngine({
    url: servers.primary.url,
    connectArgs: { serverSettings: { synchronous_commit: synchronous } },
  })
  const read = servers.replicas.map(({ url }) => makeEngine({ url }))
  const options = consistency === 'session' ? { staleWaitMillis: 20_000 } : {}
  return {
    factory: createSessionFactory({ bind: { write, read }, consistency, ...options }),
    write,
    firstId: consistency === 'session' ? 1 : 51,
  }
}

/** @returns how many of the pairs were stale. */
async function pairs(
  { factory, firstId }: Reader,
  count: number,
  level?: IsolationLevel,
): Promise<{ stale: number; medianMillis: number }> {
  let stale = 0
  let left = count
  const millis: number[] = []
  const caller = async (id: number): Promise<void> => {
    while (left-- > 0) {
      const startedAt = performance.now()
      const { n, wrote } = await factory.causalFlow(() => pair({ factory }, id, level))
      millis.push(performance.now() - startedAt)
      if (n !== wrote) stale += 1
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, (_, at) => caller(firstId + at)))
  return { stale, medianMillis: millis.sort((one, other) => one - other)[millis.length >> 1] ?? 0 }
}

// On a slow machine replication has to lag for longer, or the replicas would be there before they are asked.
beforeAll(async () => {
  const readers = [reader('on', 'eventual'), reader('off', 'eventual')]
  // The first ones also connect.
  await Promise.all(readers.map((one) => pairs(one, 4 * CALLERS)))
  const measured = await Promise.all(readers.map((one) => pairs(one, 4 * CALLERS)))
  const longest = Math.max(...measured.map(({ medianMillis }) => medianMillis))
  const lag = Math.max(SHORTEST_LAG_MILLIS, LAG_IN_PAIRS * longest)
  servers.lag(lag)
  console.log(`a pair takes ${longest.toFixed(0)} ms, replication lags for up to ${lag.toFixed(0)} ms`)
})

const LEVELS: readonly IsolationLevel[] = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ']

test.each(LEVELS.flatMap((level) => [[level, 'on'] as const, [level, 'off'] as const]))(
  'with the check none is stale, without it many are (%s, synchronous_commit %s)',
  async (level, synchronous) => {
    const [checked, control] = [reader(synchronous, 'session'), reader(synchronous, 'eventual')]
    const [one, other] = await Promise.all([pairs(checked, PAIRS, level), pairs(control, PAIRS, level)])
    const { primaryReads } = checked.write.stats()
    console.log(
      `${level}, synchronous_commit ${synchronous}: session ${String(one.stale)} of ${String(PAIRS)} stale ` +
        `(${String(primaryReads?.behind)} read from the primary), eventual ${String(other.stale)} of ${String(PAIRS)}`,
    )
    expect(one.stale).toBe(0)
    // Else the primary would have shown what the replicas did not.
    expect(primaryReads?.behind).toBeLessThan(PAIRS / 10)
    expect(other.stale).toBeGreaterThan(PAIRS / 10)
  },
  900_000,
)

test('a serializable pair is read from the primary', async () => {
  const one = reader('on', 'session')
  expect((await pairs(one, PAIRS, 'SERIALIZABLE')).stale).toBe(0)
  expect(one.write.stats().primaryReads).toMatchObject({ behind: 0 })
}, 900_000)

test('without the check, all are while replay pauses', async () => {
  await Promise.all(servers.replicas.map((replica) => replica.query('select pg_wal_replay_pause()')))
  try {
    expect((await pairs(reader('on', 'eventual'), PAIRS)).stale).toBe(PAIRS)
  } finally {
    await Promise.all(servers.replicas.map((replica) => replica.query('select pg_wal_replay_resume()')))
  }
}, 900_000)
