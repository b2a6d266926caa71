/** MikroORM with an entity manager per unit of work. It puts values into the text, so it has no prepared statements. */
import { Collection, EntitySchema, MikroORM } from '@mikro-orm/postgresql'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

class Album {
  id!: number
  title!: string
  songs: Collection<Song> = new Collection<Song>(this)
}

class Song {
  id!: number
  album?: Album
  title!: string
  plays!: number
  explicit!: boolean
  price!: string
  labels!: Labels
  releasedAt!: Date
}

const AlbumSchema = new EntitySchema<Album>({
  class: Album,
  tableName: 'album',
  properties: {
    id: { type: 'integer', primary: true, autoincrement: true },
    title: { type: 'text' },
    songs: { kind: '1:m', entity: () => Song, mappedBy: 'album' },
  },
})
const SongSchema = new EntitySchema<Song>({
  class: Song,
  tableName: 'song',
  properties: {
    id: { type: 'integer', primary: true, autoincrement: true },
    album: { kind: 'm:1', entity: () => Album, fieldName: 'album_id', nullable: true },
    title: { type: 'text' },
    plays: { type: 'integer' },
    explicit: { type: 'boolean' },
    price: { type: 'decimal', precision: 8, scale: 2 },
    labels: { type: 'json' },
    releasedAt: { type: 'datetime', fieldName: 'released_at' },
  },
})

export const open: Open = async (clientUrl) => {
  const orm = await MikroORM.init({
    clientUrl,
    entities: [AlbumSchema, SongSchema],
    pool: { min: POOL_SIZE, max: POOL_SIZE },
  })

  return ormContender(
    {
      // A flush is a transaction by itself.
      insert: async ({ albumId, ...values }) => {
        const manager = orm.em.fork()
        const song = manager.create(Song, { ...values, album: albumId })
        await manager.flush()
        return song.id
      },
      insertMany: async (added) => {
        const manager = orm.em.fork()
        const songs = added.map(({ albumId, ...values }) =>
          manager.create(Song, { ...values, album: albumId }),
        )
        await manager.flush()
        return songs.map(({ id }) => id)
      },
      change: (ids) =>
        orm.em.transactional(async (manager) => {
          const songs = await manager.find(Song, { id: { $in: [...ids] } })
          for (const song of songs) song.plays = nextPlays(song)
          return songs.length
        }),
      load: (after, count, use) =>
        orm.em.transactional(async (manager) => {
          use(await manager.find(Song, { id: { $gt: after } }, { orderBy: { id: 'asc' }, limit: count }))
        }),
      graph: async ({ title, songs }) => {
        const manager = orm.em.fork()
        const album = manager.create(Album, { title, songs: [...songs] })
        await manager.flush()
        return { id: album.id, songIds: album.songs.map(({ id }) => id) }
      },
      close: () => orm.close(),
    },
    clientUrl,
  )
}
