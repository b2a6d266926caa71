/** Attempts to see, or to change, rows that a filter hides. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  asc,
  belongsTo,
  build,
  declarativeBase,
  deleteFrom,
  eq,
  gt,
  hasMany,
  hasOne,
  insert,
  integer,
  InvalidStatementError,
  isNull,
  manyToMany,
  not,
  or,
  select,
  serial,
  sql,
  text,
  UniqueViolationError,
  update,
  type Condition,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const tenant = new AsyncLocalStorage<number>()
const mine = (): number => tenant.getStore() ?? 1
const Base = declarativeBase()
class Shelf extends Base.entity(
  'hole_shelves',
  { id: serial().primaryKey(), tenant: integer().notNull().default(mine) },
  { filters: { tenant: (c) => eq(c.tenant, mine()) } },
) {
  static readonly relations = {
    books: hasMany(() => Book, 'shelf'),
    sign: hasOne(() => Sign, 'shelf'),
  }
}
class Book extends Base.entity(
  'hole_books',
  {
    id: serial().primaryKey(),
    tenant: integer().notNull().default(mine),
    code: text().notNull().unique(),
    label: text(),
    shelf: integer().references('hole_shelves.id'),
    deleted: integer(),
  },
  {
    filters: {
      // Several conditions without parentheses.
      tenant: (c) => or(eq(c.tenant, mine()), eq(c.tenant, 0)),
      live: (c) => isNull(c.deleted),
    },
  },
) {
  static readonly relations = {
    on: belongsTo(() => Shelf, 'shelf'),
    topics: manyToMany(() => Topic, 'hole_links'),
  }
}
class Sign extends Base.entity(
  'hole_signs',
  { id: serial().primaryKey(), tenant: integer().notNull(), shelf: integer().references('hole_shelves.id') },
  { filters: { tenant: (c) => sql`${c.tenant} = ${mine()} or ${c.tenant} = 0` } },
) {}
class Topic extends Base.entity(
  'hole_topics',
  { id: serial().primaryKey(), tenant: integer().notNull() },
  { filters: { tenant: (c) => sql`${c.tenant} = ${mine()} or ${c.tenant} = 0` } },
) {
  static readonly relations = { books: manyToMany(() => Book, 'hole_links') }
}
class Link extends Base.entity(
  'hole_links',
  {
    book: integer().primaryKey().references('hole_books.id'),
    topic: integer().primaryKey().references('hole_topics.id'),
    removed: integer(),
  },
  { filters: { linked: (c) => isNull(c.removed) } },
) {}

const fixture = useEntities(Base)
beforeEach(() =>
  fixture.db.query(`
    insert into hole_shelves (tenant) values (1), (2), (1);
    insert into hole_books (tenant, code, shelf, deleted)
      values (1, 'a', 1, null), (2, 'b', 1, null), (1, 'c', 2, null), (0, 'd', 3, null), (1, 'e', 1, 1);
    insert into hole_signs (tenant, shelf) values (2, 1), (0, 3);
    insert into hole_topics (tenant) values (1), (2), (0);
    insert into hole_links values (1, 1, null), (1, 2, null), (1, 3, 1), (4, 3, null), (2, 1, null)`),
)

const codes = (books: readonly { code: string }[]): string[] => books.map(({ code }) => code)
const stored = async (): Promise<unknown[]> =>
  (await fixture.db.query('select code, label from hole_books order by id')).map((row) => Object.values(row))

describe('a row that a filter hides is not read', () => {
  test('by its key, where the filter has several conditions', async () => {
    await using session = fixture.factory()()
    for (const id of [2, 5]) expect(await session.get(Book, id)).toBeNull()
    expect(await session.get(Sign, 1)).toBeNull()
    expect(await session.get(Sign, 2)).toMatchObject({ id: 2 })
    expect(await session.get(Sign, 1, { forUpdate: true })).toBeNull()
    expect(await session.get(Sign, 1, { populateExisting: true })).toBeNull()
  })

  test('by relations of every kind, whole or in part', async () => {
    const { withSession } = fixture.factory()
    const [shelves, parts] = await Promise.all([
      withSession((session) =>
        session.scalars(select(Shelf).orderBy(asc(Shelf.c.id)).load('books.topics', 'sign')),
      ),
      withSession((session) =>
        session.scalars(
          select(Shelf)
            .orderBy(asc(Shelf.c.id))
            .load('books', { where: or(eq(Book.c.code, 'a'), gt(Book.c.id, 0)) }),
        ),
      ),
    ])
    expect(shelves.map(({ id, books, sign }) => [id, codes(books), sign?.id])).toEqual([
      [1, ['a'], undefined],
      [3, ['d'], 2],
    ])
    expect(shelves.map(({ books }) => books[0]?.topics.map(({ id }) => id))).toEqual([[1], [3]])
    expect(parts.map(({ books }) => codes(books))).toEqual([['a'], ['d']])
    await withSession(async (session) => {
      const book = await session.getOne(Book, 3, { load: ['on'] })
      expect(book.on).toBeNull()
      await session.flush()
      expect(book.shelf).toBe(2)
      const [topic] = await session.scalars(select(Topic).where(eq(Topic.c.id, 1)).load('books'))
      expect(topic && codes(topic.books)).toEqual(['a'])
    })
  })

  test('through rows of the join table that a filter hides; these filters go by their name', async () => {
    const { withSession } = fixture.factory()
    const read = (...without: string[]) =>
      withSession(async (session) => {
        const query = select(Book).where(eq(Book.c.id, 1))
        const whole = (without.length === 0 ? query : query.withoutFilters(...without)).load('topics')
        return (await session.scalar(whole))?.topics.map(({ id }) => id)
      })
    const readPart = () =>
      withSession(async (session) => {
        const part = select(Book).where(eq(Book.c.id, 1)).load('topics', { limit: 5 })
        return (await session.scalar(part))?.topics.map(({ id }) => id)
      })
    expect([await read(), await readPart()]).toEqual([[1], [1]])
    expect(await read('linked')).toEqual([1, 3])
    expect(await read('tenant')).toEqual([1, 2])
    expect(await read('linked', 'tenant')).toEqual([1, 2, 3])
    expect(await tenant.run(2, () => withSession((session) => session.scalar(select(Link).count())))).toBe(4)
  })

  test('by exists, by not exists, by queries inside of queries, and by counts', async () => {
    await using session = fixture.factory()()
    const hidden = select(Book).where(eq(Book.c.code, 'b')).exists()
    expect(await session.scalar(hidden)).toBe(false)
    expect(await session.scalar(select(Shelf).where(hidden).count())).toBe(0)
    expect(await session.scalar(select(Shelf).where(not(hidden)).count())).toBe(2)
    expect(
      await session.scalar(
        select(Shelf)
          .where(or(hidden, eq(Shelf.c.id, 2)))
          .count(),
      ),
    ).toBe(0)
    expect(
      await session.scalar(
        select(Book)
          .where(select(Book).where(eq(Book.c.code, 'a')).exists())
          .count(),
      ),
    ).toBe(3)
    expect(
      await session.scalar(
        select(Book)
          .where(sql`true or true`)
          .count(),
      ),
    ).toBe(3)
    expect(await session.scalar(select(Book).limit(10).count())).toBe(3)
    expect(await session.scalar(select(Book).distinct().columns('tenant').count())).toBe(2)
    expect(
      await session.scalar(
        select(Book)
          .from(sql`select * from hole_books -- all`)
          .count(),
      ),
    ).toBe(3)
  })

  test('by refresh of relations; what the session holds stays', async () => {
    await using session = fixture.factory()()
    const shelf = await session.getOne(Shelf, 1, { load: ['books'] })
    await session.refresh(shelf, { load: ['books'] })
    expect(codes(shelf.books)).toEqual(['a'])
    const other = await session.getOne(Book, 2, { withoutFilters: true })
    other.label = 'changed'
    // It is not seen, and is not taken for deleted.
    expect(await session.get(Book, 2, { forUpdate: true })).toBeNull()
    expect(session.contains(other)).toBe(true)
    await session.commit()
    expect(await stored()).toContainEqual(['b', 'changed'])
  })

  test('by merge, which cannot take it over', async () => {
    const { withSession } = fixture.factory()
    const error = await errorOf(
      withSession((session) => session.merge(new Book({ id: 2, code: 'b', label: 'taken over' }))),
    )
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect(await stored()).toContainEqual(['b', null])
  })
})

describe('a row that a filter hides is not written', () => {
  test('by bulk updates and deletes', async () => {
    const { withSession } = fixture.factory()
    const changed = await withSession((session) =>
      session.scalars(
        update(Book)
          .set({ label: 'x' })
          .where(or(eq(Book.c.code, 'b'), sql`true or true`))
          .returning(),
      ),
    )
    expect(codes(changed).sort()).toEqual(['a', 'c', 'd'])
    await fixture.db.query('delete from hole_links')
    const gone = await withSession((session) => session.scalars(deleteFrom(Book).returning('code')))
    expect(gone.sort()).toEqual(['a', 'c', 'd'])
  })

  test('by an upsert, unless it turns the filter off', async () => {
    const { withSession } = fixture.factory()
    const rows = ['a', 'b', 'e', 'new'].map((code) => ({ code, label: 'upserted' }))
    const upsert = insert(Book).values(rows).onConflict('code').doUpdate(['label']).returning()
    expect(codes(await withSession((session) => session.scalars(upsert)))).toEqual(['a', 'new'])
    expect(await stored()).toEqual([
      ['a', 'upserted'],
      ['b', null],
      ['c', null],
      ['d', null],
      ['e', null],
      ['new', 'upserted'],
    ])
    // It is kept, and asks anew.
    expect(codes(await tenant.run(2, () => withSession((session) => session.scalars(upsert))))).toEqual(['b'])
    const revived = upsert.withoutFilters('live')
    expect(codes(await withSession((session) => session.scalars(revived)))).toEqual(['a', 'e', 'new'])
    const own = insert(Book)
      .values(rows)
      .onConflict('code')
      .doUpdate({ label: 'again' }, { where: or(eq(Book.c.code, 'b'), eq(Book.c.code, 'a')) })
      .returning('code')
    expect(await withSession((session) => session.scalars(own))).toEqual(['a'])
    expect(() => upsert.withoutFilters('liv')).toThrow(/'live'/)
  })

  test('when a relation is assigned that was loaded without it', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const book = await session.getOne(Book, 1, { load: ['topics'] })
      book.topics = []
      const shelf = await session.getOne(Shelf, 1, { load: ['books'] })
      shelf.books = [build(Book, { code: 'f' })]
    })
    const links = await fixture.db.query('select topic from hole_links where book = 1 order by topic')
    expect(links.map(({ topic }) => topic)).toEqual([2, 3])
    const books = await fixture.db.query('select code from hole_books where shelf = 1 order by id')
    expect(codes(books as { code: string }[])).toEqual(['b', 'e', 'f'])
  })
})

test('filters whose queries come to themselves are refused, with the chain', async () => {
  const Circles = declarativeBase()
  class Room extends Circles.entity(
    'hole_rooms',
    { id: serial().primaryKey(), parent: integer() },
    {
      filters: {
        used: (c): Condition => select(Chair).where(eq(Chair.c.room, c.id)).exists(),
        known: (c): Condition => sql`${c.parent} is null or ${select(Room).withoutFilters().exists()}`,
      },
    },
  ) {
    static readonly relations = { chairs: hasMany(() => Chair, 'room') }
  }
  class Chair extends Circles.entity(
    'hole_chairs',
    { id: serial().primaryKey(), room: integer().references('hole_rooms.id') },
    {
      filters: {
        inRoom: (c): Condition =>
          select(Room)
            .where(sql`${Room.c.id} = ${c.room}`)
            .exists(),
      },
    },
  ) {}
  await fixture.db.query(
    `${Circles.metadata.ddl()}; insert into hole_rooms (parent) values (null); insert into hole_chairs (room) values (1)`,
  )
  await using session = fixture.factory()()
  const chain =
    /the filter 'used' of hole_rooms asks the filter 'inRoom' of hole_chairs asks the filter 'used' of hole_rooms: .* withoutFilters\(\)/
  const statements: (() => Promise<unknown>)[] = [
    () => session.execute(select(Room)),
    () => session.execute(select(Room).count()),
    () => session.execute(update(Room).set({ parent: 1 })),
    () => session.get(Room, 1),
  ]
  for (const run of statements) {
    const error = await errorOf(run())
    expect(error).toBeInstanceOf(InvalidStatementError)
    expect(error.message).toMatch(chain)
  }
  expect((await errorOf(session.execute(select(Chair)))).message).toContain(
    "the filter 'inRoom' of hole_chairs asks",
  )
  // The filter 'known' asks its own entity without itself.
  expect(await session.scalars(select(Room).withoutFilters('used'))).toHaveLength(1)
})
