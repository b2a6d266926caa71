/** Drizzle on an engine and on a session. */
import { eq, relations, sql, TransactionRollbackError } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { integer, jsonb, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { isRetryable, UniqueViolationError } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import { IllegalStateError, InvalidOptionError } from '../../src/errors.js'
import * as lifeguard from '../../src/index.js'
import { drizzleOn } from '../../src/integrations/drizzle.js'
import type { Session } from '../../src/session/session.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table albums (id serial primary key, title text not null)',
  `create table songs (id serial primary key, title text not null unique, plays int, added_at timestamptz not null default now(),
     tags jsonb, album_id int references albums)`,
)

const albums = pgTable('albums', { id: serial('id').primaryKey(), title: text('title').notNull() })
const songs = pgTable('songs', {
  id: serial('id').primaryKey(),
  title: text('title').notNull(),
  plays: integer('plays'),
  addedAt: timestamp('added_at', { withTimezone: true }).notNull().defaultNow(),
  tags: jsonb('tags').$type<string[]>(),
  albumId: integer('album_id').references(() => albums.id),
})
const albumRelations = relations(albums, ({ many }) => ({ songs: many(songs) }))
const songRelations = relations(songs, ({ one }) => ({
  album: one(albums, { fields: [songs.albumId], references: [albums.id] }),
}))
const schema = { albums, songs, albumRelations, songRelations }

type Db = Pick<NodePgDatabase<typeof schema>, 'insert' | 'select' | 'transaction' | 'query' | 'execute'>

const drizzleFor = (bind: Parameters<typeof drizzleOn>[0]) =>
  drizzleOn(bind, (client) => drizzle({ client, schema }))

function fresh(options: Parameters<typeof fixture.engine>[0] = {}): { engine: Engine; db: Db } {
  const engine = fixture.engine(options)
  return { engine, db: drizzleFor(engine) }
}

const inSession = <Value>(work: (session: Session, db: Db) => Promise<Value>): Promise<Value> =>
  fixture.factory().withSession((session) => work(session, drizzleFor(session)))

beforeEach(() => fixture.db.query('truncate songs, albums restart identity'))

async function titles(): Promise<string[]> {
  const rows = await fixture.db.query<{ title: string }>('select title from songs order by id')
  return rows.map(({ title }) => title)
}

const add = (db: Db, title: string) => db.insert(songs).values({ title }).execute()

describe('on an engine', () => {
  test('queries return what the decoders of Drizzle make of rows', async () => {
    const { engine, db } = fresh()
    const addedAt = new Date('2020-01-02T03:04:05.678Z')
    const inserted = await db
      .insert(songs)
      .values({ title: 'a', addedAt, tags: ['x'] })
      .returning()
    expect(inserted).toEqual([{ id: 1, title: 'a', plays: null, addedAt, tags: ['x'], albumId: null }])
    expect(await db.select({ name: songs.title, at: songs.addedAt }).from(songs)).toEqual([
      { name: 'a', at: addedAt },
    ])
    const raw = await db.execute(sql`select 1 as one, ${'x'} as x`)
    expect(raw).toMatchObject({ rows: [{ one: 1, x: 'x' }], rowCount: 1, command: 'SELECT' })
    expect(engine.stats().borrowed).toBe(0)
  })

  test('relational and prepared queries work', async () => {
    const { db } = fresh()
    const [album] = await db.insert(albums).values({ title: 'Help!' }).returning()
    await db.insert(songs).values([
      { title: 'a', albumId: album?.id },
      { title: 'b', albumId: album?.id },
    ])
    const found = await db.query.albums.findFirst({
      with: { songs: { columns: { title: true, addedAt: true } } },
    })
    expect(found?.songs.map(({ title }) => title)).toEqual(['a', 'b'])
    expect(found?.songs[0]?.addedAt).toBeInstanceOf(Date)
    const byTitle = db
      .select({ id: songs.id })
      .from(songs)
      .where(eq(songs.title, sql.placeholder('title')))
      .prepare('by_title')
    expect(await byTitle.execute({ title: 'b' })).toEqual([{ id: 2 }])
    expect(await byTitle.execute({ title: 'a' })).toEqual([{ id: 1 }])
  })

  test('transactions commit, roll back, and have the modes that they ask for', async () => {
    const { engine, db } = fresh()
    expect(await db.transaction((tx) => add(tx, 'kept').then(() => 'value'))).toBe('value')
    const thrown = new Error('no')
    const failing = db.transaction(async (tx) => {
      await add(tx, 'undone')
      throw thrown
    })
    expect(await errorOf(failing)).toBe(thrown)
    const back = db.transaction(async (tx) => {
      await add(tx, 'undone')
      tx.rollback()
    })
    expect(await errorOf(back)).toBeInstanceOf(TransactionRollbackError)
    const modes = await db.transaction(
      (tx) =>
        tx.execute(
          sql`select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as ro`,
        ),
      { isolationLevel: 'serializable', accessMode: 'read only', deferrable: true },
    )
    expect(modes.rows).toEqual([{ level: 'serializable', ro: 'on' }])
    const later = await db.transaction(async (tx) => {
      await tx.setTransaction({ isolationLevel: 'repeatable read' })
      return await tx.execute(sql`show transaction_isolation`)
    })
    expect(later.rows).toEqual([{ transaction_isolation: 'repeatable read' }])
    expect(await titles()).toEqual(['kept'])
    expect(engine.stats().borrowed).toBe(0)
  })

  test('nested transactions are savepoints, one after the other', async () => {
    const { db } = fresh()
    await db.transaction(async (tx) => {
      await add(tx, 'a')
      const results = await Promise.allSettled([
        tx.transaction(async (nested) => {
          await add(nested, 'b')
          throw new Error('no')
        }),
        tx.transaction(async (nested) => {
          await add(nested, 'c')
          await nested.transaction((deeper) => add(deeper, 'd'))
        }),
      ])
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
    })
    expect(await titles()).toEqual(['a', 'c', 'd'])
  })

  test('errors are those of Drizzle, with that of Lifeguard as cause, whose code is the SQLSTATE', async () => {
    const { db } = fresh()
    await add(db, 'a')
    const { cause } = await errorOf(add(db, 'a'))
    expect(cause).toBeInstanceOf(UniqueViolationError)
    expect(cause).toMatchObject({ code: '23505', constraint: 'songs_title_key' })
    expect(isRetryable(cause)).toBe(false)
  })

  test('queries keep the options that the engine has for transactions', async () => {
    const { db } = fresh({ settings: { 'app.tenant': '7' } })
    expect((await db.execute(sql`select current_setting('app.tenant') as tenant`)).rows).toEqual([
      { tenant: '7' },
    ])
    expect((await errorOf(db.execute(sql`select 1 / 0`))).cause).toMatchObject({ code: '22012' })
  })

  test('migrations run', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lifeguard-drizzle-'))
    mkdirSync(join(folder, 'meta'))
    const entries = [{ idx: 0, version: '7', when: 1, tag: '0000_tags', breakpoints: true }]
    writeFileSync(
      join(folder, 'meta/_journal.json'),
      JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
    )
    writeFileSync(
      join(folder, '0000_tags.sql'),
      'create table tags (id int);\n--> statement-breakpoint\ncreate index on tags (id); create index on tags (id);',
    )
    try {
      const db = drizzleFor(fixture.engine())
      await migrate(db, { migrationsFolder: folder })
      await migrate(db, { migrationsFolder: folder })
    } finally {
      rmSync(folder, { recursive: true })
    }
    expect(
      await fixture.db.query("select count(*)::int as n from pg_indexes where tablename = 'tags'"),
    ).toEqual([{ n: 2 }])
  })
})

describe('on a session', () => {
  class Song extends lifeguard.declarativeBase().entity('songs', {
    id: lifeguard.serial('id').primaryKey(),
    title: lifeguard.text('title').notNull(),
  }) {}

  test('queries are part of its transaction, and changed entities are flushed before', async () => {
    await errorOf(
      inSession(async (session, db) => {
        session.add(new Song({ title: 'entity' }))
        await add(db, 'drizzle')
        expect((await db.select().from(songs)).map(({ title }) => title)).toEqual(['entity', 'drizzle'])
        throw new Error('no')
      }),
    )
    expect(await titles()).toEqual([])
    await inSession((_session, db) => add(db, 'kept'))
    expect(await titles()).toEqual(['kept'])
  })

  test('transactions are savepoints', async () => {
    await inSession(async (_session, db) => {
      await add(db, 'a')
      const failing = db.transaction(async (tx) => {
        await add(tx, 'b')
        await add(tx, 'a')
      })
      expect((await errorOf(failing)).cause).toMatchObject({ code: '23505' })
      await db.transaction((tx) => add(tx, 'c'), { accessMode: 'read write' })
      const strict = db.transaction((tx) => add(tx, 'd'), { isolationLevel: 'serializable' })
      expect(await errorOf(strict)).toBeInstanceOf(IllegalStateError)
    })
    expect(await titles()).toEqual(['a', 'c'])
  })

  test('a query beside a transaction waits for its end, so that its rollback does not undo it', async () => {
    await inSession(async (_session, db) => {
      const [begun, go] = [gate(), gate()]
      const failing = db.transaction(async (tx) => {
        await add(tx, 'a')
        begun.open()
        await go.opened
        throw new Error('no')
      })
      await begun.opened
      const beside = add(db, 'b')
      go.open()
      await errorOf(failing)
      await beside
    })
    expect(await titles()).toEqual(['b'])
  })

  test('and on a connection of the engine', async () => {
    await fixture.engine().begin((connection) => add(drizzleFor(connection), 'a'))
    expect(await titles()).toEqual(['a'])
  })
})

describe('mistakes', () => {
  test('a query after the end of its transaction is refused', async () => {
    const { db } = fresh()
    const tx = await db.transaction((inside) => Promise.resolve(inside))
    const error = await errorOf(add(tx, 'late'))
    expect(error.cause ?? error).toBeInstanceOf(IllegalStateError)
    expect(await titles()).toEqual([])
  })

  test('a wrong argument is refused with what to write', () => {
    const { engine } = fresh()
    const make = (client: never): unknown => drizzle({ client })
    for (const [bind, second] of [
      [undefined, make],
      ['postgres://', make],
      [engine, undefined],
      [engine, () => ({})],
      [engine, () => undefined],
    ])
      expect(() => drizzleOn(bind as never, second as never)).toThrow(InvalidOptionError)
  })

  test('a function that makes a database of another client or driver is refused: its queries would be no part of the session', () => {
    const { engine } = fresh()
    const ofOther = (): object => drizzle(fixture.db.url)
    expect(() => drizzleOn(engine, ofOther)).toThrow('must pass its client to drizzle()')
    const ofPglite = (client: object): object => drizzlePglite({ client: client as never })
    expect(() => drizzleOn(engine, ofPglite)).toThrow(/another driver \(Pglite/)
  })
})
