import { Kysely } from 'kysely'
import { createEngine, withSession, createSessionFactory } from 'lifeguard'
import { kyselyDialect } from 'lifeguard/kysely'

interface Database {
  songs: { id: number; title: string }
}

const engine = createEngine({ url: 'postgres://localhost/songs' })
export const db = new Kysely<Database>({ dialect: kyselyDialect(engine) })
export const titles: Promise<{ title: string }[]> = db.selectFrom('songs').select('title').execute()
export const inSession: Promise<{ id: number }[]> = withSession(
  createSessionFactory({ bind: engine }),
  (session) =>
    new Kysely<Database>({ dialect: kyselyDialect(session) }).selectFrom('songs').select('id').execute(),
)
