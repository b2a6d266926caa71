/** Deferred columns: not loaded unless they are asked for, and no change by that. */
import { describe, expect, test } from 'vitest'
import {
  ExpiredAttributeError,
  InvalidOptionError,
  InvalidValueError,
  MappingError,
  belongsTo,
  build,
  declarativeBase,
  eq,
  integer,
  select,
  serial,
  sql,
  text,
  update,
  version,
} from '../../src/index.js'
import { Base, Book, Page } from './entities-deferred-support.js'
import { textsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const fixture = useEntities(Base)
const sessions = () => fixture.factory()()

/** A session that has loaded a page without its deferred columns. */
async function loaded() {
  await fixture.db.query(
    `insert into books (name) values ('Book'); insert into pages (body, title, meta, book_id, version)
     values ('long', 'One', '{"tags": ["a"]}', 1, 1)`,
  )
  const session = sessions()
  const page = await session.getOne(Page, 1)
  return { session, page }
}

const stored = async () =>
  (await fixture.db.query('select body, title, meta, note, version from pages order by id'))[0]

describe('a loaded object', () => {
  test('has no deferred columns: reading one says so, a copy goes without it, and nothing is sent for it', async () => {
    const { session, page } = await loaded()
    await using _ = session
    expect({ ...page }).toEqual({ id: 1, title: 'One', bookId: 1, version: 1 })
    expect(Object.keys(JSON.parse(JSON.stringify(page)) as object)).toEqual([
      'id',
      'title',
      'bookId',
      'version',
    ])
    expect(() => page.body).toThrow(ExpiredAttributeError)
    expect(() => page.body).toThrow(/Page.body is deferred: .*columns: \['body'\]/)
    expect(await textsOf(() => session.get(Page, 1))).toEqual([])
    const [statement] = await textsOf(() => session.scalars(select(Page)))
    expect(statement).not.toContain('body')
  })

  test('is clean, by whatever it was loaded, and a block writes nothing', async () => {
    const { session, page } = await loaded()
    await using _ = session
    await session.scalars(select(Page).undefer('meta', 'size'))
    await session.scalars(select(Page).populateExisting())
    await session.get(Page, 1, { forUpdate: true })
    await session.getOne(Book, 1, { load: ['pages.book'] })
    await session.scalars(select(Book).load('pages', { limit: 1 }))
    await session.refresh(page, { columns: ['note'] })
    expect([session.dirty, session.isModified(page)]).toEqual([[], false])
    expect(await textsOf(() => session.flush())).toEqual([])
  })

  test('gets them from undefer, get, and refresh by name; what was held stays as it is', async () => {
    const { session, page } = await loaded()
    await using _ = session
    page.title = 'changed'
    await session.noAutoflush(async () => {
      await session.scalars(select(Page).undefer('body').undefer('meta'))
      expect([page.body, page.meta, page.title]).toEqual(['long', { tags: ['a'] }, 'changed'])
      expect(() => page.note).toThrow(/deferred/)
      await session.get(Page, 1, { undefer: ['note'] })
      expect(page.note).toBe('none')
      expect(await textsOf(() => session.get(Page, 1, { undefer: ['note', 'body'] }))).toEqual([])
      await session.refresh(page, { columns: ['size'] })
      expect([page.size, session.dirty]).toEqual([4, [page]])
      page.body = 'longer'
      await session.scalars(select(Page))
      await session.scalars(select(Page).undefer('body'))
      expect(page.body).toBe('longer')
    })
    page.meta?.tags.push('b')
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'longer', title: 'changed', meta: { tags: ['a', 'b'] } })
  })

  test('can be changed without loading them', async () => {
    const { session, page } = await loaded()
    await using _ = session
    page.body = 'new'
    expect([session.dirty, session.isModified(page), page.body]).toEqual([[page], true, 'new'])
    page.title = 'Two'
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'new', title: 'Two', version: 2 })
    expect(() => page.size).toThrow(/deferred/)
    page.body = 'long'
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'long', version: 3 })
    Object.assign(page, { meta: undefined })
    expect(await errorOf(session.flush())).toBeInstanceOf(InvalidValueError)
    page.meta = null
    await session.commit()
    expect(await stored()).toMatchObject({ meta: null, version: 4 })
  })

  test('is refreshed with those that it has', async () => {
    const { session, page } = await loaded()
    await using _ = session
    const [statement] = await textsOf(() => session.refresh(page))
    expect(statement).not.toContain('body')
    await session.refresh(page, { columns: ['body'] })
    await fixture.db.query("update pages set body = 'other', title = 'other'")
    await session.refresh(page)
    expect([page.body, page.title]).toEqual(['other', 'other'])
    await fixture.db.query("update pages set body = 'third'")
    await session.get(Page, 1, { forUpdate: true })
    expect(page.body).toBe('third')
  })
})

describe('values that are not known any more', () => {
  test('expire, are refreshed, and are deferred again by a query without them', async () => {
    const { session, page } = await loaded()
    await using _ = session
    session.expire(page, ['body'])
    expect(await textsOf(() => session.get(Page, 1))).toEqual([])
    await session.refresh(page, { columns: ['body'] })
    session.expire(page)
    expect(() => page.body).toThrow(/Page.body has expired/)
    expect(() => page.meta).toThrow(/Page.meta is deferred/)
    await session.scalars(select(Page))
    expect(() => page.body).toThrow(/Page.body is deferred/)
    expect([page.title, session.dirty]).toEqual(['One', []])
  })

  test('what is set while the object has expired is written', async () => {
    const { session, page } = await loaded()
    await using _ = session
    await session.refresh(page, { columns: ['body'] })
    session.expire(page)
    page.body = 'long'
    page.meta = { tags: [] }
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'long', meta: { tags: [] }, title: 'One' })
    expect(session.dirty).toEqual([])
  })

  test('a locking query does not leave an old value, nor lose a change', async () => {
    const { session, page } = await loaded()
    await using _ = session
    await session.refresh(page, { columns: ['body', 'meta'] })
    page.meta = { tags: ['mine'] }
    await fixture.db.query("update pages set body = 'theirs'")
    await session.noAutoflush(() => session.scalars(select(Page).forUpdate()))
    expect(() => page.body).toThrow(/deferred/)
    expect(page.meta).toEqual({ tags: ['mine'] })
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'theirs', meta: { tags: ['mine'] } })
  })

  test('a rolled back savepoint takes back what it has loaded', async () => {
    const { session, page } = await loaded()
    await using _ = session
    await session
      .beginNested(async () => {
        await session.execute(update(Page).set({ body: 'inside' }))
        await session.get(Page, 1, { undefer: ['body'] })
        expect(page.body).toBe('inside')
        throw new Error('back')
      })
      .catch(() => undefined)
    expect(() => page.body).toThrow(ExpiredAttributeError)
    await session.get(Page, 1, { undefer: ['body'] })
    expect(page.body).toBe('long')
  })
})

describe('new objects', () => {
  test('have them, and what PostgreSQL has filled in', async () => {
    await using session = sessions()
    const page = new Page({ title: 'New', body: 'text' })
    session.add(page)
    await session.commit()
    expect({ ...page }).toMatchObject({ id: 1, body: 'text', meta: null, note: 'none', size: 4 })
    page.body = 'longer text'
    await session.commit()
    expect([page.size, session.dirty]).toEqual([11, []])
  })

  test('that a rollback takes back keep them', async () => {
    await using session = sessions()
    const page = new Page({ title: 'New', body: 'text' })
    session.add(page)
    await session.flush()
    await session.refresh(page)
    await session.rollback()
    session.add(page)
    await session.commit()
    expect(await stored()).toMatchObject({ body: 'text', title: 'New', note: 'none' })
  })
})

describe('detached objects', () => {
  test('are merged, and added again, without them', async () => {
    const { session, page } = await loaded()
    await session.close()
    page.title = 'detached'
    await using other = sessions()
    const merged = await other.merge(page)
    expect([merged.title, other.isModified(merged)]).toEqual(['detached', true])
    expect(() => merged.body).toThrow(/deferred/)
    await other.commit()
    expect(await stored()).toMatchObject({ body: 'long', title: 'detached' })
    await other.close()
    await using third = sessions()
    merged.body = 'set'
    await third.merge(merged)
    await third.commit()
    expect(await stored()).toMatchObject({ body: 'set', title: 'detached' })
  })

  test('are merged without a write if they are equal to what is stored', async () => {
    const { session, page } = await loaded()
    await session.refresh(page, { columns: ['body', 'meta'] })
    await session.close()
    const { withSession } = fixture.factory()
    for (const isHeld of [false, true]) {
      await withSession(
        async (other) => {
          const held = isHeld ? await other.getOne(Page, page.id) : undefined
          const merged = await other.merge(page)
          if (isHeld) expect(merged).toBe(held)
          expect([merged.body, other.dirty]).toEqual(['long', []])
        },
        { readOnly: true },
      )
    }
    expect(await stored()).toMatchObject({ version: 1 })
  })

  test('are given back by a rollback as they were', async () => {
    const { session, page } = await loaded()
    await session.close()
    page.title = 'changed'
    await using other = sessions()
    other.add(page)
    page.body = 'in the session'
    await other.flush()
    await other.rollback()
    expect({ ...page }).toEqual({ id: 1, title: 'changed', bookId: 1, version: 1 })
    other.add(page)
    await other.commit()
    expect(await stored()).toMatchObject({ body: 'long', title: 'changed' })
  })
})

describe('statements', () => {
  test('returning() of an update leaves them deferred, except those that it sets', async () => {
    const { session, page } = await loaded()
    await using _ = session
    await session.refresh(page, { columns: ['body', 'note'] })
    const [held] = await session.scalars(update(Page).set({ title: 'A', note: 'new' }).returning())
    expect(held).toBe(page)
    expect({ ...page }).toEqual({ id: 1, title: 'A', note: 'new', bookId: 1, version: 2 })
    session.expunge(page)
    const texts = await textsOf(async () => {
      const [other] = await session.scalars(update(Page).set({ title: 'B' }).returning())
      expect({ ...other }).toEqual({ id: 1, title: 'B', bookId: 1, version: 3 })
      const [plain] = await session.scalars(update(Page).set({ title: 'C' }).returning('body'))
      expect(plain).toBe('long')
    })
    expect(texts[0]).not.toContain('"body"')
    expect(session.dirty).toEqual([])
  })

  test('may ask for them in conditions, as plain columns, and from SQL that lacks them', async () => {
    const { session } = await loaded()
    await using _ = session
    const found = await session.scalars(select(Page).where(eq(Page.c.body, 'long')).orderBy(Page.c.body))
    expect(found).toHaveLength(1)
    expect(await session.scalars(select(Page).columns('body'))).toEqual(['long'])
    expect(await session.scalar(select(Page).distinct().count())).toBe(1)
    const source = sql`select id, title, book_id, version from pages`
    expect((await session.scalars(select(Page).from(source)))[0]?.title).toBe('One')
    const books = await session.scalars(select(Book).load('pages', { orderBy: Page.c.body, limit: 1 }))
    expect(books[0]?.pages.map((page) => ({ ...page }))).toMatchObject([{ title: 'One' }])
  })

  test('that are asked for while the object is written bring what it lacks', async () => {
    const { session, page } = await loaded()
    await using _ = session
    const reading = session.get(Page, 1, { undefer: ['body'] })
    page.title = 'written'
    await Promise.all([reading, session.flush()])
    expect([page.body, page.title, session.dirty]).toEqual(['long', 'written', []])
  })

  test('deletes and cascades need none of them', async () => {
    const { session, page } = await loaded()
    await using _ = session
    session.add(build(Page, { title: 'Two', body: 'x', book: await session.get(Book, 1) }))
    session.delete(page)
    await session.commit()
    expect(await fixture.db.query('select title from pages')).toEqual([{ title: 'Two' }])
  })
})

test('mistakes are told where they are made', async () => {
  await using session = sessions()
  const names = (given: unknown) => given as 'body'
  expect(() => select(Page).undefer(names('title'))).toThrow(
    new MappingError('pages.title is not deferred: it is always loaded'),
  )
  expect(() => select(Page).undefer(names('bodi'))).toThrow(/no column 'bodi'; did you mean 'body'/)
  const undefer = (given: unknown) => errorOf(session.get(Page, 1, { undefer: given as ['body'] }))
  expect(await undefer(['title'])).toBeInstanceOf(MappingError)
  expect(await undefer('body')).toBeInstanceOf(InvalidOptionError)
  const id = serial().primaryKey()
  expect(() => declarativeBase().entity('wrong', { id: id.deferred() })).toThrow(MappingError)
  expect(() => declarativeBase().entity('wrong', { id, version: version().deferred() })).toThrow(MappingError)
  expect(() => declarativeBase().entity('wrong', { id, code: text().unique().deferred() })).toThrow(
    /wrong.code identifies rows.* cannot be deferred/,
  )
  expect(() =>
    declarativeBase().entity('wrong', { id, a: integer().references('books.id').deferred() }),
  ).toThrow(MappingError)
  const Other = declarativeBase()
  class Node extends Other.entity('nodes', { id, parentId: integer().deferred() }) {
    static readonly relations = { parent: belongsTo((): typeof Node => Node, 'parentId') }
  }
  expect(() => select(Node).load('parent')).toThrow(/nodes.parent follows nodes.parentId/)
})
