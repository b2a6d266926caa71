/** Hooks of entities, and of sessions around a flush. */
import { describe, expect, test, vi } from 'vitest'
import {
  IllegalStateError,
  MappingError,
  belongsTo,
  declarativeBase,
  integer,
  serial,
  text,
  version,
  type EntityHooks,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const seen: string[] = []
const Base = declarativeBase()
class Page extends Base.entity('pages', {
  id: serial().primaryKey(),
  title: text().notNull().unique(),
  body: text(),
  bookId: integer('book_id').references('books.id'),
  version: version(),
}) {
  static readonly relations = { book: belongsTo(() => Book, 'bookId') }
  static readonly hooks: EntityHooks<Page> = {
    beforeInsert: (page) => {
      if (page.title === 'refused by hook') throw new RangeError(page.title)
      page.body ??= 'empty'
      seen.push(`insert ${page.title}`)
    },
    beforeUpdate: (page) => {
      seen.push(`update ${page.title}`)
      page.body = page.body?.replace('draft', 'final') ?? null
    },
    beforeDelete: (page) => void seen.push(`delete ${page.title}`),
    afterLoad: (page) => void seen.push(`load ${page.title}`),
  }
}
class Book extends Base.entity('books', { id: serial().primaryKey(), name: text() }) {}

const fixture = useEntities(Base)
const rows = () => fixture.db.query('select title, body, version from pages order by id')

async function stored() {
  const session = fixture.factory()()
  const page = new Page({ title: 'Home' })
  session.add(page)
  await session.commit()
  seen.length = 0
  return { session, page }
}

describe('hooks of an entity', () => {
  test('run once for each flush that writes, and may change what it writes', async () => {
    const { session, page } = await stored()
    await using _ = session
    expect(page.body).toBe('empty')
    page.body = 'a draft'
    await session.flush()
    await session.flush()
    expect([page.body, session.dirty]).toEqual(['a final', []])
    session.delete(page)
    session.add(new Page({ title: 'Next' }))
    await session.commit()
    expect(seen.toSorted()).toEqual(['delete Home', 'insert Next', 'update Home'])
    expect(await rows()).toEqual([{ title: 'Next', body: 'empty', version: 1 }])
  })

  test('that take a change back leave nothing to write', async () => {
    const { session, page } = await stored()
    await using _ = session
    page.body = 'final'
    await session.commit()
    page.body = 'draft'
    expect(await statementsOf(() => session.commit())).toEqual([])
    expect(await rows()).toEqual([{ title: 'Home', body: 'final', version: 2 }])
  })

  test('may read anything of an object that had expired', async () => {
    const { session, page } = await stored()
    await using _ = session
    session.expire(page)
    page.body = 'draft'
    await session.commit()
    expect(page).toMatchObject({ title: 'Home', body: 'final' })
    session.expire(page)
    session.delete(page)
    await session.commit()
    expect(seen).toEqual(['update Home', 'delete Home'])
  })

  test('run where only a relation has changed, too', async () => {
    const { session, page } = await stored()
    await using _ = session
    const related: WithRelations<typeof Page> = page
    related.book = new Book({ name: 'new' })
    await session.commit()
    expect([seen, page.bookId]).toEqual([['update Home'], 1])
  })

  test('run when an object is made from a row, not when it is filled again', async () => {
    const { session } = await stored()
    await session.close()
    await using other = fixture.factory()()
    const loaded = await other.getOne(Page, 1)
    await other.refresh(loaded)
    await other.getOne(Page, 1)
    expect(seen).toEqual(['load Home'])
  })

  test('because a hook of the entity throws sends nothing', async () => {
    const { session } = await stored()
    await using _ = session
    const refused = new Page({ title: 'refused by hook' })
    session.add(refused)
    expect(await errorOf(session.flush())).toBeInstanceOf(RangeError)
    expect([session.inTransaction, statusOf(refused)]).toEqual([false, 'pending'])
    refused.title = 'fine'
    await session.commit()
    expect(refused.version).toBe(1)
  })

  test('because a hook goes on changing objects ends after a hundred rounds', async () => {
    const factory = fixture.factory()
    let count = 0
    factory.on('afterFlush', (session) => session.add(new Page({ title: `${count++}` })))
    await using session = factory()
    session.add(new Page({ title: 'first' }))
    const error = await errorOf(session.commit())
    expect(error).toBeInstanceOf(IllegalStateError)
    expect(error.message).toContain('after 100 rounds')
    await session.rollback()
    expect(await rows()).toEqual([])
  })

  test.each(['beforeInsert', 'beforeUpdate', 'beforeDelete', 'afterLoad'])(
    'that are async (%s) end what called them, and send nothing',
    async (name) => {
      const unhandled: unknown[] = []
      const note = (reason: unknown): void => void unhandled.push(reason)
      process.on('unhandledRejection', note)
      const hooks: Record<string, (book: object) => unknown> = {}
      hooks[name] = () => Promise.reject(new RangeError('nobody waits for this'))
      class AsyncBook extends declarativeBase().entity('books', { id: serial().primaryKey(), name: text() }) {
        static readonly hooks = hooks
      }
      await fixture.db.query(`insert into books (name) values ('stored')`)
      await using session = fixture.factory()()
      const error = await errorOf(
        (async () => {
          if (name === 'beforeInsert') session.add(new AsyncBook({ name: 'new' }))
          else {
            const book = await session.getOne(AsyncBook, 1)
            if (name === 'beforeDelete') session.delete(book)
            else book.name = 'changed'
          }
          await session.commit()
        })(),
      )
      expect(error).toBeInstanceOf(MappingError)
      expect(error.message).toBe(
        `${name} of AsyncBook is async: hooks of entities are synchronous; use beforeFlush of the session factory, ` +
          'which is awaited',
      )
      expect(await fixture.db.query('select name from books')).toEqual([{ name: 'stored' }])
      process.off('unhandledRejection', note)
      expect(unhandled).toEqual([])
    },
  )

  test('can be spied on', async () => {
    const { session, page } = await stored()
    await using _ = session
    const spy = vi.spyOn(Page.hooks, 'beforeUpdate')
    page.body = 'a draft'
    await session.commit()
    expect([spy.mock.lastCall, page.body]).toEqual([[page], 'a final'])
    spy.mockRestore()
  })

  test('are refused where there is no such hook', async () => {
    class Wrong extends declarativeBase().entity('wrong', { id: serial().primaryKey() }) {
      static readonly hooks = { beforeStore: () => undefined }
    }
    await using session = fixture.factory()()
    expect(() => session.add(new Wrong())).toThrow(MappingError)
  })
})

describe('hooks of a flush', () => {
  test('may add and change before it, and query after it', async () => {
    const factory = fixture.factory()
    const seen: unknown[] = []
    factory.on('beforeFlush', (session) => {
      seen.push(session.new.length)
      const [page] = session.new as Page[]
      if (page?.title === 'Carey') {
        page.title = 'Carey!'
        session.add(new Book({ name: 'by hook' }))
      }
    })
    factory.on('afterFlush', async (session) =>
      seen.push(await session.scalar('select count(*)::int from pages')),
    )
    await factory.withSession((session) => session.add(new Page({ title: 'Carey' })))
    expect(seen).toEqual([1, 1])
    expect([await rows(), await fixture.db.query('select name from books')]).toEqual([
      [{ title: 'Carey!', body: 'empty', version: 1 }],
      [{ name: 'by hook' }],
    ])
  })

  test('that throw end the flush', async () => {
    const factory = fixture.factory()
    const stop = factory.on('beforeFlush', () => {
      throw new IllegalStateError('no')
    })
    await using session = factory()
    session.add(new Page({ title: 'Carey' }))
    expect((await errorOf(session.flush())).message).toBe('no')
    expect(session.new.length).toBe(1)
    stop()
    await session.commit()
    expect(await rows()).toHaveLength(1)
  })
})
