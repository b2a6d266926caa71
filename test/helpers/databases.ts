/** Creating and deleting databases on a server. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** Runs one statement on a connection of its own. */
export async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = await connect(url)
  try {
    return (await client.query<Row>(text, [...values])).rows
  } finally {
    await client.end()
  }
}

/** With members that the published types leave out. */
type Client = pg.Client & { ref(): void; unref(): void }

async function connect(url: string): Promise<Client> {
  const client = new pg.Client({ connectionString: url }) as Client
  // DROP DATABASE ... WITH (FORCE) of another process may hit this connection; the statement then fails by itself.
  client.on('error', () => {})
  await client.connect()
  return client
}

/**
 * Runs statements on one connection that stays open between them: connecting takes ten times as long as a short statement. Of
 * statements that run at the same time all but one get a connection of their own. It does not keep the process alive.
 */
export class KeptConnection {
  readonly #url: string
  #idle: Client | undefined
  #isClosed = false

  constructor(url: string) {
    this.#url = url
  }

  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const kept = this.#idle
    this.#idle = undefined
    if (kept === undefined) return this.#run(await this.#connect(), text, values)
    kept.ref()
    try {
      return await this.#run(kept, text, values)
    } catch (error) {
      // The test has ended every connection to the database, this one included, when nothing ran on it.
      if (!isEnded(error)) throw error
      return this.#run(await this.#connect(), text, values)
    }
  }

  /** Closes it. Later statements get connections of their own. */
  async close(): Promise<void> {
    this.#isClosed = true
    const idle = this.#idle
    this.#idle = undefined
    idle?.ref()
    await idle?.end()
  }

  async #run<Row extends pg.QueryResultRow>(
    client: Client,
    text: string,
    values: readonly unknown[],
  ): Promise<Row[]> {
    let isOpen = true
    try {
      return (await client.query<Row>(text, [...values])).rows
    } catch (error) {
      isOpen = !isEnded(error)
      throw error
    } finally {
      if (isOpen && !this.#isClosed && this.#idle === undefined) {
        client.unref()
        this.#idle = client
      } else await client.end()
    }
  }

  async #connect(): Promise<Client> {
    const client = await connect(this.#url)
    client.once('end', () => {
      if (this.#idle === client) this.#idle = undefined
    })
    return client
  }
}

/** Whether the connection has ended: by an administrator, or without a word. */
function isEnded(error: unknown): boolean {
  const { code } = error as { code?: string }
  return !(error instanceof pg.DatabaseError) || code === '57P01'
}

/** By URL of their server: the connections of this process that create and delete databases. */
const administrators = new Map<string, KeptConnection>()

function administrator(serverUrl: string): KeptConnection {
  const known = administrators.get(serverUrl) ?? new KeptConnection(serverUrl)
  administrators.set(serverUrl, known)
  return known
}

/** Clones an empty database, the same on every server: UTF-8, collation C. Returns its connection string. */
export async function createDatabase(serverUrl: string, prefix: string): Promise<string> {
  const name = `${prefix}${randomBytes(4).toString('hex')}`
  const admin = administrator(serverUrl)
  const [server] = await admin.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int AS version",
  )
  // To copy files costs a third of writing each page to the WAL, which is the default since PostgreSQL 15. Before, it was the only way.
  const how = (server?.version ?? 0) >= 150_000 ? 'STRATEGY file_copy' : ''
  await admin.query(
    `CREATE DATABASE "${name}" TEMPLATE template0 ${how} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  )
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** Deletes a database and ends every connection to it. */
export async function dropDatabase(serverUrl: string, name: string): Promise<void> {
  await administrator(serverUrl).query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
}

/** Deletes every database whose name starts with the prefix. */
export async function dropDatabases(serverUrl: string, prefix: string): Promise<void> {
  const rows = await administrator(serverUrl).query<{ datname: string }>(
    'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
    [prefix],
  )
  for (const { datname } of rows) await dropDatabase(serverUrl, datname)
}
