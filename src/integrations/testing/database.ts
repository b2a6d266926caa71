/** Makes databases for tests as copies of a template, so that each worker gets its own in less than a second. */
import { createHash, randomUUID } from 'node:crypto'
import { createEngine, InvalidOptionError, type Engine } from '../../index.js'
import { refuseUnknown } from './options.js'
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
 * Makes a database as a copy of a template, in less than a second. One for each worker of the test runner is enough, with `withRollback`
 * around each test; one for each test where the code needs several connections, LISTEN, or real commits.
 *
 * @param server The url of the server; its user may create databases.
 * @throws InvalidOptionError on PGlite, which has one database; what `setUp` throws; ConnectError, DatabaseError
 * @example
 * const database = await createTestDatabase(url, { setUp: migrate })
 */
export async function createTestDatabase(
  server: string,
  options: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  if (typeof server !== 'string') {
    const message = 'createTestDatabase takes the url of a server: createTestDatabase(server.url, { setUp })'
    throw new InvalidOptionError('server', message)
  }
  refuseUnknown('createTestDatabase(url, { setUp })', options, ['setUp', 'key'])
  const { setUp, key = setUp?.toString() ?? '' } = options
  const engine = createEngine({ url: server, poolSize: 1, maxOverflow: 0, statementCacheSize: 0 })
  const name = `lifeguard_test_${randomUUID().replaceAll('-', '')}`
  try {
    await requireDatabases(engine)
    const template = setUp === undefined ? 'template1' : await templateOf(engine, server, key, setUp)
    await command(engine, `create database ${quoted(name)} template ${quoted(template)}`)
  } finally {
    await engine.dispose()
  }
  let dropping: Promise<void> | undefined
  const drop = (): Promise<void> => (dropping ??= dropDatabase(server, name))
  return { url: urlOf(server, name), drop, [Symbol.asyncDispose]: drop }
}

/** @throws InvalidOptionError for PGlite, which has one database. */
async function requireDatabases(engine: Engine): Promise<void> {
  await using connection = await engine.connect({ autocommit: true })
  if (!(await connection.scalar<string>('select version()'))?.includes('emscripten')) return
  throw new InvalidOptionError(
    'server',
    'PGlite has one database, so createTestDatabase() cannot make another one. Create the schema at the url of startDatabase(), and use rollbackEach() for the tests; or let startDatabase() start a server',
  )
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

/** Our own names: letters, digits and underscores. */
function quoted(name: string): string {
  return `"${name}"`
}
