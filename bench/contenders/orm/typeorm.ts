/** TypeORM with entities. It has no named statements. */
import { DataSource, EntitySchema, In, MoreThan } from 'typeorm'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

interface Album {
  id: number
  title: string
  songs: Song[]
}

interface Song {
  id: number
  albumId: number | null
  album: Album | null
  title: string
  plays: number
  explicit: boolean
  price: string
  labels: Labels
  releasedAt: Date
}

const AlbumEntity = new EntitySchema<Album>({
  name: 'album',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    title: { type: 'text' },
  },
  relations: { songs: { type: 'one-to-many', target: 'song', inverseSide: 'album', cascade: ['insert'] } },
})
const SongEntity = new EntitySchema<Song>({
  name: 'song',
  columns: {
    id: { type: 'integer', primary: true, generated: true },
    albumId: { name: 'album_id', type: 'integer', nullable: true },
    title: { type: 'text' },
    plays: { type: 'integer' },
    explicit: { type: 'boolean' },
    price: { type: 'numeric', precision: 8, scale: 2 },
    labels: { type: 'jsonb' },
    releasedAt: { name: 'released_at', type: 'timestamptz' },
  },
  relations: {
    album: {
      type: 'many-to-one',
      target: 'album',
      inverseSide: 'songs',
      nullable: true,
      joinColumn: { name: 'album_id' },
    },
  },
})

export const open: Open = async (url) => {
  const source = new DataSource({
    type: 'postgres',
    url,
    entities: [AlbumEntity, SongEntity],
    poolSize: POOL_SIZE,
    extra: { idleTimeoutMillis: 0 },
  })
  await source.initialize()

  return ormContender(
    {
      insert: (values) =>
        source.transaction(async (manager) => {
          const song = manager.create(SongEntity, values)
          await manager.insert(SongEntity, song)
          return song.id
        }),
      insertMany: (values) =>
        source.transaction(async (manager) => {
          const songs = manager.create(SongEntity, [...values])
          await manager.insert(SongEntity, songs)
          return songs.map(({ id }) => id)
        }),
      change: (ids) =>
        source.transaction(async (manager) => {
          const songs = await manager.findBy(SongEntity, { id: In(ids) })
          for (const song of songs) song.plays = nextPlays(song)
          await manager.save(SongEntity, songs)
          return songs.length
        }),
      load: (after, count, use) =>
        source.transaction(async (manager) => {
          use(
            await manager.find(SongEntity, {
              where: { id: MoreThan(after) },
              order: { id: 'ASC' },
              take: count,
            }),
          )
        }),
      graph: (values) =>
        source.transaction(async (manager) => {
          const album = manager.create(AlbumEntity, { title: values.title, songs: [...values.songs] })
          await manager.save(AlbumEntity, album)
          return { id: album.id, songIds: album.songs.map(({ id }) => id) }
        }),
      close: () => source.destroy(),
    },
    url,
  )
}
