/** What a test in a transaction cannot do, as docs/testing.md says. */
import { expect, test } from 'vitest'
import { withRollback } from '../../src/integrations/testing.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table songs (id integer primary key, title text)',
  "insert into songs values (1, 'a')",
)

test.each(['vacuum', 'create index concurrently on songs (title)', 'create database other'])(
  '%s is refused by PostgreSQL, as in any transaction',
  async (text) => {
    const engine = fixture.engine()
    await withRollback(engine, async () => {
      await using connection = await engine.connect({ autocommit: true })
      expect(await errorOf(connection.execute(text))).toMatchObject({ sqlState: '25001' })
    })
  },
)

test('another engine does not see the rows of the test, and waits for those that it has changed', async () => {
  const engine = fixture.engine()
  const other = fixture.engine()
  await withRollback(engine, async () => {
    await engine.begin((connection) => connection.execute("update songs set title = 'b'"))
    expect(await other.begin((connection) => connection.scalar('select title from songs'))).toBe('a')
    const waiting = other.begin((connection) => connection.execute("update songs set title = 'c'"), {
      lockTimeoutMillis: 50,
    })
    expect(await errorOf(waiting)).toMatchObject({ sqlState: '55P03' })
  })
})
