/** The subpaths: what flows through them, and what must not compile. */
import type { PGlite } from '@electric-sql/pglite'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { Kysely, type Dialect, type Driver, type Generated } from 'kysely'
import { expectTypeOf, test } from 'vitest'
import type {
  Connection,
  Engine,
  OpenStream,
  Session,
  StatementConfig,
  ValueParsers,
} from '../../src/index.js'
import { drizzleOn, type DrizzleModes } from '../../src/integrations/drizzle.js'
import { kyselyDialect, type KyselyAdapter, type KyselyDialect } from '../../src/integrations/kysely.js'
import {
  createPgliteEngine,
  type PgliteEngineOptions,
  type PgliteLike,
} from '../../src/integrations/pglite.js'

declare const engine: Engine
declare const session: Session
declare const connection: Connection
declare const pglite: PGlite

interface Tables {
  songs: { id: Generated<number>; title: string }
}

test('a dialect is one of Kysely, on an engine, a session or a connection', () => {
  expectTypeOf(kyselyDialect(engine)).toExtend<Dialect>()
  expectTypeOf(kyselyDialect(session)).toEqualTypeOf<KyselyDialect>()
  expectTypeOf(kyselyDialect(connection).createDriver()).toEqualTypeOf<Driver>()
  expectTypeOf(kyselyDialect(connection).createAdapter()).toEqualTypeOf<KyselyAdapter>()
  // @ts-expect-error a url is no engine
  kyselyDialect('postgres://localhost')
})

test('results of Kysely keep their types', () => {
  const db = new Kysely<Tables>({ dialect: kyselyDialect(session) })
  expectTypeOf(db.selectFrom('songs').selectAll().execute()).resolves.toEqualTypeOf<
    { id: number; title: string }[]
  >()
  // @ts-expect-error no such column
  db.selectFrom('songs').select('name')
})

test('an engine on PGlite takes a database of PGlite, and no address', () => {
  expectTypeOf(pglite).toExtend<PgliteLike>()
  expectTypeOf(createPgliteEngine(pglite)).toEqualTypeOf<Engine>()
  expectTypeOf<PgliteEngineOptions>().toExtend<{ readonly poolTimeoutMillis?: number | undefined | null }>()
  createPgliteEngine(pglite, { echo: true, connectArgs: { serverSettings: { search_path: 'app' } } })
  // @ts-expect-error PGlite is in this process
  createPgliteEngine(pglite, { url: 'postgres://localhost' })
  // @ts-expect-error PGlite has one session
  createPgliteEngine(pglite, { poolSize: 2 })
  // @ts-expect-error the folder is the business of PGlite
  createPgliteEngine('./folder')
})

test('a stream in place of the socket is told the server', () => {
  expectTypeOf<Parameters<OpenStream>[0]>().toEqualTypeOf<{ readonly host: string; readonly port: number }>()
})

const songs = pgTable('songs', { id: integer('id').primaryKey(), title: text('title').notNull() })

test('a database of Drizzle keeps its type, and so do its results', () => {
  const db = drizzleOn(engine, (client) => drizzle({ client, schema: { songs } }))
  expectTypeOf(db).toExtend<NodePgDatabase<{ songs: typeof songs }>>()
  expectTypeOf(
    drizzleOn(session, (client) => drizzle(client))
      .select()
      .from(songs)
      .execute(),
  ).resolves.toEqualTypeOf<{ id: number; title: string }[]>()
  void db.query.songs.findFirst()
  void db.transaction(async (tx) => tx.insert(songs).values({ id: 1, title: 'x' }), {
    accessMode: 'read only',
  })
  expectTypeOf<DrizzleModes['isolationLevel']>().toEqualTypeOf<string | undefined>()
  // @ts-expect-error the database is made by the caller
  drizzleOn(engine)
  // @ts-expect-error a pool is no engine
  drizzleOn({ query: () => undefined }, (client) => drizzle(client))
})

test('a statement brings the parsers of its values', () => {
  expectTypeOf<StatementConfig['types']>().toEqualTypeOf<ValueParsers | undefined>()
})
