/** What a connection has kept when its primary dies: prepared statements, LISTEN, an open stream. On the later primary all of it works. */
import { expect, test } from 'vitest'
import { createSessionFactory } from '../../src/index.js'
import { listenTo } from '../helpers/listener.js'
import { waitUntil } from '../helpers/wait-until.js'
import { type FailoverCluster, failOver, optionsFor, useFailoverClusters } from './failover-cluster.js'
import { failureOf, useEngines } from './support.js'

const makeEngine = useEngines()
const startCluster = useFailoverClusters()

async function killAndPromote(cluster: FailoverCluster): Promise<void> {
  await cluster.old.kill()
  await failOver(cluster)
}

test('prepared statements are prepared again, also if their plan would be stale there', async () => {
  const cluster = await startCluster()
  await cluster.old.query('set local synchronous_commit = on; create table songs (id int, title text)')
  await cluster.old.query("set local synchronous_commit = on; insert into songs values (1, 'Help!')")
  const engine = makeEngine({ ...optionsFor(cluster, 'hosts', true), poolSize: 2 })
  const { withSession } = createSessionFactory({ bind: engine })
  const read = (): Promise<unknown> =>
    withSession(async (session) => (await session.execute('select * from songs where id = $1', [1])).one())
  for (let use = 0; use < 3; use += 1) expect(await read()).toEqual({ id: 1, title: 'Help!' })
  await killAndPromote(cluster)
  for (let use = 0; use < 3; use += 1) expect(await read()).toEqual({ id: 1, title: 'Help!' })
  await cluster.next.query('alter table songs add column year int')
  for (let use = 0; use < 3; use += 1) expect(await read()).toEqual({ id: 1, title: 'Help!', year: null })
})

test('LISTEN goes on at the later primary', async () => {
  const cluster = await startCluster()
  const engine = makeEngine(optionsFor(cluster, 'hosts', true))
  const songs = listenTo(engine, 'songs')
  await waitUntil(() => songs.connects === 1)
  await cluster.old.query("notify songs, 'before'")
  await waitUntil(() => songs.received.length === 1)
  await killAndPromote(cluster)
  await waitUntil(() => songs.connects === 2)
  await cluster.next.query("notify songs, 'after'")
  await waitUntil(() => songs.received.length === 2)
  expect(songs.received).toEqual(['before', 'after'])
  await songs.stop()
})

test('a stream that is open is lost; with retry its block reads all of it from the later primary', async () => {
  const cluster = await startCluster()
  const engine = makeEngine({ ...optionsFor(cluster, 'hosts', true), poolSize: 2 })
  const { withSession } = createSessionFactory({ bind: engine })
  const ROWS = "select i, current_setting('port')::int as port from generate_series(1, 2000) i"
  const readAll = (retry: { attempts: number } | undefined, onRow: (row: number) => Promise<void>) =>
    withSession(
      async (session) => {
        const seen: { i: number; port: number }[] = []
        for await (const row of session.stream<{ i: number; port: number }>(ROWS, [], { batchSize: 100 })) {
          seen.push(row)
          await onRow(row.i)
        }
        return seen
      },
      { retry },
    )
  let isKilled = false
  const kill = async (row: number): Promise<void> => {
    if (row !== 150 || isKilled) return
    isKilled = true
    await killAndPromote(cluster)
  }
  const seen = await readAll({ attempts: 3 }, kill)
  expect(seen.map(({ i }) => i)).toEqual(Array.from({ length: 2000 }, (_, at) => at + 1))
  expect(new Set(seen.map(({ port }) => port))).toEqual(new Set([cluster.next.port]))
})

test('a stream that is open tells its block without retry that it is lost', async () => {
  const cluster = await startCluster()
  const engine = makeEngine({ ...optionsFor(cluster, 'hosts', true), poolSize: 2 })
  const { withSession } = createSessionFactory({ bind: engine })
  const error = await failureOf(
    withSession(async (session) => {
      for await (const row of session.stream<{ i: number }>('select i from generate_series(1, 2000) i', [], {
        batchSize: 100,
      })) {
        if (row.i === 150) await killAndPromote(cluster)
      }
    }),
  )
  expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
})
