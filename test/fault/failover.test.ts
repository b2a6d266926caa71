/**
 * The drill (`npm run drill`) in short: plain streaming replication instead of Patroni. 20 writers with `retry` and an idempotent key, a
 * ledger of what they were told against what is stored, and a failover by each fault.
 */
import { describe, expect, test } from 'vitest'
import type { Engine } from '../../src/index.js'
import { type Balance, Ledger, STORED } from '../drill/ledger.js'
import { byLength } from '../helpers/length.js'
import { waitUntil } from '../helpers/wait-until.js'
import {
  type FailoverCluster,
  failOver,
  type Front,
  optionsFor,
  useFailoverClusters,
} from './failover-cluster.js'
import { useEngines } from './support.js'

const WRITERS = 20
/** Writes before the fault, and after the promotion. */
const WRITES = byLength(100, 2_000)

const makeEngine = useEngines()
const startCluster = useFailoverClusters()

/** What ends the work of the old primary, or cuts it off. */
const FAULTS = {
  switchover: ({ old }: FailoverCluster) => old.stop('fast'),
  'primary killed': ({ old }: FailoverCluster) => old.kill(),
  /** Clients still reach it. */
  'primary partitioned': async ({ replication }: FailoverCluster) => {
    replication.refuse()
    await replication.cut()
  },
} as const

const engineFor = (cluster: FailoverCluster, front: Front, isSynchronous: boolean): Engine =>
  makeEngine({ ...optionsFor(cluster, front, isSynchronous), poolSize: WRITERS })

async function drill(
  cluster: FailoverCluster,
  engine: Engine,
  fault: (cluster: FailoverCluster, more: () => Promise<void>) => Promise<void>,
): Promise<Balance & { readonly firstSuccessMillis: number }> {
  const ledger = new Ledger(engine, WRITERS, { attempts: 200 })
  const more = async (): Promise<void> => {
    const goal = ledger.successes.length + WRITES
    await waitUntil(() => ledger.successes.length >= goal, {
      deadlineMillis: 60_000,
      message: () => `${String(goal)} writes; ${String(ledger.successes.length)} were made`,
    })
  }
  await more()
  const startedAt = performance.now()
  await fault(cluster, more)
  const promotedAt = await failOver(cluster)
  await waitUntil(() => ledger.firstSuccessAfter(promotedAt) !== undefined, { deadlineMillis: 60_000 })
  await more()
  await ledger.stop()
  const rows = await cluster.next.query<{ key: string; n: number }>(STORED)
  const firstSuccessMillis = (ledger.firstSuccessAfter(promotedAt) ?? NaN) - promotedAt
  const balance = ledger.balance(rows, startedAt)
  const { lost, told, errors, longestGapMillis } = balance
  console.log(
    `${String(lost)} of ${String(told)} lost, errors ${JSON.stringify(errors)}, longest gap ${longestGapMillis.toFixed(0)} ms, ` +
      `first success ${firstSuccessMillis.toFixed(0)} ms after the promotion`,
  )
  return { ...balance, firstSuccessMillis }
}

const ROWS: readonly (readonly [Front, keyof typeof FAULTS])[] = [
  ['hosts', 'switchover'],
  ['hosts', 'primary killed'],
  ['hosts', 'primary partitioned'],
  ['one address', 'switchover'],
  ['one address', 'primary killed'],
  ['one address', 'primary partitioned'],
]

describe('a synchronous standby is promoted', () => {
  test.each(byLength(ROWS.slice(1, 5), ROWS))(
    '%s, %s: nothing confirmed is lost or stored twice, and every error is true',
    async (front, fault) => {
      const cluster = await startCluster()
      const { lost, duplicates, falseClaims, errors } = await drill(
        cluster,
        engineFor(cluster, front, true),
        FAULTS[fault],
      )
      expect({ lost, duplicates, falseClaims }).toEqual({ lost: 0, duplicates: 0, falseClaims: 0 })
      expect(Object.keys(errors).filter((code) => code !== 'COMMIT_OUTCOME_UNKNOWN')).toEqual([])
    },
    180_000,
  )
})

test('of an asynchronous standby that was stalled, loss is found: the ledger can fail', async () => {
  const cluster = await startCluster()
  const engine = engineFor(cluster, 'hosts', false)
  const { lost, duplicates, falseClaims } = await drill(
    cluster,
    engine,
    async ({ old, replication }, more) => {
      replication.blackHole()
      await more()
      await old.kill()
      replication.close()
    },
  )
  expect(lost).toBeGreaterThan(0)
  expect({ duplicates, falseClaims }).toEqual({ duplicates: 0, falseClaims: 0 })
}, 180_000)
