/** postgres.js: prepares every statement by itself, and pipelines the queries that `begin` is given as an array. */
import postgres from 'postgres'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

export const open: Open = (url) => {
  const sql = postgres(url, { max: POOL_SIZE, ssl: false })
  const itemOf = (on: postgres.ISql, id: number): postgres.PendingQuery<Item[]> =>
    on<Item[]>`SELECT id, name, price, note FROM item WHERE id = ${id}`
  const add = async (on: postgres.ISql, { itemId, kind, payload }: NewEvent): Promise<number | undefined> => {
    const [row] = await on<{ id: number }[]>`
      INSERT INTO event (item_id, kind, payload) VALUES (${itemId}, ${kind}, ${payload}) RETURNING id`
    return row?.id
  }

  return sessionContender({
    read: (id) => sql.begin(async (transaction) => (await itemOf(transaction, id))[0]),
    readOnly: (id) => sql.begin('read only', async (transaction) => (await itemOf(transaction, id))[0]),
    write: (event) => sql.begin((transaction) => add(transaction, event)),
    three: async (ids) => {
      const found = await sql.begin((transaction) => ids.map((id) => itemOf(transaction, id)))
      return found.map(([item]) => item)
    },
    savepoint: (event) =>
      sql.begin((transaction) => transaction.savepoint((savepoint) => add(savepoint, event))),
    selfContained: (event) => sql.begin((transaction) => add(transaction, event)),
    autocommit: async (id) => (await itemOf(sql, id))[0],
    close: () => sql.end(),
  })
}
