import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { ArrayParameter } from '../../src/driver/array-parameter.js'
import { createEngine, type Engine } from '../../src/engine/engine.js'
import { InvalidStatementError } from '../../src/errors.js'
import { declarativeBase } from '../../src/schema/base.js'
import {
  bigint,
  bigserial,
  boolean,
  char,
  date,
  doublePrecision,
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
import { enumType } from '../../src/schema/custom-types.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { manyToMany } from '../../src/schema/relations.js'
import { rowSource, rowValues } from '../../src/query/unnest.js'
import type { EncodedText, StatementValue, TableColumn } from '../../src/schema/table-column.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
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
  test('is sent as bytes if its type has a binary form', () => {
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

  test('is sent as a literal if one of its values has no binary form, and PostgreSQL reports the error', async () => {
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

  test('is sent as a literal if its texts are of another type, as in keys of a relation', () => {
    const foreign: readonly [string, string[]][] = [
      ['integer', ['', '-', ' 1', '1.5', '0x10', '1e3', '--1', '12345678901', 'abc']],
      ['bigint', ['', '-', '1.5', 'abc', '0b1', '1 ', '1234567890123456']],
      ['boolean', ['true', 'false', 'abc', '', 'T']],
      [
        'timestamptz',
        [
          '2026-02-29T00:00:00.000Z',
          '2026-02-30T00:00:00.000Z',
          '2026-04-31T00:00:00.000Z',
          '2026-13-01T00:00:00.000Z',
          '2026-00-01T00:00:00.000Z',
          '2026-01-00T00:00:00.000Z',
          '2026-01-01T24:00:00.000Z',
          '2026-01-01T00:60:00.000Z',
          '2026-01-01T00:00:60.000Z',
          '2026-01-01T00:00:00,000Z',
          '2026-ab-01T00:00:00.000Z',
          '2026-01-01 00:00:00.000Z',
        ],
      ],
    ]
    for (const [property, several] of foreign) {
      for (const text of several) expect(parameter(table.column(property), [text])).toBeTypeOf('string')
    }
    for (const day of ['01-31', '02-28', '04-30', '12-31']) {
      const instant = `2026-${day}T23:59:59.999Z`
      expect(parameter(table.column('timestamptz'), [instant])).toBeInstanceOf(ArrayParameter)
    }
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

test('links of an owner whose key does not fit them are not those of another one', async () => {
  const Base = declarativeBase()
  class Owner extends Base.entity('owners', { id: numeric().primaryKey() }) {
    static readonly relations = { tags: manyToMany(() => Tag, 'links') }
  }
  class Tag extends Base.entity('tags', { id: integer().primaryKey() }) {}
  Base.entity('links', {
    owner: bigint().primaryKey().references('owners.id'),
    tag: integer().primaryKey().references('tags.id'),
  })
  await engine.begin((connection) => Base.metadata.createAll(connection))
  await db.query('insert into owners values (1), (1.5); insert into tags values (1), (2)')
  await db.query('insert into links values (1, 1), (1, 2)')
  const deleting = createSessionFactory({ bind: engine }).withSession(async (session) => {
    session.delete(await session.getOne(Owner, '1.5'))
  })
  await expect(deleting).rejects.toMatchObject({ sqlState: '22P02' })
  expect(await db.query('select tag from links')).toHaveLength(2)
})

test('an engine sends what entities of another copy of the package give', async () => {
  vi.resetModules()
  const other = await import('../../src/index.js')
  const Base = other.declarativeBase()
  class Song extends Base.entity('other_songs', {
    id: other.serial().primaryKey(),
    title: other.text().notNull(),
  }) {}
  await engine.begin((connection) => Base.metadata.createAll(connection))
  const { withSession } = other.createSessionFactory({ bind: engine })
  await withSession((session) => session.addAll([new Song({ title: 'Carey' }), new Song({ title: 'River' })]))
  expect(await db.query('select id, title from other_songs order by id')).toEqual([
    { id: 1, title: 'Carey' },
    { id: 2, title: 'River' },
  ])
})

describe('what is too large', () => {
  test('is refused when the array is made', () => {
    // One text many times: what is refused need not be in memory.
    const long = 'x'.repeat(1_000_000)
    expect(() => parameter(table.column('text'), Array<string>(1500).fill(long))).toThrow(
      InvalidStatementError,
    )
    expect(() => parameter(table.column('text'), Array<string>(300).fill(long))).not.toThrow()
  })

  test('fails alone if it cannot be written, and the engine goes on', async () => {
    const endless = new ArrayParameter({ oid: 25, maxBytes: () => 0, write: () => NaN }, ['x'], () => '')
    Object.defineProperty(endless, 'maxBytes', { value: 1e15 })
    const failing = engine.begin((connection) =>
      Promise.all([connection.execute('select 1'), connection.execute('select $1::text[]', [endless])]),
    )
    await expect(failing).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      cause: expect.any(RangeError) as unknown,
    })
    expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
    expect(engine.stats()).toMatchObject({ borrowed: 0, size: 1 })
  })

  test('texts are written where more than two gigabytes are left', () => {
    // Not touched, so not there.
    const huge = Buffer.allocUnsafe(2 ** 31 + 1_000)
    const { type } = table.column('text').definition
    expect(type.element?.write('x'.repeat(100), huge, 0)).toBe(100)
    expect(type.element?.write('ß', huge, 0)).toBe(2)
  })
})
