/** Lifeguard, as its documentation says to use it. */
import { createEngine, createSessionFactory, type Engine, type Session } from 'lifeguard'
import { POOL_SIZE, type Contender, type Open } from '../../harness/contender.js'
import {
  INSERT_EVENT,
  SELECT_ITEM,
  sessionContender,
  type Item,
  type NewEvent,
} from '../../harness/session-workloads.js'

export const open: Open = (url, variant) => {
  const options = { url, poolSize: POOL_SIZE, maxOverflow: 0, pipelining: variant !== 'alone' }
  // The same server stands for its replica, so that only the client's part and the queries for positions are measured.
  return contenderOn(createEngine(options), variant === 'replicas' ? createEngine(options) : undefined)
}

export function contenderOn(engine: Engine, replica?: Engine): Contender {
  const bound =
    replica === undefined
      ? { bind: engine }
      : { bind: { write: engine, read: replica }, consistency: 'session' as const }
  const { withSession } = createSessionFactory(bound)
  const reading = createSessionFactory({ ...bound, readOnly: true })
  const alone = createSessionFactory({ bind: engine, autocommit: true })

  const itemOf = async (session: Session, id: number): Promise<Item | undefined> =>
    (await session.execute<Item>(SELECT_ITEM, [id])).oneOrNone() ?? undefined
  const add = async (session: Session, { itemId, kind, payload }: NewEvent): Promise<number> =>
    (await session.execute<{ id: number }>(INSERT_EVENT, [itemId, kind, payload])).one().id

  return sessionContender({
    read: (id) => withSession((session) => itemOf(session, id)),
    readOnly: (id) => reading.withSession((session) => itemOf(session, id)),
    write: (event) => withSession((session) => add(session, event)),
    three: (ids) => withSession((session) => Promise.all(ids.map((id) => itemOf(session, id)))),
    savepoint: (event) => withSession((session) => session.beginNested(() => add(session, event))),
    selfContained: async ({ itemId, kind, payload }) => {
      const inserted = await withSession((session) =>
        session.execute<{ id: number }>(INSERT_EVENT, [itemId, kind, payload]),
      )
      return inserted.one().id
    },
    autocommit: async (id) => {
      const found = await alone.withSession((session) => session.execute<Item>(SELECT_ITEM, [id]))
      return found.oneOrNone() ?? undefined
    },
    close: () => Promise.all([engine.dispose(), replica?.dispose()]),
  })
}
