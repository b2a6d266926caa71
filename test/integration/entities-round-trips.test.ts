/** How often a caller waits for the server when it works with entities, counted by a proxy. These numbers only ever go down. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  createEngine,
  declarativeBase,
  hasMany,
  integer,
  select,
  serial,
  text,
  uuid,
  type EngineOptions,
  type Session,
  type SessionFactory,
  type WithRelations,
} from '../../src/index.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useDatabase } from './session-support.js'

const Base = declarativeBase()

/** PostgreSQL makes the key. */
class Artist extends Base.entity('artists', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = { albums: hasMany(() => Album, 'artistId') }
}

class Album extends Base.entity('albums', {
  id: serial().primaryKey(),
  name: text().notNull(),
  artistId: integer('artist_id').references('artists.id'),
}) {
  static readonly relations = { artist: belongsTo(() => Artist, 'artistId') }
}

/** The client makes the key. */
class Order extends Base.entity('orders', {
  id: uuid().primaryKey().default(randomUUID),
  buyer: text().notNull(),
}) {
  static readonly relations = { lines: hasMany(() => Line, 'orderId'), notes: hasMany(() => Note, 'orderId') }
}

class Line extends Base.entity('order_lines', {
  id: uuid().primaryKey().default(randomUUID),
  orderId: uuid('order_id').notNull().references('orders.id'),
  amount: integer().notNull(),
}) {
  static readonly relations = { order: belongsTo(() => Order, 'orderId') }
}

class Note extends Base.entity('order_notes', {
  id: uuid().primaryKey().default(randomUUID),
  orderId: uuid('order_id').references('orders.id'),
  text: text(),
}) {}

const fixture = useDatabase()
let proxy: Proxy

beforeAll(async () => {
  const engine = createEngine({ url: fixture.db.url })
  await engine.begin((connection) => Base.metadata.createAll(connection))
  await engine.dispose()
})
beforeEach(async () => {
  await fixture.db.query('truncate artists, albums, orders, order_lines, order_notes')
  proxy = await startProxy(fixture.db.url)
})
afterEach(() => proxy.close())

/** A factory whose one connection is open. */
async function connected(options: EngineOptions = {}): Promise<SessionFactory> {
  const factory = fixture.factory({ url: proxy.url, poolSize: 1, maxOverflow: 0, ...options })
  await factory.withSession((session) => session.execute('select'))
  // Bursts that belong together arrive together: an answer cannot come between two of them.
  proxy.delay(3)
  return factory
}

/** Round trips of the work, COMMIT included. */
async function trips(work: () => Promise<unknown>): Promise<number> {
  proxy.reset()
  await work()
  return proxy.roundTrips
}

/** The same with statements that the server has to parse, and with statements that it knows. */
async function tripsColdAndWarm(work: () => Promise<unknown>): Promise<number> {
  const cold = await trips(work)
  expect(await trips(work)).toBe(cold)
  return cold
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

const rowsOf = async (table: string): Promise<number> =>
  (await fixture.db.query<{ count: number }>(`select count(*)::int from ${table}`))[0]?.count ?? -1

/** Work on new objects, with a COMMIT of its own, and within a savepoint of a transaction. */
const FLUSHES: readonly {
  readonly name: string
  readonly trips: number
  readonly table: string
  readonly rows: number
  add(session: Session): void
}[] = [
  {
    name: 'one new object whose key PostgreSQL makes',
    trips: 1,
    table: 'artists',
    rows: 1,
    add: (session) => session.add(new Artist({ name: 'a' })),
  },
  {
    name: '100 new objects whose keys PostgreSQL makes',
    trips: 1,
    table: 'artists',
    rows: 100,
    add: (session) => session.addAll(numbers(100).map((n) => new Artist({ name: String(n) }))),
  },
  {
    name: 'a parent with 100 children that need the key which PostgreSQL makes',
    trips: 2,
    table: 'albums',
    rows: 100,
    add(session) {
      const artist: WithRelations<typeof Artist> = new Artist({ name: 'a' })
      artist.albums = numbers(100).map((n) => new Album({ name: String(n) }))
      session.add(artist)
    },
  },
  {
    name: '10 parents with children that need the keys which PostgreSQL makes',
    trips: 2,
    table: 'albums',
    rows: 10,
    add(session) {
      for (const n of numbers(10)) {
        const album: WithRelations<typeof Album> = new Album({ name: String(n) })
        album.artist = new Artist({ name: String(n) })
        session.add(album)
      }
    },
  },
  {
    name: 'a parent with 100 children, all with keys of their own',
    trips: 1,
    table: 'order_lines',
    rows: 100,
    add(session) {
      const order: WithRelations<typeof Order> = new Order({ buyer: 'a' })
      session.add(order)
      session.addAll(numbers(100).map((amount) => new Line({ orderId: order.id, amount })))
    },
  },
  {
    name: 'a parent with 100 children in a collection, all with keys of their own',
    trips: 1,
    table: 'order_lines',
    rows: 100,
    add(session) {
      const order: WithRelations<typeof Order> = new Order({ buyer: 'a' })
      // What the collection says about the foreign key counts.
      order.lines = numbers(100).map((amount) => new Line({ orderId: order.id, amount }))
      session.add(order)
    },
  },
]

describe.each(FLUSHES)('$name', ({ trips: expected, table, rows, add }) => {
  test(`and commit: ${String(expected)}`, async () => {
    const factory = await connected()
    const work = () => factory.withSession((session) => add(session))
    expect(await tripsColdAndWarm(work)).toBe(expected)
    expect(await rowsOf(table)).toBe(2 * rows)
  })

  test(`in a savepoint, and commit: ${String(expected + 1)}, as the savepoint's end is waited for`, async () => {
    const factory = await connected()
    const work = () => factory.withSession((session) => session.beginNested(() => add(session)))
    expect(await tripsColdAndWarm(work)).toBe(expected + 1)
    expect(await rowsOf(table)).toBe(2 * rows)
  })
})

describe('objects that were loaded', () => {
  async function withArtists(count: number): Promise<SessionFactory> {
    await fixture.db.query("insert into artists (name) select 'x' from generate_series(1, $1::int)", [count])
    return connected()
  }

  test('100 changed: 1 after loading, COMMIT included', async () => {
    const factory = await withArtists(100)
    await using session = factory()
    const work = async (): Promise<void> => {
      const artists = await session.scalars(select(Artist))
      for (const artist of artists) artist.name += '!'
      proxy.reset()
      await session.commit()
    }
    expect(await tripsColdAndWarm(work)).toBe(1)
    expect(await fixture.db.query("select from artists where name = 'x!!'")).toHaveLength(100)
  })

  test('100 deleted: 1 after loading, COMMIT included', async () => {
    const factory = await withArtists(100)
    await using session = factory()
    for (const artist of await session.scalars(select(Artist))) session.delete(artist)
    expect(await trips(() => session.commit())).toBe(1)
    expect(await rowsOf('artists')).toBe(0)
  })

  test('get from the identity map: 0', async () => {
    const factory = await withArtists(1)
    await using session = factory()
    const [artist] = await session.scalars(select(Artist))
    const { id } = artist as Artist
    expect(await trips(async () => expect(await session.get(Artist, id)).toBe(artist))).toBe(0)
  })

  test('a session that loads and changes nothing: 2, and 1 where it is read-only', async () => {
    const factory = await withArtists(10)
    const load = async (session: Session): Promise<number> => (await session.scalars(select(Artist))).length
    expect(await tripsColdAndWarm(() => factory.withSession(load))).toBe(2)
    const readOnly = () => factory.withSession(load, { readOnly: true })
    expect(await trips(readOnly)).toBe(1)
    await waitUntil(() => factory.bind.stats().borrowed === 0)
  })

  test('two relations: 2, however many objects', async () => {
    const orders = numbers(20).map(() => ({ id: randomUUID() }))
    for (const { id } of orders) {
      await fixture.db.query(`insert into orders values ($1, 'a')`, [id])
      await fixture.db.query(
        'insert into order_lines select gen_random_uuid(), $1, 1 from generate_series(1, 3)',
        [id],
      )
      await fixture.db.query('insert into order_notes select gen_random_uuid(), $1', [id])
    }
    const factory = await connected()
    await using session = factory()
    const work = async (): Promise<void> => {
      const found = await session.scalars(select(Order).load('lines', 'notes'))
      expect(found).toHaveLength(20)
      expect(found.flatMap(({ lines, notes }) => [...lines, ...notes])).toHaveLength(80)
    }
    expect(await trips(work)).toBe(2)
  })
})

describe('what is flushed before a query', () => {
  test('is in the batch of the query: 1', async () => {
    const factory = await connected()
    await using session = factory()
    const work = async (): Promise<void> => {
      session.add(new Artist({ name: 'a' }))
      await session.execute(select(Artist))
    }
    expect(await tripsColdAndWarm(work)).toBe(1)
    await session.rollback()
  })

  test('is in the batch of a get that has to query: 1', async () => {
    const factory = await connected()
    await using session = factory()
    const work = async (): Promise<void> => {
      session.add(new Artist({ name: 'a' }))
      expect(await session.get(Artist, -1)).toBeNull()
    }
    expect(await tripsColdAndWarm(work)).toBe(1)
    await session.rollback()
  })

  test('nothing is sent where there is nothing to flush: 0', async () => {
    const factory = await connected()
    await using session = factory()
    session.add(new Artist({ name: 'a' }))
    await session.commit()
    expect(await trips(() => session.flush())).toBe(0)
    expect(await trips(() => session.commit())).toBe(0)
  })
})

test('statements of a flush have one prepared name each, whatever the number of rows', async () => {
  const factory = await connected()
  const known = (): Promise<number | null> =>
    factory.withSession(
      (session) =>
        session.scalar<number>(
          "select count(*)::int from pg_prepared_statements where statement not like '%pg_prepared%'",
        ),
      { autocommit: true },
    )
  const write = (count: number): Promise<void> =>
    factory.withSession(async (session) => {
      const artists = numbers(count).map((n) => new Artist({ name: String(n) }))
      session.addAll(artists)
      await session.flush()
      for (const artist of artists) artist.name += '!'
      await session.flush()
      for (const artist of artists) session.delete(artist)
      await session.flush()
    })
  // A text gets its name at its second use.
  for (const count of [2, 3]) await write(count)
  const before = await known()
  for (const count of [2, 50, 700]) await write(count)
  // Fewer where a statement was slow: a slow statement is prepared anew.
  expect(await known()).toBeLessThanOrEqual(before ?? 0)
})
