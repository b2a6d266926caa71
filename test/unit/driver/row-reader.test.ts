import pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { RawTypes, RowMode, TypeParsers } from '../../../src/driver/driver.js'
import { type RowReader, RowShape, readFields } from '../../../src/driver/row-reader.js'
import { ProtocolError } from '../../../src/driver/backend-messages.js'
import { dataRow, int16, int32, message, rowDescription } from './backend-messages.js'

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
  return readRow(shapeOf(rowDescription(names, oid)).reader(mode, types), dataRow(values))
}

function fieldsOf(description: Buffer): ReturnType<typeof readFields> {
  return readFields(description, HEADER_BYTES, description.length)
}

function shapeOf(description: Buffer): RowShape {
  return new RowShape(description, HEADER_BYTES, description.length)
}

function readRow(reader: RowReader, row: Buffer): unknown {
  return reader(row, HEADER_BYTES, row.length)
}

test('a row description tells name, type and origin of each column', () => {
  const type = { dataTypeID: 20, dataTypeSize: -1, dataTypeModifier: -1 }
  expect(fieldsOf(rowDescription(['id', 'größe', ''], 20))).toEqual([
    { name: 'id', ...type, tableID: 4711, columnID: 1 },
    { name: 'größe', ...type, tableID: 4711, columnID: 2 },
    { name: '', ...type, tableID: 4711, columnID: 3 },
  ])
})

test('OIDs above 2^31 are not negative', () => {
  expect(fieldsOf(rowDescription(['x'], -2))[0]?.dataTypeID).toBe(2 ** 32 - 2)
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
    const reader = shapeOf(rowDescription(['x', 'y'])).reader('object', pg.types)
    const first = readRow(reader, dataRow(['1', '2']))
    const second = readRow(reader, dataRow(['3', null]))
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
  const reader = shapeOf(rowDescription(['x', 'y'], 1700)).reader('object', types)
  readRow(reader, dataRow(['1', '2']))
  expect(readRow(reader, dataRow(['3', null]))).toEqual({ x: '<3>', y: null })
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

test('a shape is known again by what describes it, and makes its reader once for each mode and set of parsers', () => {
  const [same, other] = [rowDescription(['x'], 23), rowDescription(['x'], 20)]
  const shape = new RowShape(same, HEADER_BYTES, same.length)
  expect(shape.isDescribedBy(Buffer.from(same), HEADER_BYTES, same.length)).toBe(true)
  expect(shape.isDescribedBy(other, HEADER_BYTES, other.length)).toBe(false)
  expect(shape.isDescribedBy(same, HEADER_BYTES, same.length - 1)).toBe(false)
  const first = shape.reader('object', pg.types)
  expect(shape.reader('object', pg.types)).toBe(first)
  expect(shape.reader('array', pg.types)).not.toBe(first)
  const others = { getTypeParser: () => (text: string) => text }
  expect(shape.reader('array', others)).not.toBe(shape.reader('array', pg.types))
})

describe('a kept reader', () => {
  const shapeOf = (names: readonly string[], oid = 25): RowShape => {
    const description = rowDescription(names, oid)
    return new RowShape(description, HEADER_BYTES, description.length)
  }
  const upper = (text: string): string => text.toUpperCase()
  const row = dataRow(['a'])

  test('is used again with another object that chooses the same parsers, as Drizzle makes one for each query', () => {
    const shape = shapeOf(['x'])
    const first = shape.reader('array', { getTypeParser: () => upper })
    expect(shape.reader('array', { getTypeParser: () => upper })).toBe(first)
    expect(readRow(first, row)).toEqual(['A'])
  })

  test('is not used again if one of its columns has another parser', () => {
    const shape = shapeOf(['x', 'y'])
    const lower = (text: string): string => text.toLowerCase()
    let asked = 0
    const second: TypeParsers = { getTypeParser: () => (asked++ % 2 === 0 ? upper : lower) }
    shape.reader('array', { getTypeParser: () => upper })
    expect(readRow(shape.reader('array', second), dataRow(['a', 'B']))).toEqual(['A', 'b'])
  })

  test('is used again if new parsers return the text as it is, and say so in the same words', () => {
    const shape = shapeOf(['x'])
    const asDrizzle = (): TypeParsers => ({ getTypeParser: () => (val) => val })
    const first = shape.reader('array', asDrizzle())
    expect(shape.reader('array', asDrizzle())).toBe(first)
    // The same words with another meaning.
    const times = (factor: number): TypeParsers => ({ getTypeParser: () => (val) => Number(val) * factor })
    const row = dataRow(['2'])
    expect(readRow(shape.reader('array', times(2)), row)).toEqual([4])
    expect(readRow(shape.reader('array', times(3)), row)).toEqual([6])
  })

  test('follows setTypeParser() of the same object', () => {
    const shape = shapeOf(['x'])
    // @types/pg gives the parsers of TypeOverrides another type than those of `pg.types`, which they are.
    const overrides = new pg.TypeOverrides(pg.types) as Pick<
      typeof pg.types,
      'getTypeParser' | 'setTypeParser'
    >
    const types: TypeParsers = { getTypeParser: (oid) => overrides.getTypeParser(oid, 'text') }
    expect(readRow(shape.reader('object', types), row)).toEqual({ x: 'a' })
    overrides.setTypeParser(25, upper)
    expect(readRow(shape.reader('object', types), row)).toEqual({ x: 'A' })
  })

  test('of values that are read from their bytes is not used for texts, nor the other way round', () => {
    const shape = shapeOf(['x'], 1184)
    const plain: TypeParsers = { getTypeParser: () => String }
    const raw: RawTypes = { getTypeParser: () => String, instants: new Set([0]) }
    const at = dataRow(['2024-05-06 07:08:09+00'])
    expect(readRow(shape.reader('array', plain), at)).toEqual(['2024-05-06 07:08:09+00'])
    const reader = shape.reader('array', raw)
    expect(readRow(reader, at)).toEqual([new Date('2024-05-06T07:08:09Z')])
    expect(shape.reader('array', raw)).toBe(reader)
    expect(readRow(shape.reader('array', plain), at)).toEqual(['2024-05-06 07:08:09+00'])
  })
})

describe('what does not fit its shape never becomes a value', () => {
  const text = (value: string): Buffer => Buffer.concat([int32(value.length), Buffer.from(value)])
  const SHAPE = rowDescription(['balance', 'owner'], 25)

  test.each([
    ['an empty message', message('D')],
    ['half a count', message('D', 0)],
    ['no columns', message('D', int16(0))],
    ['a column too few', message('D', int16(1), text('7'))],
    ['a column too many', message('D', int16(3), text('7'), text('me'), int32(-1))],
    ['a length that is cut off', message('D', int16(2), text('7'), Buffer.from([0, 0]))],
    ['no length for the last column', message('D', int16(2), text('7'))],
    ['a length beyond the message', message('D', int16(2), text('7'), int32(30), Buffer.from('me'))],
    ['a length beyond the message, in the first column', message('D', int16(2), int32(9), Buffer.from('7'))],
    ['the greatest length', message('D', int16(2), text('7'), int32(2 ** 31 - 1), Buffer.from('me'))],
    ['a negative length', message('D', int16(2), text('7'), int32(-2))],
    ['bytes behind the last column', message('D', int16(2), text('7'), text('me'), Buffer.from('!'))],
    [
      'bytes behind a last column that is NULL',
      message('D', int16(2), text('7'), int32(-1), Buffer.from('!')),
    ],
  ])('%s', (_, row) => {
    // The answers to other statements stand behind it in the same buffer.
    const buffer = Buffer.concat([row, dataRow(['another', 'secret'])])
    const parsed: string[] = []
    const types: TypeParsers = { getTypeParser: () => (value) => parsed.push(value) }
    for (const mode of ['object', 'array'] as const) {
      const reader = shapeOf(SHAPE).reader(mode, types)
      expect(() => reader(buffer, HEADER_BYTES, row.length)).toThrow(ProtocolError)
      expect(() => reader(row, HEADER_BYTES, row.length)).toThrow(ProtocolError)
    }
    expect(parsed.filter((value) => value !== '7' && value !== 'me')).toEqual([])
  })

  test.each(['', '-', '12.50', '1e3', ' 7', '7 ', '+7', 'NaN', '--7', 'x'])('the integer %j', (value) => {
    const types: TypeParsers = { getTypeParser: () => Number }
    expect(() => read(['x'], [value], { mode: 'array', oid: 23, types })).toThrow(ProtocolError)
  })
})

describe('a row description that is malformed is refused', () => {
  const whole = rowDescription(['id', 'name'], 25)

  test('cut at every place', () => {
    for (let end = HEADER_BYTES; end < whole.length; end++) {
      expect(() => readFields(whole, HEADER_BYTES, end)).toThrow(ProtocolError)
      expect(() => readFields(whole.subarray(0, end), HEADER_BYTES, end)).toThrow(ProtocolError)
    }
  })

  test('with more columns than it has, with trailing bytes, with a value in binary form', () => {
    const more = Buffer.from(whole)
    more.writeUInt16BE(9, HEADER_BYTES)
    const behind = Buffer.concat([whole, Buffer.from([0])])
    const binary = Buffer.from(whole)
    binary.writeUInt16BE(1, whole.length - 2)
    for (const description of [more, behind, binary]) {
      expect(() => fieldsOf(description)).toThrow(ProtocolError)
    }
    // A script may read a binary cursor.
    expect(readFields(binary, HEADER_BYTES, binary.length, 'any')).toHaveLength(2)
  })
})
