/** Lifeguard by SQL, as its documentation says to use it. Variant `bounded`: at most 20 requests wait for a connection, the next is refused. */
import { createEngine, createSessionFactory, type Session } from 'lifeguard'
import {
  changed,
  SELECT_FORTUNES,
  SELECT_WORLD,
  SERVICE_POOL_SIZE,
  UPDATE_WORLDS,
  type Fortune,
  type OpenService,
  type World,
} from '../../harness/service-work.js'

export const open: OpenService = (url, variant) => {
  const bound = variant === 'bounded' ? { maxWaiting: 20 } : {}
  const engine = createEngine({ url, poolSize: SERVICE_POOL_SIZE, maxOverflow: 0, ...bound })
  const { withSession } = createSessionFactory({ bind: engine })
  const alone = createSessionFactory({ bind: engine, autocommit: true })

  const worldOf = async (session: Session, id: number): Promise<World | undefined> =>
    (await session.execute<World>(SELECT_WORLD, [id])).oneOrNone() ?? undefined

  return {
    single: (id) => alone.withSession((session) => worldOf(session, id)),
    many: (ids) => alone.withSession((session) => Promise.all(ids.map((id) => worldOf(session, id)))),
    fortunes: async () =>
      (await alone.withSession((session) => session.execute<Fortune>(SELECT_FORTUNES))).all(),
    update: async (ids) => {
      let worlds: readonly World[] = []
      await withSession(async (session) => {
        worlds = changed(await Promise.all(ids.map((id) => worldOf(session, id))))
        return session.execute(UPDATE_WORLDS, [ids, worlds.map(({ randomNumber }) => randomNumber)])
      })
      return worlds
    },
    close: () => engine.dispose(),
  }
}
