/** Drizzle on pg-pool, with its named prepared statements, or on Lifeguard (`variant`). */
import { eq, sql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core'
import { createEngine } from 'lifeguard'
import { drizzleOn } from 'lifeguard/drizzle'
import { Pool } from 'lifeguard/pg-pool'
import pg from 'pg'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { sessionContender, type Item, type NewEvent } from '../../harness/session-workloads.js'

const item = pgTable('item', {
  id: integer('id').primaryKey(),
  name: text('name').notNull(),
  price: integer('price').notNull(),
  note: text('note').notNull(),
})
const event = pgTable('event', {
  id: serial('id').primaryKey(),
  itemId: integer('item_id').notNull(),
  kind: text('kind').notNull(),
  payload: text('payload').notNull(),
})

/** The database, and what ends it. */
function databaseFor(
  connectionString: string,
  variant: string | undefined,
): { readonly db: NodePgDatabase; end(): Promise<unknown> } {
  if (variant === 'lifeguard') {
    const engine = createEngine({ url: connectionString, poolSize: POOL_SIZE, maxOverflow: 0 })
    return { db: drizzleOn(engine, (client) => drizzle({ client })), end: () => engine.dispose() }
  }
  const config = { connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 }
  const pool = variant === 'face' ? new Pool(config) : new pg.Pool(config)
  return { db: drizzle({ client: pool }), end: () => pool.end() }
}

export const open: Open = (connectionString, variant) => {
  const { db, end } = databaseFor(connectionString, variant)
  type Executor = Pick<NodePgDatabase, 'select' | 'insert'>
  // Its prepared statements belong to the connection that they were made on: one of a transaction is made in there.
  const preparedOn = (on: Executor) =>
    on
      .select()
      .from(item)
      .where(eq(item.id, sql.placeholder('id')))
      .prepare('select_item')
  const itemOf = async (on: Executor, id: number): Promise<Item | undefined> =>
    (await preparedOn(on).execute({ id }))[0]
  const add = async (on: Executor, { itemId, kind, payload }: NewEvent): Promise<number | undefined> => {
    const inserted = await on
      .insert(event)
      .values({ itemId, kind, payload })
      .returning({ id: event.id })
      .prepare('insert_event')
      .execute()
    return inserted[0]?.id
  }
  const prepared = preparedOn(db)

  return sessionContender({
    read: (id) => db.transaction((transaction) => itemOf(transaction, id)),
    readOnly: (id) => db.transaction((transaction) => itemOf(transaction, id), { accessMode: 'read only' }),
    write: (values) => db.transaction((transaction) => add(transaction, values)),
    three: ([one, two, three]) =>
      db.transaction(async (transaction) => [
        await itemOf(transaction, one),
        await itemOf(transaction, two),
        await itemOf(transaction, three),
      ]),
    savepoint: (values) =>
      db.transaction((transaction) => transaction.transaction((savepoint) => add(savepoint, values))),
    selfContained: (values) => db.transaction((transaction) => add(transaction, values)),
    autocommit: async (id) => (await prepared.execute({ id }))[0],
    close: end,
  })
}
