/** `lifeguard/pg-pool`: pg.Pool's face on an engine and on a session. */
import type { Engine } from '../index.js'
import { Pool } from './pg-pool/pool.js'

export { Pool }
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
  Submittable,
  TransactionStatus,
} from './pg-pool/types.js'

/**
 * A pool with pg.Pool's face on an engine: for libraries that take one. It shares the engine's connections; its `end()` does not dispose the
 * engine. Make one for each engine.
 *
 * @example
 * const db = new Kysely({ dialect: new PostgresDialect({ pool: poolFrom(engine) }) })
 */
export function poolFrom(engine: Engine): Pool {
  return new Pool(engine)
}
