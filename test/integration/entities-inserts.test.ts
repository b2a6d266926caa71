/** Rows that are not stored as they were sent, and tables that are called as our own statements call their parts. */
import { beforeAll, describe, expect, test } from 'vitest'
import {
  StaleDataError,
  belongsTo,
  boolean,
  declarativeBase,
  inArray,
  integer,
  select,
  serial,
  sql,
  text,
  version,
  type WithRelations,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const kept = boolean().notNull().default(true)
class Given extends Base.entity('givens', { id: integer().primaryKey(), kept }) {}
class Dated extends Base.entity('dateds', {
  id: integer().primaryKey(),
  at: text()
    .notNull()
    .serverDefault(sql`'now'`),
  kept,
}) {}
class Counted extends Base.entity('counteds', { id: serial().primaryKey(), kept }) {}
class Computed extends Base.entity('computeds', {
  id: integer()
    .primaryKey()
    .serverDefault(sql`floor(random() * 1e9)::integer`),
  kept,
}) {}
const guarded = [Given, Dated, Counted, Computed]

const fixture = useEntities(Base)

beforeAll(() =>
  fixture.db.query(`
    create function keep_out() returns trigger language plpgsql as
      $$ begin if new.kept then return new; end if; return null; end $$;
    ${guarded.map(({ c }) => `create trigger kept before insert on ${c.id.table} for each row execute function keep_out();`).join('')}
    create table turned (id serial primary key, name text);
    alter sequence turned_id_seq increment by -1 maxvalue 1000 restart 1000;
    create table shuffled (id serial primary key, name text);
    create function shuffle() returns trigger language plpgsql as
      $$ begin new.id := (new.id * 3) % 7; return new; end $$;
    create trigger shuffled before insert on shuffled for each row execute function shuffle()`),
)

describe('a new row that a trigger keeps out', () => {
  for (const [index, Entity] of guarded.entries()) {
    const make = (id: number, isKept: boolean) =>
      new Entity({ ...(index < 2 ? { id } : {}), kept: isKept } as never)
    const name = Entity.c.id.table

    test(`fails the flush before the commit in its batch: ${name}`, async () => {
      for (const others of [0, 2]) {
        await using session = fixture.factory()()
        const objects = [make(1, false), ...Array.from({ length: others }, (_, at) => make(2 + at, true))]
        session.addAll(objects)
        const error = await errorOf(session.commit())
        expect(error).toBeInstanceOf(StaleDataError)
        expect(error.message).toContain(
          `stored ${others} of ${others + 1} rows of ${name}: a trigger or a rule`,
        )
        await session.rollback()
        expect(objects.map(statusOf)).toEqual(objects.map(() => 'transient'))
        expect(await fixture.db.query(`select from ${name}`)).toEqual([])
      }
    })
  }
})

describe('keys that PostgreSQL makes', () => {
  const Odd = declarativeBase()
  class Turned extends Odd.entity('turned', { id: serial().primaryKey(), name: text() }) {}
  class Shuffled extends Odd.entity('shuffled', { id: serial().primaryKey(), name: text() }) {}

  test('are matched with their rows also where the sequence counts down', async () => {
    await using session = fixture.factory()()
    const objects = ['a', 'b', 'c'].map((name) => new Turned({ name }))
    session.addAll(objects)
    await session.commit()
    const stored = await fixture.db.query<{ id: number; name: string }>('select * from turned')
    expect(new Map(stored.map(({ id, name }) => [id, name]))).toEqual(
      new Map(objects.map(({ id, name }) => [id, name])),
    )
  })

  test('are refused if it cannot be told whose they are', async () => {
    await using session = fixture.factory()()
    session.addAll(['a', 'b', 'c'].map((name) => new Shuffled({ name })))
    expect((await errorOf(session.flush())).message).toContain('which row has which key is not known')
    await session.rollback()
  })
})

describe('a table that is called as our statements call their parts', () => {
  for (const name of [
    '#rows',
    '#rows#',
    'source',
    'stored',
    'changed',
    'count',
    'row',
    'n',
    'c0',
    'r0',
    'k0',
  ]) {
    test(`is written like any other: ${name}`, async () => {
      await fixture.db.query(`
        create sequence "keys of ${name}";
        create table "${name}" (id integer primary key default nextval('"keys of ${name}"'), seen integer, "${name}" text, version integer,
          "parentId" integer references "${name}", made text default 'made')`)
      // They read the table while it is written.
      const key = sql.raw(`nextval('"keys of ${name}"') + 0 * (select count(*) from "${name}")`)
      class Row extends declarativeBase().entity(name, {
        id: integer().primaryKey().serverDefault(key),
        seen: integer()
          .notNull()
          .default(0)
          .onUpdate(sql.raw(`(select count(*) from "${name}")`)),
        title: text(name).notNull(),
        made: text().serverDefault(sql`'made'`),
        parentId: integer().references(`${name}.id`),
        version: version(),
      }) {
        static readonly relations = { parent: belongsTo(() => Row, 'parentId') }
      }
      await using session = fixture.factory()()
      const [parent, first, second] = ['parent', 'first', 'second'].map(
        (title) => new Row({ title }) as WithRelations<typeof Row>,
      ) as [WithRelations<typeof Row>, Row, Row]
      session.add(parent)
      await session.commit()
      session.addAll([first, second])
      await session.commit()
      parent.parent = new Row({ title: 'grandparent' })
      await session.commit()
      for (const row of [first, second]) row.title += '!'
      await session.commit()
      const stored = await session.scalars(select(Row).orderBy(Row.c.id))
      expect(
        stored.map(({ id, title, seen, made, version: count }) => [id, title, seen, made, count]),
      ).toEqual([
        [1, 'parent', 4, 'made', 2],
        [2, 'first!', 4, 'made', 2],
        [3, 'second!', 4, 'made', 2],
        [4, 'grandparent', 0, 'made', 1],
      ])
      for (const row of [first, second]) session.delete(row)
      await session.commit()
      expect(await session.scalars(select(Row).where(inArray(Row.c.id, [1, 2, 3])))).toEqual([parent])
    })
  }
})
