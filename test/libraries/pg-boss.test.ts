/** pg-boss with `db`: queues, retries, schedules, work. */
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import PgBoss from 'pg-boss'
import { expect, test } from 'vitest'
import { waitUntil } from '../helpers/wait-until.js'
import { checkLibrary } from './checks.js'

/** A started pg-boss; `told` has the errors of its own work, which no call is rejected with. */
async function on(
  pool: Pool,
  options: Partial<PgBoss.ConstructorOptions> = {},
): Promise<PgBoss & { readonly told: Error[] }> {
  const told: Error[] = []
  const boss = new PgBoss({
    db: { executeSql: (text, values) => pool.query(text, values) },
    supervise: false,
    schedule: false,
    ...options,
  })
  boss.on('error', (error) => told.push(error))
  await boss.start()
  return Object.assign(boss, { told })
}

const fixture = checkLibrary('pg-boss', {
  open: async (pool) => {
    const boss = await on(pool)
    await boss.createQueue('mail')
    return {
      table: 'pgboss.job',
      job: async () => {
        await boss.send('mail', { to: 'paul' })
        const [job] = await boss.fetch('mail')
        if (job !== undefined) await boss.complete('mail', job.id)
      },
      failures: {
        'a queue that is not there': async () => {
          if ((await boss.send('nothing', {})) === null) throw new Error('No such queue')
        },
        'a wrong schedule': () => boss.schedule('mail', 'no cron'),
        'a wrong id': () => boss.complete('mail', 'no uuid'),
      },
      close: () => boss.stop({ graceful: false, wait: true, close: false }),
    }
  },
})

const stop = (boss: PgBoss): Promise<void> => boss.stop({ graceful: true, wait: true, close: false })

test('pg-boss sends, fetches, fails, retries and completes jobs', async () => {
  const boss = await on(poolFrom(fixture.engine()))
  await boss.createQueue('songs', { name: 'songs', policy: 'standard', retryLimit: 1 })
  const id = await boss.send('songs', { title: 'Help!' })
  const [first] = await boss.fetch<{ title: string }>('songs')
  expect(first).toMatchObject({ id, data: { title: 'Help!' } })
  await boss.fail('songs', id as string, { why: 'no' })
  const [again] = await boss.fetch('songs')
  expect(again?.id).toBe(id)
  await boss.complete('songs', id as string, { done: true })
  expect(await boss.getJobById('songs', id as string)).toMatchObject({ state: 'completed', retryCount: 1 })
  await boss.insert(['a', 'b', 'c'].map((title) => ({ name: 'songs', data: { title } })))
  expect(await boss.fetch('songs', { batchSize: 10 })).toHaveLength(3)
  await stop(boss)
  expect(boss.told).toEqual([])
})

test('workers of pg-boss do each job once, also beside each other', async () => {
  const engine = fixture.engine({ poolSize: 2, maxOverflow: 0 })
  const boss = await on(poolFrom(engine))
  await boss.createQueue('once')
  const done: number[] = []
  for (let worker = 0; worker < 4; worker++) {
    await boss.work<{ n: number }>('once', { pollingIntervalSeconds: 0.5, batchSize: 5 }, async (jobs) => {
      done.push(...jobs.map(({ data }) => data.n))
    })
  }
  await boss.insert(Array.from({ length: 30 }, (_, n) => ({ name: 'once', data: { n } })))
  await waitUntil(() => done.length >= 30)
  await stop(boss)
  expect(done.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, n) => n))
  expect(boss.told).toEqual([])
})

test('pg-boss keeps schedules, and supervises its queues', async () => {
  const boss = await on(poolFrom(fixture.engine()), {
    supervise: true,
    schedule: true,
    cronMonitorIntervalSeconds: 1,
  })
  await boss.createQueue('nightly')
  await boss.schedule('nightly', '* * * * *', { what: 'backup' })
  expect(await boss.getSchedules()).toMatchObject([{ name: 'nightly', cron: '* * * * *' }])
  await boss.maintain()
  await boss.unschedule('nightly')
  await stop(boss)
  expect(boss.told).toEqual([])
})
