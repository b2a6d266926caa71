/** graphile-worker: jobs, retries, cron, LISTEN. */
import {
  Logger,
  makeWorkerUtils,
  parseCronItems,
  run,
  type Runner,
  type Task,
  type WorkerUtils,
} from 'graphile-worker'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { expect, test } from 'vitest'
import { waitUntil } from '../helpers/wait-until.js'
import { checkLibrary } from './checks.js'

const logger = new Logger(() => () => undefined)

interface Worker {
  readonly utils: WorkerUtils
  readonly runner: Runner
  close(): Promise<void>
}

async function on(
  pgPool: Pool,
  taskList: Record<string, Task>,
  crons: Parameters<typeof parseCronItems>[0] = [],
): Promise<Worker> {
  const utils = await makeWorkerUtils({ pgPool, logger })
  await utils.migrate()
  const parsedCronItems = parseCronItems(crons)
  const runner = await run({
    pgPool,
    logger,
    taskList,
    parsedCronItems,
    concurrency: 1,
    pollInterval: 200,
    noHandleSignals: true,
  })
  return {
    utils,
    runner,
    close: async () => {
      await runner.stop()
      await utils.release()
    },
  }
}

const fixture = checkLibrary('graphile-worker', {
  // One listens, one works, one adds.
  connections: 3,
  retries: true,
  open: async (pool) => {
    const done = new Set<unknown>()
    let next = 0
    const { utils, close } = await on(pool, {
      note: (payload) => void done.add((payload as { n: number }).n),
    })
    return {
      table: 'graphile_worker._private_jobs',
      job: async () => {
        const n = next++
        await utils.addJob('note', { n })
        await waitUntil(() => done.has(n))
      },
      failures: {
        'a wrong query': () => utils.withPgClient((client) => client.query('select nothing')),
        'a job that is refused': () => utils.addJob('x'.repeat(200), {}),
      },
      transaction: (during) =>
        utils.withPgClient(async (client) => {
          const add = "select graphile_worker.add_job('later', run_at => now() + interval '1 year')"
          await client.query('begin')
          try {
            await client.query(add)
            await during()
            await client.query(add)
            await client.query('commit')
          } catch (error) {
            await client.query('rollback').catch(() => undefined)
            throw error
          }
        }),
      close,
    }
  },
})

test('graphile-worker runs jobs, tries failing ones again, and replaces jobs with the same key', async () => {
  const ran: string[] = []
  let fails = true
  const { utils, runner, close } = await on(poolFrom(fixture.engine()), {
    song: (payload, { job }) => {
      ran.push(`${(payload as { title: string }).title} ${job.attempts}`)
    },
    flaky: async (_payload, { withPgClient }) => {
      if (!fails) return void ran.push('flaky')
      fails = false
      await withPgClient((client) => client.query('select nothing'))
    },
  })
  await utils.addJob('song', { title: 'Help!' })
  await waitUntil(() => ran.includes('Help! 1'))
  const failed = new Promise((resolve) => runner.events.once('job:failed', resolve))
  const tried = new Promise((resolve) => runner.events.once('job:error', resolve))
  const { id } = await utils.addJob('flaky', {}, { maxAttempts: 2 })
  await tried
  await utils.rescheduleJobs([id], { runAt: new Date(0) })
  await waitUntil(() => ran.includes('flaky'))
  const runAt = new Date(Date.now() + 3_600_000)
  await utils.addJob('song', { title: 'late' }, { jobKey: 'one', runAt })
  await utils.addJob('song', { title: 'later' }, { jobKey: 'one', runAt })
  const rows = await fixture.db.query("select from graphile_worker.jobs where key = 'one'")
  expect(rows).toHaveLength(1)
  failed.catch(() => undefined)
  await close()
})

test('graphile-worker fills what its cron missed', async () => {
  const times: unknown[] = []
  const cron = { task: 'tick', match: '* * * * *', identifier: 'tick', options: { backfillPeriod: 300_000 } }
  const record = (payload: unknown): void => void times.push(payload)
  const first = await on(poolFrom(fixture.engine()), { tick: record }, [cron])
  await waitUntil(
    async () => (await fixture.db.query('select from graphile_worker._private_known_crontabs')).length > 0,
  )
  await first.close()
  await fixture.db.query(
    "update graphile_worker._private_known_crontabs set known_since = now() - interval '1 hour', last_execution = now() - interval '3 minutes'",
  )
  const second = await on(poolFrom(fixture.engine()), { tick: record }, [cron])
  await waitUntil(() => times.length >= 2)
  await second.close()
  expect(times[0]).toMatchObject({ _cron: { backfilled: true } })
})
