/** Lifeguard with entities. Variant `bounded`: at most 20 requests wait for a connection, the next is refused. */
import { createEngine, createSessionFactory, declarativeBase, integer, select, text } from 'lifeguard'
import { nextNumber, SERVICE_POOL_SIZE, type OpenService } from '../../harness/service-work.js'

const Base = declarativeBase()

class World extends Base.entity('world', {
  id: integer().primaryKey(),
  randomNumber: integer('random_number').notNull(),
}) {}

class Fortune extends Base.entity('fortune', {
  id: integer().primaryKey(),
  message: text().notNull(),
}) {}

export const open: OpenService = (url, variant) => {
  const bound = variant === 'bounded' ? { maxWaiting: 20 } : {}
  const engine = createEngine({ url, poolSize: SERVICE_POOL_SIZE, maxOverflow: 0, ...bound })
  const { withSession } = createSessionFactory({ bind: engine })
  const reading = createSessionFactory({ bind: engine, readOnly: true })

  return {
    single: (id) => reading.withSession((session) => session.get(World, id)),
    many: (ids) => reading.withSession((session) => Promise.all(ids.map((id) => session.get(World, id)))),
    fortunes: () => reading.withSession((session) => session.scalars(select(Fortune))),
    update: (ids) =>
      withSession(async (session) => {
        const worlds = await Promise.all(ids.map((id) => session.getOne(World, id)))
        for (const world of worlds) world.randomNumber = nextNumber(world)
        return worlds
      }),
    close: () => engine.dispose(),
  }
}
