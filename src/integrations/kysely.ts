/**
 * `lifeguard/kysely`: Kysely on an engine, or in a session.
 *
 * Kysely's own compiler, adapter and introspector for PostgreSQL are used, so this is the one file that imports Kysely at run time.
 * Types that refer to Kysely's class `Kysely` are written out here, because that class has private fields: its types differ between
 * `import` and `require`.
 */
import {
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseIntrospector,
  type DialectAdapter,
  type Driver,
  type QueryCompiler,
} from 'kysely'

import { Engine, InvalidOptionError, type Connection, type Session } from '../index.js'
import { engineDriver } from './kysely/on-engine.js'
import { sessionDriver } from './kysely/on-session.js'

type Locks = 'acquireMigrationLock' | 'releaseMigrationLock'

/** Kysely's `DialectAdapter`, whichever copy of Kysely it is for. */
export type KyselyAdapter = Omit<DialectAdapter, Locks> & {
  [Name in Locks]: (db: never, options: never) => Promise<void>
}

/** Kysely's `Dialect`, whichever copy of Kysely it is for. */
export interface KyselyDialect {
  createAdapter(): KyselyAdapter
  createDriver(): Driver
  createIntrospector(db: never): DatabaseIntrospector
  createQueryCompiler(): QueryCompiler
}

/**
 * Makes a dialect for `new Kysely({ dialect })`.
 *
 * On an engine, queries and transactions take connections from its pool; `db.destroy()` leaves the engine open.
 * On a session, queries are part of the session's transaction: changed entities are flushed before them (`autoflush`), and
 * `db.transaction()` is a savepoint. `db.destroy()` leaves the session open. A connection of the engine is used in the same way.
 *
 * Errors of PostgreSQL are Lifeguard's classes (`UniqueViolationError`, ...), but their `code` is the SQLSTATE here, as in
 * node-postgres.
 *
 * @throws InvalidOptionError if `bind` is not an engine, a session or a connection.
 * @example
 * const db = new Kysely<Database>({ dialect: kyselyDialect(engine) })
 * await withSession(async (session) => {
 *   const inSession = new Kysely<Database>({ dialect: kyselyDialect(session) })
 *   await inSession.insertInto('songs').values({ title: 'Help!' }).execute()
 * })
 */
export function kyselyDialect(bind: Engine | Session | Connection): KyselyDialect {
  const createDriver = driverFor(bind)
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver,
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
}

function driverFor(bind: Engine | Session | Connection): () => Driver {
  if (bind instanceof Engine) return () => engineDriver(bind)
  // A session may be one of another copy of the package.
  const { execute, stream, beginNested } = Object(bind) as Partial<Session>
  if ([execute, stream, beginNested].every((method) => typeof method === 'function'))
    return () => sessionDriver(bind)
  throw new InvalidOptionError(
    'bind',
    'kyselyDialect takes an engine or a session: kyselyDialect(createEngine({ url })), or kyselyDialect(session) inside of withSession()',
  )
}
