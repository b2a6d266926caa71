/** A test file for jest: `jest.test.ts` bundles it, twice. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { createEngine, createSessionFactory, type Engine, type SessionFactory } from 'lifeguard'
import {
  createTestDatabase,
  expectNoLeaks,
  rollbackEach,
  withRollback,
  type TestDatabase,
} from 'lifeguard/testing'

let database: TestDatabase
let engine: Engine
let sessionFactory: SessionFactory
beforeAll(async () => {
  database = await createTestDatabase(process.env['DATABASE_URL'] ?? '', {
    setUp: async (url) => {
      await using once = createEngine({ url })
      await once.begin((connection) => connection.execute('create table songs (title text unique)'))
    },
  })
  engine = createEngine({ url: database.url })
  sessionFactory = createSessionFactory({ bind: engine })
})
afterAll(async () => {
  await engine.dispose()
  await database.drop()
})

// The code under test, which opens its own blocks.
const addSong = (title: string): Promise<unknown> =>
  sessionFactory.withSession((session) => session.execute('insert into songs values ($1)', [title]))
const countSongs = (): Promise<number | null> =>
  sessionFactory.withSession((session) => session.scalar<number>('select count(*)::int from songs'))

test('withRollback undoes what a test has committed', async () => {
  await withRollback(engine, async () => {
    await addSong('Blue')
    expect(await countSongs()).toBe(1)
  })
  expect(await countSongs()).toBe(0)
})

describe('with hooks', () => {
  rollbackEach(() => engine, { beforeEach, afterEach })
  afterEach(() => expectNoLeaks(engine))

  test.each([1, 2])('a song is stored, time %d', async () => {
    await addSong('Blue')
    await expect(addSong('Blue')).rejects.toMatchObject({ sqlState: '23505' })
    expect(await countSongs()).toBe(1)
  })
})

test('a leak is told, and where it was acquired', async () => {
  const connection = await engine.connect()
  await connection.execute('select 1')
  await expect(async () => await expectNoLeaks(engine)).rejects.toMatchObject({ code: 'ILLEGAL_STATE' })
  await connection.close()
  await expectNoLeaks(engine)
})

test(`has a database of its own: ${String(process.env['JEST_WORKER_ID'])}`, async () => {
  await sessionFactory.withSession((session) => session.execute("insert into songs values ('kept')"))
  expect(await countSongs()).toBe(1)
})
