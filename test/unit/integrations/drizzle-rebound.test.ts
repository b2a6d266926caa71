/** Copies of Drizzle's databases with another client, by which each transaction gets its own. */
import { relations } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { describe, expect, test } from 'vitest'
import { rebound } from '../../../src/integrations/drizzle/rebound.js'

const albums = pgTable('albums', { id: integer('id').primaryKey() })
const songs = pgTable('songs', {
  id: integer('id').primaryKey(),
  albumId: integer('album_id'),
  title: text('title'),
})
const albumRelations = relations(albums, ({ many }) => ({ songs: many(songs) }))
const songRelations = relations(songs, ({ one }) => ({
  album: one(albums, { fields: [songs.albumId], references: [albums.id] }),
}))
const schema = { albums, songs, albumRelations, songRelations }

/** Notes the queries that it gets, and answers with no rows, or a count. */
class Noting {
  readonly texts: string[] = []

  query(query: { readonly text: string }): Promise<object> {
    this.texts.push(query.text)
    const rows = query.text.includes('count(*)') ? [{ count: '0' }] : []
    return Promise.resolve({ rows, fields: [], rowCount: rows.length, command: 'SELECT' })
  }
}

function databaseOn(client: Noting) {
  return drizzle({ client: client as never, schema })
}

type Db = ReturnType<typeof databaseOn>

function copied(): { db: Db; client: Noting; copy: Db; other: Noting } {
  const [client, other] = [new Noting(), new Noting()]
  const db = databaseOn(client)
  const copy = rebound(db, client, other)
  if (copy === undefined) throw new Error('It was not copied')
  return { db, client, copy, other }
}

describe('the copy', () => {
  test.each<[string, (db: Db) => PromiseLike<unknown>]>([
    ['a select', (db) => db.select().from(songs)],
    ['an insert', (db) => db.insert(albums).values({ id: 1 })],
    ['raw SQL', (db) => db.execute('select 1')],
    ['a relational query', (db) => db.query.albums.findMany({ with: { songs: true } })],
    [
      'a CTE',
      (db) =>
        db
          .with(db.$with('one').as(db.select().from(songs)))
          .select()
          .from(albums),
    ],
    ['$count', (db) => db.$count(songs)],
    ['a prepared query', (db) => db.select().from(songs).prepare('all_songs').execute()],
  ])('sends %s to its own client, and the original to the first one', async (_kind, run) => {
    const { db, client, copy, other } = copied()
    await run(copy)
    expect([client.texts.length, other.texts.length]).toEqual([0, 1])
    await run(db)
    expect([client.texts, other.texts]).toEqual([other.texts, other.texts])
  })

  test('is a database of the same class, with the schema and `$client` of its own', () => {
    const { db, client, copy, other } = copied()
    expect(copy).toBeInstanceOf(db.constructor)
    expect([db.$client, copy.$client]).toEqual([client, other])
    expect(copy._.fullSchema).toBe(db._.fullSchema)
    expect(Object.keys(copy.query)).toEqual(Object.keys(db.query))
  })

  test('can be copied again, for a nested transaction', async () => {
    const { copy, other } = copied()
    const third = new Noting()
    await rebound(copy, other, third)?.select().from(songs)
    expect([other.texts.length, third.texts.length]).toEqual([0, 1])
  })

  test('does not take over what is replaced in the copy', () => {
    const { db, copy } = copied()
    const { session } = copy as unknown as { session: { transaction: unknown } }
    session.transaction = () => undefined
    expect((db as unknown as { session: { transaction: unknown } }).session.transaction).not.toBe(
      session.transaction,
    )
  })
})

describe('nothing is copied, and the database is made anew,', () => {
  const refused = (change: (db: Db) => void): unknown => {
    const client = new Noting()
    const db = databaseOn(client)
    change(db)
    return rebound(db, client, new Noting())
  }
  const sessionOf = (db: Db): Record<string, unknown> =>
    (db as unknown as { session: Record<string, unknown> }).session

  test.each<[string, (db: Db) => void]>([
    ['if the database has a member that is not known', (db) => void Object.assign(db, { replicas: [] })],
    ['if its session has one', (db) => void Object.assign(sessionOf(db), { pipeline: {} })],
    ['if its session has another client', (db) => void (sessionOf(db)['client'] = new Noting())],
    [
      'if a relational query has another session',
      (db) => void Object.assign(db.query.albums, { session: {} }),
    ],
    [
      'if the relational queries are a proxy or a class',
      (db) => void Object.assign(db, { query: new Map() }),
    ],
    ['if it has no session', (db) => void Object.assign(db, { session: undefined })],
  ])('%s', (_why, change) => {
    expect(refused(change)).toBeUndefined()
  })

  test('but a database that was not changed is copied', () => {
    expect(refused(() => undefined)).toBeDefined()
  })
})
