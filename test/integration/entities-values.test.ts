/** Values that are of the right kind, and that PostgreSQL would not store: the flush names the column, and sends nothing. */
import { randomUUID } from 'node:crypto'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  DatabaseError,
  InvalidValueError,
  bigint,
  bigserial,
  boolean,
  char,
  declarativeBase,
  enumType,
  eq,
  integer,
  select,
  serial,
  smallint,
  sql,
  text,
  timestamptz,
  update,
  uuid,
  varchar,
  type Session,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const mood = enumType('mood', ['happy', 'sad', "so, 'so'"])
class Item extends Base.entity('items', {
  id: serial().primaryKey(),
  small: smallint(),
  whole: integer('the_whole'),
  big: bigint(),
  short: varchar({ length: 3 }),
  fixed: char({ length: 3 }),
  letter: char(),
  mood: mood(),
  shorts: varchar({ length: 3 }).array(),
  wholes: integer().array(),
  moods: mood().array(),
  name: text().notNull().default('x'),
}) {}
class Counted extends Base.entity('counted', { id: bigserial().primaryKey(), name: text() }) {}
class Keyed extends Base.entity('keyed', { id: uuid().primaryKey().default(randomUUID), plays: integer() }) {}
class Person extends Base.entity('people', { email: text().primaryKey(), age: integer() }) {}

const fixture = useEntities(Base)

const WHOLE = 'is out of range: integer goes from -2147483648 to 2147483647'
const BIG = 'is out of range: bigint goes from -9223372036854775808 to 9223372036854775807'
const SMALL = 'is out of range: smallint goes from -32768 to 32767'
const MOODS = "takes one of 'happy', 'sad', 'so, 'so'', and was given none of them"
const NOTHING = 'is null; it needs a value, because the column is NOT NULL'

describe('a value that PostgreSQL', () => {
  test.each<[string, unknown, string]>([
    ['small', 32768, SMALL],
    ['small', -32769, SMALL],
    ['whole', 2 ** 31, WHOLE],
    ['whole', -(2 ** 31) - 1, WHOLE],
    ['whole', 1e300, WHOLE],
    ['id', 2 ** 31, WHOLE],
    ['big', 2n ** 63n, BIG],
    ['big', -(2n ** 63n) - 1n, BIG],
    ['short', 'abcd', 'takes at most 3 characters, not 4'],
    ['short', 'ab 🎵', 'takes at most 3 characters, not 4'],
    ['short', 'abc\t', 'takes at most 3 characters, not 4'],
    ['fixed', 'abcd', 'takes at most 3 characters, not 4'],
    ['letter', 'ab', 'takes at most 1 characters, not 2'],
    ['mood', 'angry', MOODS],
    ['mood', '', MOODS],
    ['shorts', ['abc', 'abcd'], 'takes at most 3 characters, not 4'],
    ['wholes', [1, 2 ** 31], WHOLE],
    ['moods', ['happy', 'angry'], MOODS],
    ['name', null, NOTHING],
  ])('does not store is refused with the name of its column: %s %s', async (property, value, reason) => {
    const column = property === 'whole' ? 'the_whole' : property
    const factory = fixture.factory()
    await using session = factory()
    const item = new Item({ id: 7 })
    Object.assign(item, { [property]: value })
    session.add(item)
    const error = await errorOf(session.flush())
    session.expunge(item)
    expect(error).toBeInstanceOf(InvalidValueError)
    const key = property === 'id' ? `id ${String(value)}` : 'id 7'
    expect(error.message).toBe(`items.${column} ${reason} (a new Item, ${key})`)
    expect(() => update(Item).set({ [property]: value })).toThrow(`items.${column} ${reason}`)
    expect(factory.bind.stats().size).toBe(0)
    // PostgreSQL agrees.
    const { column: declared } = Item.c[property as 'whole']
    const stored = sql`insert into items (${sql.identifier(column)}) values (${declared.encode(value)})`
    expect(await errorOf(session.execute(stored))).toBeInstanceOf(DatabaseError)
    await session.rollback()
  })

  test.each<[string, unknown]>([
    ['small', -32768],
    ['whole', 2 ** 31 - 1],
    ['whole', -(2 ** 31)],
    ['big', 2n ** 63n - 1n],
    ['big', -(2n ** 63n)],
    ['big', 5],
    ['short', '🎵🎵🎵'],
    ['short', 'abc   '],
    ['short', ''],
    ['fixed', 'a'],
    ['fixed', 'abc   '],
    ['mood', "so, 'so'"],
    ['shorts', ['abc', null]],
    ['wholes', [1, null]],
    ['moods', ['happy', null]],
  ])('stores is stored: %s %s', async (property, value) => {
    const factory = fixture.factory()
    await factory.withSession((session) => {
      session.addAll([new Item(), new Item()].map((item) => Object.assign(item, { [property]: value })))
      session.add(Object.assign(new Item({ mood: 'sad' }), { [property]: value }))
    })
    await factory.withSession((session) => session.execute(update(Item).set({ [property]: value })))
    expect(await fixture.db.query('select from items')).toHaveLength(3)
  })

  test('does not store is refused in a row that is there, with its key where that says nothing about a person', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const [keyed, person, counted] = [new Keyed(), new Person({ email: 'a@b.c' }), new Counted()]
    session.addAll([keyed, person, counted])
    await session.commit()
    keyed.plays = 2 ** 31
    expect((await errorOf(session.flush())).message).toBe(
      `keyed.plays ${WHOLE} (a stored Keyed, id ${keyed.id})`,
    )
    keyed.plays = 1
    person.age = 2 ** 31
    expect((await errorOf(session.flush())).message).toBe(`people.age ${WHOLE} (a stored Person)`)
    person.age = 1
    counted.id = null as never
    expect((await errorOf(session.flush())).message).toBe(`counted.id ${NOTHING} (a stored Counted, id 1)`)
    counted.id = 2n
    await session.commit()
    expect(await fixture.db.query('select plays from keyed')).toEqual([{ plays: 1 }])
  })

  test('cannot hold may be asked for, where that is no error', async () => {
    const factory = fixture.factory()
    await using session = factory()
    expect(await session.scalars(select(Item).where(eq(Item.c.short, 'longer')))).toEqual([])
  })
})

test('a column that is of another type in the database is refused on every way to its rows, not read wrongly', async () => {
  class Event extends declarativeBase().entity('events', {
    id: integer().primaryKey(),
    at: timestamptz(),
    seen: timestamptz().serverDefault(sql`1767225600`),
  }) {}
  await fixture.db.query('create table events (id int primary key, at int, seen int default 1767225600)')
  await fixture.db.query('insert into events values (1, 1767225600, null), (2, null, null)')
  const { withSession } = fixture.factory()
  const ways: ((session: Session) => Promise<unknown>)[] = [
    (session) => session.get(Event, 1),
    (session) => session.scalars(select(Event)),
    (session) => session.scalars(select(Event).from(sql`select * from events where id = 1`)),
    async (session) => {
      const event = await session.getOne(Event, 2)
      await session.execute('update events set at = 1 where id = 2')
      await session.refresh(event)
    },
    async (session) => {
      session.add(new Event({ id: 3 }))
      await session.flush()
    },
  ]
  for (const way of ways) {
    const error = await errorOf(withSession(way))
    expect([error.message, (error.cause as Error | undefined)?.message].join(' ')).toContain('DateStyle')
  }
})

describe('a column that is read from another type of the database', () => {
  class Odd extends declarativeBase().entity('odds', {
    id: integer().primaryKey(),
    small: smallint(),
    whole: integer(),
    counter: serial(),
    big: bigint(),
    flag: boolean(),
    wholes: integer().array(),
  }) {}
  const types: Readonly<Record<string, string>> = {
    small: 'numeric',
    whole: 'text',
    counter: 'bigint',
    big: 'numeric',
    flag: 'integer',
    wholes: 'numeric[]',
  }
  const declared = Object.entries(types).map(([name, type]) => `${name} ${type}`)
  beforeAll(() => fixture.db.query(`create table odds (id integer primary key, ${declared.join(', ')})`))
  beforeEach(() => fixture.db.query('truncate odds'))

  const ways = (property: string): Record<string, (session: Session) => Promise<unknown>> => ({
    get: (session) => session.get(Odd, 1),
    select: (session) => session.scalars(select(Odd)),
    columns: (session) => session.scalars(select(Odd).columns(property as 'whole')),
    returning: (session) => session.scalars(update(Odd).set({ id: 2 }).returning()),
  })

  test.each([
    ['small', '1.5', 'holds a value that is not an integer'],
    ['whole', "'secret'", 'holds a value that is not an integer'],
    ['whole', "''", 'holds a value that is not an integer'],
    ['counter', '9007199254740993', 'holds an integer that a number cannot hold exactly'],
    ['big', '1.5', 'holds a value that is not an integer'],
    ['flag', '1', 'holds a value that is neither true nor false'],
    ['wholes', "'{1,1.5}'", 'holds a value that is not an integer'],
  ])(
    'is refused by its name where it holds something else, on every way: %s %s',
    async (column, value, reason) => {
      await fixture.db.query(`insert into odds (id, ${column}) values (1, ${value})`)
      for (const [name, way] of Object.entries(ways(column))) {
        // Not as the only statement of a block: COMMIT would have been sent with it.
        await using session = fixture.factory()()
        const error = await errorOf(way(session))
        expect(error, name).toBeInstanceOf(InvalidValueError)
        expect([error.message, error.cause], name).toEqual([
          `odds.${column} ${reason}; does it have another type in the database?`,
          undefined,
        ])
      }
    },
  )

  test('is read where it holds what was declared, or NULL', async () => {
    await fixture.db.query(
      `insert into odds values (1, 1, '-2', 9007199254740991, 9007199254740993, null, '{4,null}')`,
    )
    await fixture.db.query('insert into odds values (2)')
    await using session = fixture.factory()()
    const nothing = { small: null, whole: null, counter: null, big: null, flag: null, wholes: null }
    expect(await session.scalars(select(Odd).orderBy(Odd.c.id))).toEqual([
      {
        id: 1,
        small: 1,
        whole: -2,
        counter: 2 ** 53 - 1,
        big: 2n ** 53n + 1n,
        flag: null,
        wholes: [4, null],
      },
      { id: 2, ...nothing },
    ])
    expect(session.dirty).toEqual([])
  })
})
