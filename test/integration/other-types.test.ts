/** Conditions on the types of `lifeguard/types`, and what their columns refuse. */
import { expect, test } from 'vitest'
import {
  asc,
  declarativeBase,
  InvalidStatementError,
  integer,
  jsonb,
  select,
  serial,
  sql,
  text,
} from '../../src/index.js'
import type { Condition } from '../../src/index.js'
import * as types from '../../src/integrations/types.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const home = types.compositeType('other_home', { street: text(), floor: integer() })
const moods = types.domainType('other_mood', text(), {
  checks: { known: sql`value in ('a', 'b')` },
  notNull: true,
})

class Thing extends Base.entity('other_things', {
  id: serial().primaryKey(),
  ip: types.inet(),
  net: types.cidr(),
  ages: types.int4range(),
  during: types.tstzrange(),
  spans: types.nummultirange(),
  place: types.point(),
  area: types.box(),
  store: types.hstore(),
  doc: jsonb(),
  tags: text().array({ nulls: true }),
  words: types.tsvector(),
  flags: types.bit({ length: 4 }),
  most: types.varbit({ length: 2 }),
  home: home(),
  way: types.path(),
  shape: types.polygon(),
  board: integer().array({ dimensions: 2 }),
}) {}

class Mood extends Base.entity('other_moods', { mood: moods().notNull().primaryKey() }) {}

const fixture = useEntities(Base)
const day = (of: number): Date => new Date(Date.UTC(2026, 0, of))

test.each<[string, Condition]>([
  ['contains of a network', types.contains(Thing.c.net, '10.1.0.0/16')],
  ['containedBy of an address', types.containedBy(Thing.c.ip, '10.0.0.0/8')],
  ['overlaps of a network', types.overlaps(Thing.c.net, '0.0.0.0/4')],
  ['contains of a range', types.contains(Thing.c.ages, types.range(2, 3))],
  ['contains of one value', types.contains(Thing.c.ages, 2)],
  ['contains of an instant', types.contains(Thing.c.during, day(2))],
  ['containedBy of a range', types.containedBy(Thing.c.ages, types.range(null, 100))],
  ['overlaps of a range', types.overlaps(Thing.c.during, types.range(day(2), day(9)))],
  ['adjacentTo of a range', types.adjacentTo(Thing.c.ages, types.range(5, 7))],
  ['contains of a multirange', types.contains(Thing.c.spans, '1.5')],
  ['overlaps of a multirange', types.overlaps(Thing.c.spans, [types.range('1.5', '1.7')])],
  ['contains of an hstore', types.contains(Thing.c.store, { a: '1' })],
  ['hasKey of an hstore', types.hasKey(Thing.c.store, 'b')],
  ['contains of a document', types.contains(Thing.c.doc, { a: [1] })],
  ['hasKey of a document', types.hasKey(Thing.c.doc, 'a')],
  ['contains of an array', types.contains(Thing.c.tags, ['x'])],
  ['overlaps of an array', types.overlaps(Thing.c.tags, ['x', 'nothing'])],
  ['contains with SQL', types.contains(Thing.c.area, sql`point '(1,1)'`)],
  ['matches', types.matches(Thing.c.words, 'cat -dog')],
  [
    'matches with a configuration',
    types.matches(Thing.c.words, 'cats', { config: 'english', syntax: 'plain' }),
  ],
  ['matches with operators', types.matches(Thing.c.words, 'fat & cat:*', { syntax: 'query' })],
  ['matches a phrase', types.matches(Thing.c.words, 'fat cat', { syntax: 'phrase' })],
])('%s finds the row that meets it, and no other', async (_name, condition) => {
  const { withSession } = fixture.factory()
  await withSession((session) =>
    session.addAll([
      new Thing({
        ip: '10.1.2.3',
        net: '10.0.0.0/8',
        ages: types.range(1, 5),
        during: types.range(day(1), day(3)),
        spans: [types.range('1', '2'), types.range('5', null)],
        area: { high: { x: 2, y: 2 }, low: { x: 0, y: 0 } },
        store: { a: '1', b: null },
        doc: { a: [1, 2] },
        tags: ['x', null],
        words: "'fat':1 'cat':2",
      }),
      new Thing({
        ip: '192.168.0.1',
        net: '192.168.0.0/16',
        ages: types.emptyRange(),
        during: types.range(day(20), null, '()'),
        spans: [],
        area: { high: { x: 9, y: 9 }, low: { x: 8, y: 8 } },
        store: {},
        doc: [],
        tags: [],
        words: "'dog':1",
      }),
    ]),
  )
  const found = await withSession((session) => session.scalars(select(Thing).where(condition)))
  const expected = _name === 'containedBy of a range' ? [1, 2] : [1]
  expect(found.map(({ id }) => id).sort()).toEqual(expected)
})

test('a box keeps the signs of its zeros', async () => {
  const { withSession } = fixture.factory()
  const area = { high: { x: 0, y: 0 }, low: { x: -0, y: 0 } }
  await withSession((session) => session.add(new Thing({ area })))
  const found = await withSession((session) => session.scalars(select(Thing)))
  expect(found.map((thing) => thing.area)).toEqual([area])
})

test('distance orders by what is near', async () => {
  const { withSession } = fixture.factory()
  await withSession((session) => session.addAll([5, 1, 3].map((x) => new Thing({ place: { x, y: 0 } }))))
  const near = asc(types.distance(Thing.c.place, { x: 1, y: 0 }))
  const found = await withSession((session) => session.scalars(select(Thing).orderBy(near)))
  expect(found.map(({ place }) => place?.x)).toEqual([1, 3, 5])
})

test.each<[string, keyof InstanceType<typeof Thing>, unknown]>([
  ['takes a range, such as range(1, 5), not a number', 'ages', 5],
  ["takes a range whose bounds are '[)', '[]', '(]' or '()'", 'ages', { lower: 1, upper: 2, bounds: '<>' }],
  ['takes an integer, not a string: pass Number(value)', 'ages', types.range('1', null)],
  ['takes a Date, not a string', 'during', types.range('2026', null)],
  ['takes an array of ranges, not an object', 'spans', types.range('1', '2')],
  ['takes exactly 4 bits, not 3', 'flags', '101'],
  ['takes at most 2 bits, not 3', 'most', '101'],
  ["takes a string of the digits 0 and 1, such as '1010'", 'flags', 'abcd'],
  ['takes numbers, not a string', 'place', { x: '1', y: 2 }],
  ['takes an object, not null', 'area', { high: null, low: { x: 1, y: 1 } }],
  ['takes at least one point', 'shape', []],
  ['takes an array of points, not undefined', 'way', { closed: true }],
  ['takes a plain object of strings, not an array', 'store', ['a']],
  ['takes a plain object of strings, not one of another class', 'store', new Date()],
  ['takes a plain object of strings, not one of another class', 'store', new Map([['a', '1']])],
  ['takes a string, not a number', 'store', { a: 1 }],
  ['cannot hold a NUL character', 'store', { a: '\0' }],
  ['has no field "flor"', 'home', { street: null, flor: 1 }],
  ['lacks the field floor; use null for NULL', 'home', { street: null }],
  ['takes an integer, not a fraction', 'home', { street: null, floor: 1.5 }],
  ['takes nested arrays of equal length, as PostgreSQL has no others', 'board', [[1], [1, 2]]],
  ['takes arrays nested 2 deep, and was given a number in one', 'board', [1]],
  ['is out of range: integer goes from -2147483648 to 2147483647', 'board', [[2 ** 40]]],
  ['takes a string, not a number', 'ip', 5],
])('%s', async (reason, name, value) => {
  const { withSession } = fixture.factory()
  const error = await errorOf(withSession((session) => session.add(new Thing({ [name]: value }))))
  expect(error.code).toBe('INVALID_VALUE')
  expect(error.message).toBe(`other_things.${name} ${reason} (a new Thing)`)
})

test('a row with another number of dimensions is refused when it is read', async () => {
  const { withSession } = fixture.factory()
  for (const [stored, reason] of [
    ['{1}', 'fewer than 2'],
    ['{{{1}}}', 'more than 2'],
  ] as const) {
    await fixture.db.query('truncate other_things')
    await fixture.db.query('insert into other_things (board) values ($1)', [stored])
    const error = await errorOf(withSession((session) => session.scalars(select(Thing))))
    expect((error.cause as Error).message).toBe(
      `other_things.board holds an array with ${reason} dimensions: declare it with array({ dimensions })`,
    )
  }
})

test('a domain that takes no NULL, and its check', async () => {
  const { withSession } = fixture.factory()
  await withSession((session) => session.addAll([new Mood({ mood: 'a' }), new Mood({ mood: 'b' })]))
  expect(await errorOf(withSession((session) => session.add(new Mood({ mood: 'c' }))))).toMatchObject({
    sqlState: '23514',
  })
})

test('conditions refuse what is no column, and unknown words', () => {
  expect(() => types.contains(undefined as never, 1 as never)).toThrow(InvalidStatementError)
  expect(() => types.hasKey(Thing.c.doc, 1 as never)).toThrow('hasKey takes a string')
  expect(() => types.matches(Thing.c.words, 1 as never)).toThrow(InvalidStatementError)
  expect(() => types.matches(Thing.c.words, 'a', { syntax: 'odd' as never })).toThrow(
    'syntax takes websearch',
  )
  expect(() => types.distance(Thing.c.place, { x: 1, y: 1 }, 'odd' as never)).toThrow(InvalidStatementError)
})

test('types that were created are dropped with the tables', async () => {
  const engine = fixture.engine()
  await engine.begin((connection) => Base.metadata.createAll(connection))
  await engine.begin((connection) => Base.metadata.dropAll(connection))
  expect(await fixture.db.query("select 1 from pg_type where typname like 'other\\_%'")).toEqual([])
  await fixture.db.query(Base.metadata.ddl())
})
