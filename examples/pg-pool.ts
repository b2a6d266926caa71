/** The face of pg.Pool: Drizzle on an engine, and in the transaction of a session. `npx tsx examples/pg-pool.ts` */
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { createEngine, createSessionFactory } from 'lifeguard'
import { asPool, poolFrom } from 'lifeguard/pg-pool'

const songs = pgTable('example_songs', { id: integer().primaryKey(), title: text().notNull() })

const engine = createEngine({ url: process.env['DATABASE_URL'], poolSize: 2 })
const { withSession } = createSessionFactory({ bind: engine })
const pool = poolFrom(engine)
const db = drizzle(pool)

await pool.query(
  'drop table if exists example_songs; create table example_songs (id int primary key, title text not null)',
)
await db.insert(songs).values({ id: 1, title: 'Help!' })

// As with pg, `code` is the SQLSTATE.
await pool
  .query('insert into example_songs values ($1, $2)', [1, 'Yesterday'])
  .catch((error: { code?: string }) => {
    console.log(`refused: ${error.code}`)
  })

// Drizzle joins the transaction of a session; its own transaction is a savepoint in it.
await withSession(async (session) => {
  const inSession = drizzle(asPool(session))
  await session.execute('insert into example_songs values ($1, $2)', [2, 'Yesterday'])
  await inSession.transaction(async (tx) => {
    await tx.update(songs).set({ title: 'Tomorrow' }).where(eq(songs.id, 2))
  })
})
console.log((await db.select().from(songs).orderBy(songs.id)).map(({ title }) => title).join(', '))

// A COMMIT that stores nothing is no success.
const client = await pool.connect()
await client.query('begin')
await client.query('selec').catch(() => undefined)
await client.query('commit').catch((error: Error) => console.log(error.message.split(':', 1)[0]))
client.release()

await pool.query('drop table example_songs')
await pool.end()
console.log(engine.status().replace(/^Pool '.*': /, ''))
await engine.dispose()
