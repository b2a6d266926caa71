/** Taking over the values of objects that a session does not follow. */
import { describe, expect, test } from 'vitest'
import {
  StaleDataError,
  belongsTo,
  build,
  bytea,
  customType,
  declarativeBase,
  hasMany,
  integer,
  jsonb,
  serial,
  sql,
  text,
  timestamptz,
  version,
  type WithRelations,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Author extends Base.entity('authors', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = { books: hasMany(() => Book, 'authorId') }
}
class Book extends Base.entity('books', {
  id: serial().primaryKey(),
  title: text().notNull(),
  authorId: integer('author_id').references('authors.id'),
  notes: jsonb<{ pages: number[] }>(),
  printedAt: timestamptz('printed_at'),
  length: integer().generated(sql`length(title)`),
  version: version(),
}) {
  static readonly relations = { author: belongsTo(() => Author, 'authorId') }
}
class Shelf extends Base.entity('shelves', { id: serial().primaryKey() }) {
  static readonly relations = { items: hasMany(() => Item, 'shelfId') }
}
class Item extends Base.entity('items', {
  id: serial().primaryKey(),
  title: text(),
  shelfId: integer('shelf_id').references('shelves.id'),
}) {}
let made = 0
const point = customType<{ x: number }>({
  type: 'integer',
  decode: (digits) => ({ x: Number(digits) }),
  encode: ({ x }) => String(x),
})
const SHARED = { pages: [7] }
class Draft extends Base.entity('drafts', {
  id: integer().primaryKey(),
  literal: jsonb<{ pages: number[] }>().notNull().default({ pages: [] }),
  computed: jsonb<{ made: number }>()
    .notNull()
    .default(() => ({ made: ++made })),
  shared: jsonb<{ pages: number[] }>()
    .notNull()
    .default(() => SHARED),
  tags: text()
    .array()
    .default(() => ['new']),
  at: timestamptz()
    .notNull()
    .default(() => new Date()),
  bytes: bytea().default(() => Buffer.from('new')),
  point: point().default(() => ({ x: 1 })),
}) {}
class Crate extends Base.entity('crates', { id: integer().primaryKey() }) {
  static readonly relations = {
    bottles: hasMany(() => Bottle, 'crateId', { cascade: ['add', 'delete'] }),
    labels: hasMany(() => Label, 'crateId', { cascade: ['add', 'delete', 'delete-orphan'] }),
  }
}
class Label extends Base.entity('labels', {
  id: integer().primaryKey(),
  crateId: integer('crate_id').references('crates.id'),
  text: text(),
}) {
  static readonly relations = { crate: belongsTo(() => Crate, 'crateId') }
}
class Bottle extends Base.entity('bottles', {
  id: integer().primaryKey(),
  crateId: integer('crate_id').references('crates.id'),
  label: text(),
}) {}
class Pair extends Base.entity('pairs', {
  a: integer().primaryKey(),
  b: integer().primaryKey(),
  label: text(),
}) {}

const fixture = useEntities(Base)
const books = () => fixture.db.query('select id, title, version from books order by id')

/** A book of a session that has ended. */
async function detached() {
  const factory = fixture.factory()
  const book = new Book({ title: 'Lanark', notes: { pages: [1] }, printedAt: new Date(0) })
  await factory.withSession((session) => session.add(book))
  return { factory, book }
}

describe('merge', () => {
  test('takes the values into the object of this session, and leaves the given one as it is', async () => {
    const { factory, book } = await detached()
    book.title = 'Unlikely Stories'
    await using session = factory()
    const merged = await session.merge(book)
    expect(merged).not.toBe(book)
    expect(await session.get(Book, book.id)).toBe(merged)
    expect([merged.title, statusOf(book), session.dirty]).toEqual(['Unlikely Stories', 'detached', [merged]])
    await session.commit()
    expect(await books()).toEqual([{ id: 1, title: 'Unlikely Stories', version: 2 }])
    expect([merged.length, book.version]).toEqual([16, 1])
  })

  test('gives an object of this session back, and merges the same object once', async () => {
    const { factory, book } = await detached()
    await using session = factory()
    const merged = await session.merge(book)
    expect(await session.merge(merged)).toBe(merged)
    expect(await session.merge(book)).toBe(merged)
    const pending = new Book({ title: 'new' })
    session.add(pending)
    expect(await session.merge(pending)).toBe(pending)
  })

  test('adds a new object where there is no row, with or without a key', async () => {
    const factory = fixture.factory()
    const [keyless, keyed] = [new Book({ title: 'no key' }), new Book({ id: 7, title: 'key' })]
    await using session = factory()
    const merged = [await session.merge(keyless), await session.merge(keyed)]
    // The second one had to look for its row, and so flushed the first.
    expect(merged.map(statusOf)).toEqual(['persistent', 'pending'])
    await session.commit()
    expect(merged.map(({ id }) => id)).toEqual([1, 7])
    expect([statusOf(keyless), keyless.id]).toEqual(['transient', undefined])
  })

  test('takes what a client has sent, leaving alone what it has not', async () => {
    const { factory } = await detached()
    await using session = factory()
    const sent = JSON.parse('{"id": 1, "title": "Lanark, revised", "version": 1}') as { title: string }
    const given = Object.assign(Object.create(Book.prototype) as Book, sent)
    const merged = await session.merge(given)
    expect(merged).toMatchObject({ title: 'Lanark, revised', notes: { pages: [1] } })
    const pair = await session.merge(new Pair({ a: 1, b: 2, label: 'x' }))
    await session.commit()
    expect(await session.merge(new Pair({ a: 1, b: 2, label: 'y' }))).toBe(pair)
    expect(pair.label).toBe('y')
  })

  test('leaves alone what the constructor has filled in, unless it was set since', async () => {
    const { factory } = await detached()
    await using session = factory()
    const given = new Book({ id: 1, title: 'Lanark, revised' })
    const merged = await session.merge(given)
    expect(merged).toMatchObject({ title: 'Lanark, revised', notes: { pages: [1] }, version: 1 })
    await fixture.db.query('update books set version = 5')
    await session.refresh(merged)
    given.authorId = null
    given.notes = { pages: [] }
    expect(await session.merge(given)).toMatchObject({ notes: { pages: [] }, version: 5 })
    expect(await session.merge(new Book({ title: 'new' }))).toMatchObject({ notes: null, version: 1 })
    await expect(session.merge(new Book({ id: 1, title: 'x', version: 4 }))).rejects.toThrow(StaleDataError)
  })

  describe('of an object whose defaults are objects', () => {
    const literal = { pages: [1] }
    const given = { computed: { made: -1 }, tags: ['given'], bytes: Buffer.from('given'), point: { x: 5 } }
    const stored = { id: 1, literal, ...given, at: new Date(5), shared: { pages: [1] } }
    const change: Record<string, (draft: Draft) => void> = {
      literal: (draft) => draft.literal.pages.push(2),
      computed: (draft) => (draft.computed.made = 0),
      shared: (draft) => draft.shared.pages.push(8),
      tags: (draft) => draft.tags?.push('more'),
      at: (draft) => draft.at.setTime(6),
      bytes: (draft) => draft.bytes?.fill('x'),
      point: (draft) => ((draft.point as { x: number }).x = 2),
    }
    const merged = async (draft: Draft) => {
      const factory = fixture.factory()
      await factory.withSession((session) => session.add(new Draft(stored)))
      await factory.withSession(async (session) => {
        await session.merge(draft)
      })
      await using session = factory()
      return { ...(await session.getOne(Draft, 1)) }
    }

    test('leaves alone what is as it was', async () => {
      expect(await merged(new Draft({ id: 1 }))).toEqual(stored)
    })

    test.each(Object.keys(change))('takes what was changed in place: %s', async (property) => {
      const draft = new Draft({ id: 1 })
      change[property]?.(draft)
      const changed = { [property]: draft[property as 'at'] }
      expect(await merged(draft)).toEqual({ ...stored, ...changed })
    })

    test('takes what could not be written, and says so only if it still cannot', async () => {
      class Unready extends declarativeBase().entity('drafts', {
        id: integer().primaryKey(),
        literal: jsonb().default(() => ({ count: 1n })),
      }) {}
      const [mended, broken] = [new Unready({ id: 1 }), new Unready({ id: 1 })]
      ;(mended.literal as { count: unknown }).count = 1
      await fixture.factory().withSession((session) => session.add(new Draft(stored)))
      await using session = fixture.factory()()
      expect(await session.merge(mended)).toMatchObject({ literal: { count: 1 } })
      expect((await errorOf(session.merge(broken))).message).toContain(
        'drafts.literal takes what JSON can express, not a bigint',
      )
    })

    test('takes what was set to something equal', async () => {
      const draft = new Draft({ id: 1 })
      draft.literal = { pages: [] }
      draft.tags = ['new']
      expect(await merged(draft)).toEqual({ ...stored, literal: { pages: [] }, tags: ['new'] })
    })
  })

  test('does not take what has expired', async () => {
    const factory = fixture.factory({}, { expireOnCommit: true })
    const book = new Book({ title: 'Lanark' })
    await factory.withSession((session) => session.add(book))
    await using session = factory()
    const merged = await session.merge(book)
    expect([merged.title, session.dirty]).toEqual(['Lanark', []])
  })

  test('copies documents and dates: a later change in place is not shared', async () => {
    const { factory, book } = await detached()
    await using session = factory()
    book.notes?.pages.push(2)
    const merged = await session.merge(book)
    book.notes?.pages.push(3)
    book.printedAt?.setFullYear(2000)
    expect([merged.notes, merged.printedAt]).toEqual([{ pages: [1, 2] }, new Date(0)])
  })

  test('refuses what another transaction has changed since', async () => {
    const { factory, book } = await detached()
    await fixture.db.query('update books set version = 5')
    await using session = factory()
    book.title = 'mine'
    const error = await errorOf(session.merge(book))
    expect(error).toBeInstanceOf(StaleDataError)
    expect(error.message).toContain('Book to merge was changed by another transaction')
    expect(session.dirty).toEqual([])
  })

  describe.each([true, false])('onto an object that is to be deleted (autoflush: %s)', (autoflush) => {
    test('takes back the delete, as add does', async () => {
      const { book: given } = await detached()
      given.title = 'kept'
      const { withSession } = fixture.factory({}, { autoflush })
      await withSession(async (session) => {
        const book = await session.getOne(Book, given.id)
        session.delete(book)
        expect(await session.merge(given)).toBe(book)
        expect([session.deleted, statusOf(book)]).toEqual([[], 'persistent'])
      })
      expect(await books()).toEqual([{ id: given.id, title: 'kept', version: 2 }])
    })

    test('refuses another version first: it stays marked', async () => {
      const { book: given } = await detached()
      await using session = fixture.factory({}, { autoflush })()
      await fixture.db.query('update books set version = 9')
      const book = await session.getOne(Book, given.id)
      session.delete(book)
      expect(await errorOf(session.merge(given))).toBeInstanceOf(StaleDataError)
      expect(session.deleted).toEqual([book])
    })

    test('keeps an orphan, unless it is an orphan by a later change', async () => {
      await fixture.db.query(
        `insert into crates (id) values (1), (2);
         insert into labels (id, crate_id) values (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)`,
      )
      const { withSession } = fixture.factory({}, { autoflush })
      await withSession(async (session) => {
        const crate: WithRelations<typeof Crate> = await session.getOne(Crate, 1, { load: ['labels'] })
        await session.merge(new Label({ id: 4, text: 'merged before' }))
        const released: WithRelations<typeof Label> = await session.getOne(Label, 5)
        released.crate = null
        crate.labels = [released]
        await session.merge(new Label({ id: 1, text: 'kept' }))
        await session.merge(new Label({ id: 5, text: 'kept, too' }))
        await session.merge(build(Crate, { id: 2, labels: [new Label({ id: 2, text: 'moved' })] }))
      })
      expect(await fixture.db.query('select * from labels order by id')).toEqual([
        { id: 1, crate_id: null, text: 'kept' },
        { id: 2, crate_id: 2, text: 'moved' },
        { id: 5, crate_id: null, text: 'kept, too' },
      ])
    })

    test('keeps an object that would be deleted with its owner', async () => {
      await fixture.db.query(
        `insert into crates (id) values (1), (2);
         insert into bottles (id, crate_id, label) values (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')`,
      )
      const { withSession } = fixture.factory({}, { autoflush })
      await withSession(async (session) => {
        const crate = await session.getOne(Crate, 1, { load: ['bottles'] })
        session.delete(crate)
        // Settles what is deleted with it.
        expect(session.deleted).toHaveLength(3)
        await session.merge(new Bottle({ id: 1, label: 'kept' }))
        // Its relation takes it along.
        await session.merge(build(Crate, { id: 2, bottles: [new Bottle({ id: 2, label: 'moved' })] }))
      })
      expect(await fixture.db.query('select * from bottles order by id')).toEqual([
        { id: 1, crate_id: null, label: 'kept' },
        { id: 2, crate_id: 2, label: 'moved' },
        { id: 3, crate_id: null, label: 'c' },
      ])
    })
  })

  test('takes relations along, finds what was put in and taken out, and survives circles', async () => {
    const factory = fixture.factory()
    const author: WithRelations<typeof Author> = new Author({ name: 'Gray' })
    const [lanark, janine, poor] = ['Lanark', 'Janine', 'Poor Things'].map(
      (title) => new Book({ title }),
    ) as [WithRelations<typeof Book>, WithRelations<typeof Book>, WithRelations<typeof Book>]
    author.books = [lanark, janine]
    lanark.author = janine.author = author
    await factory.withSession((session) => session.add(author))
    author.books = [lanark, poor]
    lanark.title = 'Lanark: A Life'
    await using session = factory()
    const merged = (await session.merge(author)) as Author & { books: Book[] }
    expect(merged.books.map(({ title }) => title)).toEqual(['Lanark: A Life', 'Poor Things'])
    expect(merged.books.every((book) => session.contains(book) && book !== lanark && book !== poor)).toBe(
      true,
    )
    expect((merged.books[0] as WithRelations<typeof Book>).author).toBe(merged)
    await session.commit()
    expect(await fixture.db.query('select title, author_id from books order by id')).toEqual([
      { title: 'Lanark: A Life', author_id: 1 },
      { title: 'Janine', author_id: null },
      { title: 'Poor Things', author_id: 1 },
    ])
  })

  test('of what is no object of an entity is refused', async () => {
    await using session = fixture.factory()()
    expect((await errorOf(session.merge({ id: 1 }))).message).toContain('Not an instance of an entity')
  })
})

test.each([true, false])(
  'an object that was moved between two collections is merged with both owners (row gone: %s)',
  async (isGone) => {
    await fixture.db.query(
      `insert into shelves default values; insert into shelves default values; insert into items (title, shelf_id) values ('One', 1)`,
    )
    const { withSession } = fixture.factory()
    const [from, to] = await withSession((session) =>
      Promise.all([1, 2].map((id) => session.getOne(Shelf, id, { load: ['items'] }))),
    )
    if (from === undefined || to === undefined) throw new Error('both are stored')
    to.items.push(...from.items.splice(0))
    await withSession(async (session) => {
      await session.merge(from)
      // The first merge is flushed: the item has no shelf, or no row.
      await session.flush()
      if (isGone) session.delete(await session.getOne(Item, 1))
      await session.flush()
      await session.merge(to)
    })
    expect(await fixture.db.query('select id, title, shelf_id from items')).toEqual([
      { id: 1, title: 'One', shelf_id: 2 },
    ])
  },
)
