/** Entities over views: read as any other, never written, never created. */
import { beforeAll, expect, test } from 'vitest'
import {
  declarativeBase,
  deleteFrom,
  eq,
  hasMany,
  belongsTo,
  insert,
  integer,
  MappingError,
  select,
  serial,
  text,
  update,
} from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase({ naming: 'snake_case' })
class Author extends Base.entity('view_authors', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = {
    summaries: hasMany(() => Summary, 'authorId'),
    drafts: hasMany(() => Draft, 'authorId'),
  }
}
class Draft extends Base.entity(
  'view_drafts',
  { id: integer().primaryKey(), authorId: integer() },
  { view: true },
) {
  static readonly relations = { author: belongsTo(() => Author, 'authorId') }
}
Base.entity('view_books', {
  id: serial().primaryKey(),
  authorId: integer().notNull().references('view_authors.id'),
})
class Summary extends Base.entity(
  'view_summaries',
  { authorId: integer().primaryKey(), books: integer().notNull() },
  { view: true },
) {
  static readonly relations = { author: belongsTo(() => Author, 'authorId') }
}

const fixture = useDatabase()
beforeAll(async () => {
  await fixture.engine().begin((connection) => Base.metadata.createAll(connection))
  await fixture.db.query(
    'create view view_summaries as select author_id, count(*)::integer as books from view_books group by author_id',
  )
  await fixture.db.query('create view view_drafts as select id, author_id from view_books')
  await fixture.db.query("insert into view_authors (name) values ('Woolf'), ('Joyce')")
  await fixture.db.query('insert into view_books (author_id) values (1), (1), (2)')
})

test('is loaded, queried and related as any other entity', async () => {
  await fixture.factory().withSession(async (session) => {
    const summary = await session.getOne(Summary, 1, { load: ['author'] })
    expect([summary.books, summary.author.name]).toEqual([2, 'Woolf'])
    const [joyce] = await session.scalars(select(Author).where(eq(Author.c.name, 'Joyce')).load('summaries'))
    expect(joyce?.summaries.map(({ books }) => books)).toEqual([1])
    expect(await session.scalar(select(Summary).count())).toBe(2)
  })
})

test('is neither created nor dropped', async () => {
  expect(Base.metadata.ddl()).not.toContain('view_summaries')
  await fixture.engine().begin((connection) => Base.metadata.createAll(connection))
  const other = declarativeBase()
  other.entity('view_summaries', { authorId: integer('author_id').primaryKey() }, { view: true })
  await fixture.engine().begin((connection) => other.metadata.dropAll(connection))
  await fixture.factory().withSession((session) => session.scalar('select 1 from view_summaries'))
})

test('is not written', async () => {
  const { withSession } = fixture.factory()
  expect(() => update(Summary)).toThrow(MappingError)
  expect(() => deleteFrom(Summary)).toThrow(MappingError)
  expect(() => insert(Summary)).toThrow(MappingError)
  await withSession(async (session) => {
    expect(() => session.add(new Summary({ authorId: 3, books: 0 }))).toThrow(MappingError)
    const summary = await session.getOne(Summary, 1)
    expect(() => session.delete(summary)).toThrow(MappingError)
    expect(session.deleted).toEqual([])
  })
  const changed = withSession(async (session) => {
    const summary = await session.getOne(Summary, 1)
    summary.books = 7
  })
  expect(await errorOf(changed)).toMatchObject({
    code: 'INVALID_MAPPING',
    message: expect.stringContaining('view_summaries') as string,
  })
  await withSession(async (session) => {
    const summary = await session.getOne(Summary, 1)
    summary.books = 7
    await session.refresh(summary)
    expect(summary.books).toBe(2)
  })
})

test('cannot be referred to by a foreign key', () => {
  const other = declarativeBase()
  other.entity('v', { id: integer().primaryKey() }, { view: true })
  other.entity('t', { id: integer().primaryKey(), v: integer().references('v.id') })
  expect(() => other.metadata.ddl()).toThrow(/view v/)
})

test('does not keep the objects that it refers to from being deleted, or from getting another key', async () => {
  const { withSession } = fixture.factory()
  await withSession(
    async (session) => {
      const author = await session.getOne(Author, 2, { load: ['drafts.author'] })
      expect(author.drafts).toHaveLength(1)
      await session.execute('alter table view_books drop constraint view_books_author_id_fkey')
      author.id = 20
      await session.flush()
      session.delete(author)
      await session.flush()
      expect(await session.scalar('select count(*)::int from view_authors where id in (2, 20)')).toBe(0)
    },
    { commit: false },
  )
})
