import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, database, serverUrl } from './database.js'
import { KeptConnection, query } from './databases.js'
import { waitUntil } from './wait-until.js'

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

test('every call gives an empty database of its own', async () => {
  const other = await database()
  await db.query('CREATE TABLE here ()')
  await expect(other.query('SELECT * FROM here')).rejects.toMatchObject({ code: '42P01' })
  await other.drop()
  expect(await query(serverUrl(), 'SELECT 1 FROM pg_database WHERE datname = $1', [other.name])).toEqual([])
})

const ownPid = async ({ query: run }: Pick<TestDatabase, 'query'>): Promise<number> => {
  const [row] = await run<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  return row?.pid ?? 0
}

test('statements share a connection, also after one that fails; those at the same time do not', async () => {
  const pid = await ownPid(db)
  await expect(db.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' })
  expect(await ownPid(db)).toBe(pid)
  const pids = await Promise.all([ownPid(db), ownPid(db), ownPid(db)])
  expect(new Set(pids).size).toBe(3)
  expect(pids).toContain(await ownPid(db))
  const open = 'SELECT pid FROM pg_stat_activity WHERE datname = $1'
  // Those that are closed leave the list a moment later.
  await waitUntil(async () => (await query(serverUrl(), open, [db.name])).length === 1)
})

test('the connection that is kept may be ended, and keeps no process alive', async () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
  const pid = await ownPid(db)
  expect(process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap')).toHaveLength(before)
  await query(serverUrl(), 'SELECT pg_terminate_backend($1)', [pid])
  expect(await ownPid(db)).not.toBe(pid)
})

test('after close() statements have connections of their own', async () => {
  const kept = new KeptConnection(db.url)
  const pids: number[] = []
  for (const close of [false, true, false]) {
    pids.push(await ownPid({ query: (text) => kept.query(text) }))
    if (close) await kept.close()
  }
  expect(pids[1]).toBe(pids[0])
  expect(pids[2]).not.toBe(pids[0])
  expect(await ownPid({ query: (text) => kept.query(text) })).not.toBe(pids[2])
})
