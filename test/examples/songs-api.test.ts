import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { request as httpRequest } from 'node:http'
import pg from 'pg'
import { database, type TestDatabase } from '../helpers/database.js'
import { waitUntil } from '../helpers/wait-until.js'
import { type ExampleProcess, runExample } from './processes.js'

/** A song as a client sees it. */
interface Song {
  readonly id: string
  readonly title: string
  readonly plays: number
  readonly createdAt: string
}

let db: TestDatabase
beforeAll(async () => {
  db = await database()
})
afterAll(() => db.drop())

async function startService(): Promise<{ service: ExampleProcess; url: string }> {
  const service = runExample('songs-api/main.ts', { DATABASE_URL: db.url, PORT: '0' })
  const [, url = ''] = await service.says(/listens on (\S+)/)
  return { service, url }
}

/** Connections of the service, as the server sees them. */
function backends(): Promise<{ wait_event_type: string | null; query: string }[]> {
  return db.query(
    `select wait_event_type, query from pg_stat_activity
     where datname = current_database() and application_name = 'songs-api'`,
  )
}

describe('the running service', () => {
  let service: ExampleProcess
  let url: string
  beforeAll(async () => {
    ;({ service, url } = await startService())
  })
  afterAll(() => service[Symbol.asyncDispose]())
  beforeEach(async () => {
    await db.query('truncate songs')
  })

  const post = (path: string, body?: unknown): Promise<Response> =>
    fetch(url + path, {
      method: 'POST',
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    })
  const nothingBorrowed = (): Promise<unknown> =>
    waitUntil(
      async () => {
        const health = (await (await fetch(`${url}/health`)).json()) as { borrowed: number; waiting: number }
        return health.borrowed === 0 && health.waiting === 0
      },
      { message: 'every connection to be given back' },
    )

  test('stores, reads, counts and lists songs', async () => {
    const created = await post('/songs', { title: 'Help!' })
    expect(created.status).toBe(201)
    const song = (await created.json()) as Song
    expect(song).toMatchObject({ title: 'Help!', plays: 0 })
    await post('/songs', { title: 'Yesterday' })

    expect(await (await post(`/songs/${song.id}/plays`)).json()).toEqual({ ...song, plays: 1 })
    expect(await (await fetch(`${url}/songs/${song.id}`)).json()).toEqual({ ...song, plays: 1 })
    const [first, second] = (await (await fetch(`${url}/songs`)).json()) as Song[]
    expect([first?.title, second?.title]).toEqual(['Help!', 'Yesterday'])
    expect(await (await fetch(`${url}/songs?limit=1`)).json()).toHaveLength(1)
    expect(await (await fetch(`${url}/songs?minPlays=1`)).json()).toEqual([{ ...song, plays: 1 }])
  })

  test('shows what PostgreSQL filled in, and counts plays that come at once', async () => {
    const { id, createdAt } = (await (await post('/songs', { title: 'Help!' })).json()) as Song
    expect(await db.query('select created_at from songs where id = $1', [id])).toEqual([
      { created_at: new Date(createdAt) },
    ])
    await Promise.all(Array.from({ length: 20 }, () => post(`/songs/${id}/plays`)))
    expect(await (await fetch(`${url}/songs/${id}`)).json()).toMatchObject({ plays: 20 })
  })

  test('deletes songs', async () => {
    const { id } = (await (await post('/songs', { title: 'Help!' })).json()) as Song
    const remove = (): Promise<Response> => fetch(`${url}/songs/${id}`, { method: 'DELETE' })
    expect((await remove()).status).toBe(204)
    expect((await remove()).status).toBe(404)
    expect(await db.query('select from songs')).toEqual([])
    expect((await post('/songs', { title: 'Help!' })).status).toBe(201)
    await nothingBorrowed()
  })

  test('has committed when its answer arrives', async () => {
    const titles = Array.from({ length: 30 }, (_, index) => `Song ${index}`)
    await Promise.all(
      titles.map(async (title) => {
        expect((await post('/songs', { title })).status).toBe(201)
        expect(await db.query('select from songs where title = $1', [title])).toHaveLength(1)
      }),
    )
    await nothingBorrowed()
  })

  test('rolls back all that a failing handler did', async () => {
    await post('/songs', { title: 'Help!' })
    const response = await post('/songs/import', ['Yesterday', 'Help!', 'Michelle'])
    expect(response.status).toBe(409)
    expect(await response.json()).toEqual({ error: 'This title is taken' })
    expect(await db.query('select title from songs')).toEqual([{ title: 'Help!' }])
    expect((await post('/songs/import', ['Yesterday', 'Michelle'])).status).toBe(201)
    await nothingBorrowed()
  })

  test('answers what is not there and what is not valid', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000'
    expect((await fetch(`${url}/songs/${unknown}`)).status).toBe(404)
    expect((await post(`/songs/${unknown}/plays`)).status).toBe(404)
    expect((await fetch(`${url}/songs/7`)).status).toBe(400)
    expect((await post('/songs', {})).status).toBe(400)
    await nothingBorrowed()
  })

  test('calls off on the server what a client that went away had asked for', async () => {
    const { id } = (await (await post('/songs', { title: 'Help!' })).json()) as Song
    const locker = new pg.Client({ connectionString: db.url })
    await locker.connect()
    try {
      await locker.query('begin')
      await locker.query('select from songs where id = $1 for update', [id])
      const request = httpRequest(`${url}/songs/${id}/plays`, { method: 'POST' })
      request.on('error', () => {})
      request.end()
      const waitingForTheLock = async (): Promise<boolean> =>
        (await backends()).some((backend) => backend.wait_event_type === 'Lock')
      await waitUntil(waitingForTheLock, { message: 'the update to wait for the lock' })
      request.destroy()
      await waitUntil(async () => !(await waitingForTheLock()), { message: 'the update to be cancelled' })
    } finally {
      await locker.query('rollback')
      await locker.end()
    }
    await nothingBorrowed()
    expect(await (await fetch(`${url}/songs/${id}`)).json()).toMatchObject({ plays: 0 })
  })

  test('survives that its connections are killed', async () => {
    await Promise.all([1, 2, 3].map((number) => post('/songs', { title: `Song ${number}` })))
    await db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'songs-api'`,
    )
    await waitUntil(
      async () => ((await (await fetch(`${url}/health`)).json()) as { idle: number }).idle === 0,
      {
        message: 'the service to notice',
      },
    )
    expect((await fetch(`${url}/songs`)).status).toBe(200)
    expect((await post('/songs', { title: 'Help!' })).status).toBe(201)
  })
})

test('SIGTERM answers the running request, closes every connection and ends the process', async () => {
  const { service, url } = await startService()
  await using _ = service
  const { id } = (await (
    await fetch(`${url}/songs`, {
      method: 'POST',
      body: '{"title":"Last"}',
      headers: { 'content-type': 'application/json' },
    })
  ).json()) as Song
  const locker = new pg.Client({ connectionString: db.url })
  await locker.connect()
  await locker.query('begin')
  await locker.query('select from songs where id = $1 for update', [id])
  const running = fetch(`${url}/songs/${id}/plays`, { method: 'POST' })
  await waitUntil(async () => (await backends()).some(({ wait_event_type: type }) => type === 'Lock'), {
    message: 'the update to wait for the lock',
  })
  service.signal('SIGTERM')
  // It takes no new requests any more ...
  await waitUntil(
    () =>
      fetch(`${url}/health`).then(
        () => false,
        () => true,
      ),
    {
      message: 'the service to stop listening',
    },
  )
  // ... but answers whom it had taken.
  await locker.query('rollback')
  await locker.end()
  expect(await (await running).json()).toMatchObject({ plays: 1 })
  expect(await service.exitCode()).toBe(0)
  expect(await backends()).toEqual([])
})

test('processes that start at the same time do not get in the way of each other', async () => {
  await db.query('drop table songs')
  const started = await Promise.all([startService(), startService(), startService()])
  for (const { service } of started) service.signal('SIGTERM')
  expect(await Promise.all(started.map(({ service }) => service.exitCode()))).toEqual([0, 0, 0])
})
