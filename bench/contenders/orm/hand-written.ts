/**
 * node-postgres as a careful author writes it: a pool, named statements, sets of rows in one statement whatever their
 * number, ROLLBACK on failure, release in finally. Its entities are the rows.
 */
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type AlbumSong, type LoadedSong } from '../../harness/orm-workloads.js'

const COLUMNS = 'album_id, title, plays, explicit, price, labels, released_at'

const INSERT_SONG = `INSERT INTO song (${COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`

const INSERT_SONGS = `INSERT INTO song (${COLUMNS})
  SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::boolean[], $5::numeric[], $6::jsonb[], $7::timestamptz[])
  RETURNING id`

const SELECT_SONGS = `SELECT id, album_id AS "albumId", title, plays, explicit, price, labels, released_at AS "releasedAt"
  FROM song`

const UPDATE_PLAYS = `UPDATE song SET plays = changed.plays
  FROM unnest($1::int[], $2::int[]) AS changed (id, plays) WHERE song.id = changed.id`

interface Keyed {
  readonly id: number
}

type Song = LoadedSong & { readonly albumId: number | null; plays: number }

const insertSongs = (songs: readonly (AlbumSong & { readonly albumId: number })[]): pg.QueryConfig => ({
  name: 'insert_songs',
  text: INSERT_SONGS,
  values: [
    songs.map(({ albumId }) => albumId),
    songs.map(({ title }) => title),
    songs.map(({ plays }) => plays),
    songs.map(({ explicit }) => explicit),
    songs.map(({ price }) => price),
    songs.map(({ labels }) => labels),
    songs.map(({ releasedAt }) => releasedAt),
  ],
})

export const open: Open = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 })

  const transaction = async <Value>(work: (client: pg.PoolClient) => Promise<Value>): Promise<Value> => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const value = await work(client)
      await client.query('COMMIT')
      return value
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

  return ormContender(
    {
      insert: ({ albumId, title, plays, explicit, price, labels, releasedAt }) =>
        transaction(async (client) => {
          const { rows } = await client.query<Keyed>({
            name: 'insert_song',
            text: INSERT_SONG,
            values: [albumId, title, plays, explicit, price, labels, releasedAt],
          })
          return rows[0]?.id ?? NaN
        }),
      insertMany: (songs) =>
        transaction(async (client) => {
          const { rows } = await client.query<Keyed>(insertSongs(songs))
          return rows.map(({ id }) => id)
        }),
      change: (ids) =>
        transaction(async (client) => {
          const { rows: songs } = await client.query<Song>({
            name: 'select_songs_by_id',
            text: `${SELECT_SONGS} WHERE id = ANY($1)`,
            values: [ids],
          })
          for (const song of songs) song.plays = nextPlays(song)
          await client.query({
            name: 'update_plays',
            text: UPDATE_PLAYS,
            values: [songs.map(({ id }) => id), songs.map(({ plays }) => plays)],
          })
          return songs.length
        }),
      load: (after, count, use) =>
        transaction(async (client) => {
          const { rows } = await client.query<Song>({
            name: 'select_songs_after',
            text: `${SELECT_SONGS} WHERE id > $1 ORDER BY id LIMIT $2`,
            values: [after, count],
          })
          use(rows)
        }),
      graph: ({ title, songs }) =>
        transaction(async (client) => {
          const albums = await client.query<Keyed>({
            name: 'insert_album',
            text: 'INSERT INTO album (title) VALUES ($1) RETURNING id',
            values: [title],
          })
          const albumId = albums.rows[0]?.id ?? NaN
          const { rows } = await client.query<Keyed>(insertSongs(songs.map((song) => ({ ...song, albumId }))))
          return { id: albumId, songIds: rows.map(({ id }) => id) }
        }),
      close: () => pool.end(),
    },
    connectionString,
  )
}
