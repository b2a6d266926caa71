/** A change is written on the version that it was made on, whatever the session reads before it is flushed. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  eq,
  hasMany,
  integer,
  select,
  StaleDataError,
  text,
  update,
  version,
  type Session,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Book extends Base.entity('books', { id: integer().primaryKey(), title: text() }) {
  static readonly relations = { pages: hasMany(() => Page, 'bookId') }
}
class Page extends Base.entity('pages', {
  id: integer().primaryKey(),
  body: text().notNull(),
  note: text(),
  bookId: integer('book_id').references('books.id'),
  version: version(),
}) {
  static readonly relations = { book: belongsTo(() => Book, 'bookId') }
}

const fixture = useEntities(Base)

async function opened() {
  await fixture.db.query("insert into books values (1, 'one'), (2, 'two')")
  await fixture.db.query("insert into pages values (1, 'x', null, 1, 1)")
  const session = fixture.factory({}, { autoflush: false })()
  const page = await session.getOne(Page, 1)
  await session.commit()
  return { session, page }
}

const theirs = () => fixture.db.query("update pages set body = 'theirs', version = version + 1")
const row = async () => (await fixture.db.query('select body, note, version, book_id from pages'))[0]

const READS: Record<string, (session: Session) => Promise<unknown>> = {
  'get(forUpdate)': (session) => session.get(Page, 1, { forUpdate: true }),
  'select().forUpdate()': (session) => session.scalars(select(Page).forUpdate()),
  'update().returning()': (session) => session.execute(update(Page).set({ id: 1 }).returning()),
}

const CHANGES: Record<string, (session: Session, page: Page) => unknown> = {
  'a column': (_, page) => (page.body = 'mine'),
  'another column than theirs': (_, page) => (page.note = 'mine'),
  'its deletion': (session, page) => session.delete(page),
  'a relation': async (session, page) => ((page as { book?: Book }).book = await session.getOne(Book, 2)),
  'the collection that it is taken out of': async (session) => {
    ;(await session.getOne(Book, 1, { load: ['pages'] })).pages.pop()
  },
  'the collection that it is put into': async (session, page) => {
    ;(await session.getOne(Book, 2, { load: ['pages'] })).pages.push(page)
  },
}

describe('changes of other transactions are not lost', () => {
  test.each(
    Object.keys(READS).flatMap((read) => Object.keys(CHANGES).map((change) => [change, read] as const)),
  )('to %s, when the row is read again by %s', async (change, read) => {
    const { session, page } = await opened()
    await using _ = session
    await CHANGES[change]?.(session, page)
    await theirs()
    await READS[read]?.(session)
    expect(page.version).toBe(1)
    expect(await errorOf(session.commit())).toBeInstanceOf(StaleDataError)
    await session.rollback()
    expect(await row()).toEqual({ body: 'theirs', note: null, version: 2, book_id: 1 })
  })

  /** Of the version alone; and over the changes of the object, which do not cover those. */
  const RENEWALS: Record<string, (session: Session, page: Page) => Promise<unknown>> = {
    'refresh(version)': (session, page) => session.refresh(page, { columns: ['version'] }),
    'expire(version) and a query': (session, page) => {
      session.expire(page, ['version'])
      return session.scalars(select(Page))
    },
    'expire(version) and get(forUpdate)': (session, page) => {
      session.expire(page, ['version'])
      return session.get(Page, 1, { forUpdate: true })
    },
  }
  const OVERWRITING = [
    'its deletion',
    'the collection that it is taken out of',
    'the collection that it is put into',
  ]
  const overwrite = (session: Session) => session.scalars(select(Page).populateExisting())
  test.each([
    ...Object.entries(RENEWALS).flatMap(([read, renew]) =>
      Object.keys(CHANGES).map((change) => [change, read, renew] as const),
    ),
    ...OVERWRITING.map((change) => [change, 'populateExisting()', overwrite] as const),
  ])('to %s, nor by %s', async (change, _read, renew) => {
    const { session, page } = await opened()
    await using _ = session
    await CHANGES[change]?.(session, page)
    await theirs()
    await renew(session, page)
    expect(page.version).toBe(1)
    expect(await errorOf(session.commit())).toBeInstanceOf(StaleDataError)
    await session.rollback()
    expect(await row()).toEqual({ body: 'theirs', note: null, version: 2, book_id: 1 })
  })

  test('nor by a flush that has to read an expired version, or by a refresh that flushes', async () => {
    const { session, page } = await opened()
    await using _ = session
    const { withSession } = fixture.factory()
    page.note = 'mine'
    await theirs()
    session.expire(page, ['version'])
    expect(await errorOf(session.commit())).toBeInstanceOf(StaleDataError)
    await session.rollback()
    const refused = withSession(async (other) => {
      const held = await other.getOne(Page, 1)
      held.note = 'mine'
      await theirs()
      await other.refresh(held, { columns: ['version'] })
    })
    expect(await errorOf(refused)).toBeInstanceOf(StaleDataError)
    expect(await row()).toMatchObject({ body: 'theirs', note: null, version: 3 })
  })

  test('but an unchanged object takes the version that it is asked to read', async () => {
    const { session, page } = await opened()
    await using _ = session
    await theirs()
    await session.refresh(page, { columns: ['version'] })
    expect([page.version, session.isModified(page)]).toEqual([2, false])
    page.note = 'mine'
    await theirs()
    await session.scalars(select(Page).populateExisting())
    expect(page).toMatchObject({ body: 'theirs', note: null, version: 3 })
    page.note = 'again'
    await session.commit()
    expect(await row()).toMatchObject({ note: 'again', version: 4 })
  })

  test.each(Object.keys(READS))('and is the ground for changes that come after %s', async (read) => {
    const { session, page } = await opened()
    await using _ = session
    await theirs()
    await READS[read]?.(session)
    expect(page.body).toBe('theirs')
    page.note = 'mine'
    await session.flush()
    await READS[read]?.(session)
    page.note = 'mine again'
    await session.commit()
    expect(await row()).toMatchObject({ body: 'theirs', note: 'mine again' })
  })

  test('while what was not changed is renewed, and a change of the other side of a relation is none of the row', async () => {
    const { session, page } = await opened()
    await using _ = session
    page.note = 'mine'
    await theirs()
    await session.get(Page, 1, { forUpdate: true })
    expect(page).toMatchObject({ body: 'theirs', note: 'mine', version: 1 })
    page.note = null
    await session.get(Page, 1, { forUpdate: true })
    expect(page).toMatchObject({ body: 'theirs', note: null, version: 2 })
    page.note = 'again'
    await session.commit()
    expect(await row()).toEqual({ body: 'theirs', note: 'again', version: 3, book_id: 1 })
    expect(await session.scalars(select(Page).where(eq(Page.c.note, 'again')))).toEqual([page])
  })
})

describe('a version that was read from a row which is rolled back', () => {
  test.each([
    ['a transaction', 'loaded before'],
    ['a savepoint', 'loaded before'],
    ['a savepoint', 'loaded in it'],
  ])('with %s is not that of the object: it can be deleted (%s)', async (what, when) => {
    const { session, page } = await opened()
    await using _ = session
    if (when === 'loaded in it') session.expunge(page)
    const read = async (): Promise<Page> =>
      (await session.scalars(update(Page).set({ body: 'undone' }).returning()))[0] as Page
    let renewed = page
    if (what === 'a transaction') {
      await read()
      await session.rollback()
    } else {
      await errorOf(
        session.beginNested(async () => {
          renewed = await read()
          throw new Error('undo')
        }),
      )
    }
    session.delete(renewed)
    await session.commit()
    expect(await row()).toBe(undefined)
  })

  test('is read again before the delete, which fails if the row is gone', async () => {
    const { session, page } = await opened()
    await using _ = session
    page.body = 'undone'
    await session.flush()
    await session.rollback()
    await fixture.db.query('delete from pages')
    session.delete(page)
    const error = await errorOf(session.commit())
    expect(error).toBeInstanceOf(StaleDataError)
    expect(error.message).toContain('The row of a stored Page, id 1 is gone')
  })
})
