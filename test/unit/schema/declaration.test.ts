import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { declarativeBase } from '../../../src/schema/base.js'
import { build } from '../../../src/schema/build.js'
import {
  bigint,
  integer,
  jsonb,
  numeric,
  serial,
  text,
  timestamptz,
  uuid,
  varchar,
  version,
} from '../../../src/schema/column-types.js'
import { enumType } from '../../../src/schema/custom-types.js'
import type { Column } from '../../../src/schema/column.js'
import { metaOf } from '../../../src/schema/entity-meta.js'
import { belongsTo, hasMany, manyToMany } from '../../../src/schema/relations.js'
import { select } from '../../../src/query/select.js'
import { sql } from '../../../src/sql.js'

function model() {
  const Base = declarativeBase()
  let ids = 0
  class Song extends Base.entity('songs', {
    id: uuid()
      .primaryKey()
      .default(() => `id-${++ids}`),
    title: text().notNull(),
    plays: integer().notNull().default(0),
    albumId: integer('album_id').references('albums.id'),
    settings: jsonb<{ tags: string[] }>().notNull().default({ tags: [] }),
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
    rename(title: string): this {
      this.title = title
      return this
    }
  }
  class Album extends Base.entity('albums', { id: serial().primaryKey(), name: text() }) {
    static readonly relations = { songs: hasMany(() => Song, 'albumId') }
  }
  class Tag extends Base.entity('tags', { id: serial().primaryKey(), name: text() }) {}
  Base.entity('song_tags', {
    songId: uuid('song_id').primaryKey().references('songs.id'),
    tagId: integer('tag_id').primaryKey().references('tags.id'),
  })
  return { Base, Song, Album, Tag }
}

describe('a new instance', () => {
  test('has every column as an own property, defaults set, the rest null or left to PostgreSQL', () => {
    const { Song } = model()
    const song = new Song({ title: 'Carey' })
    expect(Object.keys(song)).toEqual(['id', 'title', 'plays', 'albumId', 'settings', 'createdAt', 'version'])
    expect({ ...song }).toEqual({
      id: 'id-1',
      title: 'Carey',
      plays: 0,
      albumId: null,
      settings: { tags: [] },
      createdAt: undefined,
      version: 1,
    })
  })

  test('is a plain object to JSON, structuredClone, comparison and console.log', () => {
    const { Song } = model()
    const song = new Song({ id: 'a', title: 'Carey', createdAt: new Date(0) })
    const plain = { id: 'a', title: 'Carey', plays: 0, albumId: null, settings: { tags: [] }, version: 1 }
    expect(JSON.parse(JSON.stringify(song))).toEqual({ ...plain, createdAt: '1970-01-01T00:00:00.000Z' })
    expect(structuredClone({ ...song })).toEqual({ ...plain, createdAt: new Date(0) })
    expect(song).toEqual({ ...plain, createdAt: new Date(0) })
    expect(new Song({ ...song })).toStrictEqual(song)
    expect(inspect(song)).toMatch(/^Song \{\n {2}id: 'a',\n {2}title: 'Carey',/)
  })

  test('has the methods of its class', () => {
    const { Song } = model()
    const song = new Song({ title: 'Carey', plays: 2000 })
    expect(song).toBeInstanceOf(Song)
    expect(song.popular).toBe(true)
    expect(song.rename('River').title).toBe('River')
  })

  test('shares no default with another one', () => {
    const { Song } = model()
    const [one, two] = [new Song({ title: 'a' }), new Song({ title: 'b' })]
    one.settings.tags.push('x')
    expect(two.settings).toEqual({ tags: [] })
  })

  test('refuses what is no column, with the nearest name', () => {
    const { Song } = model()
    expect(() => new Song({ title: 'a', titel: 'b' } as never)).toThrow(
      "songs has no column or relation 'titel'; did you mean 'title'?",
    )
  })

  test('refuses what is no column also of an object that inherits the columns', () => {
    const { Song } = model()
    class Form {
      readonly _title: string = 'a'
      get title(): string {
        return this._title
      }
    }
    expect(() => new Song(new Form())).toThrow("no column or relation '_title'")
    const hidden = Object.defineProperty({ titel: 'a' }, 'title', { value: 'b' })
    expect(() => new Song(hidden as never)).toThrow("no column or relation 'titel'")
  })

  test('refuses a value for a computed column', () => {
    const Item = declarativeBase().entity('items', {
      id: serial().primaryKey(),
      total: numeric().generated(sql`1`),
    })
    expect(() => new Item({ total: '2' } as never)).toThrow('items.total is computed by PostgreSQL')
    expect(new Item({ total: undefined } as never)).toEqual({ id: undefined, total: undefined })
  })
})

describe('a relation', () => {
  test('that was neither loaded nor assigned says what to do', () => {
    const { Song } = model()
    const song = new Song({ title: 'a' }) as unknown as { album: unknown }
    expect(() => song.album).toThrow(
      expect.objectContaining({
        code: 'RELATION_NOT_LOADED',
        message: expect.stringContaining(
          "Song.album is neither loaded nor assigned. Load it with the object (load: ['album'])",
        ),
      }),
    )
    expect('album' in { ...song }).toBe(false)
  })

  test('becomes an own property when it is assigned', () => {
    const { Song, Album } = model()
    const album = new Album({ name: 'Blue' })
    const song = new Song({ title: 'a' })
    Object.assign(song, { album })
    expect(Object.keys(song)).toContain('album')
    expect(build(Song, { title: 'b', album }).album).toBe(album)
  })

  test('knows the columns on both sides', () => {
    const { Song, Album, Tag } = model()
    const names = (columns: readonly { toString(): string }[] = []): string => columns.join()
    const album = metaOf(Song).relations.get('album')
    expect([names(album?.ownColumns), names(album?.targetColumns)]).toEqual(['songs.album_id', 'albums.id'])
    const songs = metaOf(Album).relations.get('songs')
    expect([names(songs?.ownColumns), names(songs?.targetColumns)]).toEqual(['albums.id', 'songs.album_id'])
    const tags = metaOf(Song).relations.get('tags')
    expect(tags).toMatchObject({ target: Tag, many: true })
    expect([names(tags?.ownColumns), names(tags?.link?.own), names(tags?.link?.other)]).toEqual([
      'songs.id',
      'song_tags.song_id',
      'song_tags.tag_id',
    ])
  })

  test.each<[string, object, string]>([
    [
      'a missing column',
      { a: belongsTo(() => Other, 'otherI') },
      "has no column 'otherI'; did you mean 'otherId'?",
    ],
    ['no entity', { a: belongsTo(() => Map as never, 'otherId') }, 'things.a leads to what is no entity'],
    ['another base', { a: belongsTo(() => Foreign, 'otherId') }, 'belongs to another base'],
    ['an unknown link', { a: manyToMany(() => Other, 'links') }, "goes through 'links'"],
    ['two keys that fit', { a: manyToMany(() => Other, 'pairs') }, 'several foreign keys to others'],
  ])('is refused for %s', (_name, relations, message) => {
    class Thing extends Base.entity('things', { id: serial().primaryKey(), otherId: integer() }) {
      static readonly relations = relations
    }
    Base.entity('pairs', {
      thing: integer().primaryKey().references('things.id'),
      one: integer().primaryKey().references('others.id'),
      two: integer().primaryKey().references('others.id'),
    })
    const error = catchError(() => metaOf(Thing).relations)
    expect(error).toMatchObject({ code: 'INVALID_MAPPING', message: expect.stringContaining(message) })
  })
  test('by instants is refused where their microseconds are not kept, with what to declare', () => {
    const follow = (key: Column<Date | null>, referring: Column<Date | null, 'reference'>) => {
      const base = declarativeBase()
      class Target extends base.entity('targets', { id: serial().primaryKey(), at: key }) {}
      class Holder extends base.entity('holders', { id: serial().primaryKey(), at: referring }) {
        static readonly relations = { target: belongsTo(() => Target, 'at') }
      }
      return metaOf(Holder).relations
    }
    const referring = timestamptz().references('targets.at')
    expect(catchError(() => follow(timestamptz(), referring))).toMatchObject({
      code: 'INVALID_MAPPING',
      message: expect.stringContaining('holders.target follows targets.at, whose microseconds'),
    })
    expect(follow(timestamptz().unique(), referring).get('target')?.kind).toBe('belongsTo')

    const base = declarativeBase()
    class Event extends base.entity('events', { at: timestamptz().primaryKey() }) {}
    class Undeclared extends base.entity('undeclared', { id: serial().primaryKey(), at: timestamptz() }) {
      static readonly relations = { event: belongsTo(() => Event, 'at') }
    }
    expect(() => metaOf(Undeclared).relations).toThrow('undeclared.event follows undeclared.at, whose')
  })

  const Foreign = declarativeBase().entity('foreigners', { id: serial().primaryKey() })
  let Base = declarativeBase()
  let Other = Base.entity('others', { id: serial().primaryKey() })
  const renew = (): void => {
    Base = declarativeBase()
    Other = Base.entity('others', { id: serial().primaryKey() })
  }
  test.beforeEach(renew)
})

describe('an entity', () => {
  const key = { id: serial().primaryKey() }

  test.each<[string, () => unknown, string]>([
    ['without a key', () => declarativeBase().entity('a', { b: text() }), 'has no primary key'],
    ['with a NUL in its name', () => declarativeBase().entity('a\0', key), 'Not a name for a table'],
    ['without a name', () => declarativeBase().entity('', key), 'Not a name for a table'],
    [
      'with a name that PostgreSQL would cut',
      () => declarativeBase().entity('ä'.repeat(32), key),
      'at most 63 bytes',
    ],
    [
      'with a column that is none',
      () => declarativeBase().entity('a', { ...key, b: 'text' as never }),
      'a.b is not a column',
    ],
    [
      'with a property that would make it a promise',
      () => declarativeBase().entity('a', { ...key, then: text() }),
      "'then'",
    ],
    [
      'with one name twice',
      () => declarativeBase().entity('a', { ...key, b: text('id') }),
      'id and b are both id',
    ],
    [
      'with two versions',
      () => declarativeBase().entity('a', { ...key, b: version(), c: version() }),
      'two version',
    ],
    [
      'with parameters in a definition',
      () => declarativeBase().entity('a', { ...key, b: text().serverDefault(sql`${1}`) }),
      'cannot contain parameters',
    ],
    [
      'with a computed column that has a default',
      () =>
        declarativeBase().entity('a', {
          ...key,
          b: integer()
            .default(1)
            .generated(sql`1`),
        }),
      'cannot have a default',
    ],
    ['with an impossible length', () => varchar({ length: 0 }), 'whole number from 1'],
    ['with an enum without values', () => enumType('e', []), 'has no values'],
    ['with an enum that has a value twice', () => enumType('e', ['a', 'a']), 'a value twice'],
  ])('is refused %s', (_name, declare, message) => {
    expect(catchError(declare)).toMatchObject({
      code: 'INVALID_MAPPING',
      message: expect.stringContaining(message),
    })
  })

  test('is declared once for each table of a base', () => {
    const Base = declarativeBase()
    Base.entity('a', key)
    expect(() => Base.entity('a', key)).toThrow('Two entities of this base are called a')
    expect(() => Base.entity('a', key, { schema: 'other' })).not.toThrow()
    expect(() => declarativeBase().entity('a', key)).not.toThrow()
  })

  test('that refers to what does not exist is found when the metadata is first used', () => {
    const Base = declarativeBase()
    const Song = Base.entity('songs', { ...key, albumId: integer().references('albums.ids') })
    new Song({})
    expect(() => Base.metadata.ddl()).toThrow('Is the module of that entity imported?')
    Base.entity('albums', key)
    expect(() => Base.metadata.ddl()).toThrow("songs.albumId refers to 'albums.ids'")
    expect(() => Base.metadata.ddl()).toThrow("Did you mean 'albums.id'?")
  })

  test('refers within its schema without naming it, and to names with dots', () => {
    const Base = declarativeBase({ schema: 'music' })
    Base.entity('al.bums', { id: serial('i.d').primaryKey() })
    Base.entity('songs', {
      ...key,
      a: integer().references('al.bums.i.d'),
      b: integer().references('music.al.bums.i.d'),
    })
    expect(Base.metadata.ddl()).toContain('references "music"."al.bums" ("i.d")')
  })

  test('may be used without a class of its own', () => {
    const Tag = declarativeBase().entity('tags', key)
    expect(inspect(new Tag())).toBe('tags { id: undefined }')
    expect(select(Tag).toEntityQuery().text).toBe('select "tags"."id" from "tags"')
  })

  test('is asked for by name when something else is given', () => {
    const { Song } = model()
    for (const [given, message] of [
      [class {}, 'Not an entity, but a function: give a class that extends Base.entity(...)'],
      ['songs', 'Not an entity, but a string: give a class that extends Base.entity(...)'],
      [undefined, 'Not an entity, but undefined: is its name misspelt'],
      [Song.c.id, 'Not an entity, but a column: select(Entity) reads entities'],
      [Object.create(Song.prototype), 'Not an entity, but an instance: give its class, Song'],
    ] as const)
      expect(() => select(given as never)).toThrow(message)
  })
})

describe('an entity at run time', () => {
  test('fills an instance from a row without running the constructor, and remembers the row', () => {
    const { Song } = model()
    const meta = metaOf(Song)
    const row = ['a', 'Carey', '7', null, '{"tags": ["x"]}', '2026-01-31 12:00:00+00', '3']
    const song = meta.create()
    const snapshot = meta.fill(song, meta.table.columns, [...row])
    expect(song).toBeInstanceOf(Song)
    expect(song).toEqual(
      new Song({
        id: 'a',
        title: 'Carey',
        plays: 7,
        settings: { tags: ['x'] },
        createdAt: new Date('2026-01-31T12:00:00Z'),
        version: 3,
      }),
    )
    expect(snapshot).toEqual(['a', 'Carey', 7, null, row[4], Date.UTC(2026, 0, 31, 12), 3])
    expect(meta.changes(song, snapshot)).toEqual([])
    song.settings.tags.push('y')
    song.createdAt.setFullYear(2027)
    song.title = 'River'
    expect(meta.changes(song, snapshot).join()).toBe('songs.title,songs.settings,songs.created_at')
    expect(meta.table.columns.map((column, index) => column.restore(snapshot[index]))).toEqual([
      'a',
      'Carey',
      7,
      null,
      { tags: ['x'] },
      new Date('2026-01-31T12:00:00Z'),
      3,
    ])
  })

  test('identifies rows by key, whatever form the key has', () => {
    const Base = declarativeBase()
    const Big = Base.entity('bigs', { id: bigint().primaryKey() })
    const Pair = Base.entity('pairs', { a: uuid().primaryKey(), b: integer().primaryKey(), c: text() })
    expect(metaOf(Big).identityOf([7])).toBe(7n)
    expect(metaOf(Big).identityOfRow(['7'])).toBe(7n)
    const meta = metaOf(Pair)
    expect(meta.identityOf(meta.keyValues({ b: 1, a: 'AB' }))).toBe(meta.identityOfRow(['ab', '1', null]))
    expect(meta.identity(new Pair({ a: 'ab', b: 1 }))).toBe(meta.identityOfRow(['ab', '1', null]))
    expect(meta.identity(new Pair({ a: 'ab', b: undefined as never }))).toBeUndefined()
    expect(() => meta.keyValues({ a: 'x' })).toThrow('The key of pairs needs b')
    expect(() => meta.keyValues('x')).toThrow('The key of pairs is an object with a and b')
  })
})

function catchError(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
