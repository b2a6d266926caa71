/**
 * `lifeguard/pglite`: an engine on PGlite, PostgreSQL inside the Node process, for tests.
 *
 * Lifeguard's own driver talks to it over a stream in memory, as to a server: batches, prepared statements, cursors, errors and types
 * are the same.
 */
import { createEngine, InvalidOptionError, type Engine, type EngineOptions } from '../index.js'
import { PgliteBackend, type PgliteLike } from './pglite/backend.js'
import { PgliteStream } from './pglite/stream.js'

export type { PgliteLike } from './pglite/backend.js'

/** Options that say where a server is, or how to encrypt the way to it. */
const OF_SERVERS = ['url', 'host', 'hosts', 'hostTimeoutMillis', 'port', 'password'] as const

/** Options of the engine, except those for a server. Of `connectArgs` only `serverSettings` is left. */
export type PgliteEngineOptions = Omit<
  EngineOptions,
  (typeof OF_SERVERS)[number] | 'connectArgs' | 'poolSize' | 'maxOverflow'
> & {
  readonly connectArgs?: Pick<NonNullable<EngineOptions['connectArgs']>, 'serverSettings'> | undefined
}

/**
 * Makes an engine on a PGlite database. Its pool has one connection, because PGlite has one session. So a nested block that
 * needs its own connection fails after `poolTimeoutMillis`.
 *
 * `engine.dispose()` leaves the database open: close it yourself.
 *
 * @param database `new PGlite()`. Queries of `database` itself run in the transaction that the engine has open at that moment.
 * @throws InvalidOptionError for options that are for a server, and as `createEngine`.
 * @example
 * const database = new PGlite()
 * const engine = createPgliteEngine(database)
 * const { withSession } = createSessionFactory({ bind: engine })
 */
export function createPgliteEngine(database: PgliteLike, options: PgliteEngineOptions = {}): Engine {
  requireDatabase(database)
  refuse(options)
  const backend = new PgliteBackend(database)
  return createEngine({
    user: 'postgres',
    database: 'postgres',
    name: 'pglite',
    ...options,
    host: 'pglite',
    poolSize: 1,
    maxOverflow: 0,
    connectArgs: { ...options.connectArgs, sslmode: 'disable', stream: () => new PgliteStream(backend) },
  })
}

function requireDatabase(database: unknown): void {
  const { execProtocolRaw, runExclusive, closed } = Object(database) as Partial<PgliteLike>
  if (closed === true)
    throw new InvalidOptionError('database', 'This PGlite database was closed: make another one')
  if (typeof execProtocolRaw === 'function' && typeof runExclusive === 'function') return
  throw new InvalidOptionError(
    'database',
    'createPgliteEngine takes a PGlite database: createPgliteEngine(new PGlite())',
  )
}

function refuse(options: PgliteEngineOptions): void {
  const given = Object(options) as EngineOptions
  for (const name of OF_SERVERS) {
    if (given[name] === undefined) continue
    throw new InvalidOptionError(name, `${name} is for a server, and PGlite is in this process: leave it out`)
  }
  for (const [name, most] of [
    ['poolSize', 1],
    ['maxOverflow', 0],
  ] as const) {
    if (given[name] === undefined || given[name] === most) continue
    throw new InvalidOptionError(
      name,
      `${name} must be ${most}: PGlite has one session, so the pool has one connection. For more, use a PostgreSQL server and createEngine()`,
    )
  }
  const other = Object.keys(given.connectArgs ?? {}).find((name) => name !== 'serverSettings')
  if (other !== undefined)
    throw new InvalidOptionError(
      `connectArgs.${other}`,
      `connectArgs.${other} is for a server, and PGlite is in this process: leave it out`,
    )
}
