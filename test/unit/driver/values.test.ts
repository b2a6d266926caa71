import utils from 'pg/lib/utils.js'
import { expect, test } from 'vitest'
import { encodeValues } from '../../../src/driver/values.js'
import { InvalidStatementError } from '../../../src/errors.js'

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
})

test('more values than the protocol can count are refused, with the remedy', () => {
  expect(encodeValues(Array<number>(65_535).fill(1))).toHaveLength(65_535)
  expect(() => encodeValues(Array<number>(65_536).fill(1))).toThrow(/65536.*unnest/)
})
