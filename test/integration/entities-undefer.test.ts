/** Deferred columns of related objects that `load` names, and those that `returning()` brings. */
import { expect, test } from 'vitest'
import {
  InvalidOptionError,
  MappingError,
  deleteFrom,
  eq,
  insert,
  select,
  sql,
  update,
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

test('bring those of related objects that load() names, also of objects and relations that are here', async () => {
  const { session, page } = await loaded()
  await using _ = session
  await fixture.db.query("insert into pages (body, title, book_id, version) values ('other', 'Two', 1, 1)")
  const query = select(Book).load('pages', { undefer: ['body'] })
  const texts = await textsOf(async () => {
    const [book] = await session.scalars(query)
    expect(book?.pages.map(({ body }) => body)).toEqual(['long', 'other'])
    expect(() => page.note).toThrow(/Page.note is deferred/)
  })
  expect(texts).toHaveLength(2)
  expect(await textsOf(() => session.scalars(query))).toHaveLength(1)
  // The relation is held, with a change that stays.
  const book = await session.getOne(Book, 1, { load: ['pages'] })
  book.pages.pop()
  await session.noAutoflush(async () => {
    expect(
      await textsOf(() => session.scalars(select(Book).load('pages', { undefer: ['note'] }))),
    ).toHaveLength(2)
    expect([page.note, book.pages]).toEqual(['none', [page]])
  })
  await session.commit()
  expect(await fixture.db.query('select book_id from pages order by id')).toEqual([
    { book_id: 1 },
    { book_id: null },
  ])
  // A deferred column that has expired is read, too.
  session.expire(page, ['body', 'note'])
  await session.scalars(select(Book).load('pages', { undefer: ['body'] }))
  expect(page.body).toBe('long')
  const paths = await session.scalars(
    select(Page)
      .where(eq(Page.c.id, 1))
      .load('book.pages', { undefer: ['meta'] }),
  )
  expect(paths[0]?.book?.pages[0]?.meta).toEqual({ tags: ['a'] })
  await using other = sessions()
  const [part] = await other.scalars(select(Book).load('pages', { limit: 1, undefer: ['body', 'size'] }))
  expect(part?.pages.map((one) => ({ ...one }))).toMatchObject([{ title: 'One', body: 'long', size: 4 }])
  const [one] = await other.scalars(select(Page).where(eq(Page.c.id, 1)).load('book', { undefer: [] }))
  expect([one?.book?.name, Object.isFrozen(part?.pages)]).toEqual(['Book', true])
  const load = (name: string, options: unknown): unknown => select(Book).load(name as never, options as never)
  expect(() => load('pages', { undefer: ['title'] })).toThrow(MappingError)
  expect(() => load('pages', { undefer: 'body' })).toThrow(InvalidOptionError)
  expect(() => load('pages', { undefer: 'body', limit: 1 })).toThrow(InvalidOptionError)
  expect(() => load('page', { undefer: ['body'] })).toThrow(/no relation 'page'/)
  expect(() => load('pages', { undefer: ['body'], limits: 1 })).toThrow(/limit/)
})

test('returning() of an insert brings those that it gives, of a delete all: the row is gone', async () => {
  await using session = sessions()
  const [inserted] = await session.scalars(insert(Page).values({ title: 'A', body: 'b' }).returning())
  expect({ ...inserted }).toEqual({ id: 1, title: 'A', body: 'b', bookId: null, version: 1 })
  const [plain] = await session.scalars(
    insert(Book).values({ id: 1 }).onConflict('id').doNothing().returning(),
  )
  expect(plain).toMatchObject({ id: 1 })
  const upsert = insert(Page).values({ id: 1, title: 'B', body: 'b' }).onConflict('id')
  await session.refresh(inserted as Page, { columns: ['note', 'meta'] })
  const changes = { title: 'B', note: sql`'upserted'` }
  await session.scalars(upsert.doUpdate(changes).returning())
  // What was read before may be out of date.
  expect({ ...inserted }).toEqual({ id: 1, title: 'B', body: 'b', bookId: null, version: 2 })
  expect(session.dirty).toEqual([])
  await session.refresh(inserted as Page, { columns: ['note'] })
  expect(inserted?.note).toBe('upserted')
  const [updated] = await session.scalars(update(Page).set({ body: 'bb' }).returning())
  expect([updated?.body, updated === inserted, session.dirty]).toEqual(['bb', true, []])
  const [deleted] = await session.scalars(deleteFrom(Page).returning())
  expect([deleted?.body, deleted?.note]).toEqual(['bb', 'upserted'])
})

test('get() and refresh() take deferred columns of the object itself; for those of related objects they say what to write', async () => {
  const { session, page } = await loaded()
  await using _ = session
  await session.getOne(Page, 1, { undefer: ['body'] })
  await session.refresh(page, { columns: ['note'] })
  expect([page.body, page.note]).toEqual(['long', 'none'])
  const book = await session.getOne(Book, 1, { load: ['pages'] })
  const refusals: [Promise<unknown>, string][] = [
    [session.get(Book, 1, { undefer: ['pages.body'] as never }), 'undefer'],
    [session.get(Book, 1, { load: [{ path: 'pages', undefer: ['body'] }] as never }), 'load'],
    [session.refresh(book, { load: [['pages', { undefer: ['body'] }]] as never }), 'load'],
    [session.refresh(book, { columns: ['pages.body'] as never }), 'columns'],
  ]
  for (const [call, option] of refusals) {
    const error = await errorOf(call)
    expect(error).toMatchObject({ code: 'INVALID_OPTION', option })
    expect(error.message).toMatch(
      /select\(Book\).where\(...\).load\('(pages|songs)', { undefer: \['body'\] }\)/,
    )
  }
  const unknown = await errorOf(session.refresh(page, { undefer: ['meta'] } as never))
  expect(unknown.message).toContain("refresh has no option 'undefer'; here it is columns: ['body']")
  // What the message says to write completes the objects that are here.
  session.expire(page, ['meta'])
  await session.scalars(
    select(Book)
      .where(eq(Book.c.id, 1))
      .load('pages', { undefer: ['meta'] }),
  )
  expect([page.meta, book.pages]).toEqual([{ tags: ['a'] }, [page]])
})
