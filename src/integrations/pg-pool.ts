/** `lifeguard/pg-pool`: the interface of `pg.Pool` on an engine, and in a session. */
import type { Engine, Session } from '../index.js'
import { Pool } from './pg-pool/pool.js'
import { SessionClient, type SessionFaceOptions } from './pg-pool/session-client.js'
import { Pool as PoolOfSession } from './pg-pool/session-pool.js'
import type { PoolClient, SessionPool } from './pg-pool/types.js'

export { Pool }
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

/** Options of {@link poolFrom}. */
export interface PoolFromOptions {
  /**
   * The application's copy of pg, if it is not the copy that this package loads: the pool is then also an `instanceof` its `Pool`.
   */
  readonly pg?: { readonly Pool: { readonly prototype: object } } | undefined
}

/**
 * A pool with the interface of `pg.Pool` on an engine, for libraries that take one. It uses the engine's connections; its
 * `end()` does not dispose the engine. Make one for each engine.
 *
 * @example
 * const db = new Kysely({ dialect: new PostgresDialect({ pool: poolFrom(engine) }) })
 */
export function poolFrom(engine: Engine, { pg }: PoolFromOptions = {}): Pool {
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
 * @example
 * await withSession(async (session) => {
 *   session.add(song)
 *   await drizzle(asClient(session)).insert(plays).values({ song: song.id })
 * })
 */
export function asClient(session: Session, options: SessionFaceOptions = {}): PoolClient {
  return new SessionClient(session, { holder: undefined }, options)
}

/**
 * As {@link asClient}, for libraries that take a pool: each `connect()` returns a client of the session. While one client has a
 * transaction open, statements of the others are refused, because its ROLLBACK would undo them.
 */
export function asPool(session: Session, options: SessionFaceOptions = {}): SessionPool {
  return new PoolOfSession(session, options)
}
