/** Row types: where they come from, and what must not compile. */
import type { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { eq } from 'drizzle-orm'
import {
  DummyDriver,
  type Generated,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import type { Readable, Writable } from 'node:stream'
import { describe, expectTypeOf, test } from 'vitest'
import { sql } from '../../src/index.js'
import type { Connection, Result, ResultStream, Session, SqlFragment } from '../../src/index.js'

declare const session: Session
declare const connection: Connection

interface Song {
  id: number
  title: string
}

interface Database {
  songs: { id: Generated<number>; title: string; plays: number | null }
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
  plays: integer('plays'),
})
declare const db: ReturnType<typeof drizzle>

describe('execute', () => {
  test('takes the row type as its argument', () => {
    expectTypeOf(session.execute<Song>('select 1')).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(session.execute<Song>('select $1', [1])).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(session.execute<Song>({ text: 'select 1' })).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(connection.execute<Song>('select 1')).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(
      session.execute<[number, string]>({ text: 'select 1', rowMode: 'array' }),
    ).resolves.toEqualTypeOf<Result<[number, string]>>()
  })

  test('has rows of unknown columns otherwise', () => {
    expectTypeOf(session.execute('select 1')).resolves.toEqualTypeOf<Result<Record<string, unknown>>>()
    expectTypeOf(session.execute({ text: 'select 1', values: [1] })).resolves.toEqualTypeOf<
      Result<Record<string, unknown>>
    >()
  })

  test('takes the row type from the sql tag', () => {
    expectTypeOf(sql<Song>`select 1`).toEqualTypeOf<SqlFragment<Song>>()
    expectTypeOf(session.execute(sql<Song>`select ${1}`)).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(session.execute(sql`select 1`)).resolves.toEqualTypeOf<Result<Record<string, unknown>>>()
  })

  test('takes the row type from Kysely', () => {
    expectTypeOf(session.execute(kysely.selectFrom('songs').select(['id', 'title']))).resolves.toEqualTypeOf<
      Result<Song>
    >()
    expectTypeOf(session.execute(kysely.selectFrom('songs').selectAll())).resolves.toEqualTypeOf<
      Result<{ id: number; title: string; plays: number | null }>
    >()
    expectTypeOf(
      session.execute(kysely.insertInto('songs').values({ title: 'x' }).returning(['id', 'title'])),
    ).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(
      session.execute(kysely.selectFrom('songs').select('title').where('id', '=', 1)),
    ).resolves.toEqualTypeOf<Result<{ title: string }>>()
    expectTypeOf(
      session.execute<Song>(kysely.selectFrom('songs').selectAll().compile()),
    ).resolves.toEqualTypeOf<Result<Song>>()
  })

  test('takes the row type from Drizzle', () => {
    expectTypeOf(session.execute(db.select().from(songs))).resolves.toEqualTypeOf<
      Result<{ id: number; title: string; plays: number | null }>
    >()
    expectTypeOf(
      session.execute(db.select({ id: songs.id, title: songs.title }).from(songs).where(eq(songs.id, 1))),
    ).resolves.toEqualTypeOf<Result<Song>>()
    expectTypeOf(
      session.execute(db.insert(songs).values({ id: 1, title: 'x' }).returning({ id: songs.id })),
    ).resolves.toEqualTypeOf<Result<{ id: number }>>()
    expectTypeOf(session.execute(db.delete(songs))).resolves.toEqualTypeOf<Result<Record<string, unknown>>>()
  })

  test('does not take what is no statement, or no values', () => {
    // @ts-expect-error a number is no statement
    void session.execute(5)
    // @ts-expect-error neither is nothing
    void session.execute()
    // @ts-expect-error values are an array
    void session.execute('select $1', 1)
    // @ts-expect-error an object without text
    void session.execute({ values: [1] })
    // @ts-expect-error no such option
    void session.execute('select 1', [], { timeout: 5 })
    // @ts-expect-error a promise of a statement
    void session.execute(Promise.resolve('select 1'))
    // @ts-expect-error a row mode that does not exist
    void session.execute({ text: 'select 1', rowMode: 'json' })
  })
})

describe('scalars', () => {
  test('are unknown unless named', () => {
    expectTypeOf(session.scalar('select 1')).resolves.toEqualTypeOf<unknown>()
    expectTypeOf(session.scalar<number>('select 1')).resolves.toEqualTypeOf<number | null>()
    expectTypeOf(session.scalars<number>('select 1')).resolves.toEqualTypeOf<number[]>()
    expectTypeOf(session.scalar<number>(sql`select 1`)).resolves.toEqualTypeOf<number | null>()
  })
})

describe('a result', () => {
  test('gives rows, null where there may be none, and scalars', () => {
    const result = {} as Result<Song>
    expectTypeOf(result.all()).toEqualTypeOf<Song[]>()
    expectTypeOf(result.one()).toEqualTypeOf<Song>()
    expectTypeOf(result.oneOrNone()).toEqualTypeOf<Song | null>()
    expectTypeOf(result.first()).toEqualTypeOf<Song | null>()
    expectTypeOf(result.scalar<number>()).toEqualTypeOf<number | null>()
    expectTypeOf(result.scalarOne<number>()).toEqualTypeOf<number>()
    expectTypeOf(result.scalars<number>()).toEqualTypeOf<number[]>()
    expectTypeOf(result.mappings()).toEqualTypeOf<Record<string, unknown>[]>()
    expectTypeOf(result.columns).toEqualTypeOf<string[]>()
    expectTypeOf(result.rowCount).toEqualTypeOf<number>()
    for (const row of result) expectTypeOf(row).toEqualTypeOf<Song>()
    for (const rows of result.partitions(2)) expectTypeOf(rows).toEqualTypeOf<Song[]>()
  })
})

describe('stream', () => {
  test('has the row types of execute', () => {
    expectTypeOf(session.stream<Song>('select 1')).toEqualTypeOf<ResultStream<Song>>()
    expectTypeOf(session.stream(sql<Song>`select 1`)).toEqualTypeOf<ResultStream<Song>>()
    expectTypeOf(session.stream(kysely.selectFrom('songs').select(['id', 'title']))).toEqualTypeOf<
      ResultStream<Song>
    >()
    expectTypeOf(session.stream('select 1', { batchSize: 5 })).toEqualTypeOf<
      ResultStream<Record<string, unknown>>
    >()
    // @ts-expect-error no such option
    session.stream('select 1', { size: 5 })
  })
})

test('copy gives Node streams', () => {
  expectTypeOf(session.copyFrom('copy t from stdin')).resolves.toEqualTypeOf<Writable>()
  expectTypeOf(session.copyTo('copy t to stdout')).resolves.toEqualTypeOf<Readable>()
})
