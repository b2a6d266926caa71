/** Tests on PGlite, without a server to install: node:test, an engine from a url. Run: `npx tsx --test examples/testing-pglite.ts`. */
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { createEngine, createSessionFactory } from 'lifeguard'
import { rollbackEach, startDatabase } from 'lifeguard/testing'

const server = await startDatabase({ source: 'pglite' })
const engine = createEngine({ url: server.url })
const { withSession } = createSessionFactory({ bind: engine })
await engine.begin((connection) => connection.execute('create table songs (title text unique)'))

// The code under test.
const addSong = (title: string): Promise<unknown> =>
  withSession((session) => session.execute('insert into songs values ($1)', [title]))

rollbackEach(engine, { beforeEach, afterEach })
after(async () => {
  await engine.dispose()
  await server.stop()
})

void test('a song is stored', async () => {
  await addSong('Blue')
  assert.equal(await withSession((session) => session.scalar('select count(*)::int from songs')), 1)
})

void test('the same song can be stored in another test, and once only', async () => {
  await addSong('Blue')
  await assert.rejects(addSong('Blue'), { sqlState: '23505' })
})
