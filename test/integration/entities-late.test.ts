/** Answers that come when the objects have moved on: a change that was flushed after a query is newer than its rows. */
import { describe, expect, test } from 'vitest'
import { declarativeBase, eq, integer, select, serial, text, update, version } from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Book extends Base.entity('books', {
  id: serial().primaryKey(),
  title: text().notNull(),
  pages: integer().notNull().default(1),
}) {}
class Code extends Base.entity('codes', { code: text().primaryKey(), label: text() }) {}
class Draft extends Base.entity('drafts', {
  id: serial().primaryKey(),
  title: text().notNull(),
  changedAt: integer('changed_at').onUpdate(() => 7),
  version: version(),
}) {}

const fixture = useEntities(Base)

async function stored() {
  const session = fixture.factory()()
  const [book, code] = [new Book({ title: 'Lanark' }), new Code({ code: 'a', label: 'A' })]
  session.addAll([book, code])
  await session.commit()
  return { session, book, code }
}

describe('a change that was flushed after a query', () => {
  test('is newer than the rows that the query locked or changed', async () => {
    const { session, book } = await stored()
    await using _ = session
    for (const query of [select(Book).forUpdate(), update(Book).set({ pages: 5 }).returning()]) {
      const answered = session.scalars(query)
      book.title += '!'
      const [found] = await Promise.all([answered, session.flush()])
      expect(found).toEqual([book])
    }
    expect(book.title).toBe('Lanark!!')
    await session.commit()
    expect(await fixture.db.query('select title, pages from books')).toEqual([
      { title: 'Lanark!!', pages: 5 },
    ])
    // What the statement has changed itself is read again when it is wanted.
    expect((await session.scalars(select(Book).forUpdate()))[0]).toMatchObject({
      title: 'Lanark!!',
      pages: 5,
    })
  })

  test('is newer than a row that a get reads again', async () => {
    const { session, book } = await stored()
    await using _ = session
    const reading = session.get(Book, book.id, { populateExisting: true })
    book.title = 'Janine'
    expect(await Promise.all([reading, session.flush()])).toEqual([book, undefined])
    expect(book.title).toBe('Janine')
  })

  test('does not prevent rows locked after it from updating objects', async () => {
    const { session, book } = await stored()
    await using _ = session
    book.title = 'Janine'
    await session.flush()
    await session.execute('update books set pages = 9')
    await session.execute(select(Book).forUpdate())
    expect(book).toMatchObject({ title: 'Janine', pages: 9 })
    await session.execute('update books set pages = 10')
    book.title = 'Unlikely Stories'
    await Promise.all([session.flush(), session.execute(select(Book).forUpdate())])
    expect(book).toMatchObject({ title: 'Unlikely Stories', pages: 10 })
  })

  test('has deleted the object: the query gives that, and no second one of its row', async () => {
    const { session, book } = await stored()
    await using _ = session
    const answered = session.scalars(select(Book))
    session.delete(book)
    const [found] = await Promise.all([answered, session.flush()])
    expect(found[0]).toBe(book)
    expect(statusOf(book)).toBe('deleted')
    expect(await session.get(Book, book.id)).toBeNull()
    await session.commit()
    expect(statusOf(book)).toBe('detached')
  })

  test('has changed the key of the object: the query gives that, and no second one of its row', async () => {
    const { session, code } = await stored()
    await using _ = session
    const answered = session.scalars(select(Code))
    code.code = 'b'
    const [found] = await Promise.all([answered, session.flush()])
    expect(found[0]).toBe(code)
    expect(code).toEqual({ code: 'b', label: 'A' })
    expect(await session.get(Code, 'a')).toBeNull()
  })

  test('has deleted what a stream gives later', async () => {
    const { session, book } = await stored()
    await using _ = session
    await fixture.db.query(`insert into books (title, pages) values ('b', 1), ('c', 1)`)
    const last = await session.getOne(Book, 3)
    const seen: Book[] = []
    for await (const each of session.stream(select(Book).orderBy(Book.c.id), { batchSize: 1 })) {
      seen.push(each)
      if (each === book) session.delete(last)
      await session.flush()
    }
    expect(seen.map(statusOf)).toEqual(['persistent', 'persistent', 'deleted'])
    expect(seen[2]).toBe(last)
    await session.commit()
  })

  test('has deleted a row that another transaction has inserted again: that is another object', async () => {
    const { session, code } = await stored()
    await using _ = session
    session.delete(code)
    await session.flush()
    await session.execute(`insert into codes values ('a', 'again')`)
    const again = await session.getOne(Code, 'a')
    expect([again === code, again.label, statusOf(again)]).toEqual([false, 'again', 'persistent'])
  })

  test('is not read twice by a query in its batch', async () => {
    await using session = fixture.factory()()
    const book = new Book({ title: 'Lanark' })
    session.add(book)
    const flushing = session.flush()
    const found = await session.scalars(select(Book).where(eq(Book.c.title, 'Lanark')))
    await flushing
    expect(found[0]).toBe(book)
  })
})

describe('an object whose insertion is under way', () => {
  test('can be expunged and added again', async () => {
    await using session = fixture.factory()()
    const book = new Book({ title: 'Lanark' })
    session.add(book)
    const flushing = session.flush()
    session.expunge(book)
    session.add(book)
    await flushing
    expect([book.id, statusOf(book), await session.get(Book, 1)]).toEqual([1, 'persistent', book])
    book.title = 'Janine'
    await session.commit()
    expect(await fixture.db.query('select title from books')).toEqual([{ title: 'Janine' }])
  })

  test('gets its key also if it was expunged, and can then be added to another session', async () => {
    const factory = fixture.factory()
    await using session = factory()
    await using other = factory()
    const book = new Book({ title: 'Lanark' })
    session.add(book)
    const flushing = session.flush()
    session.expunge(book)
    expect(() => other.add(book)).toThrow('is being stored')
    expect([session.dirty, session.contains(book)]).toEqual([[], false])
    await flushing
    expect([book.id, statusOf(book)]).toEqual([1, 'detached'])
    await session.commit()
    other.add(book)
    book.title = 'Janine'
    await other.commit()
    expect(await fixture.db.query('select title from books')).toEqual([{ title: 'Janine' }])
  })

  test('is new again after a rollback, expunged or not', async () => {
    await using session = fixture.factory()()
    const book = new Book({ title: 'Lanark' })
    session.add(book)
    const flushing = session.flush()
    session.expunge(book)
    await flushing
    await session.rollback()
    expect([statusOf(book), book.id]).toEqual(['transient', undefined])
    session.add(book)
    await session.commit()
    expect(await fixture.db.query('select title from books')).toEqual([{ title: 'Lanark' }])
  })
})

describe('merges side by side', () => {
  test('of objects with one key give one object', async () => {
    await using session = fixture.factory()()
    const [first, second] = await Promise.all([
      session.merge(new Code({ code: 'a', label: 'first' })),
      session.merge(new Code({ code: 'a', label: 'second' })),
    ])
    expect(second).toBe(first)
    const third = session.merge(new Code({ code: 'b' }))
    await Promise.all([third, session.merge(new Code({ code: 'c' })), session.commit()])
    await session.commit()
    expect(await fixture.db.query('select code, label from codes order by code')).toEqual([
      { code: 'a', label: 'second' },
      { code: 'b', label: null },
      { code: 'c', label: null },
    ])
  })
})

describe('a flush that cannot be planned', () => {
  test('has set no onUpdate column', async () => {
    await using session = fixture.factory()()
    const [one, two] = [new Draft({ title: 'a' }), new Draft({ title: 'b' })]
    session.addAll([one, two])
    await session.commit()
    one.title = 'c'
    Object.assign(two, { title: 5 })
    expect((await errorOf(session.flush())).message).toContain('title')
    expect(one.changedAt).toBeNull()
    one.title = 'a'
    two.title = 'd'
    await session.commit()
    expect(await fixture.db.query('select title, changed_at, version from drafts order by id')).toEqual([
      { title: 'a', changed_at: null, version: 1 },
      { title: 'd', changed_at: 7, version: 2 },
    ])
    expect(two.changedAt).toBe(7)
  })
})
