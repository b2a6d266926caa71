/** Kysely. It has no named statements. */
import { Kysely, PostgresDialect, type Generated } from 'kysely'
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

interface Database {
  item: Item
  event: { id: Generated<number>; item_id: number; kind: string; payload: string }
}

export const open: Open = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 })
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
  const itemOf = (on: Kysely<Database>, id: number): Promise<Item | undefined> =>
    on.selectFrom('item').select(['id', 'name', 'price', 'note']).where('id', '=', id).executeTakeFirst()
  const add = async (
    on: Kysely<Database>,
    { itemId, kind, payload }: NewEvent,
  ): Promise<number | undefined> => {
    const inserted = await on
      .insertInto('event')
      .values({ item_id: itemId, kind, payload })
      .returning('id')
      .executeTakeFirst()
    return inserted?.id
  }

  return sessionContender({
    read: (id) => db.transaction().execute((transaction) => itemOf(transaction, id)),
    readOnly: (id) =>
      db
        .transaction()
        .setAccessMode('read only')
        .execute((transaction) => itemOf(transaction, id)),
    write: (event) => db.transaction().execute((transaction) => add(transaction, event)),
    three: ([one, two, three]) =>
      db
        .transaction()
        .execute(async (transaction) => [
          await itemOf(transaction, one),
          await itemOf(transaction, two),
          await itemOf(transaction, three),
        ]),
    savepoint: async (event) => {
      const transaction = await db.startTransaction().execute()
      try {
        const savepoint = await transaction.savepoint('adding').execute()
        const id = await add(savepoint, event)
        await savepoint.releaseSavepoint('adding').execute()
        await transaction.commit().execute()
        return id
      } catch (error) {
        await transaction.rollback().execute()
        throw error
      }
    },
    selfContained: (event) => db.transaction().execute((transaction) => add(transaction, event)),
    autocommit: (id) => itemOf(db, id),
    close: () => db.destroy(),
  })
}
