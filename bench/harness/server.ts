/** The server of a run, and a database with what the workloads read and write. */
import { createDatabase, dropDatabase, query } from '../../test/helpers/databases.js'
import { startTestServer } from '../../test/helpers/test-server.js'

export interface BenchServer {
  /** Connection string of a database of its own. TLS is off for everybody. */
  readonly url: string
  readonly version: string
  /** Deletes what the workloads have written. */
  empty(): Promise<void>
  stop(): Promise<void>
}

/** How many rows `item` has; their ids begin at 1. */
export const ITEMS = 10_000

/** Uses `DATABASE_URL`, or starts a PostgreSQL as the tests do. */
export async function startBenchServer(): Promise<BenchServer> {
  const server = await startTestServer()
  const created = new URL(await createDatabase(server.url, 'lifeguard_bench_'))
  created.searchParams.set('sslmode', 'disable')
  const url = created.href
  await query(
    url,
    `CREATE TABLE item AS
       SELECT id, 'item ' || id AS name, id % 1000 AS price, repeat('n', 40) AS note
       FROM generate_series(1, ${String(ITEMS)}) AS id`,
  )
  await query(url, 'ALTER TABLE item ADD PRIMARY KEY (id)')
  await query(
    url,
    `CREATE TABLE event (id serial PRIMARY KEY, item_id integer NOT NULL, kind text NOT NULL, payload text NOT NULL)`,
  )
  await query(url, 'VACUUM ANALYZE')
  const [row] = await query<{ server_version: string }>(url, 'SHOW server_version')
  return {
    url,
    version: row?.server_version ?? '?',
    empty: async () => void (await query(url, 'TRUNCATE event')),
    stop: async () => {
      await dropDatabase(server.url, created.pathname.slice(1))
      await server.stop()
    },
  }
}
