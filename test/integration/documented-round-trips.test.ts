/** The tables of docs/transactions.md and docs/mapping.md, row by row. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  build,
  createEngine,
  createSessionFactory,
  select,
  type Engine,
  type SessionFactory,
} from '../../src/index.js'
import { Album, Base, Song, Tag } from '../docs/music.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'

const watch = guardLeaks()
const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const documented = read('transactions.md')
const mapping = read('mapping.md')

let db: TestDatabase
let proxy: Proxy
beforeAll(async () => {
  db = await database()
  proxy = await startProxy(db.url)
  await db.query(Base.metadata.ddl())
})
afterAll(async () => {
  proxy.close()
  await db.drop()
})

type WithSession = SessionFactory['withSession']

/** Round trips of a block once everything is prepared, until its value is there. */
async function roundTrips(
  block: (withSession: WithSession) => Promise<unknown>,
  prePingSkipMillis: number,
): Promise<number> {
  const engine: Engine = watch(
    createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0, prePingSkipMillis }),
  )
  try {
    const { withSession } = createSessionFactory({ bind: engine })
    // Twice: to connect, and to prepare what the second run prepares.
    await block(withSession)
    await block(withSession)
    // A read-only COMMIT may still be on its way.
    await withSession((session) => session.execute('select 1'))
    proxy.reset()
    await block(withSession)
    return proxy.roundTrips
  } finally {
    await engine.dispose()
  }
}

const one = (withSession: WithSession): Promise<unknown> =>
  withSession(async (session) => (await session.execute('select 1')).all())

const rows: [name: string, text: string, proven: number, unproven: number, block: typeof one][] = [
  ['nothing', '0', 0, 0, (withSession) => withSession(() => 1)],
  ['awaits one statement, then returns', '2', 2, 2, one],
  [
    'awaits one statement, read-only',
    '1 before the value is returned',
    1,
    1,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), { readOnly: true }),
  ],
  [
    'returns the promise of its only statement',
    '1; 2 on a connection that needs a liveness check',
    1,
    2,
    (withSession) => withSession((session) => session.execute('select 1')),
  ],
  [
    'returns the promise of its only statement, read-only',
    '1',
    1,
    1,
    (withSession) => withSession((session) => session.execute('select 1'), { readOnly: true }),
  ],
  [
    'awaits three statements in one `Promise.all`',
    'as for one',
    2,
    2,
    (withSession) =>
      withSession(async (session) => {
        await Promise.all([1, 2, 3].map((number) => session.execute(`select ${number}`)))
      }),
  ],
  [
    'awaits one statement in a savepoint',
    'as for one',
    2,
    2,
    (withSession) =>
      withSession(async (session) => {
        await session.beginNested(() => session.execute('select 1'))
      }),
  ],
  [
    'isolation level, timeouts, role, settings',
    '0 more',
    2,
    2,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), {
        isolationLevel: 'SERIALIZABLE',
        lockTimeoutMillis: 1000,
        role: 'pg_monitor',
        settings: { 'app.tenant': '7' },
      }),
  ],
  [
    'a `signal` of the session or block',
    '0 more; 1 more for a write whose COMMIT waits for a standby',
    1,
    2,
    (withSession) =>
      withSession((session) => session.execute('create temporary table if not exists written ()'), {
        signal: new AbortController().signal,
      }),
  ],
  ['the liveness check of an idle connection', '0 more, because BEGIN is the check', 2, 2, one],
  [
    'one statement in autocommit mode',
    '1, and 1 more for the liveness check',
    1,
    2,
    (withSession) =>
      withSession(async (session) => (await session.execute('select 1')).all(), { autocommit: true }),
  ],
]

test.each(rows)('%s: %s', async (name, text, proven, unproven, block) => {
  expect(documented).toMatch(new RegExp(`^\\| ${name} +\\| ${text} +\\|$`, 'm'))
  expect(await roundTrips(block, 60_000)).toBe(proven)
  expect(await roundTrips(block, 0)).toBe(unproven)
})

test('the table has no other row', () => {
  const table = /\| what a block does[^]*?\n\n/.exec(documented)?.[0] ?? ''
  expect(table.trim().split('\n')).toHaveLength(2 + rows.length)
})

const newSongs = (): Song[] => Array.from({ length: 100 }, (_, index) => new Song({ title: `Song ${index}` }))
const someSongs = select(Song).limit(100)

const entityRows: [name: string, text: string, trips: number, block: typeof one][] = [
  [
    'adds a new object, with any kind of key',
    '1',
    1,
    (withSession) => withSession((session) => session.add(new Song({ title: 'Help!' }))),
  ],
  ['adds 100 new objects', '1', 1, (withSession) => withSession((session) => session.addAll(newSongs()))],
  [
    'adds an album with 100 songs, keys made by `default`',
    '1',
    1,
    (withSession) =>
      withSession((session) => session.add(build(Album, { name: 'Help!', songs: newSongs() }))),
  ],
  [
    'adds a song with new tags, whose keys PostgreSQL makes',
    '2',
    2,
    (withSession) =>
      withSession((session) => {
        const tags = [1, 2].map(() => new Tag({ name: randomUUID() }))
        session.add(build(Song, { title: 'Help!', tags }))
      }),
  ],
  [
    'loads 100 songs and changes them',
    '2',
    2,
    (withSession) =>
      withSession(async (session) => {
        for (const song of await session.scalars(someSongs)) song.plays++
      }),
  ],
  [
    'gets a song and deletes it',
    '2',
    2,
    (withSession) =>
      withSession(async (session) => {
        const [song] = await session.scalars(someSongs)
        if (song !== undefined) session.delete(song)
      }),
  ],
  [
    'loads songs and changes nothing',
    '2; 1 before the value is returned where it is read-only',
    2,
    (withSession) => withSession(async (session) => (await session.scalars(someSongs)).length),
  ],
  [
    'gets a song that the session holds already',
    '0 more',
    2,
    (withSession) =>
      withSession(async (session) => {
        const [song] = await session.scalars(someSongs)
        if (song !== undefined) await session.get(Song, song.id)
      }),
  ],
  [
    'loads relations',
    '1 more for each level, however many objects and relations',
    4,
    (withSession) =>
      withSession((session) =>
        session.scalars(select(Album).limit(10).load('songs', 'songs.tags', 'songs.album')),
      ).then((albums) => albums.length),
  ],
]

test.each(entityRows)('%s: %s', async (name, text, trips, block) => {
  expect(mapping).toMatch(new RegExp(`^\\| ${name} +\\| ${text} +\\|$`, 'm'))
  expect(await roundTrips(block, 60_000)).toBe(trips)
})

test('the table of docs/mapping.md has no other row', () => {
  const table = /\| what a block does[^]*?\n\n/.exec(mapping)?.[0] ?? ''
  expect(table.trim().split('\n')).toHaveLength(2 + entityRows.length)
})
