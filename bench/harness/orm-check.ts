/** Whether a contender of `orm.ts` does the work that is measured, by what is in the database afterwards. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import pg from 'pg'
import {
  nextPlays,
  type AlbumSong,
  type LoadedSong,
  type NewAlbum,
  type NewSong,
  type OrmWork,
} from './orm-workloads.js'

/** What to ask of it. */
interface Samples {
  readonly song: NewSong
  readonly songs: readonly NewSong[]
  readonly ids: readonly number[]
  readonly album: NewAlbum
}

type Row = LoadedSong & { readonly albumId: number }

const SELECT_SONGS = `SELECT id, album_id AS "albumId", title, plays, explicit, price, labels, released_at AS "releasedAt"
  FROM song`
const LOADED = 3

/** Does everything once. @throws AssertionError if the database is not as it should be then. */
export async function checkWork(work: OrmWork, url: string, samples: Samples): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  const songsOf = async (ids: readonly number[]): Promise<Row[]> => {
    const { rows } = await client.query<Row>(`${SELECT_SONGS} WHERE id = ANY($1)`, [ids])
    return ids.map((id) => rows.find((row) => row.id === id) ?? fail(`There is no song ${String(id)}`))
  }
  try {
    deepStrictEqual(await songsOf([await work.insert(samples.song)]).then(withoutIds), [samples.song])

    // Which key has gone to which object matters, so the order is checked as well.
    deepStrictEqual(await songsOf(await work.insertMany(samples.songs)).then(withoutIds), samples.songs)

    const before = await songsOf(samples.ids)
    strictEqual(await work.change(samples.ids), samples.ids.length)
    deepStrictEqual(
      await songsOf(samples.ids),
      before.map((song) => ({ ...song, plays: nextPlays(song) })),
    )

    const { rows } = await client.query<Row>(`${SELECT_SONGS} ORDER BY id LIMIT ${String(LOADED)}`)
    let loaded: readonly LoadedSong[] = []
    await work.load(0, LOADED, (songs) => (loaded = songs.map(plain)))
    deepStrictEqual(loaded, rows.map(plain))

    const { id, songIds } = await work.graph(samples.album)
    const albums = await client.query('SELECT title FROM album WHERE id = $1', [id])
    deepStrictEqual(albums.rows, [{ title: samples.album.title }])
    const expected: (AlbumSong & { albumId: number })[] = samples.album.songs.map((song) => ({
      ...song,
      albumId: id,
    }))
    deepStrictEqual(await songsOf(songIds).then(withoutIds), expected)
  } finally {
    await client.end()
  }
}

function withoutIds(rows: readonly Row[]): Omit<Row, 'id'>[] {
  return rows.map(({ id: _, ...values }) => values)
}

/** The columns that are compared, of an object of whatever class. */
function plain({ id, title, plays, explicit, price, labels, releasedAt }: LoadedSong): LoadedSong {
  return { id, title, plays, explicit, price: Number(price).toFixed(2), labels, releasedAt }
}

function fail(message: string): never {
  throw new Error(message)
}
