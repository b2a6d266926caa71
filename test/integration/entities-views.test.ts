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
  sql,
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

test('is written by SQL through its INSTEAD OF triggers, and then read and refreshed as any other entity', async () => {
  const Views = declarativeBase()
  class Person extends Views.entity(
    'view_persons',
    { id: integer().primaryKey(), name: text().notNull() },
    { view: true },
  ) {}
  await fixture.db.query(`
    create table view_names (id integer primary key, first text not null, last text not null);
    create view view_persons as select id, first || ' ' || last as name from view_names;
    create function view_person() returns trigger language plpgsql as $$
      begin
        if tg_op <> 'INSERT' then delete from view_names where id = old.id; end if;
        if tg_op = 'DELETE' then return old; end if;
        insert into view_names values (new.id, split_part(new.name, ' ', 1), split_part(new.name, ' ', 2));
        return new;
      end $$;
    create trigger view_person instead of insert or update or delete on view_persons
      for each row execute function view_person();`)
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    await session.execute(sql`insert into view_persons (id, name) values (${1}, ${'Ada Byron'})`)
    const ada = await session.getOne(Person, 1)
    expect(ada.name).toBe('Ada Byron')
    await session.execute(sql`update view_persons set name = ${'Ada Lovelace'} where ${eq(Person.c.id, 1)}`)
    await session.refresh(ada)
    expect(ada.name).toBe('Ada Lovelace')
    const undone = session.beginNested(async () => {
      await session.execute(sql`update view_persons set name = ${'Changed Name'}`)
      expect(await session.scalars(select(Person).populateExisting())).toMatchObject([
        { name: 'Changed Name' },
      ])
      throw new Error('undo')
    })
    expect((await errorOf(undone)).message).toBe('undo')
    await session.refresh(ada)
    expect(ada.name).toBe('Ada Lovelace')
    await session.execute("insert into view_persons (id, name) values (2, 'Alan Turing')")
    expect(await session.scalars(select(Person).where(eq(Person.c.id, 2)))).toMatchObject([
      { name: 'Alan Turing' },
    ])
    await session.execute(sql`delete from view_persons where ${eq(Person.c.id, 1)}`)
    expect(await errorOf(session.refresh(ada))).toBeInstanceOf(Error)
    expect(session.dirty).toEqual([])
  })
  expect(await fixture.db.query('select last from view_names')).toEqual([{ last: 'Turing' }])
})
