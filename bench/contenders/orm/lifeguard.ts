/** Lifeguard, as its documentation says to use it. */
import {
  belongsTo,
  boolean,
  createEngine,
  createSessionFactory,
  declarativeBase,
  gt,
  hasMany,
  inArray,
  integer,
  jsonb,
  numeric,
  select,
  serial,
  text,
  timestamptz,
  type WithRelations,
} from 'lifeguard'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

const Base = declarativeBase()

class Album extends Base.entity('album', {
  id: serial().primaryKey(),
  title: text().notNull(),
}) {
  static readonly relations = { songs: hasMany(() => Song, 'albumId') }
}

class Song extends Base.entity('song', {
  id: serial().primaryKey(),
  albumId: integer('album_id').references('album.id'),
  title: text().notNull(),
  plays: integer().notNull(),
  explicit: boolean().notNull(),
  price: numeric({ precision: 8, scale: 2 }).notNull(),
  labels: jsonb<Labels>().notNull(),
  releasedAt: timestamptz('released_at').notNull(),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}

export const open: Open = (url) => {
  const engine = createEngine({ url, poolSize: POOL_SIZE, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })

  return ormContender(
    {
      insert: async (values) => {
        const song = new Song(values)
        await withSession((session) => session.add(song))
        return song.id
      },
      insertMany: async (values) => {
        const songs = values.map((value) => new Song(value))
        await withSession((session) => session.addAll(songs))
        return songs.map(({ id }) => id)
      },
      change: (ids) =>
        withSession(async (session) => {
          const songs = await session.scalars(select(Song).where(inArray(Song.c.id, ids)))
          for (const song of songs) song.plays = nextPlays(song)
          return songs.length
        }),
      load: (after, count, use) =>
        withSession(async (session) => {
          use(await session.scalars(select(Song).where(gt(Song.c.id, after)).orderBy(Song.c.id).limit(count)))
        }),
      graph: async ({ title, songs }) => {
        const album: WithRelations<typeof Album> = new Album({ title })
        const children = songs.map((song) => new Song(song))
        album.songs = children
        await withSession((session) => session.add(album))
        return { id: album.id, songIds: children.map(({ id }) => id) }
      },
      close: () => engine.dispose(),
    },
    url,
  )
}
