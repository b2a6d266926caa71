/** Keys that PostgreSQL stores in another form than they were given: the object is the one of its row from then on. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  char,
  customType,
  date,
  declarativeBase,
  eq,
  hasMany,
  integer,
  interval,
  isNull,
  jsonb,
  numeric,
  real,
  select,
  serial,
  sql,
  text,
  time,
  timestamp,
  timestamptz,
  uuid,
  varchar,
  version,
  type Column,
} from '../../src/index.js'
import { statusOf, textsOf, useEntities } from './entities-support.js'

const UUID = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
const trimmed = customType<string>({
  type: 'varchar(3)',
  castType: 'varchar',
  decode: String,
  encode: String,
})

type Key = string | number | object

/** A type of keys; three keys as they are given, with what is stored of them, and whether that is another value. */
const CASES: Readonly<Record<string, readonly [Column<Key | null>, ...(readonly [Key, Key, 'rounded'?])[]]>> =
  {
    'the scale of numeric': [
      numeric({ precision: 10, scale: 2 }),
      ['1', '1.00'],
      ['2.555', '2.56', 'rounded'],
      ['03', '3.00'],
    ],
    'numeric without a scale': [numeric(), ['01', '1'], ['2e2', '200'], ['-0', '0']],
    'the padding of char': [char({ length: 5 }), ['a', 'a    '], ['b ', 'b    '], ['c', 'c    ']],
    'the blanks of varchar': [
      varchar({ length: 2 }),
      ['ab ', 'ab', 'rounded'],
      ['c', 'c'],
      ['de   ', 'de', 'rounded'],
    ],
    interval: [interval(), ['24 hours', '24:00:00'], ['1 week', '7 days'], ['90 minutes', '01:30:00']],
    'the precision of timestamp': [
      timestamp({ precision: 0 }),
      ['2026-01-31T10:00:00.7', '2026-01-31 10:00:01', 'rounded'],
      ['2026-02-01', '2026-02-01 00:00:00'],
      ['2026-02-02 10:00:00', '2026-02-02 10:00:00'],
    ],
    'the precision of timestamptz': [
      timestamptz({ precision: 0 }),
      [new Date(1_700_000_000_700), new Date(1_700_000_001_000), 'rounded'],
      [new Date(1_700_000_002_000), new Date(1_700_000_002_000)],
      [new Date(1_700_000_003_200), new Date(1_700_000_003_000), 'rounded'],
    ],
    date: [date(), ['2026-1-5', '2026-01-05'], ['20260106', '2026-01-06'], ['2026-01-07', '2026-01-07']],
    time: [time(), ['1:02', '01:02:00'], ['01:03', '01:03:00'], ['01:04:00', '01:04:00']],
    'the digits of real': [real(), [1.23456789, 1.2345679], [2, 2], [-0, -0]],
    'uuid without hyphens': [
      uuid(),
      [UUID.replaceAll('-', ''), UUID],
      [`{${UUID.replace('a0', 'a1')}}`, UUID.replace('a0', 'a1')],
      [UUID.replace('a0', 'A2'), UUID.replace('a0', 'a2')],
    ],
    jsonb: [
      jsonb(),
      [
        { bb: 1, a: 2 },
        { a: 2, bb: 1 },
      ],
      [{ b: 1.0 }, { b: 1 }],
      [[1], [1]],
    ],
    'a type of its own': [trimmed(), ['abc ', 'abc', 'rounded'], ['d', 'd'], ['e  ', 'e  ']],
  }

const kinds = Object.entries(CASES).map(([name, [key, ...keys]], at) => {
  const Base = declarativeBase()
  class Owner extends Base.entity(`respelled_${at}`, {
    id: key.primaryKey(),
    label: text(),
    made: serial('made'),
    version: version(),
  }) {
    static readonly relations = { members: hasMany(() => Member, 'ownerId', { cascade: ['add', 'delete'] }) }
  }
  class Plain extends Base.entity(`respelled_plain_${at}`, { id: key.primaryKey(), label: text() }) {}
  class Member extends Base.entity(`respelled_members_${at}`, {
    id: serial().primaryKey(),
    ownerId: key.references(`respelled_${at}.id`),
  }) {
    static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
  }
  return {
    name,
    Base,
    Owner,
    Plain,
    Member,
    given: keys.map(([one]) => one),
    stored: keys.map(([, other]) => other),
    isRounded: keys.map(([, , rounded]) => rounded === 'rounded'),
  }
})

const Nothing = declarativeBase()
Nothing.entity('nothing', { id: integer().primaryKey() })
const fixture = useEntities(Nothing)

describe.each(kinds)('$name', ({ Base, Owner, Plain, Member, given, stored, isRounded }) => {
  const prepared = async () => {
    const { db, factory } = fixture
    const tables = Base.metadata.tables.map(({ sql: name }) => name).join(', ')
    await db.query(`drop table if exists ${tables}`)
    await db.query(Base.metadata.ddl())
    return factory()
  }

  test.each([
    ['one object', Owner, 1],
    ['several objects', Owner, 3],
    ['one object with nothing else to return', Plain, 1],
    ['several objects with nothing else to return', Plain, 3],
  ] as const)('%s: found by either form, refreshed, changed and deleted', async (_, Entity, count) => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const objects = given.slice(0, count).map((id) => build(Entity, { id }))
      session.addAll(objects)
      // The query is in the same batch as the INSERT.
      expect(new Set(await session.scalars(select(Entity)))).toEqual(new Set(objects))
      expect(objects.map(({ id }) => id)).toEqual(stored.slice(0, count))
      for (const [index, object] of objects.entries()) {
        expect(await session.get(Entity, given[index] as Key)).toBe(isRounded[index] === true ? null : object)
        expect(await session.get(Entity, stored[index] as Key)).toBe(object)
        await session.refresh(object)
        object.label = 'changed'
      }
      expect(await session.scalar(select(Entity).where(eq(Entity.c.label, 'changed')).count())).toBe(count)
      expect(session.dirty).toEqual([])
      session.delete(objects[0] as object)
      await session.flush()
      expect(await session.scalar(select(Entity).count())).toBe(count - 1)
    })
  })

  test('a rollback gives back what was given, to a transaction and to a savepoint', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const objects = given.map((id) => build(Owner, { id }))
      for (const ended of ['transaction', 'savepoint']) {
        const failed = new Error('failed')
        const work = async () => {
          session.addAll(objects)
          await session.flush()
          expect(objects.map(({ id }) => id)).toEqual(stored)
          throw failed
        }
        await (ended === 'savepoint' ? session.beginNested(work) : work()).catch((error: unknown) => {
          expect(error).toBe(failed)
        })
        if (ended === 'transaction') await session.rollback()
        expect(objects.map(({ id }) => id)).toEqual(given)
        expect(objects.map(statusOf)).toEqual(['transient', 'transient', 'transient'])
      }
      session.addAll(objects)
      await session.flush()
      expect(await session.get(Owner, stored[0] as Key)).toBe(objects[0])
    })
  })

  test('members that were given the key go on belonging to the object', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const member = build(Member, {})
      const owner = build(Owner, { id: given[0] as Key, members: [member] })
      const other = build(Member, { ownerId: given[0] })
      session.addAll([owner, other])
      await session.flush()
      const texts = await textsOf(() => session.flush())
      expect([texts, session.dirty]).toEqual([[], []])
      owner.members = []
      await session.flush()
      expect(await session.scalar(select(Member).where(isNull(Member.c.ownerId)).count())).toBe(1)
      session.delete(owner)
    })
    expect(await withSession((session) => session.scalar(select(Member).count()))).toBe(1)
  })

  test('an object that gets the key by an update', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const [first, second] = [1, 2].map((index) => build(Owner, { id: given[index] as Key })) as [
        InstanceType<typeof Owner>,
        InstanceType<typeof Owner>,
      ]
      session.addAll([first, second])
      await session.flush()
      first.id = given[0] as Key
      second.label = 'other'
      const [found] = await session.scalars(select(Owner).where(isNull(Owner.c.label)))
      expect(found).toBe(first)
      expect(first.id).toEqual(stored[0] as Key)
      expect(await session.get(Owner, stored[0] as Key)).toBe(first)
      expect(await session.get(Owner, stored[1] as Key)).toBeNull()
      await session
        .beginNested(async () => {
          first.id = given[1] as Key
          await session.flush()
          throw new Error('undone')
        })
        .catch(() => undefined)
      expect(await session.get(Owner, stored[0] as Key)).toBe(first)
      expect(first.id).toEqual(stored[0] as Key)
      second.id = given[1] as Key
      first.id = given[2] as Key
      await session.flush()
      expect([first.id, second.id]).toEqual([stored[2] as Key, stored[1] as Key])
      await Promise.all([session.refresh(first), session.refresh(second)])
    })
  })
})

const Base = declarativeBase()
class Line extends Base.entity('respelled_lines', {
  orderId: numeric({ precision: 10, scale: 2 }).primaryKey(),
  line: integer().primaryKey(),
}) {}
class Item extends Base.entity('respelled_items', { id: uuid().primaryKey(), label: text() }) {}

describe('what it costs', () => {
  const prepared = async () => {
    await fixture.db.query('drop table if exists respelled_lines, respelled_items')
    await fixture.db.query(Base.metadata.ddl())
    return fixture.factory()
  }

  test('composite keys are known by what is stored', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const lines = [1, 2].map((line) => new Line({ orderId: '1', line }))
      session.addAll(lines)
      await session.flush()
      expect(await session.get(Line, { orderId: '1.00', line: 2 })).toBe(lines[1])
      expect(await session.get(Line, { orderId: '1', line: 2 })).toBe(lines[1])
    })
  })

  test('no statement more; and nothing for keys that are stored as they are', async () => {
    const { withSession } = await prepared()
    const add = (objects: object[]) => textsOf(() => withSession((session) => session.addAll(objects)))
    const [respelled, ...rest] = await add([new Line({ orderId: '1', line: 1 })])
    expect([respelled?.includes('returning 1 as "found", "orderId"'), rest.length]).toEqual([true, 0])
    const usual = await add([new Item({ id: UUID })])
    const many = await add([1, 2].map((n) => new Item({ id: UUID.replace('a0', `b${n}`) })))
    expect([...usual, ...many].map((statement) => /"r0"|"k0"/.test(statement))).toEqual([false, false])
  })

  test('a trigger that changes keys leaves one row known by what it has stored, and stores several', async () => {
    const { withSession } = await prepared()
    await fixture.db.query(`
      create or replace function respelled_shift() returns trigger language plpgsql as
        $$ begin new."orderId" = new."orderId" + 10; return new; end $$;
      create trigger shift before insert on respelled_lines for each row execute function respelled_shift()`)
    await withSession(async (session) => {
      const line = new Line({ orderId: '1', line: 1 })
      session.add(line)
      await session.flush()
      expect(line.orderId).toBe('11.00')
      session.addAll([2, 3].map((number) => new Line({ orderId: '1', line: number })))
    })
    const rows = await withSession((session) => session.scalars(select(Line).columns('orderId')))
    expect(rows).toEqual(['11.00', '11.00', '11.00'])
  })

  test('an object that was frozen keeps what it was given', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      session.add(Object.freeze(new Line({ orderId: '1', line: 1 })))
      await session.flush()
      expect(session.dirty).toEqual([])
    })
    expect(
      await withSession((session) => session.scalar(sql`select count(*)::int from respelled_lines`)),
    ).toBe(1)
  })
})
