/** Nested transactions side by side, as Drizzle's own driver sends them: the loss is the same as on pg.Pool, but not in silence. */
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { faced, warningsOf } from './pg-pool-support.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (title text)')
const songs = pgTable('songs', { title: text('title') })

test('two nested transactions of Drizzle side by side are reported once, by the name of their savepoint', async () => {
  const db = drizzle({ client: faced(fixture).pool })
  const warnings = await warningsOf(() =>
    db.transaction((tx) =>
      Promise.all(
        ['a', 'b', 'c'].map((title) =>
          tx.transaction((nested) => nested.insert(songs).values({ title }).execute()),
        ),
      ),
    ),
  )
  expect(warnings).toEqual([
    expect.stringMatching(/^LifeguardWarning: SAVEPOINT 'sp1' was sent inside of an open savepoint/),
  ])
})

test('one after the other, failed or not, they are not', async () => {
  const db = drizzle({ client: faced(fixture).pool })
  const warnings = await warningsOf(() =>
    db.transaction(async (tx) => {
      await tx.transaction((nested) => nested.insert(songs).values({ title: 'd' }))
      await tx.transaction(() => Promise.reject(new Error('mine'))).catch(() => undefined)
      await tx.transaction((nested) =>
        nested.transaction((inner) => inner.insert(songs).values({ title: 'e' }).execute()),
      )
    }),
  )
  expect(warnings).toEqual([])
})

test('nor is a savepoint of the name in another transaction, or on another client', async () => {
  const { pool } = faced(fixture)
  const warnings = await warningsOf(async () => {
    const clients = await Promise.all([pool.connect(), pool.connect()])
    for (const end of ['commit', 'rollback']) {
      for (const client of clients) {
        await client.query('begin')
        await client.query('savepoint sp1')
        await client.query('insert into songs values ($1)', ['f'])
      }
      for (const client of clients) await client.query(end)
    }
    for (const client of clients) client.release()
  })
  expect(warnings).toEqual([])
})
