/** Tests of code that opens its own blocks, with node:test: each is rolled back. Run: `npx tsx --test examples/testing.ts`. */
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { createEngine, createSessionFactory } from 'lifeguard'
import { createTestDatabase, expectNoLeaks, rollbackEach, startDatabase } from 'lifeguard/testing'

const server = await startDatabase()
const database = await createTestDatabase(server.url, {
  setUp: async (url) => {
    await using engine = createEngine({ url })
    await engine.begin((connection) => connection.execute('create table songs (title text unique)'))
  },
})
const engine = createEngine({ url: database.url })
const { withSession } = createSessionFactory({ bind: engine })

// The code under test.
const addSong = (title: string): Promise<unknown> =>
  withSession((session) => session.execute('insert into songs values ($1)', [title]))
const countSongs = (): Promise<number | null> =>
  withSession((session) => session.scalar<number>('select count(*)::int from songs'))

rollbackEach(engine, { beforeEach, afterEach })
afterEach(() => expectNoLeaks(engine))
after(async () => {
  await engine.dispose()
  await database.drop()
  await server.stop()
})

void test('a song is stored', async () => {
  await addSong('Blue')
  assert.equal(await countSongs(), 1)
})

void test('the same song can be stored in another test, and once only', async () => {
  await addSong('Blue')
  await assert.rejects(addSong('Blue'), { sqlState: '23505' })
  assert.equal(await countSongs(), 1)
})
