/**
 * The types of `lifeguard/types` against PostgreSQL: a row that is loaded is not modified, whatever it holds, and its values stored anew
 * are the same for PostgreSQL. `FC_RUNS` sets the number of tables that are tried.
 */
import * as fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  doublePrecision,
  integer,
  select,
  serial,
  sql,
  text,
  timestamptz,
  type Column,
  type Engine,
} from '../../src/index.js'
import * as types from '../../src/integrations/types.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import { withoutMicroseconds } from '../helpers/without-microseconds.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(20, 60))

const words = fc
  .string({ unit: 'binary', maxLength: 6 })
  .map((word) => word.replaceAll('\0', ''))
  .filter((word) => word.isWellFormed())
const hostile = fc.oneof(
  words,
  fc.constantFrom(
    '',
    'NULL',
    'null',
    '"',
    '\\',
    '(',
    ')',
    ',',
    '{}',
    '__proto__',
    "it's",
    '=>',
    ' ',
    '\n',
    ';',
  ),
)
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
const row = (...parts: (string | null)[]): string =>
  `(${parts.map((part) => (part === null ? '' : quoted(part))).join()})`
const float = fc.oneof(
  fc.double().map((value) => (Object.is(value, -0) ? '-0' : String(value))),
  fc.constantFrom('0', '1', '1e300', '-1.5'),
)
const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }).map(String)
const place = fc.tuple(float, float).map(([x, y]) => `(${x},${y})`)
const places = fc.array(place, { minLength: 1, maxLength: 3 }).map((all) => all.join())
const ends = fc.constantFrom<readonly [string, string]>(['[', ')'], ['[', ']'], ['(', ']'], ['(', ')'])
const ranges = (low: fc.Arbitrary<string>, high: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom('empty', '(,)', '[,]'),
    fc.tuple(ends, low, high).map(([[start, end], a, b]) => `${start}${a},${b}${end}`),
    fc.tuple(ends, low).map(([[start, end], a]) => `${start}${a},${end}`),
    fc.tuple(ends, high).map(([[start, end], b]) => `${start},${b}${end}`),
  )
const many = (one: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(one, { maxLength: 4 }).map((all) => `{${all.join()}}`)
const whole = (low: number, high: number): fc.Arbitrary<string> =>
  fc.integer({ min: low, max: high }).map(String)
const decimal = (low: number, high: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.integer({ min: low, max: high }), fc.constantFrom('', '.0', '.50', '.125'))
    .map((all) => all.join(''))
const day = (year: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.integer({ min: 1, max: 28 }).map((of) => `${year}-02-${String(of).padStart(2, '0')}`),
    fc.constantFrom(`${year}-12-31`, `${year}-02-28`),
  )
const moment = (year: number): fc.Arbitrary<string> =>
  day(year).chain((one) =>
    fc.constantFrom('00:00:00', '13:45:00.123456', '23:59:59.5').map((time) => `"${one} ${time}"`),
  )
const four = fc.tuple(fc.ipV4(), fc.constantFrom('', '/32', '/8', '/0')).map((all) => all.join(''))
const six = fc
  .tuple(fc.ipV6(), fc.constantFrom('', '/128', '/64'))
  .map(([address, bits]) => `${address}${bits}`)
const cards = (bytes: number): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(fc.integer({ min: 0, max: 255 }), { minLength: bytes, maxLength: bytes }),
      fc.constantFrom(':', '-'),
      fc.boolean(),
    )
    .map(([all, separator, isUpper]) => {
      const text = all.map((byte) => byte.toString(16).padStart(2, '0')).join(separator)
      return isUpper ? text.toUpperCase() : text
    })
const bits = (length: fc.Arbitrary<number>): fc.Arbitrary<string> =>
  length.chain((count) =>
    fc.array(fc.constantFrom('0', '1'), { minLength: count, maxLength: count }).map((all) => all.join('')),
  )
const lexeme = hostile.filter((word) => word !== '').map((word) => `'${word.replace(/['\\]/g, '$&$&')}'`)
const vector = fc
  .array(
    fc.tuple(lexeme, fc.constantFrom('', ':1', ':3A,2', ':2B,2', ':99999')).map((all) => all.join('')),
    { maxLength: 4 },
  )
  .map((all) => all.join(' '))
const query = fc
  .tuple(
    lexeme,
    fc.constantFrom(' & ', ' | ', ' <-> ', ' <3> '),
    lexeme,
    fc.constantFrom('', ':*', ':AB', ':*A'),
  )
  .map((all) => all.join(''))
const store = fc.dictionary(hostile, fc.option(hostile), { maxKeys: 4 }).map((all) =>
  Object.entries(all)
    .map(([key, value]) => `${quoted(key)}=>${value === null ? 'NULL' : quoted(value)}`)
    .join(),
)

const addresses = types.compositeType('other_address', {
  street: text(),
  zip: text('zip code'),
  at: timestamptz(),
  tags: text().array({ nulls: true }),
})
const people = types.compositeType('other_person', { home: addresses(), age: integer() })
const positive = types.domainType('other_positive', integer(), { checks: { positive: sql`value > 0` } })
const small = types.domainType('other_small', positive(), { checks: { small: sql`value < 100` } })
const speeds = types.rangeType('other_speeds', doublePrecision(), { with: 'subtype_diff = float8mi' })
const address = fc
  .tuple(fc.option(hostile), fc.option(hostile), fc.option(fc.constantFrom('2026-01-31 10:00:00.123456+02')))
  .map(([street, zip, at]) => row(street, zip, at, '{NULL,"a b"}'))

/** The types, and texts that PostgreSQL reads as their values. */
const TYPES: Readonly<Record<string, readonly [Column<unknown>, fc.Arbitrary<string>]>> = {
  inet: [types.inet(), fc.oneof(four, six)],
  cidr: [types.cidr(), fc.constantFrom('10.0.0.0/8', '10.1.2.3/32', '10.1.2.3', '2001:DB8::/32', '::/0')],
  macaddr: [types.macaddr(), cards(6)],
  macaddr8: [types.macaddr8(), fc.oneof(cards(6), cards(8))],
  money: [types.money(), fc.integer({ min: -1e8, max: 1e8 }).map((cents) => (cents / 100).toFixed(2))],
  bit: [types.bit({ length: 4 }), bits(fc.constant(4))],
  varbit: [types.varbit(), bits(fc.integer({ min: 0, max: 9 }))],
  xml: [types.xml(), fc.constantFrom('<a/>', '<a b="c">&amp;</a>', 'text')],
  tsvector: [types.tsvector(), vector],
  tsquery: [types.tsquery(), query],
  point: [types.point(), place],
  line: [types.line(), fc.tuple(finite, finite).map(([b, c]) => `{1,${b},${c}}`)],
  lseg: [types.lseg(), fc.tuple(place, place).map(([from, to]) => `[${from},${to}]`)],
  box: [types.box(), fc.tuple(place, place).map((all) => all.join())],
  path: [
    types.path(),
    fc.oneof(
      places.map((all) => `[${all}]`),
      places.map((all) => `(${all})`),
    ),
  ],
  polygon: [types.polygon(), places.map((all) => `(${all})`)],
  circle: [
    types.circle(),
    fc.tuple(place, fc.constantFrom('0', '1.5', '1e20')).map(([at, r]) => `<${at},${r}>`),
  ],
  int4range: [types.int4range(), ranges(whole(-9, 3), whole(3, 9))],
  int8range: [types.int8range(), ranges(whole(-9, 3), whole(3, 9))],
  numrange: [types.numrange(), ranges(decimal(-9, 3), decimal(4, 9))],
  daterange: [types.daterange(), ranges(day(2025), day(2026))],
  tsrange: [types.tsrange(), ranges(moment(2025), moment(2026))],
  tstzrange: [types.tstzrange(), ranges(moment(2025), moment(2026))],
  int4multirange: [types.int4multirange(), many(ranges(whole(-9, 3), whole(3, 9)))],
  int8multirange: [types.int8multirange(), many(ranges(whole(-9, 3), whole(3, 9)))],
  nummultirange: [types.nummultirange(), many(ranges(decimal(-9, 3), decimal(4, 9)))],
  datemultirange: [types.datemultirange(), many(ranges(day(2025), day(2026)))],
  tsmultirange: [types.tsmultirange(), many(ranges(moment(2025), moment(2026)))],
  tstzmultirange: [types.tstzmultirange(), many(ranges(moment(2025), moment(2026)))],
  speeds: [speeds.range(), ranges(whole(-9, 3), decimal(4, 9))],
  speedses: [speeds.multirange(), many(fc.constantFrom('[1,2)', '[0.5,1)', 'empty'))],
  citext: [types.citext(), hostile],
  hstore: [types.hstore(), store],
  address: [addresses(), address],
  person: [people(), fc.tuple(address, fc.constantFrom('1', null)).map(([home, age]) => row(home, age))],
  positive: [positive(), whole(1, 99)],
  small: [small(), whole(1, 99)],
  other: [types.otherType('pg_lsn')(), fc.constantFrom('0/16B3748', '16/B374D848')],
  board: [
    integer().array({ dimensions: 2, nulls: true }),
    fc.constantFrom('{{1,2},{3,NULL}}', '{}', '{{1,2}}'),
  ],
  cube: [text().array({ dimensions: 3 }), hostile.map((word) => `{{{${quoted(word)},b},{c,d}}}`)],
}

const LISTED = Object.keys(TYPES).filter((name) => !['board', 'cube'].includes(name))
const Base = declarativeBase()
const columns = Object.entries(TYPES).map(([name, [column]]) => [name, column] as const)
const lists = LISTED.map((name) => [`${name}s`, TYPES[name]?.[0].array({ nulls: true })] as const)
const all = Object.fromEntries([...columns, ...lists]) as Record<string, Column<unknown>>
class Everything extends Base.entity('other_everything', { id: serial('row_id').primaryKey(), ...all }) {}

let db: TestDatabase
let admin: pg.Client
let engine: Engine

beforeAll(async () => {
  db = await database()
  admin = new pg.Client({ connectionString: db.url })
  await admin.connect()
  await admin.query("set timezone = 'UTC'")
  engine = createEngine({ url: db.url, captureStacks: false, poolSize: 1 })
  await engine.begin((connection) => Base.metadata.createAll(connection))
})

afterAll(async () => {
  await engine.begin((connection) => Base.metadata.dropAll(connection))
  await engine.dispose()
  await admin.end()
  await db.drop()
})

const orNull = (value: fc.Arbitrary<string>): fc.Arbitrary<string | null> => fc.option(value, { freq: 4 })
const listOf = (name: string): fc.Arbitrary<string> =>
  fc
    .array(orNull(TYPES[name]?.[1] as fc.Arbitrary<string>), { maxLength: 2 })
    .map(
      (items) =>
        `{${items.map((item) => (item === null ? 'NULL' : quoted(item))).join(name === 'box' ? ';' : ',')}}`,
    )
const rowOf = fc.record(
  Object.fromEntries([
    ...Object.entries(TYPES).map(([name, [, texts]]) => [name, orNull(texts)] as const),
    ...LISTED.map((name) => [`${name}s`, orNull(listOf(name))] as const),
  ]),
)

async function insert(values: Readonly<Record<string, string | null>>): Promise<void> {
  const names = Object.keys(values)
  await admin.query(
    `insert into other_everything (${names.map((name) => `"${name}"`).join()}) values (${names.map((_, at) => `$${at + 1}`).join()})`,
    Object.values(values),
  )
}

const stored = async (): Promise<string[]> => {
  const columnsOf = Object.keys(all)
    .map((name) => `"${name}"::text`)
    .join()
  const { rows } = await admin.query<{ row: string }>(
    `select row(${columnsOf})::text as row from other_everything order by row_id`,
  )
  return rows.map(({ row: text }) => text)
}

test(
  'what PostgreSQL holds is loaded without a change, and stored anew it is the same',
  { timeout: 240_000 },
  async () => {
    const { withSession } = createSessionFactory({ bind: engine })
    await fc.assert(
      fc.asyncProperty(fc.array(rowOf, { minLength: 1, maxLength: 3 }), async (rows) => {
        await admin.query('truncate other_everything restart identity')
        for (const values of rows) await insert(values)
        const before = await stored()
        const found = await withSession(async (session) => {
          const instances = await session.scalars(select(Everything).orderBy(Everything.c.id))
          expect(session.dirty).toEqual([])
          // As they were given: mostly other spellings of the same values.
          for (const one of instances) for (const name of Object.keys(all)) respell(one, name, rows)
          expect(session.dirty.map((one) => changesOf(one as Everything, rows))).toEqual([])
          return instances
        })
        expect(await stored()).toEqual(before)
        await admin.query('truncate other_everything restart identity')
        await withSession((session) => {
          session.addAll(found.map(({ id: _, ...values }) => new Everything(values)))
        })
        expect((await stored()).map(withoutMicroseconds)).toEqual(before.map(withoutMicroseconds))
      }),
      { numRuns: RUNS },
    )
  },
)

/** Types whose values are texts, so that every spelling is a value. tsquery may drop parentheses and weights. */
const SPELLED = ['inet', 'cidr', 'macaddr', 'macaddr8', 'money', 'bit', 'varbit', 'tsvector', 'tsquery']

function respell(
  instance: Everything,
  name: string,
  rows: readonly Readonly<Record<string, string | null>>[],
): void {
  if (!SPELLED.includes(name)) return
  const values = instance as unknown as Record<string, unknown>
  values[name] = rows[(values['id'] as number) - 1]?.[name] ?? null
}

function changesOf(instance: Everything, rows: readonly Readonly<Record<string, string | null>>[]): unknown {
  const at = instance.id - 1
  return SPELLED.map((name) => [name, rows[at]?.[name]])
}

test.each<[string, string, unknown, unknown]>([
  ['a range with its last value', 'int4range', types.range(1, 5, '[]'), types.range(1, 6)],
  [
    'a range of days',
    'daterange',
    types.range('2024-02-28', '2024-02-29', '[]'),
    types.range('2024-02-28', '2024-03-01'),
  ],
  ['an empty range', 'int4range', types.range(5, 5), types.emptyRange()],
  [
    'ranges that touch',
    'nummultirange',
    [types.range('1', '2.50'), types.range('2.5', '3')],
    [types.range('1.0', '3.00')],
  ],
  [
    'a box by its other corners',
    'box',
    { high: { x: 0, y: 3 }, low: { x: 2, y: 1 } },
    { high: { x: 2, y: 3 }, low: { x: 0, y: 1 } },
  ],
  ['pairs in another order', 'hstore', { b: '1', a: null }, { a: null, b: '1' }],
  ['an address', 'inet', '2001:DB8::1/128', '2001:db8:0:0:0:0:0:1'],
  ['an address of version 4 in version 6', 'inet', '::ffff:10.0.0.1', '::ffff:a00:1'],
  ['words', 'tsvector', 'fat cat:2A fat:3', "'cat':2A 'fat':3"],
])('%s in two spellings is no change', async (_name, name, first, second) => {
  const { withSession } = createSessionFactory({ bind: engine })
  await admin.query('truncate other_everything restart identity')
  await withSession((session) => session.add(new Everything({ [name]: first })))
  await withSession(async (session) => {
    const one = (await session.getOne(Everything, 1)) as unknown as Record<string, unknown>
    for (const spelling of [first, second]) {
      one[name] = spelling
      expect(session.dirty).toEqual([])
    }
  })
})

test('a change in place is found and stored', async () => {
  const { withSession } = createSessionFactory({ bind: engine })
  await admin.query('truncate other_everything restart identity')
  await insert({ address: '(a,b,,)', hstore: 'a=>1', board: '{{1,2}}', int4range: '[1,5)' })
  await withSession(async (session) => {
    const one = (await session.getOne(Everything, 1)) as unknown as {
      address: { street: string }
      hstore: Record<string, string>
      board: number[][]
      int4range: { upper: number }
    }
    one.address.street = 'c, "d"'
    one.hstore['__proto__x'] = 'y'
    ;(one.board[0] as number[])[1] = 7
    one.int4range.upper = 9
  })
  const { rows } = await admin.query<Record<string, string>>(
    'select (address).street, "hstore"::text as store, board::text, int4range::text from other_everything',
  )
  expect(rows).toEqual([
    { street: 'c, "d"', store: '"a"=>"1", "__proto__x"=>"y"', board: '{{1,7}}', int4range: '[1,9)' },
  ])
})

test('a domain of another type than its array is bound as text', async () => {
  const { withSession } = createSessionFactory({ bind: engine })
  await admin.query('truncate other_everything restart identity')
  await withSession((session) =>
    session.addAll([1, 2, 3].map((value) => new Everything({ small: value, positive: value } as object))),
  )
  await expect(
    withSession((session) => session.add(new Everything({ small: 100 } as object))),
  ).rejects.toMatchObject({
    sqlState: '23514',
  })
})
