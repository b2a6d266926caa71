/** What the tests of the unit of work share: a small model, and a database with its tables. */
import { tracingChannel } from 'node:diagnostics_channel'
import { beforeAll, beforeEach } from 'vitest'
import {
  asc,
  belongsTo,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  jsonb,
  manyToMany,
  serial,
  text,
  timestamptz,
  type DeclarativeBase,
} from '../../src/index.js'
import { stateOf } from '../../src/unit/instance-state.js'
import { useDatabase, type Fixture } from './session-support.js'

const Music = declarativeBase()

export class Artist extends Music.entity('artists', {
  id: serial().primaryKey(),
  name: text().notNull().unique(),
}) {
  static readonly relations = {
    albums: hasMany(() => Album, 'artistId', { cascade: ['add', 'delete'] }),
    profile: hasOne(() => Profile, 'artistId'),
  }
}

export class Profile extends Music.entity('profiles', {
  artistId: integer('artist_id').primaryKey().references('artists.id'),
  text: text(),
}) {
  static readonly relations = { artist: belongsTo(() => Artist, 'artistId') }
}

export class Album extends Music.entity('albums', {
  id: serial().primaryKey(),
  name: text().notNull(),
  artistId: integer('artist_id').notNull().references('artists.id'),
}) {
  static readonly relations = {
    artist: belongsTo(() => Artist, 'artistId'),
    songs: hasMany(() => Song, 'albumId', { orderBy: () => asc(Song.c.title) }),
  }
}

export class Song extends Music.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: integer('album_id').references('albums.id'),
  settings: jsonb<{ tags: string[] }>(),
  heardAt: timestamptz('heard_at'),
}) {
  static readonly relations = {
    album: belongsTo(() => Album, 'albumId'),
    tags: manyToMany(() => Tag, 'song_tags', { orderBy: () => asc(Tag.c.name) }),
  }

  get popular(): boolean {
    return this.plays > 1000
  }

  hear(): this {
    this.plays++
    return this
  }
}

export class Tag extends Music.entity('tags', { name: text().primaryKey() }) {
  static readonly relations = { songs: manyToMany(() => Song, 'song_tags') }
}

Music.entity('song_tags', {
  songId: integer('song_id').primaryKey().references('songs.id'),
  tag: text().primaryKey().references('tags.name'),
})

/** A database with the tables of a base, empty before each test. Call it at the top of a test file. */
export function useEntities(base: DeclarativeBase = Music): Fixture {
  const fixture = useDatabase()
  const tables = base.metadata.tables.map(({ sql }) => sql).join(', ')
  beforeAll(() => fixture.db.query(base.metadata.ddl()))
  beforeEach(() => fixture.db.query(`truncate ${tables} restart identity cascade`))
  return fixture
}

/** The texts of the statements that are sent while `work` runs. */
export async function textsOf(work: () => Promise<unknown>): Promise<string[]> {
  const texts: string[] = []
  const channel = tracingChannel<unknown, { text: string }>('lifeguard:statement')
  const none = () => undefined
  const subscriber = {
    start: ({ text: statement }: { text: string }) => void texts.push(statement),
    end: none,
    error: none,
    asyncStart: none,
    asyncEnd: none,
  }
  channel.subscribe(subscriber)
  try {
    await work()
  } finally {
    channel.unsubscribe(subscriber)
  }
  return texts
}

/** The statements that write while `work` runs, by their first words. */
export async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  return (await textsOf(work)).flatMap(
    (statement) => /(insert into|update|delete from) "\w+"/.exec(statement)?.[0] ?? [],
  )
}

/** What the unit of work takes an object for. */
export function statusOf(instance: object): string {
  return stateOf(instance).status
}
