import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { createEngine, createSessionFactory, withSession } from 'lifeguard'
import { drizzleOn } from 'lifeguard/drizzle'

const songs = pgTable('songs', { id: integer('id').primaryKey(), title: text('title').notNull() })
const engine = createEngine({ url: 'postgres://localhost/songs' })
export const db: NodePgDatabase<{ songs: typeof songs }> = drizzleOn(engine, (client) =>
  drizzle({ client, schema: { songs } }),
)
export const inSession: Promise<{ id: number; title: string }[]> = withSession(
  createSessionFactory({ bind: engine }),
  async (session) =>
    await drizzleOn(session, (client) => drizzle({ client }))
      .select()
      .from(songs),
)
