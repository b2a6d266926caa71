/**
 * Entities in a minute: declare, create, store, load, change, delete. Run it on an empty database:
 *
 *     DATABASE_URL=postgres://... npx tsx examples/entities.ts
 */
import { randomUUID } from 'node:crypto'
import {
  asc,
  belongsTo,
  build,
  createEngine,
  createSessionFactory,
  declarativeBase,
  gte,
  hasMany,
  integer,
  select,
  text,
  uuid,
  version,
} from 'lifeguard'

const Base = declarativeBase()

class Album extends Base.entity('albums', {
  id: uuid().primaryKey().default(randomUUID),
  name: text().notNull(),
  version: version(),
}) {
  static readonly relations = {
    songs: hasMany(() => Song, 'albumId', {
      cascade: ['add', 'delete'],
      orderBy: () => asc(Song.c.title),
    }),
  }
}

class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull(),
  plays: integer().notNull().default(0),
  albumId: uuid('album_id').notNull().references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }

  get popular(): boolean {
    return this.plays >= 1000
  }
}

const engine = createEngine({ url: process.env.DATABASE_URL })
const { withSession } = createSessionFactory({ bind: engine })
await engine.begin((connection) => Base.metadata.createAll(connection))

// An album with three songs, stored and committed in one round trip.
const album = build(Album, {
  name: 'Revolver',
  songs: ['Taxman', 'Eleanor Rigby', 'Yellow Submarine'].map((title) => build(Song, { title })),
})
await withSession((session) => session.add(album))

// Objects are changed like any others; the session finds the changes when the block has returned.
await withSession(async (session) => {
  const { songs } = await session.getOne(Album, album.id, { load: ['songs'] })
  for (const song of songs) song.plays += song.title === 'Eleanor Rigby' ? 1000 : 10
})

await withSession(async (session) => {
  const popular = await session.scalars(select(Song).where(gte(Song.c.plays, 1000)).load('album'))
  for (const song of popular) console.log(`${song.title} (${song.album.name}): ${song.popular}`)
})

// Its songs go with it.
await withSession(async (session) => session.delete(await session.getOne(Album, album.id)))
console.log('songs left:', await withSession((session) => session.scalar(select(Song).count())))

await engine.dispose()
