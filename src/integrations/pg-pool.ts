/** `lifeguard/pg-pool`: the interface of `pg.Pool` on an engine, and in a session. */
import type { Engine, Session } from '../index.js'
import { checkPoolFrom, checkSessionFace, type PoolFromOptions } from './pg-pool/checks.js'
import { Pool } from './pg-pool/pool.js'
import { SessionClient, type SessionFaceOptions } from './pg-pool/session-client.js'
import { Pool as PoolOfSession } from './pg-pool/session-pool.js'
import type { PoolClient, SessionPool } from './pg-pool/types.js'

export { Pool }
export type { PoolFromOptions } from './pg-pool/checks.js'
export type { SessionFaceOptions } from './pg-pool/session-client.js'
export type { PoolConfig } from './pg-pool/options.js'
export type {
  ClientConnection,
  FieldDef,
  PoolClient,
  PoolSettings,
  Queryable,
  QueryArrayConfig,
  QueryCallback,
  QueryConfig,
  QueryResult,
  QueryResultRow,
  QueryValues,
  SessionPool,
  Submittable,
  TransactionStatus,
} from './pg-pool/types.js'

/**
 * A pool with the interface of `pg.Pool` on an engine, for libraries that take one. It uses the engine's connections; its
 * `end()` does not dispose the engine. Make one for each engine.
 *
 * @throws InvalidOptionError if it is not given an engine.
 * @example
 * const db = new Kysely({ dialect: new PostgresDialect({ pool: poolFrom(engine) }) })
 */
export function poolFrom(engine: Engine, options: PoolFromOptions = {}): Pool {
  checkPoolFrom(engine, options)
  const { pg } = options
  const pool = new Pool(engine)
  return pg === undefined ? pool : asPoolOf(pg.Pool, pool)
}

/** Puts the class of another copy of pg behind the pool's own. */
function asPoolOf(Class: { readonly prototype: object }, pool: Pool): Pool {
  if (pool instanceof (Class as never)) return pool
  const methods = Object.getOwnPropertyDescriptors(Pool.prototype)
  return Object.setPrototypeOf(pool, Object.create(Class.prototype, methods) as object) as Pool
}

/**
 * A client with pg's interface that runs its queries in the session, so that a library joins its transaction. BEGIN, COMMIT and
 * ROLLBACK of the library become savepoints of the session. Changed objects are flushed before each statement (autoflush).
 *
 * Its `query` rejects with an IllegalStateError for BEGIN after BEGIN.
 * @throws InvalidOptionError if it is not given a session.
 * @example
 * await withSession(async (session) => {
 *   session.add(song)
 *   await drizzle(asClient(session)).insert(plays).values({ song: song.id })
 * })
 */
export function asClient(session: Session, options: SessionFaceOptions = {}): PoolClient {
  checkSessionFace('asClient', session, options)
  return new SessionClient(session, { holder: undefined }, options)
}

/**
 * As {@link asClient}, for libraries that take a pool: each `connect()` returns a client of the session. While one client has a
 * transaction open, statements of the others are refused, because its ROLLBACK would undo them.
 * @throws InvalidOptionError if it is not given a session.
 */
export function asPool(session: Session, options: SessionFaceOptions = {}): SessionPool {
  checkSessionFace('asPool', session, options)
  return new PoolOfSession(session, options)
}
