import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ArrayParameter } from '../../src/driver/array-parameter.js'
import { createEngine, type Engine } from '../../src/engine/engine.js'
import { declarativeBase } from '../../src/schema/base.js'
import {
  bigint,
  bigserial,
  boolean,
  char,
  date,
  doublePrecision,
  enumType,
  integer,
  jsonb,
  numeric,
  serial,
  smallint,
  text,
  timestamptz,
  uuid,
  varchar,
  version,
} from '../../src/schema/column-types.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { rowSource, rowValues } from '../../src/schema/row-source.js'
import type { EncodedText, StatementValue, TableColumn } from '../../src/schema/table-column.js'
import { database, type TestDatabase } from '../helpers/database.js'

class Everything extends declarativeBase().entity('everything', {
  id: serial().primaryKey(),
  big: bigserial(),
  counter: version(),
  integer: integer(),
  bigint: bigint(),
  boolean: boolean(),
  text: text(),
  varchar: varchar({ length: 3 }),
  jsonb: jsonb(),
  timestamptz: timestamptz({ precision: 3 }),
  smallint: smallint(),
  double: doublePrecision(),
  char: char({ length: 3 }),
  date: date(),
  numeric: numeric(),
  uuid: uuid(),
  labels: text().array(),
  numbers: integer().array(),
  mood: enumType('mood', ['happy', 'sad'])(),
}) {}

const { table } = metaOf(Everything)

let db: TestDatabase
let engine: Engine
beforeAll(async () => {
  db = await database()
  engine = createEngine({ url: db.url, poolSize: 1, maxOverflow: 0 })
})
afterAll(async () => {
  await engine.dispose()
  await db.drop()
})

/** One column of many rows, as one parameter. */
function parameter(column: TableColumn, texts: readonly EncodedText[]): StatementValue | undefined {
  return rowValues(
    [column],
    texts.map((value) => [value]),
  )[0]
}

/** What PostgreSQL makes of it, as texts. */
async function received(column: TableColumn, value: unknown): Promise<EncodedText[]> {
  const source = rowSource([column])
  const given = `select ${source.columns[0]}::text as value from ${source.sql} order by ${source.ordinal}`
  return engine.begin((connection) => connection.scalars<EncodedText>(given, [value]))
}

const BINARY = [
  'id',
  'big',
  'counter',
  'integer',
  'bigint',
  'boolean',
  'text',
  'varchar',
  'jsonb',
  'timestamptz',
]

describe('an array of many values', () => {
  test('travels as bytes where its type has them', () => {
    const sent = table.columns.filter((column) => parameter(column, [null]) instanceof ArrayParameter)
    expect(sent.map(({ property }) => property)).toEqual(BINARY)
  })

  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', '').toWellFormed()),
    fc.string({ maxLength: 60 }),
    fc.constantFrom('', 'NULL', 'null', '"', '\\', '{}', ',', "'", 'ü', 'x'.repeat(47) + 'ß', '\u{1f600}'),
  )
  const dates = (min: string, max: string): fc.Arbitrary<unknown> =>
    fc.date({ min: new Date(min), max: new Date(max), noInvalidDate: true })
  const VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    integer: fc.oneof(fc.integer(), fc.constantFrom(0, -1, 2 ** 31 - 1, -(2 ** 31))),
    bigint: fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.maxSafeInteger().map(BigInt),
      fc.constantFrom(0n, -1n, 2n ** 32n, -(2n ** 32n), 999_999_999_999_999n, -99_999_999_999_999n),
    ),
    boolean: fc.boolean(),
    text: texts,
    varchar: texts,
    jsonb: fc
      .jsonValue()
      .map((value) => JSON.parse(JSON.stringify(value).replaceAll('\\u0000', '')) as unknown)
      .filter((value) => value !== null),
    timestamptz: fc.oneof(
      dates('1700-01-01T00:00Z', '2300-01-01T00:00Z'),
      dates('0001-01-01T00:00Z', '9999-12-31T23:59:59.999Z'),
      fc.constantFrom(
        new Date(0),
        new Date('1999-12-31T23:59:59.999Z'),
        new Date('2000-01-01T00:00Z'),
        new Date('1720-01-01T00:00Z'),
        new Date('2279-12-31T23:59:59.999Z'),
        new Date(8.64e15),
        new Date(-8.64e15),
      ),
    ),
  }

  test.each(Object.keys(VALUES))('of %s arrives as its literal would', async (property) => {
    const column = table.column(property)
    const values = fc.array(fc.option(VALUES[property] as fc.Arbitrary<unknown>), {
      minLength: 1,
      maxLength: 12,
    })
    let asBytes = 0
    await fc.assert(
      fc.asyncProperty(values, async (several) => {
        const encoded = several.map((value) => column.encode(value))
        const sent = parameter(column, encoded)
        if (sent instanceof ArrayParameter) asBytes += 1
        const literal = String(sent)
        expect(await received(column, sent)).toEqual(await received(column, literal))
        // The literal itself is what it should be.
        expect((await received(column, literal)).map((value) => value === null)).toEqual(
          several.map((value) => value === null),
        )
      }),
      { numRuns: 60 },
    )
    expect(asBytes).toBeGreaterThan(0)
  })

  test('travels as a literal where one of its values has no bytes, and PostgreSQL says what is wrong', async () => {
    const literals: readonly [string, EncodedText[]][] = [
      ['integer', ['1', '2147483648']],
      ['bigint', ['1', '9007199254740993']],
      ['timestamptz', ['2026-01-31T00:00:00.000Z', 'infinity']],
      ['timestamptz', ['0044-03-15T00:00:00.000Z BC']],
      ['timestamptz', ['2026-01-31 13:45:00.123456+00']],
    ]
    for (const [property, values] of literals) {
      expect(parameter(table.column(property), values)).toBeTypeOf('string')
    }
    const column = table.column('integer')
    await expect(received(column, parameter(column, ['1', '2147483648']))).rejects.toMatchObject({
      sqlState: '22003',
    })
  })

  test('grows as large as it has to', async () => {
    const column = table.column('text')
    const long = ['a'.repeat(300_000), 'ß'.repeat(200_000), '', null]
    expect(await received(column, parameter(column, long))).toEqual(long)
    const many = Array.from({ length: 70_000 }, (_, index) => String(index))
    const numbers = table.column('integer')
    expect(await received(numbers, parameter(numbers, many))).toEqual(many)
  })
})

test('the echo shows what is in an array', async () => {
  const lines: string[] = []
  const log = (_: object, message: string): void => void lines.push(message)
  const talking = createEngine({ url: db.url, echo: { info: log, debug: log, error: log } })
  try {
    const numbers = parameter(table.column('integer'), ['1', null])
    const words = parameter(table.column('text'), ['a b'])
    await talking.begin((connection) =>
      connection.execute('select $1::integer[], $2::text[]', [numbers, words]),
    )
    expect(lines.join('\n')).toContain(String.raw`["{1,NULL}", "{\"a b\"}"]`)
  } finally {
    await talking.dispose()
  }
})
