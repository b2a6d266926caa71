/** Objection on Knex: graphs, relations, transactions. */
import knex from 'knex'
import { poolFrom } from 'lifeguard/pg-pool'
import { Model, type RelationMappings } from 'objection'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'

class Song extends Model {
  static override tableName = 'songs'
  declare id: number
  declare title: string
  declare artist_id: number | null
}

class Artist extends Model {
  static override tableName = 'artists'
  declare id: number
  declare name: string
  declare songs?: Song[]

  static override get relationMappings(): RelationMappings {
    return {
      songs: {
        relation: Model.HasManyRelation,
        modelClass: Song,
        join: { from: 'artists.id', to: 'songs.artist_id' },
      },
    }
  }
}

const fixture = checkLibrary('Objection', {
  schema: [
    'create table artists (id serial primary key, name text not null unique)',
    'create table songs (id serial primary key, title text not null, artist_id int references artists)',
  ],
  open: (pool) => {
    const db = knex({ client: 'pg', connectionPool: pool })
    return {
      table: 'songs',
      job: () => Song.query(db).insert({ title: 'Help!' }),
      failures: {
        'a wrong query': () => Song.query(db).where('nothing', 1),
        'a violated constraint': () => Song.query(db).insert({ artist_id: -1, title: 'x' }),
        'a failing graph': () =>
          Artist.query(db).insertGraph({ name: 'x', songs: [{ title: 'a' }, { title: null as never }] }),
      },
      transaction: (during) =>
        Artist.transaction(db, async (trx) => {
          await Song.query(trx).insert({ title: 'in' })
          await during()
          await Song.query(trx).insert({ title: 'in' })
        }),
      close: () => db.destroy(),
    }
  },
})

test('Objection stores, loads and changes graphs', async () => {
  const db = knex({ client: 'pg', connectionPool: poolFrom(fixture.engine({ poolSize: 1, maxOverflow: 0 })) })
  await Artist.transaction(
    db,
    async (trx) =>
      await Artist.query(trx).insertGraph({
        name: 'Abba',
        songs: [{ title: 'Waterloo' }, { title: 'Fernando' }],
      }),
  )
  const found = await Artist.query(db).findOne({ name: 'Abba' }).withGraphFetched('songs').throwIfNotFound()
  expect(found.songs?.map(({ title }) => title)).toEqual(['Waterloo', 'Fernando'])
  const [first] = found.songs as [Song]
  await Artist.query(db).upsertGraph({ id: found.id, songs: [{ id: first.id, title: 'Dancing Queen' }] })
  const joined = await Artist.query(db)
    .joinRelated('songs')
    .where('artists.id', found.id)
    .select('songs.title')
  expect(joined).toMatchObject([{ title: 'Dancing Queen' }])
  await db.destroy()
})
