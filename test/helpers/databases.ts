/** Creating and deleting databases on a server. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** Runs one statement on a connection of its own. */
export async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  // DROP DATABASE ... WITH (FORCE) of another process may hit this connection; the statement then fails by itself.
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(text, [...values])).rows
  } finally {
    await client.end()
  }
}

/** Clones an empty database, the same on every server: UTF-8, collation C. Returns its connection string. */
export async function createDatabase(serverUrl: string, prefix: string): Promise<string> {
  const name = `${prefix}${randomBytes(4).toString('hex')}`
  await query(
    serverUrl,
    `CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  )
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}

/** Deletes a database and ends every connection to it. */
export async function dropDatabase(serverUrl: string, name: string): Promise<void> {
  await query(serverUrl, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
}

/** Deletes every database whose name starts with the prefix. */
export async function dropDatabases(serverUrl: string, prefix: string): Promise<void> {
  const rows = await query<{ datname: string }>(
    serverUrl,
    'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
    [prefix],
  )
  for (const { datname } of rows) await dropDatabase(serverUrl, datname)
}
