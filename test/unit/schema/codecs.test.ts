import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { declarativeBase } from '../../../src/schema/base.js'
import * as types from '../../../src/schema/column-types.js'
import { customType } from '../../../src/schema/custom-types.js'
import type { Column, ColumnFlag } from '../../../src/schema/column.js'
import { ENTITY } from '../../../src/schema/entity-types.js'
import type { TableColumn } from '../../../src/schema/table-column.js'

function columnOf(type: Column<unknown, ColumnFlag>): TableColumn {
  const entity = declarativeBase().entity('things', { id: types.serial().primaryKey(), value: type })
  return entity[ENTITY].table.column('value')
}

describe('values', () => {
  test.each<[string, Column<unknown>, unknown, string]>([
    ['integer', types.integer(), -7, '-7'],
    ['bigint', types.bigint(), 9007199254740993n, '9007199254740993'],
    ['real', types.real(), 0.1, '0.1'],
    ['double precision', types.doublePrecision(), Infinity, 'Infinity'],
    ['numeric', types.numeric(), '1.50', '1.50'],
    ['boolean', types.boolean(), true, 't'],
    ['boolean', types.boolean(), false, 'f'],
    ['text', types.text(), 'a"b\\c', 'a"b\\c'],
    ['uuid', types.uuid(), '5b6f', '5b6f'],
    ['jsonb', types.jsonb(), { a: [1, null] }, '{"a":[1,null]}'],
    ['bytea', types.bytea(), Buffer.from([0, 255]), '\\x00ff'],
    ['date', types.date(), '2026-01-31', '2026-01-31'],
    ['timestamptz', types.timestamptz(), new Date('2026-01-31T12:00:00.123Z'), '2026-01-31T12:00:00.123Z'],
    ['text[]', types.text().array(), ['a,b', '', 'null', '{}', '"\\'], '{"a,b","","null","{}","\\"\\\\"}'],
    ['integer[]', types.integer().array(), [], '{}'],
  ])('of %s go to text', (_name, type, value, text) => {
    expect(columnOf(type).encode(value)).toBe(text)
    if (!(value instanceof Date)) expect(columnOf(type).decode(text)).toEqual(value)
  })

  test('null is null for every type', () => {
    expect(columnOf(types.jsonb()).encode(null)).toBeNull()
    expect(columnOf(types.text()).decode(null)).toBeNull()
  })

  test.each<[string, Column<unknown>, unknown]>([
    ['takes an integer, not a fraction', types.integer(), 1.5],
    ['takes an integer, not a number that is not finite', types.integer(), NaN],
    ['takes an integer, not a string: pass Number(value)', types.integer(), '1'],
    ['takes an integer, not a string', types.integer(), 'one'],
    ['takes a number, not a string', types.real(), '1'],
    ['takes a bigint, not a fraction', types.bigint(), 1.5],
    ['takes true or false, not a number', types.boolean(), 1],
    ["takes a string ('2.5'), not a number, which would be rounded", types.numeric(), 1],
    ['cannot hold a NUL character', types.text(), 'secret\0'],
    ['cannot hold a NUL character', types.jsonb(), { a: 'secret\0' }],
    ['cannot hold a NUL character', types.text().array(), ['secret\0']],
    ['cannot hold half a character (a lone surrogate)', types.text(), 'secret\ud800'],
    ['cannot hold half a character (a lone surrogate)', types.jsonb(), { a: '\ud83d\ude00 secret\udfff' }],
    ['cannot hold half a character (a lone surrogate)', types.text().array(), ['secret\ud800']],
    ['takes what JSON can express, not a function', types.json(), () => 1],
    ['takes a Buffer, not a string', types.bytea(), 'secret'],
    ['takes a Date, not a string', types.timestamptz(), '2026-01-31'],
    ['takes a Date, not an invalid one', types.timestamptz(), new Date(NaN)],
    ['takes an array, not a string', types.text().array(), 'secret'],
    ['is undefined; use null for NULL', types.text(), undefined],
    ['is undefined; it needs a value, because the column is NOT NULL', types.text().notNull(), undefined],
  ])('that do not fit are refused: %s', (reason, type, value) => {
    const refusal = catchError(() => columnOf(type).encode(value))
    expect(refusal).toMatchObject({ code: 'INVALID_VALUE', message: `things.value ${reason}` })
  })

  const NO_INTEGER = 'holds a value that is not an integer'
  const INEXACT = 'holds an integer that a number cannot hold exactly'
  const NO_INTEGERS = ['1.5', '1.0', '', '-', 'NaN', ' 5', '5 ', '+5', '1e3', '0x10', 'secret']
  test.each<[string, Column<unknown, ColumnFlag>, string, readonly string[]]>([
    ['integer', types.integer(), NO_INTEGER, NO_INTEGERS],
    ['bigint', types.bigint(), NO_INTEGER, [...NO_INTEGERS, '12345678901234567890.5']],
    ['smallint', types.smallint(), NO_INTEGER, ['1.5']],
    ['serial', types.serial(), NO_INTEGER, ['1.5']],
    ['version', types.version(), NO_INTEGER, ['1.5']],
    ['integer[]', types.integer().array(), NO_INTEGER, ['{1,1.5}']],
    ['integer', types.integer(), INEXACT, ['9007199254740992', '-9007199254740993', '9'.repeat(400)]],
    ['boolean', types.boolean(), 'holds a value that is neither true nor false', ['true', '1', '', 'secret']],
  ])('of another type are refused where %s was declared', (_name, type, reason, texts) => {
    for (const text of texts) {
      const refusal = catchError(() => columnOf(type).decode(text)) as Error
      const message = `things.value ${reason}; does it have another type in the database?`
      expect(refusal, text).toMatchObject({ code: 'INVALID_VALUE', message })
      expect(refusal.cause, text).toBeUndefined()
    }
  })

  test('that numbers hold exactly are read to the last one', () => {
    const [integer, bigint] = [columnOf(types.integer()), columnOf(types.bigint())]
    const digits = fc.maxSafeInteger().map(String)
    fc.assert(
      fc.property(digits, (text) => {
        expect([integer.decode(text), bigint.decode(text)]).toEqual([Number(text), BigInt(text)])
      }),
      {
        examples: [
          ['9007199254740991'],
          ['-9007199254740991'],
          ['999999999999999'],
          ['-99999999999999'],
          ['0'],
        ],
      },
    )
    fc.assert(
      fc.property(fc.bigInt(), (value) => {
        expect(bigint.decode(String(value))).toBe(value)
      }),
    )
    expect(integer.decode('-0')).toBe(0)
    expect(['t', 'f'].map((text) => columnOf(types.boolean()).decode(text))).toEqual([true, false])
  })

  test('of a custom type that cannot be written name the column, not the value', () => {
    const broken = customType<string>({
      type: 'text',
      decode: String,
      encode: (value) => {
        throw new Error(`no ${value}`)
      },
    })
    expect(catchError(() => columnOf(broken()).encode('secret'))).toMatchObject({
      message: 'things.value holds a value that cannot be written',
      cause: new Error('no secret'),
    })
  })

  test('jsonb takes an escaped backslash before u0000', () => {
    expect(columnOf(types.jsonb()).encode('\\u0000')).toBe(String.raw`"\\u0000"`)
  })
})

describe('timestamptz', () => {
  const column = columnOf(types.timestamptz())

  test.each([
    ['2026-01-31 12:00:00+00', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31 12:00:00.123999+05:30', '2026-01-31T06:30:00.123Z'],
    ['2026-01-31 12:00:00.283-08', '2026-01-31T20:00:00.283Z'],
    ['1890-01-01 00:00:00+00:19:32', '1889-12-31T23:40:28.000Z'],
    ['0044-03-15 00:00:00+00 BC', '-000043-03-15T00:00:00.000Z'],
    ['0050-03-15 00:00:00+00', '0050-03-15T00:00:00.000Z'],
    ['12026-01-31 12:00:00+00', '+012026-01-31T12:00:00.000Z'],
  ])('reads %s', (text, iso) => {
    expect((column.decode(text) as Date).toISOString()).toBe(iso)
  })

  test('reads the days of all centuries', () => {
    const misread: string[] = []
    for (let time = Date.UTC(1000); time < Date.UTC(10_000); time += 31 * 86_400_000 + 1_234_567) {
      const text = new Date(time).toISOString().replace('T', ' ').replace('Z', '+00')
      if ((column.decode(text) as Date).getTime() !== time) misread.push(text)
    }
    expect(misread).toEqual([])
  })

  test('writes what toISOString writes, in all centuries', () => {
    const miswritten: string[] = []
    for (let time = Date.UTC(990); time < Date.UTC(10_000); time += 31 * 86_400_000 + 1_234_567) {
      const date = new Date(time)
      if (column.encode(date) !== date.toISOString()) miswritten.push(date.toISOString())
    }
    expect(miswritten).toEqual([])
  })

  test('writes years that ISO 8601 writes differently', () => {
    expect(column.encode(new Date('-000043-03-15T00:00:00Z'))).toBe('0044-03-15T00:00:00.000Z BC')
    expect(column.encode(new Date('+012026-01-31T12:00:00Z'))).toBe('12026-01-31T12:00:00.000Z')
  })

  test('keeps infinity as the latest Date', () => {
    const latest = column.decode('infinity')
    expect(column.encode(latest)).toBe('infinity')
    expect(column.encode(column.decode('-infinity'))).toBe('-infinity')
  })

  test('refuses other date styles', () => {
    expect(() => column.decode('Sat Jan 31 12:00:00 2026 UTC')).toThrow('DateStyle to be ISO')
  })
})

describe('arrays', () => {
  test('hold any texts: quotes, backslashes, control characters, the word null', () => {
    const unit = fc.constantFrom(
      'a',
      '"',
      '\\',
      ',',
      '{',
      '}',
      ' ',
      '\n',
      '\u0001',
      'ü',
      '😀',
      'null',
      'NULL',
    )
    const texts = fc.array(fc.string({ unit, maxLength: 6 }))
    const column = columnOf(types.text().array())
    fc.assert(
      fc.property(texts, (array) => {
        expect(column.decode(column.encode(array))).toEqual(array)
      }),
    )
  })

  test('with other lower bounds are read', () => {
    expect(columnOf(types.integer().array()).decode('[0:1]={5,NULL}')).toEqual([5, null])
  })

  test('with several dimensions are refused', () => {
    expect(() => columnOf(types.integer().array()).decode('{{1},{2}}')).toThrow('several dimensions')
    expect(() => types.integer().array().array()).toThrow('There is no array of integer[]')
  })
})

describe('what is remembered of a value', () => {
  test.each<[string, Column<unknown>, string, (value: never) => void]>([
    ['jsonb', types.jsonb(), '{"b": 1, "a": [1, 2]}', (value: { a: number[] }) => value.a.push(3)],
    ['Date', types.timestamptz(), '2026-01-31 12:00:00.123456+01', (value: Date) => value.setHours(1)],
    ['array', types.text().array(), '{a,"b"}', (value: string[]) => value.push('c')],
    ['bytea', types.bytea(), '\\x0001', (value: Buffer) => (value[0] = 7)],
  ])('shows changes in place: %s', (_name, type, text, change) => {
    const column = columnOf(type)
    const value = column.decode(text)
    expect(column.hasChanged(value, text)).toBe(false)
    expect(column.hasChanged(value, column.snapshot(value))).toBe(false)
    const snapshot = column.snapshot(value)
    change(value as never)
    expect(column.hasChanged(value, text)).toBe(true)
    expect(column.hasChanged(value, snapshot)).toBe(true)
    expect(column.hasChanged(column.restore(snapshot), text)).toBe(false)
  })

  test('differs from what cannot be written', () => {
    const jsonb = columnOf(types.jsonb())
    expect(jsonb.hasChanged(() => 1, '{}')).toBe(true)
    expect(jsonb.hasChanged({ count: 1n }, '{"count": 1}')).toBe(true)
    expect(columnOf(types.timestamptz()).hasChanged(new Date(NaN), '2026-01-31 12:00:00+00')).toBe(true)
  })

  test('is the value where it cannot change in place', () => {
    const column = columnOf(types.doublePrecision())
    expect(column.hasChanged(1, column.snapshot(1))).toBe(false)
    expect(column.hasChanged(NaN, column.snapshot(NaN))).toBe(false)
    expect(column.hasChanged(null, column.snapshot(1))).toBe(true)
    expect(column.hasChanged(null, column.snapshot(null))).toBe(false)
    expect(column.hasChanged(2, column.snapshot(1))).toBe(true)
  })

  test('tells 0 from -0 where PostgreSQL does', () => {
    for (const type of [types.doublePrecision(), types.real()]) {
      const column = columnOf(type)
      expect([column.hasChanged(-0, 0), column.hasChanged(0, -0)]).toEqual([true, true])
      expect([column.hasChanged(-0, -0), column.hasChanged(0, 0)]).toEqual([false, false])
    }
    expect(columnOf(types.integer()).hasChanged(-0, 0)).toBe(false)
  })
})

function catchError(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
