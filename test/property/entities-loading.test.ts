/**
 * To load rows changes nothing: whatever value of whatever type a row holds, its object is not modified, and a block that
 * only reads ends without a write. `FC_RUNS` sets the number of tables that are loaded.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  bigint,
  boolean,
  bytea,
  char,
  createSessionFactory,
  customType,
  date,
  declarativeBase,
  doublePrecision,
  enumType,
  integer,
  interval,
  json,
  jsonb,
  numeric,
  real,
  select,
  serial,
  smallint,
  text,
  time,
  timestamp,
  timestamptz,
  uuid,
  varchar,
  version,
  type Column,
} from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { usePropertyDatabase } from './entities-fixture.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(20, 60))

const mood = enumType('loading_mood', ['happy', 'sad, "very"', 'NULL'])
/** Reads a text as null, which a type is free to do. */
const optional = customType<string | null>({
  type: 'text',
  decode: (given) => (given === '' ? null : given),
  encode: String,
})
const document = customType<unknown>({ type: 'jsonb', decode: JSON.parse, encode: JSON.stringify })

const words = fc.string({ unit: 'binary-ascii', maxLength: 5 }).map((word) => word.replaceAll('\0', ''))
const whole = (bits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }).map(String)
const float = (value: fc.Arbitrary<number>): fc.Arbitrary<string> =>
  value.map((one) => (Object.is(one, -0) ? '-0' : String(one)))
// jsonb takes neither NUL nor lone surrogates.
const documents = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom('null', ' null ', '[null]', '{"a":null}', '1e400', '-0', '{"a":1,"a":2}'),
  },
  { weight: 3, arbitrary: fc.jsonValue().map((value) => JSON.stringify(value)) },
)
const storable = documents.map((one) => one.replace('1e400', '1e300'))
const seconds = fc
  .date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31') })
  .map((day) => day.toISOString().slice(0, 19).replace('T', ' '))
const micros = fc.tuple(seconds, fc.constantFrom('', '.1', '.123', '.123456')).map(([at, part]) => at + part)
const instants = fc.oneof(
  micros.map((at) => `${at}+02`),
  fc.constantFrom(
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00 BC',
    '0099-01-01 00:00:00',
    '12000-01-01 00:00:00',
  ),
)

/** The types, and texts that PostgreSQL reads as their values. */
const TYPES: Readonly<Record<string, readonly [Column<unknown>, fc.Arbitrary<string>]>> = {
  smallint: [smallint(), whole(16)],
  integer: [integer(), whole(32)],
  bigint: [bigint(), whole(64)],
  real: [real(), float(fc.float())],
  double: [doublePrecision(), float(fc.double())],
  numeric: [numeric(), fc.constantFrom('1', '1.0', '1.00', '-0', 'NaN', 'Infinity', '1e30', '.5')],
  scaled: [numeric({ precision: 10, scale: 2 }), fc.constantFrom('1', '1.555', '-0.001')],
  boolean: [boolean(), fc.constantFrom('t', 'false', 'on')],
  text: [text(), words],
  varchar: [varchar({ length: 5 }), words],
  char: [char({ length: 5 }), words],
  uuid: [uuid(), fc.uuid().map((id) => id.toUpperCase())],
  bytea: [bytea(), words.map((word) => `\\x${Buffer.from(word).toString('hex')}`)],
  json: [json(), documents],
  jsonb: [jsonb(), storable],
  date: [date(), fc.constantFrom('2024-02-29', 'infinity', '0044-03-15 BC')],
  time: [time(), fc.constantFrom('24:00', '13:45:00.123456', '00:00')],
  timestamp: [timestamp(), micros],
  timestamptz: [timestamptz(), instants],
  rounded: [timestamptz({ precision: 0 }), instants],
  interval: [interval(), fc.constantFrom('1 day 26 hours', '-1 mon', 'P1Y2M', '0')],
  mood: [mood(), fc.constantFrom('happy', 'sad, "very"', 'NULL')],
  optional: [optional(), fc.oneof(fc.constant(''), words)],
  document: [document(), storable],
}

const columns = Object.entries(TYPES).flatMap(([name, [column]]) => [
  [name, column] as const,
  [`${name}s`, column.array()] as const,
])
const Base = declarativeBase()
class Everything extends Base.entity('everything', {
  id: serial('row_id').primaryKey(),
  version: version('row_version'),
  ...Object.fromEntries(columns),
}) {}

/** The same rows, every second column deferred. */
const Deferred = declarativeBase()
class Half extends Deferred.entity('everything', {
  id: serial('row_id').primaryKey(),
  version: version('row_version'),
  ...Object.fromEntries(
    columns.map(([name, column], at) => [name, at % 2 === 0 ? column : column.deferred()]),
  ),
}) {}
const deferred = columns.flatMap(([name], at) => (at % 2 === 0 ? [] : [name]))

const fixture = usePropertyDatabase(Base, 1)

const orNull = (value: fc.Arbitrary<string>): fc.Arbitrary<string | null> => fc.option(value, { freq: 4 })
const quoted = (element: string | null): string =>
  element === null ? 'NULL' : `"${element.replace(/["\\]/g, '\\$&')}"`
const lists = (element: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom('', '[0:1]='), fc.array(orNull(element), { minLength: 2, maxLength: 2 }))
    .map(([bounds, elements]) => `${bounds}{${elements.map(quoted).join()}}`)
const row = fc.record(
  Object.fromEntries(
    Object.entries(TYPES).flatMap(([name, [, texts]]) => [
      [name, orNull(texts)],
      [`${name}s`, orNull(lists(texts))],
    ]),
  ),
)

async function insert(values: Readonly<Record<string, string | null>>): Promise<void> {
  const names = Object.keys(values)
  await fixture.admin.query(
    `insert into everything (row_version, ${names.map((name) => `"${name}"`).join()}) values (1, ${names.map((_, at) => `$${at + 1}`).join()})`,
    Object.values(values),
  )
}

const stored = async (): Promise<unknown[]> =>
  (
    await fixture.admin.query<{ row: string }>(
      'select everything::text as row from everything order by row_id',
    )
  ).rows

test('a block that only loads writes nothing, whatever the rows hold', { timeout: 120_000 }, async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine })
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 5 }), async (rows) => {
      await fixture.admin.query('truncate everything restart identity')
      for (const values of rows) await insert(values)
      const before = await stored()
      for (const readOnly of [true, false]) {
        await withSession(
          async (session) => {
            const found = await session.scalars(select(Everything).orderBy(Everything.c.id))
            expect(found).toHaveLength(rows.length)
            expect(session.dirty).toEqual([])
            for (const one of found) await session.refresh(one)
            expect(session.dirty).toEqual([])
            await session.flush()
          },
          { readOnly },
        )
      }
      expect(await stored()).toEqual(before)
    }),
    { numRuns: RUNS },
  )
})

test('so it is where columns are deferred, loaded later, and read again', { timeout: 120_000 }, async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine })
  const some = fc.subarray(deferred)
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 3 }), some, some, async (rows, first, then) => {
      await fixture.admin.query('truncate everything restart identity')
      for (const values of rows) await insert(values)
      const before = await stored()
      for (const readOnly of [true, false]) {
        await withSession(
          async (session) => {
            const all = select(Half).orderBy(Half.c.id)
            const found = await session.scalars(all.undefer(...(first as never[])))
            expect(found).toHaveLength(rows.length)
            expect(session.dirty).toEqual([])
            for (const one of found) await session.refresh(one, { columns: then as never[] })
            expect(session.dirty).toEqual([])
            await session.scalars(all)
            const [one] = found
            if (one !== undefined) {
              const { id } = one
              session.expire(one)
              await session.get(Half, id, { undefer: deferred as never[] })
            }
            for (const other of found) await session.refresh(other)
            expect(session.dirty).toEqual([])
            await session.flush()
          },
          { readOnly },
        )
      }
      expect(await stored()).toEqual(before)
    }),
    { numRuns: RUNS },
  )
})
