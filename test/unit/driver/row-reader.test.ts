import pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { RawTypes, RowMode, TypeParsers } from '../../../src/driver/driver.js'
import { createRowReader, readFields } from '../../../src/driver/row-reader.js'
import { dataRow, rowDescription } from './backend-messages.js'

const HEADER_BYTES = 5

/** Reads one row of the columns, as bytes of the wire. */
function read(
  names: readonly string[],
  values: readonly (string | Buffer | null)[],
  {
    mode = 'object',
    oid = 25,
    types = pg.types,
  }: { mode?: RowMode; oid?: number; types?: TypeParsers | RawTypes } = {},
): unknown {
  const fields = readFields(rowDescription(names, oid), HEADER_BYTES)
  return createRowReader(fields, mode, types)(dataRow(values), HEADER_BYTES)
}

test('a row description tells name, type and origin of each column', () => {
  expect(readFields(rowDescription(['id', 'größe', ''], 20), HEADER_BYTES)).toEqual([
    { name: 'id', dataTypeID: 20, tableID: 4711, columnID: 1 },
    { name: 'größe', dataTypeID: 20, tableID: 4711, columnID: 2 },
    { name: '', dataTypeID: 20, tableID: 4711, columnID: 3 },
  ])
})

test('OIDs above 2^31 are not negative', () => {
  expect(readFields(rowDescription(['x'], -2), HEADER_BYTES)[0]?.dataTypeID).toBe(2 ** 32 - 2)
})

describe('object rows', () => {
  test('have the columns in order, nulls included', () => {
    const row = read(['b', 'a', 'c'], ['1', null, '']) as object
    expect(row).toEqual({ b: '1', a: null, c: '' })
    expect(Object.keys(row)).toEqual(['b', 'a', 'c'])
  })

  test('keep the last of several columns with one name, as node-postgres does, also when it is null', () => {
    expect(read(['x', 'y', 'x'], ['1', '2', '3'])).toEqual({ x: '3', y: '2' })
    expect(read(['x', 'x'], ['1', null])).toEqual({ x: null })
  })

  test('hold a column called __proto__ like any other', () => {
    const row = read(['__proto__', 'constructor'], ['a', 'b']) as object
    expect(Object.entries(row)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype)
  })

  test('do not share what one of them holds', () => {
    const fields = readFields(rowDescription(['x', 'y']), HEADER_BYTES)
    const reader = createRowReader(fields, 'object', pg.types)
    const first = reader(dataRow(['1', '2']), HEADER_BYTES)
    const second = reader(dataRow(['3', null]), HEADER_BYTES)
    expect([first, second]).toEqual([
      { x: '1', y: '2' },
      { x: '3', y: null },
    ])
  })

  test('of no columns are empty', () => {
    expect(read([], [])).toEqual({})
  })
})

describe('array rows', () => {
  test('have every column in order, duplicates and nulls included', () => {
    expect(read(['x', 'y', 'x'], ['1', null, '3'], { mode: 'array' })).toEqual(['1', null, '3'])
    expect(read([], [], { mode: 'array' })).toEqual([])
  })
})

describe('texts', () => {
  // Around the length below which a text is put together from its bytes.
  test.each(Array.from({ length: 20 }, (_, length) => length))('of %i ASCII characters', (length) => {
    const text = 'abcdefghijklmnopqrstuvwxyz'.slice(0, length)
    expect(read(['x'], [text])).toEqual({ x: text })
  })

  test.each([
    'é',
    'aé',
    '😀',
    'a😀b',
    'äöüß',
    'é'.repeat(6),
    'é'.repeat(7),
    '日本語',
    '\u0001\u007f',
    'x'.repeat(100_000) + '😀',
  ])('beyond ASCII: %j', (text) => {
    expect(read(['x'], [text])).toEqual({ x: text })
  })
})

test('each value goes through the parser of its type', () => {
  expect(read(['x'], ['42'], { oid: 23 })).toEqual({ x: 42 })
  expect(read(['x'], ['t'], { oid: 16 })).toEqual({ x: true })
})

test('integers that become numbers do so without a text in between; numbers of other types are parsed', () => {
  const types: TypeParsers = { getTypeParser: () => Number }
  const asNumbers = (oid: number, values: readonly (string | null)[]) =>
    read(values.map(String), values, { mode: 'array', oid, types })
  const integers = ['0', '7', '-1', '32767', '2147483647', '-2147483648', null]
  expect(asNumbers(23, integers)).toEqual([0, 7, -1, 32767, 2147483647, -2147483648, null])
  expect(asNumbers(21, ['-32768', '12'])).toEqual([-32768, 12])
  expect(asNumbers(1700, ['1.5', 'NaN', '1e400'])).toEqual([1.5, NaN, Infinity])
  expect(asNumbers(20, ['9007199254740993'])).toEqual([9007199254740992])
})

test('instants become dates where they were asked for, in the form of a server in UTC', () => {
  const types: RawTypes = { getTypeParser: () => (text) => text, instants: new Set([0]) }
  const asInstant = (text: string | null, oid = 1184) =>
    (read(['at', 'other'], [text, text], { mode: 'array', oid, types }) as unknown[])[0]
  for (const iso of ['1999-12-31T23:59:59.999Z', '2000-02-29T00:00:00.000Z', '9999-01-01T00:00:00.000Z']) {
    const text = iso.replace('T', ' ').replace('Z', '+00')
    expect(asInstant(text)).toEqual(new Date(iso))
    expect(asInstant(text.replace('.000', ''))).toEqual(new Date(iso))
  }
  // Microseconds are cut off, as a Date cannot hold them.
  expect(asInstant('2026-01-31 12:00:00.123999+00')).toEqual(new Date('2026-01-31T12:00:00.123Z'))
  expect(asInstant('2026-01-31 12:00:00.1+00')).toEqual(new Date('2026-01-31T12:00:00.100Z'))
  for (const other of [
    null,
    'infinity',
    '-infinity',
    '2026-01-31 12:00:00+01',
    '2026-01-31 12:00:00.123+05:30',
    '0044-03-15 00:00:00+00 BC',
    '0999-03-15 00:00:00+00',
    '12026-01-31 12:00:00+00',
    'Sat Jan 31 12:00:00 2026 UTC',
  ]) {
    expect(asInstant(other)).toBe(other)
  }
  expect(asInstant('42', 23)).toBe('42')
  expect(read(['x', 'at'], ['', '2026-01-31 12:00:00+00'], { mode: 'array', oid: 1184, types })).toEqual([
    '',
    '2026-01-31 12:00:00+00',
  ])
})

test('texts of any length are read whole, whatever is in them', () => {
  const types: TypeParsers = { getTypeParser: () => (text) => text }
  for (let length = 0; length < 20; length++) {
    for (const last of ['z', 'ü', '😀', '']) {
      const text = 'abcdefghijklmnopqrst'.slice(0, length) + last
      expect(read(['x'], [text], { mode: 'array', types })).toEqual([text])
      expect(read(['x'], [last + text], { mode: 'object', types })).toEqual({ x: last + text })
    }
  }
})

test('parsers are asked for once for each shape, and may be others', () => {
  const asked: number[] = []
  const types: TypeParsers = {
    getTypeParser: (oid) => {
      asked.push(oid)
      return (text) => `<${text}>`
    },
  }
  const fields = readFields(rowDescription(['x', 'y'], 1700), HEADER_BYTES)
  const reader = createRowReader(fields, 'object', types)
  reader(dataRow(['1', '2']), HEADER_BYTES)
  expect(reader(dataRow(['3', null]), HEADER_BYTES)).toEqual({ x: '<3>', y: null })
  expect(asked).toEqual([1700, 1700])
})

test('what a parser throws comes through', () => {
  const types: TypeParsers = {
    getTypeParser: () => () => {
      throw new Error('no such value')
    },
  }
  expect(() => read(['x'], ['1'], { types })).toThrow('no such value')
})
