/** Drizzle on node-postgres, with named prepared statements where the text of a statement does not depend on its values. */
import { asc, gt, inArray, sql, type SQL } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { boolean, integer, jsonb, numeric, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender, type Labels } from '../../harness/orm-workloads.js'

const album = pgTable('album', {
  id: serial('id').primaryKey(),
  title: text('title').notNull(),
})
const song = pgTable('song', {
  id: serial('id').primaryKey(),
  albumId: integer('album_id').references(() => album.id),
  title: text('title').notNull(),
  plays: integer('plays').notNull(),
  explicit: boolean('explicit').notNull(),
  price: numeric('price', { precision: 8, scale: 2 }).notNull(),
  labels: jsonb('labels').$type<Labels>().notNull(),
  releasedAt: timestamp('released_at', { withTimezone: true }).notNull(),
})

type Song = typeof song.$inferSelect

/** As its guide "Update many with different values for each row" has it. */
function playsOf(songs: readonly Song[]): SQL {
  const cases = songs.map(({ id, plays }) => sql`when ${song.id} = ${id} then ${plays}::integer`)
  return sql`(case ${sql.join(cases, sql.raw(' '))} end)`
}

export const open: Open = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 })
  const db = drizzle(pool)

  return ormContender(
    {
      insert: (values) =>
        db.transaction(async (transaction) => {
          const [added] = await transaction
            .insert(song)
            .values(values)
            .returning({ id: song.id })
            .prepare('insert_song')
            .execute()
          return added?.id ?? NaN
        }),
      insertMany: (values) =>
        db.transaction(async (transaction) => {
          const added = await transaction
            .insert(song)
            .values([...values])
            .returning({ id: song.id })
          return added.map(({ id }) => id)
        }),
      change: (ids) =>
        db.transaction(async (transaction) => {
          const songs = await transaction
            .select()
            .from(song)
            .where(inArray(song.id, [...ids]))
          for (const loaded of songs) loaded.plays = nextPlays(loaded)
          await transaction
            .update(song)
            .set({ plays: playsOf(songs) })
            .where(inArray(song.id, [...ids]))
          return songs.length
        }),
      load: (after, count, use) =>
        db.transaction(async (transaction) => {
          const songs = await transaction
            .select()
            .from(song)
            .where(gt(song.id, sql.placeholder('after')))
            .orderBy(asc(song.id))
            .limit(sql.placeholder('count'))
            .prepare('select_songs_after')
            .execute({ after, count })
          use(songs)
        }),
      graph: ({ title, songs }) =>
        db.transaction(async (transaction) => {
          const [added] = await transaction
            .insert(album)
            .values({ title })
            .returning({ id: album.id })
            .prepare('insert_album')
            .execute()
          const albumId = added?.id ?? NaN
          const children = await transaction
            .insert(song)
            .values(songs.map((child) => ({ ...child, albumId })))
            .returning({ id: song.id })
          return { id: albumId, songIds: children.map(({ id }) => id) }
        }),
      close: () => pool.end(),
    },
    connectionString,
  )
}
