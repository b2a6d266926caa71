/** What comes out of a session is what node-postgres makes of the same statement. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../src/sql.js'
import { startProxy } from '../helpers/proxy.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase(
  "create type mood as enum ('sad', 'größer')",
  'create type pair as (a int, b text)',
  'create domain positive as int check (value > 0)',
)

let client: pg.Client
beforeAll(async () => {
  client = new pg.Client({ connectionString: fixture.db.url })
  await client.connect()
})
afterAll(() => client.end())

/** Columns of every common type, the odd values among them. */
const COLUMNS = [
  'null::int as nothing',
  'null::text as nothing_again, null::jsonb as no_json, null::int[] as no_array',
  'true as yes, false as no',
  '32767::int2 as small, (-2147483648)::int4 as int, 9223372036854775807::int8 as big',
  "'-0'::float8 as negative_zero, 'NaN'::float8 as nan, 'Infinity'::float8 as infinite, 1.5::float4 as float",
  "123456789012345678901234567890.123456789::numeric as numeric, 'NaN'::numeric as numeric_nan",
  "''::text as empty, ' '::char(3) as padded, 'x'::varchar as varying, 'n'::name as name, 'c'::\"char\" as single",
  "'größer ÄÖÜ 日本語 😀 \u0301'::text as unicode",
  "E'line\\nbreak\\ttab\\\\ \\'quoted\\' \"double\"'::text as escaped",
  "repeat('long ünicode ', 10000) as long",
  "'\\x00ff10'::bytea as bytes, ''::bytea as no_bytes",
  "'2024-02-29'::date as date, '0001-01-01'::date as old, 'infinity'::date as never",
  "'2024-02-29 12:34:56.789012'::timestamp as timestamp, '2024-02-29 12:34:56.789+05:30'::timestamptz as timestamptz",
  "'infinity'::timestamptz as for_ever, '4713-01-01 00:00:00 BC'::timestamp as bc",
  "'12:34:56.789'::time as time, '12:34:56+02'::timetz as timetz, '1 year 2 mons 3 days 04:05:06.7'::interval as interval",
  `'{"a": [1, null, {"b": "größer"}], "c": 1.50}'::json as json, '[]'::jsonb as jsonb, 'null'::jsonb as json_null, '"x"'::json as json_text`,
  "'3c7f5a2e-5b1a-4a7e-9d1f-0a1b2c3d4e5f'::uuid as uuid",
  "array[1, null, 3] as ints, array['a', null, 'b,c', 'd\"e', '{f}', 'g\\h', ''] as texts, '{}'::int[] as none",
  'array[[1, 2], [3, 4]] as matrix, array[true, false] as bools, array[1.5, 2.5]::numeric[] as numerics',
  "array['2024-02-29'::date] as dates, array['{\"a\": 1}'::jsonb] as jsons, array['\\x00ff'::bytea] as byte_arrays",
  "array[9223372036854775807]::int8[] as bigs, array['3c7f5a2e-5b1a-4a7e-9d1f-0a1b2c3d4e5f'::uuid] as uuids",
  "'10.0.0.1'::inet as inet, '10.0.0.0/8'::cidr as cidr, '08:00:2b:01:02:03'::macaddr as mac",
  "'(1,2)'::point as point, '<(1,2),3>'::circle as circle, '((0,0),(1,1))'::box as box",
  "'[1,10)'::int4range as range, '12.34'::money as money, b'101' as bits, 'a & b'::tsquery as query",
  "'größer'::mood as mood, row(1, 'x')::pair as pair, 5::positive as positive, array['sad']::mood[] as moods",
  "'<a>b</a>'::xml as xml, 42::oid as oid, 'pg_class'::regclass as class, '0/16B3748'::pg_lsn as lsn",
] as const

describe('one row of', () => {
  test.each(COLUMNS)('%s', async (columns) => {
    const text = `select ${columns}`
    const expected = await client.query<Record<string, unknown>>(text)
    const { withSession } = fixture.factory()
    for (const prepare of [true, false]) {
      const result = await withSession((session) => session.execute({ text, prepare }))
      expect(result.all()).toEqual(expected.rows)
      expect(result.columns).toEqual(expected.fields.map(({ name }) => name))
      expect(result.fields.map(({ dataTypeID }) => dataTypeID)).toEqual(
        expected.fields.map(({ dataTypeID }) => dataTypeID),
      )
    }
  })

  test('all of them at once, as objects and as arrays, again and again', async () => {
    const text = `select ${COLUMNS.join(', ')}`
    const objects = await client.query<Record<string, unknown>>(text)
    const arrays = await client.query<unknown[]>({ text, rowMode: 'array' })
    const { withSession } = fixture.factory({ poolSize: 1, maxOverflow: 0 })
    for (let round = 0; round < 3; round++) {
      await withSession(async (session) => {
        expect((await session.execute(text)).all()).toEqual(objects.rows)
        expect((await session.execute({ text, rowMode: 'array' })).all()).toEqual(arrays.rows)
      })
    }
  })
})

test('parameters of every common kind arrive as node-postgres would send them', async () => {
  const values = [
    null,
    undefined,
    true,
    -0,
    1e21,
    1.1,
    2n ** 62n,
    '',
    'größer 😀 \u0301 \' " \\ $1',
    'x'.repeat(100_000),
    Buffer.from([0, 1, 255]),
    new Uint8Array([3, 0, 4]),
    Buffer.alloc(0),
    new Date('2024-02-29T12:34:56.789Z'),
    new Date(-1),
    [1, null, 'a"b', [2, 3]],
    [],
    ['größer', null, 'a,b', 'c"d', '{e}', 'f\\g', ''],
    { a: 1, b: [null, 'größer'] },
    { toPostgres: () => 'by itself' },
  ]
  const { withSession } = fixture.factory()
  for (const value of values) {
    const text = ArrayBuffer.isView(value)
      ? "select encode($1::bytea, 'hex') as value"
      : 'select $1::text as value'
    const [expected] = (await client.query<Record<string, unknown>>(text, [value])).rows
    expect((await withSession((session) => session.execute(text, [value]))).one()).toEqual(expected)
  }
})

test('what is stored is what comes back', async () => {
  const { withSession } = fixture.factory()
  const row = {
    text: "it's größer 😀\n\t\\",
    bytes: Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
    at: new Date('2024-02-29T12:34:56.789Z'),
    list: ['a', null, 'b"c', '{d}', ''],
    json: { deep: [{ a: null }, 'größer', 1.5] },
    big: '9007199254740993',
    flag: false,
  }
  const found = await withSession(async (session) => {
    await session.execute(
      'create temp table kept (text text, bytes bytea, at timestamptz, list text[], json jsonb, big int8, flag boolean)',
    )
    await session.execute(sql`insert into kept values (${sql.join(Object.values(row))})`)
    return (await session.execute<typeof row>('select * from kept')).one()
  })
  expect(found).toEqual(row)
})

test('two columns of one name: the later one wins in an object, both are there in an array', async () => {
  const text = 'select 1 as x, 2 as y, 3 as x'
  const expected = await client.query<Record<string, unknown>>(text)
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    expect((await session.execute(text)).one()).toEqual(expected.rows[0])
    const result = await session.execute<number[]>({ text, rowMode: 'array' })
    expect(result.one()).toEqual([1, 2, 3])
    expect(result.columns).toEqual(['x', 'y', 'x'])
    expect(result.scalar()).toBe(1)
  })
})

test.each(['__proto__', 'constructor', 'toString', 'größe', 'with "quotes"', ' ', '?column?'])(
  'a column called %j',
  async (name) => {
    const { withSession } = fixture.factory()
    const row = (
      await withSession((session) => session.execute(sql`select 7 as ${sql.identifier(name)}`))
    ).one()
    expect(Object.entries(row)).toEqual([[name, 7]])
  },
)

test('commands tell what they did, as node-postgres has it', async () => {
  const { withSession } = fixture.factory()
  const [server] = await fixture.db.query<{ major: number }>(
    "select current_setting('server_version_num')::int / 10000 as major",
  )
  const merge = 'merge into t using (select 1 as a) s on t.a = s.a when not matched then insert values (s.a)'
  const texts = [
    'create temp table t (a int)',
    'insert into t select generate_series(1, 5)',
    'update t set a = a + 1 where a > 2',
    'delete from t where a = 1',
    'select * from t',
    'insert into t values (9) returning a',
    'truncate t',
    // PostgreSQL has it since 15.
    ...(server !== undefined && server.major >= 15 ? [merge] : []),
    'set local work_mem = 1024',
    'values (1), (2)',
    'with x as (select 1) select * from x',
    'explain select 1',
    'do $$ begin end $$',
    'drop table t',
  ]
  await withSession(async (session) => {
    for (const text of texts) {
      const ours = await session.execute(text)
      const theirs = await client.query(text)
      expect([ours.command, ours.rowCount, ours.all().length]).toEqual([
        // node-postgres keeps only the first word of tags like CREATE TABLE.
        expect.stringMatching(new RegExp(`^${theirs.command}`)),
        theirs.rowCount ?? 0,
        theirs.rows.length,
      ])
    }
  })
})

test('an empty statement, and one that is only a comment', async () => {
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    for (const text of ['', '-- nothing', ';']) {
      const result = await session.execute(text)
      expect([result.command, result.rowCount, result.all()]).toEqual(['', 0, []])
    }
    expect(await session.scalar('select 1')).toBe(1)
  })
})

test('a statement without columns', async () => {
  const { withSession } = fixture.factory()
  const result = await withSession((session) => session.execute('select from generate_series(1, 3)'))
  expect([result.rowCount, result.all(), result.columns]).toEqual([3, [{}, {}, {}], []])
})

describe('rows that come in many pieces', () => {
  test('megabytes in one value, and a thousand columns', async () => {
    const { withSession } = fixture.factory()
    const wide = Array.from({ length: 1000 }, (_, index) => `${index} as c${index}`).join(', ')
    await withSession(async (session) => {
      const long = await session.scalar<string>("select repeat('größer ', 2000000)")
      expect(long).toBe('größer '.repeat(2_000_000))
      const bytes = await session.scalar<Buffer>("select decode(repeat('00ff', 1000000), 'hex')")
      expect(bytes?.length).toBe(2_000_000)
      const row = (await session.execute<Record<string, number>>(`select ${wide}`)).one()
      expect(Object.keys(row)).toHaveLength(1000)
      expect(row['c999']).toBe(999)
    })
  })

  test('a hundred thousand rows, equal to what node-postgres reads', async () => {
    const text =
      "select n, 'größer ' || n as text, case when n % 3 = 0 then null else n end as some from generate_series(1, 100000) n"
    const expected = (await client.query<Record<string, unknown>>(text)).rows
    const { withSession } = fixture.factory()
    const rows = (await withSession((session) => session.execute(text))).all()
    expect(rows).toHaveLength(expected.length)
    // toEqual on all of them would take longer than all the rest.
    expect(JSON.stringify(rows)).toBe(JSON.stringify(expected))
  })

  test('over a slow network', async () => {
    using proxy = await startProxy(fixture.db.url)
    proxy.delay(1)
    const { withSession } = fixture.factory({ url: proxy.url })
    const long = await withSession((session) => session.scalar<string>("select repeat('größer ', 200000)"))
    expect(long).toBe('größer '.repeat(200_000))
  })
})
