/** Objection on Knex. It has no named statements. */
import knex from 'knex'
import { Model, snakeCaseMappers } from 'objection'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

class Album extends Model {
  static override tableName = 'album'
  static override relationMappings = () => ({
    songs: {
      relation: Model.HasManyRelation,
      modelClass: Song,
      join: { from: 'album.id', to: 'song.albumId' },
    },
  })
  declare id: number
  declare title: string
  declare songs?: Song[]
}

class Song extends Model {
  static override tableName = 'song'
  static override jsonAttributes = ['labels']
  static override columnNameMappers = snakeCaseMappers()
  declare id: number
  declare albumId: number | null
  declare title: string
  declare plays: number
  declare explicit: boolean
  declare price: string
  declare labels: Labels
  declare releasedAt: Date
}

export const open: Open = (connectionString) => {
  const db = knex({
    client: 'pg',
    connection: { connectionString },
    pool: { min: POOL_SIZE, max: POOL_SIZE },
  })

  return ormContender(
    {
      insert: (values) =>
        db.transaction(async (transaction) => (await Song.query(transaction).insert({ ...values })).id),
      insertMany: (values) =>
        db.transaction(async (transaction) => {
          const songs = await Song.query(transaction).insert(values.map((song) => ({ ...song })))
          return songs.map(({ id }) => id)
        }),
      change: (ids) =>
        db.transaction(async (transaction) => {
          const songs = await Song.query(transaction).findByIds([...ids])
          for (const song of songs) await song.$query(transaction).patch({ plays: nextPlays(song) })
          return songs.length
        }),
      load: (after, count, use) =>
        db.transaction(async (transaction) => {
          use(await Song.query(transaction).where('id', '>', after).orderBy('id').limit(count))
        }),
      graph: ({ title, songs }) =>
        db.transaction(async (transaction) => {
          const album = await Album.query(transaction).insertGraph({ title, songs: [...songs] })
          return { id: album.id, songIds: album.songs?.map(({ id }) => id) ?? [] }
        }),
      close: () => db.destroy(),
    },
    connectionString,
  )
}
