/**
 * `npm run drill`: faults of a cluster under Patroni, with 20 writers and a ledger. Options: `--mode synchronous`, `--front hosts`,
 * `--fault "node killed"`, `--no-retry`; without them all are run, which takes about a quarter of an hour.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createEngine } from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { ask, Cluster, type Node } from './cluster.js'
import { FAULTS } from './faults.js'
import { type Balance, Ledger, PLAIN_WRITE, PREPARATION, STORED } from './ledger.js'

const WRITERS = 20
const BEFORE_MILLIS = 3_000
const AFTER_MILLIS = 3_000
const PROMOTION_MILLIS = 90_000
/** After the promotion, the fault goes on for this long. */
const PARTITION_MILLIS = 5_000
const MODES = ['synchronous', 'asynchronous'] as const
const FRONTS = ['haproxy', 'hosts'] as const
const RETRY = { attempts: 200 }

interface Drill extends Balance {
  /** From the promotion (the later of it and the fault) to the first write that was told as stored. */
  readonly firstSuccessMillis: number | undefined
  readonly promotionMillis: number
  /** From the promotion to the first COMMIT of a plain client that was answered there: the part that is the cluster's. */
  readonly plainMillis: number
}

const { values } = parseArgs({
  options: {
    mode: { type: 'string' },
    front: { type: 'string' },
    fault: { type: 'string' },
    'no-retry': { type: 'boolean', default: false },
  },
})

async function drill(cluster: Cluster, front: (typeof FRONTS)[number], fault: string): Promise<Drill> {
  const prepared = await cluster.healthy()
  for (const statement of PREPARATION) await ask(prepared, statement)
  const engine = createEngine({
    url: cluster.url(front),
    poolSize: WRITERS,
    maxOverflow: 0,
    poolTimeoutMillis: 60_000,
    hostTimeoutMillis: 1_000,
  })
  const ledger = new Ledger(engine, WRITERS, values['no-retry'] ? undefined : RETRY)
  await sleep(BEFORE_MILLIS)
  const before = await cluster.healthy()
  const startedAt = performance.now()
  const heal = await (FAULTS[fault] as (typeof FAULTS)[string])(cluster, before)
  const committed = committedBy(cluster, before)
  const promotedAt = await promotion(cluster, before)
  const committedAt = await committed
  await sleep(PARTITION_MILLIS)
  await heal()
  await cluster.healthy()
  await sleep(AFTER_MILLIS)
  await ledger.stop()
  const balance = ledger.balance(await ask(await cluster.healthy(), STORED), startedAt)
  await engine.dispose({ timeoutMillis: 2_000 })
  const first = ledger.firstSuccessAfter(promotedAt)
  return {
    ...balance,
    promotionMillis: promotedAt - startedAt,
    firstSuccessMillis: first === undefined ? undefined : first - promotedAt,
    plainMillis: Math.max(0, committedAt - promotedAt),
  }
}

/** When a plain client that goes straight to the other nodes was told that it has stored something. */
async function committedBy(cluster: Cluster, before: Node): Promise<number> {
  let committedAt: number | undefined
  const others = cluster.nodes.filter((node) => node !== before)
  for (const node of others) {
    void (async () => {
      while (committedAt === undefined) {
        await sleep(20)
        // A standby refuses the write. The COMMIT waits for a standby as those of the writers do.
        await ask(node, PLAIN_WRITE, PROMOTION_MILLIS).then(
          () => (committedAt ??= performance.now()),
          () => undefined,
        )
      }
    })()
  }
  await waitUntil(() => committedAt !== undefined, {
    deadlineMillis: PROMOTION_MILLIS,
    message: 'a COMMIT of a plain client',
  })
  return committedAt ?? NaN
}

/** When another node than before took writes. */
async function promotion(cluster: Cluster, before: Node): Promise<number> {
  await waitUntil(
    async () => {
      const primary = await cluster.primary()
      return primary !== undefined && primary !== before
    },
    { deadlineMillis: PROMOTION_MILLIS, message: () => 'a promotion' },
  )
  return performance.now()
}

function row(mode: string, front: string, fault: string, result: Drill): string {
  const { told, lost, duplicates, errors, falseClaims, longestGapMillis, promotionMillis } = result
  const seconds = (millis: number | undefined): string =>
    millis === undefined ? 'never' : `${(millis / 1000).toFixed(1)} s`
  const said = Object.entries(errors).map(([code, count]) => `${String(count)} ${code}`)
  const cells = [
    mode,
    front,
    fault,
    `${String(lost)} of ${String(told)}`,
    duplicates,
    said.join(', ') || 'none',
    falseClaims,
    seconds(longestGapMillis),
    seconds(promotionMillis),
    seconds(result.firstSuccessMillis),
    seconds(result.plainMillis),
  ]
  return `| ${cells.join(' | ')} |`
}

console.log(
  '| mode | front | fault | confirmed rows lost | duplicates | errors | false claims | longest gap | promotion after | first success after promotion | first COMMIT of a plain client there |',
)
console.log(`|${' --- |'.repeat(11)}`)
for (const mode of MODES.filter((one) => values.mode === undefined || values.mode === one)) {
  await using cluster = await Cluster.start({ synchronous: mode === 'synchronous' })
  for (const front of FRONTS.filter((one) => values.front === undefined || values.front === one)) {
    for (const fault of Object.keys(FAULTS).filter(
      (one) => values.fault === undefined || values.fault === one,
    )) {
      console.log(row(mode, front, fault, await drill(cluster, front, fault)))
    }
  }
}
