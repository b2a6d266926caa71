/** Drizzle on pg-pool, with its named prepared statements where the text of a statement does not depend on its values. */
import { eq, inArray, sql } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { changed, SERVICE_POOL_SIZE, type OpenService, type World } from '../../harness/service-work.js'

const world = pgTable('world', {
  id: integer('id').primaryKey(),
  randomNumber: integer('random_number').notNull(),
})
const fortune = pgTable('fortune', {
  id: integer('id').primaryKey(),
  message: text('message').notNull(),
})

export const open: OpenService = (connectionString) => {
  const pool = new pg.Pool({ connectionString, max: SERVICE_POOL_SIZE, idleTimeoutMillis: 0 })
  const db = drizzle(pool)
  // Its prepared statements belong to what they were made on: one of a transaction is made in there.
  const preparedOn = (on: Pick<NodePgDatabase, 'select'>) =>
    on
      .select()
      .from(world)
      .where(eq(world.id, sql.placeholder('id')))
      .prepare('select_world')
  const prepared = preparedOn(db)
  const fortunes = db.select().from(fortune).prepare('fortunes')

  return {
    single: async (id) => (await prepared.execute({ id }))[0],
    many: (ids) => Promise.all(ids.map(async (id) => (await prepared.execute({ id }))[0])),
    fortunes: () => fortunes.execute(),
    update: (ids) =>
      db.transaction(async (transaction) => {
        const read: (World | undefined)[] = []
        const inside = preparedOn(transaction)
        for (const id of ids) read.push((await inside.execute({ id }))[0])
        const worlds = changed(read)
        // As its guide "Update many with different values for each row" has it.
        const cases = worlds.map(
          ({ id, randomNumber }) => sql`when ${world.id} = ${id} then ${randomNumber}::integer`,
        )
        await transaction
          .update(world)
          .set({ randomNumber: sql`(case ${sql.join(cases, sql.raw(' '))} end)` })
          .where(inArray(world.id, [...ids]))
        return worlds
      }),
    close: () => pool.end(),
  }
}
