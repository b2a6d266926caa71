/**
 * node-postgres as a careful author writes it: a pool, named statements, ROLLBACK on failure, release in finally.
 *
 * Variant `pipelining` switches on what pg has had since 8.23: queries of one client are sent without waiting for the
 * answers of those before them.
 */
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import {
  INSERT_EVENT,
  SELECT_ITEM,
  sessionContender,
  type Item,
  type NewEvent,
} from '../../harness/session-workloads.js'

const selectItem = (id: number): pg.QueryConfig => ({ name: 'select_item', text: SELECT_ITEM, values: [id] })
const insertEvent = ({ itemId, kind, payload }: NewEvent): pg.QueryConfig => ({
  name: 'insert_event',
  text: INSERT_EVENT,
  values: [itemId, kind, payload],
})

export const open: Open = (connectionString, variant) => {
  const pipeline = variant === 'pipelining'
  const pool = new pg.Pool({
    connectionString,
    max: POOL_SIZE,
    idleTimeoutMillis: 0,
    ...(pipeline ? { pipeline } : {}),
  })

  const transaction = async <Value>(
    work: (client: pg.PoolClient) => Promise<Value>,
    begin = 'BEGIN',
  ): Promise<Value> => {
    const client = await pool.connect()
    try {
      await client.query(begin)
      const value = await work(client)
      await client.query('COMMIT')
      return value
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }
  const itemOf = async (client: pg.PoolClient, id: number): Promise<Item | undefined> =>
    (await client.query<Item>(selectItem(id))).rows[0]
  const add = async (client: pg.PoolClient, event: NewEvent): Promise<number | undefined> =>
    (await client.query<{ id: number }>(insertEvent(event))).rows[0]?.id

  if (pipeline) {
    const shared = sharedClients(connectionString)
    return sessionContender({
      three: (ids) => transaction((client) => Promise.all(ids.map((id) => itemOf(client, id)))),
      autocommit: async (id) => (await (await shared.next()).query<Item>(selectItem(id))).rows[0],
      close: () => Promise.all([shared.end(), pool.end()]),
    })
  }
  return sessionContender({
    read: (id) => transaction((client) => itemOf(client, id)),
    readOnly: (id) => transaction((client) => itemOf(client, id), 'BEGIN READ ONLY'),
    write: (event) => transaction((client) => add(client, event)),
    // A client runs one query at a time; giving it three at once is deprecated and saves nothing.
    three: ([one, two, three]) =>
      transaction(async (client) => [
        await itemOf(client, one),
        await itemOf(client, two),
        await itemOf(client, three),
      ]),
    savepoint: (event) =>
      transaction(async (client) => {
        await client.query('SAVEPOINT adding')
        try {
          const id = await add(client, event)
          await client.query('RELEASE SAVEPOINT adding')
          return id
        } catch (error) {
          await client.query('ROLLBACK TO SAVEPOINT adding')
          throw error
        }
      }),
    selfContained: (event) => transaction((client) => add(client, event)),
    autocommit: async (id) => (await pool.query<Item>(selectItem(id))).rows[0],
    close: () => pool.end(),
  })
}

/** As many clients as the pool has, which all callers share in turn: what pipelining is for, without a transaction. */
function sharedClients(connectionString: string): { next(): Promise<pg.Client>; end(): Promise<unknown> } {
  let clients: readonly Promise<pg.Client>[] = []
  let turn = 0
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString, pipeline: true })
    await client.connect()
    return client
  }
  return {
    next() {
      if (clients.length === 0) clients = Array.from({ length: POOL_SIZE }, connect)
      return clients[turn++ % POOL_SIZE] as Promise<pg.Client>
    },
    end: () => Promise.all(clients.map(async (client) => (await client).end())),
  }
}
