/** The builders of Kysely and Drizzle, as they are installed here, run in a session. */
import { eq, gt, sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import {
  DummyDriver,
  type Generated,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql as kyselySql,
} from 'kysely'
import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { InvalidStatementError } from '../../src/errors.js'
import { sql } from '../../src/sql.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table songs (id int primary key, title text not null, tags jsonb)')

beforeEach(async () => {
  await fixture.db.query('truncate songs')
  await fixture.db.query(`insert into songs values (1, 'Help!', '["a"]'), (2, 'Yesterday', null)`)
})

interface Database {
  songs: { id: Generated<number>; title: string; tags: string[] | null }
}

const kysely = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

const songs = pgTable('songs', {
  id: integer('id').primaryKey(),
  title: text('title').notNull(),
  tags: jsonb('tags').$type<string[]>(),
})
// It is never connected: a session runs what it builds.
const db = drizzle(new pg.Client())

describe('Kysely', () => {
  test('select, insert, update, delete', async () => {
    await fixture.factory().withSession(async (session) => {
      const found = await session.execute(kysely.selectFrom('songs').selectAll().where('id', '=', 1))
      expect(found.one()).toEqual({ id: 1, title: 'Help!', tags: ['a'] })
      const inserted = await session.execute(
        kysely
          .insertInto('songs')
          .values({ id: 3, title: "it's; drop table songs" })
          .returning(['id', 'title']),
      )
      expect(inserted.one().title).toBe("it's; drop table songs")
      expect(
        (await session.execute(kysely.updateTable('songs').set({ title: 'x' }).where('id', '<', 3))).rowCount,
      ).toBe(2)
      expect((await session.execute(kysely.deleteFrom('songs').where('id', '=', 2))).rowCount).toBe(1)
    })
    expect(await fixture.db.query('select id, title from songs order by id')).toEqual([
      { id: 1, title: 'x' },
      { id: 3, title: "it's; drop table songs" },
    ])
  })

  test('joins, subqueries and raw fragments', async () => {
    const query = kysely
      .selectFrom('songs as a')
      .innerJoin('songs as b', (join) => join.onRef('a.id', '<', 'b.id'))
      .select(['a.title as first', 'b.title as second', kyselySql<number>`a.id + ${10}`.as('sum')])
      .where('a.id', 'in', [1, 2])
    const rows = await fixture.factory().withSession((session) => session.execute(query))
    expect(rows.all()).toEqual([{ first: 'Help!', second: 'Yesterday', sum: 11 }])
  })

  test('a compiled query', async () => {
    const compiled = kysely.selectFrom('songs').select('title').where('id', '=', 2).compile()
    expect(await fixture.factory().withSession((session) => session.scalar<string>(compiled))).toBe(
      'Yesterday',
    )
  })

  test('streamed', async () => {
    const titles = await fixture.factory().withSession(async (session) => {
      const found: string[] = []
      for await (const { title } of session.stream(kysely.selectFrom('songs').select('title').orderBy('id'), {
        batchSize: 1,
      })) {
        found.push(title)
      }
      return found
    })
    expect(titles).toEqual(['Help!', 'Yesterday'])
  })
})

describe('Drizzle', () => {
  test('select, insert, update, delete', async () => {
    await fixture.factory().withSession(async (session) => {
      const found = await session.execute(db.select().from(songs).where(eq(songs.id, 1)))
      expect(found.one()).toEqual({ id: 1, title: 'Help!', tags: ['a'] })
      const inserted = await session.execute(
        db
          .insert(songs)
          .values({ id: 3, title: "it's; drop table songs", tags: ['b'] })
          .returning({ id: songs.id }),
      )
      expect(inserted.all()).toEqual([{ id: 3 }])
      expect(
        (await session.execute(db.update(songs).set({ title: 'x' }).where(gt(songs.id, 1)))).rowCount,
      ).toBe(2)
      expect((await session.execute(db.delete(songs).where(eq(songs.id, 2)))).rowCount).toBe(1)
    })
    expect(await fixture.db.query('select id, title, tags from songs order by id')).toEqual([
      { id: 1, title: 'Help!', tags: ['a'] },
      { id: 3, title: 'x', tags: ['b'] },
    ])
  })

  test('is not run by Drizzle itself, although its queries are thenable', async () => {
    const query = db.select({ title: songs.title }).from(songs)
    expect('then' in query).toBe(true)
    // Drizzle's own client is not connected: had it been asked, this would fail.
    expect((await fixture.factory().withSession((session) => session.execute(query))).rowCount).toBe(2)
  })

  test('its raw sql`` has no dialect and is refused with what to do', async () => {
    const failure = await errorOf(
      fixture.factory().withSession((session) => session.execute(drizzleSql`select 1` as never)),
    )
    expect(failure).toBeInstanceOf(InvalidStatementError)
  })
})

test('all forms share one transaction', async () => {
  await fixture
    .factory()
    .withSession(async (session) => {
      await session.execute('delete from songs')
      await session.execute(kysely.insertInto('songs').values({ id: 5, title: 'five' }))
      await session.execute(db.insert(songs).values({ id: 6, title: 'six' }))
      await session.execute(sql`insert into songs values (${7}, ${'seven'})`)
      await session.execute({ text: 'insert into songs values ($1, $2)', values: [8, 'eight'] })
      expect(await session.scalars('select id from songs order by id')).toEqual([5, 6, 7, 8])
      throw new Error('undo')
    })
    .catch(() => undefined)
  expect(await fixture.db.query('select id from songs order by id')).toEqual([{ id: 1 }, { id: 2 }])
})
