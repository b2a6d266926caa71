/** The entities of docs/mapping.md, which shows this file without this line. */
import { randomUUID } from 'node:crypto'
import { asc, belongsTo, declarativeBase, hasMany, manyToMany } from 'lifeguard'
import { integer, serial, sql, text, timestamptz, uuid, version } from 'lifeguard'

export const Base = declarativeBase()

export class Album extends Base.entity('albums', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
}) {
  static readonly relations = {
    songs: hasMany(() => Song, 'albumId', { orderBy: () => asc(Song.c.title) }),
  }
}

export class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: uuid('album_id').references('albums.id', { onDelete: 'cascade' }).index(),
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

export class Tag extends Base.entity('tags', {
  id: serial().primaryKey(),
  name: text().notNull().unique(),
}) {}

export class SongTag extends Base.entity('song_tags', {
  songId: uuid('song_id').primaryKey().references('songs.id', { onDelete: 'cascade' }),
  tagId: integer('tag_id').primaryKey().references('tags.id', { onDelete: 'cascade' }),
}) {}
