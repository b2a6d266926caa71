/**
 * One transaction over entities, Kysely, Drizzle and SQL: all of it is stored, or nothing.
 *
 *   DATABASE_URL=postgres://localhost/test npx tsx examples/one-transaction.ts
 */
import { count } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer as drizzleInteger, pgTable, text as drizzleText } from 'drizzle-orm/pg-core'
import { Kysely, type Generated } from 'kysely'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  integer,
  serial,
  sql,
  text,
  type Session,
} from 'lifeguard'
import { drizzleOn } from 'lifeguard/drizzle'
import { kyselyDialect } from 'lifeguard/kysely'

// The same table, as each of them knows it.
const Base = declarativeBase()
class Song extends Base.entity('example_songs', {
  id: serial().primaryKey(),
  title: text().notNull(),
  plays: integer().notNull().default(0),
}) {}

interface Tables {
  example_songs: { id: Generated<number>; title: string; plays: number }
}

const songs = pgTable('example_songs', {
  id: drizzleInteger('id').primaryKey().generatedAlwaysAsIdentity(),
  title: drizzleText('title').notNull(),
  plays: drizzleInteger('plays').notNull(),
})

const engine = createEngine({ url: process.env['DATABASE_URL'] })
const { withSession } = createSessionFactory({ bind: engine })

async function addFour(session: Session): Promise<number> {
  const kysely = new Kysely<Tables>({ dialect: kyselyDialect(session) })
  const db = drizzleOn(session, (client) => drizzle({ client }))

  session.add(new Song({ title: 'by an entity' }))
  await kysely.insertInto('example_songs').values({ title: 'by Kysely', plays: 1 }).execute()
  await db.insert(songs).values({ title: 'by Drizzle', plays: 2 })
  await session.execute(sql`insert into example_songs (title, plays) values (${'by SQL'}, ${3})`)

  // Each sees what the others have done, the entity included: it was flushed before the first query.
  const [counted] = await db.select({ n: count() }).from(songs)
  return counted?.n ?? 0
}

try {
  await engine.begin((connection) => Base.metadata.createAll(connection))

  const undone = await withSession(async (session) => {
    const n = await addFour(session)
    console.log(`${n} songs in the transaction`)
    throw new Error('changed my mind')
  }).catch((error: unknown) => (error as Error).message)
  console.log(
    `Rolled back (${undone}): ${await engine.begin((c) => c.scalar('select count(*)::int from example_songs'))} songs`,
  )

  await withSession(addFour)
  const titles = await engine.begin((c) =>
    c.scalars<string>('select title from example_songs order by plays'),
  )
  console.log(`Committed: ${titles.join(', ')}`)
} finally {
  await engine.begin((connection) => Base.metadata.dropAll(connection))
  await engine.dispose()
}
