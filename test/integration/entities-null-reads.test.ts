/** Texts that a custom type reads as null: in keys, unique columns, relations, arrays and composite values. */
import { inspect } from 'node:util'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  customType,
  declarativeBase,
  hasMany,
  insert,
  integer,
  select,
  sql,
  text,
  update,
  version,
} from '../../src/index.js'
import { compositeType, rangeType } from '../../src/integrations/types.js'
import { textsOf, useEntities } from './entities-support.js'
import { errorOf, useDatabase } from './session-support.js'

/** Reads an empty text as null; 'none' is written as an empty text. */
const code = customType<string | null>({
  type: 'text',
  decode: (given) => (given === '' ? null : given),
  encode: (value) => (value === 'none' || value === null ? '' : value),
})

describe('a key or foreign key of such a type', () => {
  const Base = declarativeBase()
  class Country extends Base.entity('countries', { code: code().primaryKey(), name: text() }) {
    static readonly relations = { towns: hasMany(() => Town, 'country') }
  }
  class Town extends Base.entity('towns', {
    id: integer().primaryKey(),
    country: code().references('countries.code'),
    name: text(),
  }) {
    static readonly relations = { of: belongsTo(() => Country, 'country') }
  }
  class Street extends Base.entity(
    'streets',
    { id: integer().primaryKey(), country: code(), name: text() },
    { foreignKeys: [{ columns: ['country'], references: ['countries.code'] }] },
  ) {}
  /** Its table has no foreign key, and the entity declares none. */
  class Note extends Base.entity('notes', { id: integer().primaryKey(), country: code(), name: text() }) {
    static readonly relations = { of: belongsTo(() => Country, 'country') }
  }
  const fixture = useEntities(Base)

  beforeEach(() =>
    fixture.db.query(
      `insert into countries values ('', 'nowhere'), ('fr', 'France');
       insert into towns values (1, 'fr', 'Nice'), (2, '', 'Atlantis');
       insert into streets values (1, ''); insert into notes values (1, ''), (2, 'fr'), (3, null)`,
    ),
  )

  test.each<[string, (session: ReturnType<ReturnType<typeof fixture.factory>>) => Promise<unknown>, string]>([
    ['a query', (session) => session.scalars(select(Country)), 'countries.code'],
    ['a query of columns', (session) => session.execute(select(Country).columns('code')), 'countries.code'],
    ['get', (session) => session.get(Town, 2), 'towns.country'],
    [
      'a stream',
      async (session) => {
        for await (const _ of session.stream(select(Town)));
      },
      'towns.country',
    ],
    ['a foreign key of the options', (session) => session.get(Street, 1), 'streets.country'],
    [
      'returning()',
      (session) => session.scalars(update(Country).set({ name: 'x' }).returning()),
      'countries.code',
    ],
    [
      'a relation without a foreign key',
      (session) => session.scalars(select(Note).load('of')),
      'notes.country',
    ],
  ])('is refused where it is read first: %s', async (_, read, column) => {
    await using session = fixture.factory()()
    const error = await errorOf(read(session))
    expect(error).toMatchObject({ code: 'INVALID_VALUE' })
    expect(error.message).toMatch(
      new RegExp(`^${column} holds a text that its custom type reads as null.*let decode`),
    )
  })

  test('is refused before anything is sent where it is written', async () => {
    await using session = fixture.factory()()
    const texts = await textsOf(async () => {
      for (const made of [new Country({ code: 'none' }), new Town({ id: 9, country: 'none' })]) {
        session.add(made)
        expect((await errorOf(session.flush())).message).toContain('reads as null')
        session.expunge(made)
      }
      expect(() => insert(Country).values({ code: 'none' }).toEntityQuery()).toThrow('reads as null')
    })
    expect(texts).toEqual([])
  })

  test('works for all other texts, and for NULL', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const town = await session.getOne(Town, 1, { load: ['of'] })
      expect(town.of?.name).toBe('France')
      const note = await session.getOne(Note, 3, { load: ['of'] })
      expect([note.of, note.country]).toEqual([null, null])
      note.of = town.of
    })
    expect(await fixture.db.query('select country from notes order by id')).toEqual([
      { country: '' },
      { country: 'fr' },
      { country: 'fr' },
    ])
  })

  test('of a relation without a foreign key does not hinder other changes, and assigning the relation replaces the text', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const note = await session.getOne(Note, 1)
      note.name = 'changed'
      await session.flush()
      expect(session.dirty).toEqual([])
      Object.assign(note, { of: await session.getOne(Country, 'fr') })
    })
    expect(await fixture.db.query('select country, name from notes where id = 1')).toEqual([
      { country: 'fr', name: 'changed' },
    ])
  })
})

describe('a unique column of such a type', () => {
  const Base = declarativeBase()
  class Seat extends Base.entity('seats', {
    id: integer().primaryKey(),
    code: code().unique(),
    note: integer(),
    version: version(),
  }) {}
  const fixture = useEntities(Base)
  beforeEach(() => fixture.db.query(`insert into seats values (1, '', 0, 1), (2, 'a', 0, 1), (3, 'b', 0, 1)`))
  const stored = async () =>
    (
      await fixture.db.query<{ line: string }>(
        `select id || ':' || coalesce(code, 'NULL') as line from seats order by id`,
      )
    ).map(({ line }) => line)

  test('is no change by being read, and keeps its text beside a change', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [seat] = await session.scalars(select(Seat).orderBy(Seat.c.id))
      expect([seat?.code, session.dirty]).toEqual([null, []])
      if (seat !== undefined) seat.note = 1
    })
    expect(await stored()).toEqual(['1:', '2:a', '3:b'])
  })

  test.each<[string, (string | null)[], string[]]>([
    ['up', ['c', 'none', 'a'], ['1:c', '2:', '3:a']],
    ['to the first', ['z', 'b', 'none'], ['1:z', '2:b', '3:']],
    ['NULL takes its place', [null, 'none', 'b'], ['1:NULL', '2:', '3:b']],
  ])('moves along rows in one flush: %s', async (_, codes, expected) => {
    const { withSession } = fixture.factory()
    for (const turned of [false, true]) {
      await fixture.db.query(
        `truncate seats; insert into seats values (1, '', 0, 1), (2, 'a', 0, 1), (3, 'b', 0, 1)`,
      )
      await withSession(async (session) => {
        const seats = await session.scalars(select(Seat).orderBy(Seat.c.id))
        for (const [index, seat] of turned ? [...seats.entries()].reverse() : [...seats.entries()]) {
          seat.code = codes[index] ?? null
        }
      })
      expect(await stored()).toEqual(expected)
    }
  })

  test('is taken from a deleted row, and by a new row; an assigned null is NULL also while its INSERT runs', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.delete(await session.getOne(Seat, 1))
      const taken = new Seat({ id: 4, code: 'none' })
      session.add(taken)
      await session.flush()
      expect([taken.code, session.isModified(taken)]).toEqual([null, false])
      const late = new Seat({ id: 5, code: 'x' })
      session.add(late)
      const flushed = session.flush()
      late.code = null
      await flushed
      expect(late.code).toBeNull()
    })
    expect(await stored()).toEqual(['2:a', '3:b', '4:', '5:NULL'])
  })
})

describe('elements of arrays and fields of composite values', () => {
  const Base = declarativeBase()
  const pair = compositeType('pair', { left: code(), right: text(), list: code().array({ nulls: true }) })
  class Box extends Base.entity('boxes', {
    id: integer().primaryKey(),
    codes: code().array({ nulls: true }),
    pair: pair(),
    pairs: pair().array({ nulls: true }),
    note: integer(),
    version: version(),
  }) {}
  const fixture = useEntities(Base)
  beforeEach(() =>
    fixture.db.query(
      `insert into boxes values (1, '{"",NULL,a}', row('', 'a', array['', null])::pair,
         array[row('', 'a', array['', null])::pair, null, row(null, 'b', null)::pair], 0, 1)`,
    ),
  )
  const stored = async () => {
    const [row] = await fixture.db.query<Record<string, string>>(
      `select codes::text, (pair).left is null as gone, (pair).right, (pair).list::text as list,
         (select string_agg(coalesce(quote_literal("left"), 'NULL') || coalesce("right", 'NULL') || coalesce(list::text, 'NULL'), ' ') from unnest(pairs)) as pairs
       from boxes`,
    )
    return row
  }
  const AS_IT_WAS = { codes: '{"",NULL,a}', gone: false, right: 'a', list: '{"",NULL}' }

  test('keep their texts when other parts change', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const box = await session.getOne(Box, 1)
      expect(session.dirty).toEqual([])
      if (box.pair !== null) box.pair.right = 'x'
      const first = box.pairs?.[0]
      if (first) first.right = 'y'
      box.pairs?.unshift({ left: null, right: 'new', list: [null] })
    })
    expect(await stored()).toEqual({
      ...AS_IT_WAS,
      right: 'x',
      pairs: `NULLnew{NULL} ''y{"",NULL} NULLNULLNULL NULLbNULL`,
    })
  })

  test('are merged with their texts into a row that is gone, and into one that holds others', async () => {
    const { withSession } = fixture.factory()
    const read = await withSession((session) => session.getOne(Box, 1))
    await fixture.db.query('delete from boxes')
    await withSession(async (session) => {
      const merged = await session.merge(read)
      expect(merged).toEqual(read)
      await session.flush()
      expect(session.isModified(merged)).toBe(false)
    })
    const pairs = `''a{"",NULL} NULLNULLNULL NULLbNULL`
    expect(await stored()).toEqual({ ...AS_IT_WAS, pairs })
    await fixture.db.query(
      `update boxes set codes = '{NULL,NULL,a}', pair = row(null, 'a', array[null, null]::text[])::pair, pairs = null, version = 1`,
    )
    await withSession(async (session) => {
      const merged = await session.merge(read)
      expect(session.isModified(merged)).toBe(true)
      merged.codes?.push('b')
    })
    expect(await stored()).toEqual({ ...AS_IT_WAS, codes: '{"",NULL,a,b}', pairs })
  })

  test('are NULL once another value was assigned', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const box = await session.getOne(Box, 1)
      box.codes = ['b']
      await session.flush()
      box.codes = ['b', null]
      box.pair = { left: 'l', right: 'a', list: null }
      await session.flush()
      box.pair.left = null
    })
    expect(await stored()).toMatchObject({ codes: '{b,NULL}', gone: true, list: null })
  })
})

describe('console.log of an object', () => {
  const Base = declarativeBase()
  class Person extends Base.entity('persons', {
    id: integer().primaryKey(),
    code: code(),
    bossId: integer('boss_id'),
  }) {
    static readonly relations = {
      boss: belongsTo(() => Person, 'bossId'),
      staff: hasMany(() => Person, 'bossId'),
    }
  }
  class Own extends Base.entity('owns', { id: integer().primaryKey(), code: code() }) {
    [inspect.custom](): string {
      return `own ${this.id}`
    }
  }
  const fixture = useEntities(Base)

  test('shows null, the class, and circles; a class may show its objects in its own way', async () => {
    await fixture.db.query(`insert into persons values (1, '', 1); insert into owns values (1, '')`)
    await using session = fixture.factory()()
    const person = await session.getOne(Person, 1)
    const line = `Person { id: 1, code: null, bossId: 1 }`
    expect([inspect(person), inspect({ person })]).toEqual([line, `{ person: ${line} }`])
    expect(Object.keys(person)).toEqual(['id', 'code', 'bossId'])
    await session.refresh(person, { load: ['boss', 'staff'] })
    expect(inspect(person, { depth: Infinity }).replaceAll(/\s+/g, ' ')).toBe(
      '<ref *1> Person { id: 1, code: null, bossId: 1, boss: [Circular *1], staff: [ [Circular *1] ] }',
    )
    person.code = 'x'
    expect(inspect(person, { depth: 0 })).toContain("code: 'x'")
    session.expire(person)
    expect(inspect(person)).toContain('[Getter/Setter]')
    expect(inspect(await session.getOne(Own, 1))).toBe('own 1')
  })
})

describe('a range of such a type', () => {
  const fixture = useDatabase()
  beforeAll(() =>
    fixture.db.query(
      `create type coderange as range (subtype = text); create table spans (id integer primary key, span coderange)`,
    ),
  )

  test('is refused if a bound is read as null, which would mean unbounded', async () => {
    const Base = declarativeBase()
    const span = rangeType('coderange', code())
    class Span extends Base.entity('spans', { id: integer().primaryKey(), span: span.range() }) {}
    await fixture.db.query(`insert into spans values (1, '["",a)'), (2, '[a,)')`)
    await using session = fixture.factory()()
    expect((await session.getOne(Span, 2)).span).toMatchObject({ lower: 'a', upper: null })
    const error = await errorOf(session.getOne(Span, 1))
    expect(error).toMatchObject({ code: 'INVALID_VALUE' })
    expect(error.message).toContain('unbounded: let decode return another value')
    expect(await session.scalar(sql`select 1`)).toBe(1)
  })
})
