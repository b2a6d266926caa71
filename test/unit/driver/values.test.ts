import utils from 'pg/lib/utils.js'
import { expect, test } from 'vitest'
import { encodeValues } from '../../../src/driver/values.js'
import { InvalidStatementError } from '../../../src/errors.js'
import { jsonNull } from '../../../src/codecs/json-null.js'
import { sql } from '../../../src/sql.js'

test.each([
  ['a string', "it's", "it's"],
  ['an empty string', '', ''],
  ['a number', 1.5, '1.5'],
  ['zero', -0, '0'],
  ['a bigint', 2n ** 63n, '9223372036854775808'],
  ['a boolean', true, 'true'],
  ['null', null, null],
  ['undefined', undefined, null],
  ['an object', { a: [1, { b: null }] }, '{"a":[1,{"b":null}]}'],
  ['an array', [1, null, 'a"b', [true]], '{"1",NULL,"a\\"b",{"true"}}'],
  ['an empty array', [], '{}'],
])('%s is sent as node-postgres sends it', (_what, value, encoded) => {
  expect(encodeValues([value])).toEqual([encoded])
  expect(encodeValues([value])).toEqual([utils.prepareValue(value)])
})

test('a date is sent with its milliseconds and the local offset', () => {
  const date = new Date('2024-02-29T12:34:56.789Z')
  const [encoded] = encodeValues([date])
  expect(encoded).toBe(utils.prepareValue(date))
  expect(new Date(encoded as string).getTime()).toBe(date.getTime())
})

test('buffers and their views are sent as bytes', () => {
  const bytes = Uint8Array.of(0, 1, 255)
  for (const value of [Buffer.from(bytes), bytes, new DataView(bytes.buffer)]) {
    const [encoded] = encodeValues([value])
    expect(Buffer.isBuffer(encoded)).toBe(true)
    expect([...(encoded as Buffer)]).toEqual([0, 1, 255])
  }
})

test('an ArrayBuffer is sent as its bytes, also inside of an array', () => {
  const { buffer } = Uint8Array.of(1, 2, 255)
  const shared = new SharedArrayBuffer(3)
  new Uint8Array(shared).set([1, 2, 255])
  for (const value of [buffer, shared]) {
    const [encoded] = encodeValues([value])
    expect([...(encoded as Buffer)]).toEqual([1, 2, 255])
    expect(encodeValues([[value]])).toEqual(['{\\\\x0102ff}'])
  }
  const [encoded] = encodeValues([shared])
  new Uint8Array(shared)[0] = 9
  expect((encoded as Buffer)[0]).toBe(1)
})

test.each([
  ['a URL', new URL('https://example.org/a'), 'https://example.org/a'],
  ['an instant', { toJSON: () => '2026-11-29T12:00:00Z' }, '2026-11-29T12:00:00Z'],
  ['a number', { toJSON: () => 7 }, '7'],
  ["JSON's null", jsonNull, 'null'],
  ['a document', { toJSON: () => ({ a: [1] }) }, '{"a":[1]}'],
  ['what was wrapped', Object('x') as unknown, 'x'],
  ['a wrapped number', Object(1.5) as unknown, '1.5'],
  ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 }), '{"a":1}'],
  [
    'an instance',
    new (class Point {
      x = 1
    })(),
    '{"x":1}',
  ],
])('%s is sent as what it says that it is', (_what, value, expected) => {
  expect(encodeValues([value])).toEqual([expected])
  expect(encodeValues([[value]])).toEqual([`{"${expected.replaceAll('"', '\\"')}"}`])
})

test('toPostgres() counts before toJSON(), and may give nothing', () => {
  const both = { toPostgres: () => 'p', toJSON: () => 'j' }
  expect(encodeValues([both, { toPostgres: () => null }, [both, { toPostgres: () => undefined }]])).toEqual([
    'p',
    null,
    '{"p",NULL}',
  ])
})

test('toPostgres() is honoured, also when it gives another object that has it', () => {
  const point = { toPostgres: () => ({ toPostgres: () => '(1,2)' }) }
  expect(encodeValues([point])).toEqual(['(1,2)'])
})

test('values are read when they are given: what changes later is not sent', () => {
  const [list, bytes] = [[1], Buffer.of(1)]
  const encoded = encodeValues([list, bytes])
  list.push(2)
  bytes[0] = 2
  expect(encoded).toEqual(['{"1"}', Buffer.of(1)])
})

test.each([
  ['a function', () => 1, 'a function is no value'],
  ['a symbol', Symbol('x'), 'a symbol is no value'],
  ['a promise', Promise.resolve(1), 'it is a promise (an await is missing)'],
  ['an invalid date', new Date('tomorrow'), 'it is an invalid Date'],
  ['half a character', '😀'.slice(0, 1), 'it holds half a character (a lone surrogate)'],
  ['half a character in an array', ['fine', '😀'.slice(1)], 'it holds half a character (a lone surrogate)'],
  ['a Set', new Set([1]), 'it is a Set: spread it into an array ([...set])'],
  ['an empty Set', new Set(), 'it is a Set'],
  ['a Map', new Map(), 'it is a Map'],
  ['a WeakSet', new WeakSet(), 'it is an object of the class WeakSet, which has no properties to send'],
  ['an iterator', [1].values(), 'it is an iterator'],
  [
    'a generator',
    (function* () {
      yield 1
    })(),
    'it is an iterator',
  ],
  ['an iterable object', { [Symbol.iterator]: () => [1].values() }, 'it is an iterator'],
  ['an error', new TypeError('x'), 'it is an Error'],
  ['a pattern', /x/, 'it is a RegExp'],
  ['a Blob', new Blob(['x']), 'it is an object of the class Blob'],
  ['a query that was not awaited', { then: () => undefined }, 'it is a promise (an await is missing)'],
  ['a fragment', sql`now()`, 'it is a fragment of SQL: it can only be a part of a statement'],
  ['a wrapped symbol', Object(Symbol('x')) as unknown, 'a symbol is no value'],
  ['toPostgres() that gives no data', { toPostgres: () => new Set() }, 'it is a Set'],
  ['toJSON() that gives nothing', { toJSON: () => undefined }, 'its toJSON() gives nothing'],
  ['a Set in an array', [1, new Set()], 'of element [1] of the array, it is a Set'],
  ['a Map in arrays', [[1, [new Map()]]], 'of element [0] of the array, it is a Map'],
  ['a function in an array', [() => 1], 'of element [0] of the array, a function is no value'],
  [
    'a Set in a document',
    { a: [new Set()] },
    'it holds a Set: spread it into an array ([...set]) (at .a[0])',
  ],
  ['NaN in a document', { a: NaN }, 'it holds a number that is not finite (at .a)'],
  ['a document in an array', [{ a: 1n }], 'of element [0] of the array, it holds a bigint'],
  [
    'seven dimensions',
    [[[[[[[1]]]]]]],
    'it is an array of more than 6 dimensions, or one that contains itself',
  ],
])('%s is refused by its number', (_what, value, reason) => {
  expect(() => encodeValues(['fine', value])).toThrow(InvalidStatementError)
  expect(() => encodeValues(['fine', value])).toThrow(`Parameter $2 cannot be sent: ${reason}`)
})

test('an object that cannot be written as JSON is refused, with the reason as its cause', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  expect(() => encodeValues([circle])).toThrow(InvalidStatementError)
  expect(() => encodeValues([{ big: 1n }])).toThrow('Parameter $1 cannot be sent')
  const throwing = {
    toPostgres: () => {
      throw new Error('no idea')
    },
  }
  expect(() => encodeValues([throwing])).toThrow('no idea')
  const endless = { toPostgres: (): unknown => endless }
  expect(() => encodeValues([endless])).toThrow('its toPostgres() returns object after object, and no value')
  const ring: unknown[] = []
  ring.push(ring)
  expect(() => encodeValues([ring])).toThrow('or one that contains itself')
})

test('more values than the protocol can count are refused, with the remedy', () => {
  expect(encodeValues(Array<number>(65_535).fill(1))).toHaveLength(65_535)
  expect(() => encodeValues(Array<number>(65_536).fill(1))).toThrow(/65536.*unnest/)
})
