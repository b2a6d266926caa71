import { randomUUID } from 'node:crypto'
import { describe, expectTypeOf, test } from 'vitest'
import type { Connection } from '../../src/engine/connection.js'
import { declarativeBase } from '../../src/schema/base.js'
import { build } from '../../src/schema/build.js'
import { deleteFrom, update } from '../../src/query/bulk.js'
import {
  bigint,
  integer,
  jsonb,
  numeric,
  serial,
  text,
  timestamptz,
  uuid,
  version,
} from '../../src/schema/column-types.js'
import { customType, enumType } from '../../src/schema/custom-types.js'
import { desc, eq, gt, inArray, like } from '../../src/query/conditions.js'
import type { EntityStatement } from '../../src/query/entity-statement.js'
import type { KeyOf } from '../../src/schema/entity-types.js'
import type { Metadata } from '../../src/schema/metadata.js'
import {
  belongsTo,
  hasMany,
  hasOne,
  manyToMany,
  type Loaded,
  type WithRelations,
} from '../../src/schema/relations.js'
import { select } from '../../src/query/select.js'
import type { Session } from '../../src/session/session.js'
import { sql } from '../../src/sql.js'

const Base = declarativeBase()
const mood = enumType('mood', ['happy', 'sad'])
const point = customType<{ x: number; y: number }>({
  type: 'point',
  decode: () => ({ x: 0, y: 0 }),
  encode: ({ x, y }) => `(${x},${y})`,
})

// The shape of the design, word for word.
class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' }),
  createdAt: timestamptz('created_at')
    .notNull()
    .serverDefault(sql`now()`),
  version: version(),
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    tags: manyToMany(() => Tag, 'song_tags'),
  }
  get popular(): boolean {
    return this.plays > 1000
  }
}
class Album extends Base.entity('albums', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
}) {
  static readonly relations = {
    songs: hasMany(() => Song, 'albumId', { orderBy: () => desc(Song.c.plays) }),
    sleeve: hasOne(() => Sleeve, 'albumId'),
  }
}
class Sleeve extends Base.entity('sleeves', {
  albumId: uuid().primaryKey().references('albums.id'),
  parentId: uuid().references('sleeves.albumId'),
  colours: text().array().notNull(),
  shape: text<'round' | 'square'>().notNull().default('square'),
  mood: mood(),
  size: bigint(),
  price: numeric({ precision: 10, scale: 2 }),
  area: integer()
    .notNull()
    .generated(sql`1`),
  at: point(),
  documents: jsonb<object>().array(),
  data: jsonb<{ note: string }>().notNull().default({ note: '' }),
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    parent: belongsTo(() => Sleeve, 'parentId'),
  }
}
class Tag extends Base.entity('tags', { id: serial().primaryKey(), name: text().notNull().unique() }) {}
class SongTag extends Base.entity('song_tags', {
  songId: uuid().primaryKey().references('songs.id'),
  tagId: integer().primaryKey().references('tags.id'),
}) {}

type Item<Statement> = Statement extends EntityStatement<infer Given> ? Given : never

describe('an instance', () => {
  test('has a property for every column', () => {
    const song = new Song({ title: 'x' })
    expectTypeOf(song).toEqualTypeOf<Song>()
    expectTypeOf({ ...song }).toExtend<{
      id: string
      title: string
      plays: number
      albumId: string | null
      createdAt: Date
      version: number
    }>()
    expectTypeOf(song.popular).toEqualTypeOf<boolean>()
    expectTypeOf<Sleeve['colours']>().toEqualTypeOf<string[]>()
    expectTypeOf<Sleeve['shape']>().toEqualTypeOf<'round' | 'square'>()
    expectTypeOf<Sleeve['mood']>().toEqualTypeOf<'happy' | 'sad' | null>()
    expectTypeOf<Sleeve['size']>().toEqualTypeOf<bigint | null>()
    expectTypeOf<Sleeve['price']>().toEqualTypeOf<string | null>()
    expectTypeOf<Sleeve['documents']>().toEqualTypeOf<object[] | null>()
    expectTypeOf<Sleeve['at']>().toEqualTypeOf<{ x: number; y: number } | null>()
    song.title = 'y'
    // @ts-expect-error a title is a string
    song.title = 1
    // @ts-expect-error a title cannot be null
    song.title = null
    // @ts-expect-error there is no such column
    song.titel = 'y'
  })

  test('is made from exactly the columns without a default', () => {
    new Song({ title: 'x', plays: 1, albumId: null, id: 'a', createdAt: new Date(), version: 2 })
    new Song({ title: 'x', plays: undefined })
    // @ts-expect-error the title is missing
    new Song({ plays: 1 })
    // @ts-expect-error there must be an object
    new Song()
    // @ts-expect-error wrong value
    new Song({ title: 1 })
    // @ts-expect-error wrong column
    new Song({ title: 'x', titel: 'y' })
    // @ts-expect-error computed by PostgreSQL
    new Sleeve({ albumId: 'a', colours: [], area: 1 })
    new Sleeve({ albumId: 'a', colours: ['red'] })
    // @ts-expect-error not a value of the enum
    new Sleeve({ albumId: 'a', colours: ['red'], mood: 'bored' })
    const Counter = Base.entity('counters', { id: serial().primaryKey(), count: integer() })
    new Counter()
    new Counter({})
  })

  test('has no relation that was not loaded', () => {
    const song = new Song({ title: 'x' })
    // @ts-expect-error not loaded
    void song.album
    const related: WithRelations<typeof Song> = song
    expectTypeOf(related.album).toEqualTypeOf<Album | null | undefined>()
    expectTypeOf(related.tags).toEqualTypeOf<Tag[] | undefined>()
    related.album = new Album({ name: 'x' })
    // @ts-expect-error not an album
    related.album = new Tag({ name: 'x' })
  })

  test('can be built with its relations instead of their keys', () => {
    const album = new Album({ name: 'x' })
    build(Song, { title: 'x', album, tags: [new Tag({ name: 'y' })] })
    build(Sleeve, { colours: [], album })
    new Sleeve({ albumId: 'x', colours: [] })
    // @ts-expect-error the colours are missing
    build(Sleeve, { album })
    // @ts-expect-error not a tag
    build(Song, { title: 'x', tags: [album] })
  })
})

describe('keys', () => {
  test('are the value of the one column, or an object', () => {
    expectTypeOf<KeyOf<typeof Song>>().toEqualTypeOf<string>()
    expectTypeOf<KeyOf<typeof Tag>>().toEqualTypeOf<number>()
    expectTypeOf<KeyOf<typeof SongTag>>().toEqualTypeOf<{ readonly songId: string; readonly tagId: number }>()
  })
})

describe('loaded relations', () => {
  test('are typed by their paths', () => {
    expectTypeOf<Loaded<typeof Album, 'songs'>>().toEqualTypeOf<Album & { songs: Song[] }>()
    expectTypeOf<Loaded<typeof Album, never>>().toEqualTypeOf<Album>()
    const album = null as unknown as Loaded<typeof Album, 'songs.album' | 'songs.tags' | 'sleeve'>
    expectTypeOf(album.songs[0]?.album?.name).toEqualTypeOf<string | undefined>()
    expectTypeOf(album.songs[0]?.tags[0]?.name).toEqualTypeOf<string | undefined>()
    expectTypeOf(album.sleeve).toEqualTypeOf<Sleeve | null>()
    // A key that cannot be null leads to an object.
    const sleeve = null as unknown as Loaded<typeof Sleeve, 'album' | 'parent'>
    expectTypeOf(sleeve.album).toEqualTypeOf<Album>()
    expectTypeOf(sleeve.parent).toEqualTypeOf<Sleeve | null>()
  })

  test('of a select are those it loads', () => {
    const query = select(Album).load('songs', 'songs.tags')
    expectTypeOf<Item<typeof query>['songs'][number]['tags']>().toEqualTypeOf<Tag[]>()
    const more = select(Album).load('songs').load('sleeve')
    expectTypeOf<Item<typeof more>['songs']>().toEqualTypeOf<Song[]>()
    expectTypeOf<Item<typeof more>['sleeve']>().toEqualTypeOf<Sleeve | null>()
    const plain = select(Album).where(eq(Album.c.name, 'x'))
    expectTypeOf<Item<typeof plain>>().toEqualTypeOf<Album>()
    // @ts-expect-error no such relation
    select(Album).load('song')
    // @ts-expect-error no such relation further down
    select(Album).load('songs.artist')
  })
})

describe('conditions', () => {
  test('take values of the type of their column', () => {
    eq(Song.c.title, 'x')
    eq(Song.c.albumId, null)
    eq(Song.c.albumId, Album.c.id)
    gt(Song.c.createdAt, new Date())
    inArray(Song.c.plays, [1, 2])
    like(Sleeve.c.shape, 'r%')
    // @ts-expect-error wrong type
    eq(Song.c.title, 1)
    // @ts-expect-error the column takes no null
    eq(Song.c.title, null)
    // @ts-expect-error wrong type
    inArray(Song.c.plays, ['1'])
    // @ts-expect-error not text
    like(Song.c.plays, '1%')
    // @ts-expect-error not a value of the column
    eq(Sleeve.c.shape, 'oval')
    // @ts-expect-error there is no such column
    void Song.c.titel
    // @ts-expect-error a boolean is no condition
    select(Song).where(Song.c.title === null)
  })
})

describe('statements', () => {
  test('give entities, records, numbers', () => {
    expectTypeOf(select(Song)).toExtend<EntityStatement<Song>>()
    expectTypeOf(select(Song).columns('id', 'plays')).toExtend<
      EntityStatement<{ id: string; plays: number }, string | number>
    >()
    expectTypeOf(select(Song).count()).toExtend<EntityStatement<number>>()
    expectTypeOf(select(Song).exists()).toExtend<EntityStatement<boolean>>()
    expectTypeOf(update(Song).set({ plays: 1 }).returning()).toExtend<EntityStatement<Song>>()
    expectTypeOf(deleteFrom(Song).returning('id')).toExtend<EntityStatement<{ id: string }, string>>()
    expectTypeOf<Item<ReturnType<typeof deleteFrom<typeof Song>>>>().toEqualTypeOf<never>()
    update(Song).set({ plays: sql`plays + 1`, albumId: null })
    // @ts-expect-error wrong value
    update(Song).set({ plays: 'x' })
    // @ts-expect-error wrong column
    update(Song).set({ play: 1 })
    // @ts-expect-error computed
    update(Sleeve).set({ area: 1 })
    // @ts-expect-error no such column
    select(Song).columns('titel')
    // @ts-expect-error not an entity
    select(class {})
  })
})

describe('options', () => {
  test('name columns of the entity', () => {
    Base.entity('a', { id: serial().primaryKey(), name: text() }, { unique: [['id', 'name']] })
    // @ts-expect-error no such column
    Base.entity('b', { id: serial().primaryKey() }, { unique: [['name']] })
    // @ts-expect-error no such column of the other entity
    hasMany(() => Song, 'albumid')
  })

  test('createAll takes connections and sessions', () => {
    expectTypeOf<Metadata['createAll']>().toBeCallableWith(null as unknown as Connection)
    expectTypeOf<Metadata['createAll']>().toBeCallableWith(null as unknown as Session)
  })
})
