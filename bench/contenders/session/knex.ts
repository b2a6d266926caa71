/** Knex. It has no named statements. */
import knex, { type Knex } from 'knex'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

export const open: Open = (connectionString) => {
  const db = knex({
    client: 'pg',
    connection: { connectionString },
    pool: { min: POOL_SIZE, max: POOL_SIZE },
  })
  const itemOf = async (on: Knex, id: number): Promise<Item | undefined> =>
    (await on('item').select('id', 'name', 'price', 'note').where({ id }).first()) as Item | undefined
  const add = async (on: Knex, { itemId, kind, payload }: NewEvent): Promise<number | undefined> => {
    const inserted = (await on('event').insert({ item_id: itemId, kind, payload }).returning('id')) as {
      id: number
    }[]
    return inserted[0]?.id
  }

  return sessionContender({
    read: (id) => db.transaction((transaction) => itemOf(transaction, id)),
    readOnly: (id) => db.transaction((transaction) => itemOf(transaction, id), { readOnly: true }),
    write: (event) => db.transaction((transaction) => add(transaction, event)),
    three: ([one, two, three]) =>
      db.transaction(async (transaction) => [
        await itemOf(transaction, one),
        await itemOf(transaction, two),
        await itemOf(transaction, three),
      ]),
    savepoint: (event) =>
      db.transaction((transaction) => transaction.transaction((savepoint) => add(savepoint, event))),
    selfContained: (event) => db.transaction((transaction) => add(transaction, event)),
    autocommit: (id) => itemOf(db, id),
    close: () => db.destroy(),
  })
}
