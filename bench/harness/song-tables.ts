/** The tables of `orm.ts`: what they hold at first, and how they get back to that. */
import { query } from '../../test/helpers/databases.js'

/** How many songs there are at first; their ids begin at 1. */
export const SONGS = 20_000
/**
 * How many albums there are at first, of `SONGS / ALBUMS` songs each; their ids begin at 1. So many that PostgreSQL checks foreign
 * keys by the index: a table of a few pages it reads as a whole, by a plan that it keeps while the table grows, and then every
 * contender waits for nothing but that.
 */
export const ALBUMS = 2_000

export async function createSongTables(url: string): Promise<void> {
  await query(url, `CREATE TABLE album (id serial PRIMARY KEY, title text NOT NULL)`)
  await query(
    url,
    `CREATE TABLE song (
       id serial PRIMARY KEY,
       album_id integer REFERENCES album (id),
       title text NOT NULL,
       plays integer NOT NULL,
       explicit boolean NOT NULL,
       price numeric(8, 2) NOT NULL,
       labels jsonb NOT NULL,
       released_at timestamptz NOT NULL
     )`,
  )
  await query(url, 'CREATE INDEX ON song (album_id)')
  await restoreSongTables(url)
}

/** Undoes what the workloads have written, and what it left behind in files and indexes. */
export async function restoreSongTables(url: string): Promise<void> {
  await query(url, 'TRUNCATE song, album RESTART IDENTITY')
  await query(
    url,
    `INSERT INTO album (title) SELECT 'album ' || number FROM generate_series(1, ${String(ALBUMS)}) AS number`,
  )
  await query(
    url,
    `INSERT INTO song (album_id, title, plays, explicit, price, labels, released_at)
       SELECT 1 + (number - 1) % ${String(ALBUMS)}, 'song ' || number, number % 1000, number % 7 = 0,
         (number % 300) / 100.0, jsonb_build_object('genre', 'genre ' || number % 20, 'bpm', 60 + number % 120),
         timestamptz '2020-01-01Z' + number * interval '1 hour'
       FROM generate_series(1, ${String(SONGS)}) AS number`,
  )
  await query(url, 'VACUUM ANALYZE song, album')
}
