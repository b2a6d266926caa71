/** Kysely, on pg-pool or on Lifeguard (`variant`). It has no named statements. */
import { Kysely, PostgresDialect, type Dialect, type Generated } from 'kysely'
import { createEngine } from 'lifeguard'
import { kyselyDialect } from 'lifeguard/kysely'
import { Pool } from 'lifeguard/pg-pool'
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

interface Database {
  item: Item
  event: { id: Generated<number>; item_id: number; kind: string; payload: string }
}

/** The dialect, and what has to be ended beside Kysely itself. */
function dialectFor(
  connectionString: string,
  variant: string | undefined,
): { readonly dialect: Dialect; end(): Promise<unknown> } {
  if (variant === 'lifeguard') {
    const engine = createEngine({ url: connectionString, poolSize: POOL_SIZE, maxOverflow: 0 })
    return { dialect: kyselyDialect(engine) as Dialect, end: () => engine.dispose() }
  }
  const config = { connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 }
  const pool = variant === 'face' ? new Pool(config) : new pg.Pool(config)
  return { dialect: new PostgresDialect({ pool }), end: () => Promise.resolve() }
}

export const open: Open = (connectionString, variant) => {
  const { dialect, end } = dialectFor(connectionString, variant)
  const db = new Kysely<Database>({ dialect })
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
    close: async () => {
      await db.destroy()
      await end()
    },
  })
}
