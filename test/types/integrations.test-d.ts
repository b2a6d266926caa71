/** The subpaths: what flows through them, and what must not compile. */
import type { PGlite } from '@electric-sql/pglite'
import { Kysely, type Dialect, type Driver, type Generated } from 'kysely'
import { expectTypeOf, test } from 'vitest'
import type { Connection, Engine, OpenStream, Session } from '../../src/index.js'
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
