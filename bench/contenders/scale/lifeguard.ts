/** Lifeguard: entities, sessions and large values. */
import {
  bytea,
  createEngine,
  createSessionFactory,
  declarativeBase,
  integer,
  select,
  serial,
  text,
  type Session,
} from 'lifeguard'
import {
  requireSize,
  SCALE_POOL_SIZE,
  SERIES,
  Undo,
  wideColumns,
  WIDE_ROWS,
  wideTable,
  type Meter,
  type OpenScale,
} from '../../harness/scale-work.js'

const Base = declarativeBase()

const columns = {
  id: serial().primaryKey(),
  name: text().notNull(),
  amount: integer().notNull(),
  note: text().notNull(),
}
class Held extends Base.entity('held', columns) {}
class Added extends Base.entity('added', { ...columns }) {}
class Large extends Base.entity('large', {
  id: serial().primaryKey(),
  characters: text(),
  bytes: bytea(),
}) {}

const WIDE = new Map(SERIES.columnsLoad.sizes.map((count) => [count as number, wideEntity(count)]))

export const open: OpenScale = (url) => {
  const engine = createEngine({ url, poolSize: SCALE_POOL_SIZE, maxOverflow: 0, poolTimeoutMillis: 120_000 })
  const { withSession } = createSessionFactory({ bind: engine })

  /** A transaction that is rolled back: the next execution finds the same. */
  const undone = async (work: (session: Session) => Promise<void>): Promise<void> => {
    try {
      await withSession(async (session) => {
        await work(session)
        throw new Undo()
      })
    } catch (error) {
      if (!(error instanceof Undo)) throw error
    }
  }
  const loaded = (session: Session, size: number): Promise<readonly Held[]> =>
    session.scalars(select(Held).orderBy(Held.c.id).limit(size))

  return {
    series: {
      flushNew: (size, meter) =>
        undone(async (session) => {
          await meter.mark()
          const objects = Array.from(
            { length: size },
            (_, at) => new Added({ name: `name ${String(at)}`, amount: at, note: 'a note' }),
          )
          session.addAll(objects)
          await meter.time(() => session.flush())
          meter.weigh()
          requireSize(new Set(objects.map(({ id }) => id)).size, size)
        }),
      flushChanged: (size, meter) =>
        undone(async (session) => {
          const objects = await loaded(session, size)
          for (const one of objects) one.amount += 1
          await meter.time(() => session.flush())
          requireSize(objects.length, size)
        }),
      flushUnchanged: (size, meter) =>
        undone(async (session) => {
          const objects = await loaded(session, size)
          await meter.time(() => session.flush())
          requireSize(objects.length, size)
        }),
      load: (size, meter) =>
        undone(async (session) => {
          await meter.mark()
          const objects = await meter.time(() => loaded(session, size))
          meter.weigh()
          requireSize(objects.length, size)
        }),
      sessions: async (size, meter) => {
        await meter.mark()
        await meter.time(async () => {
          const all = Array.from({ length: size }, (_, at) =>
            withSession((session) => session.scalar('SELECT name FROM held WHERE id = $1', [1 + at])),
          )
          meter.weigh()
          const names = await Promise.all(all)
          requireSize(new Set(names).size, size)
        })
      },
      columnsLoad: (size, meter) =>
        undone(async (session) => {
          const Wide = wideOf(size)
          await meter.mark()
          const objects = await meter.time(() => session.scalars(select(Wide).limit(WIDE_ROWS)))
          meter.weigh()
          requireSize(objects.length, WIDE_ROWS)
        }),
      columnsFlush: (size, meter) =>
        undone(async (session) => {
          const Wide = wideOf(size)
          await meter.mark()
          const names = wideColumns(size)
          for (let at = 0; at < WIDE_ROWS; at += 1) {
            const values = names.map(
              ({ name, isText }) => [name, isText ? `text ${String(at)}` : at] as const,
            )
            session.add(new Wide(Object.fromEntries(values)))
          }
          await meter.time(() => session.flush())
          meter.weigh()
        }),
      text: (size, meter) => large(meter, 'characters', () => 'x'.repeat(size * 1_000_000)),
      bytea: (size, meter) => large(meter, 'bytes', () => Buffer.alloc(size * 1_000_000, 7)),
    },
    close: () => engine.dispose(),
  }

  function large(meter: Meter, property: 'characters' | 'bytes', make: () => string | Buffer): Promise<void> {
    return undone(async (session) => {
      await meter.mark()
      const value = make()
      const added = new Large({ [property]: value })
      session.add(added)
      await meter.time(() => session.flush())
      await meter.time(() => session.refresh(added))
      meter.weigh()
      requireSize(added[property]?.length ?? 0, value.length)
    })
  }
}

function wideEntity(count: number) {
  const wide = wideColumns(count).map(({ name, isText }) => [name, isText ? text() : integer()] as const)
  return class extends Base.entity(wideTable(count), {
    id: serial().primaryKey(),
    ...Object.fromEntries(wide),
  }) {}
}

function wideOf(count: number): ReturnType<typeof wideEntity> {
  const Wide = WIDE.get(count)
  if (Wide === undefined) throw new Error(`No table has ${String(count)} columns`)
  return Wide
}
