/** `lifeguard/testing`: a server for tests, and databases that are copies of a template. */
import { afterEach, expect, test, vi } from 'vitest'
import { createEngine } from 'lifeguard'
import { createTestDatabase, startDatabase } from 'lifeguard/testing'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

afterEach(() => vi.unstubAllEnvs())

async function scalar(url: string, text: string): Promise<unknown> {
  const engine = createEngine({ url, poolSize: 1, maxOverflow: 0, connectRetry: 'fail' })
  try {
    return await engine.begin((connection) => connection.scalar(text))
  } finally {
    await engine.dispose()
  }
}

test('DATABASE_URL is used, and left running', async () => {
  vi.stubEnv('DATABASE_URL', fixture.db.url)
  const server = await startDatabase()
  expect(server).toMatchObject({ url: fixture.db.url, source: 'DATABASE_URL' })
  await server.stop()
  expect(await scalar(server.url, 'select 1')).toBe(1)
})

test('without it, a server is started from the programs of this machine, and stopped', async () => {
  vi.stubEnv('DATABASE_URL', '')
  const server = await startDatabase()
  expect(server.source).toBe('local programs')
  expect(await scalar(server.url, 'select 1')).toBe(1)
  await server.stop()
  await server.stop()
  expect(await errorOf(scalar(server.url, 'select 1'))).toMatchObject({ code: 'CONNECT_FAILED' })
})

test('databases are copies of one template, which is set up once', async () => {
  let runs = 0
  const setUp = async (url: string): Promise<void> => {
    runs++
    await scalar(url, 'create table things (id int)')
  }
  const key = `a test ${String(process.pid)} ${String(Math.random())}`
  const databases = await Promise.all([1, 2, 3].map(() => createTestDatabase(fixture.db.url, { setUp, key })))
  expect(runs).toBe(1)
  await scalar(databases[0]?.url ?? '', 'insert into things values (1)')
  const counts = await Promise.all(
    databases.map(({ url }) => scalar(url, 'select count(*)::int from things')),
  )
  expect(counts).toEqual([1, 0, 0])
  await Promise.all(databases.map((database) => database.drop()))
  await databases[0]?.drop()
  expect(await errorOf(scalar(databases[0]?.url ?? '', 'select 1'))).toMatchObject({ code: 'CONNECT_FAILED' })
})

test('a set-up that fails is told, and the next one begins anew', async () => {
  const key = `failing ${String(process.pid)} ${String(Math.random())}`
  const failing = createTestDatabase(fixture.db.url, {
    key,
    setUp: () => Promise.reject(new Error('migration 7')),
  })
  expect((await errorOf(failing)).message).toBe('migration 7')
  const database = await createTestDatabase(fixture.db.url, {
    key,
    setUp: (url) => scalar(url, 'create table things ()'),
  })
  expect(await scalar(database.url, 'select count(*)::int from things')).toBe(0)
  await database.drop()
})

test('what is no url is refused', async () => {
  expect((await errorOf(createTestDatabase(undefined as never))).message).toContain(
    'takes the url of a server',
  )
})
