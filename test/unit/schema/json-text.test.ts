/** Documents in their text: what is recognised, and that nothing else is. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isTextOf } from '../../../src/codecs/json-text.js'

test.each([
  '{"bpm": 60, "genre": "genre 1", "tags": ["a", "b"], "of": null, "live": true}',
  '{"a":1,"b":[1,2],"c":{}}',
  '[]',
  '[[], {}, [{}]]',
  '"text, with: marks"',
  '-1.5',
])('recognises what PostgreSQL and JSON.stringify write: %s', (text) => {
  expect(isTextOf(text, JSON.parse(text))).toBe(true)
})

test.each<[string, unknown]>([
  ['{"a": 1}', { a: 2 }],
  ['{"a": 1}', { b: 1 }],
  ['{"a": 1}', { a: 1, b: 2 }],
  ['{"a": 1, "b": 2}', { a: 1 }],
  ['{"a": 1}', {}],
  ['{"a": 1}', { a: undefined }],
  ['{"a": 1}', [1]],
  ['{}', []],
  ['{}', new Map()],
  ['{}', new Date(0)],
  ['{}', Object.create(null)],
  ['{"a": "1"}', { a: 1 }],
  ['12', 1],
  ['1', 12],
  ['1', 1n],
  ['null', undefined],
  ['[1, 2]', [1]],
  ['[1]', [1, 2]],
  ['[[1], 2]', [[1, 2]]],
  ['[1]', [[1]]],
  ['[[1]]', [1, [1]]],
  ['["a", "b"]', ['a", "b']],
  ['["a\\\\"]', ['a\\\\']],
  ['["a"]', ['a', [undefined]]],
])('is not taken in: %s', (text, value) => {
  expect(isTextOf(text, value)).toBe(false)
})

test('asks objects that say themselves what they are in JSON', () => {
  expect(isTextOf('{"a": 1}', { a: 1, toJSON: () => 2 })).toBe(false)
})

test('ends for what contains itself', () => {
  const cycle: unknown[] = []
  cycle.push(cycle)
  expect(isTextOf('[[[]]]', cycle)).toBe(false)
})

test('never takes one document for another', () => {
  const document = fc.jsonValue({
    maxDepth: 3,
    stringUnit: fc.constantFrom('a', '"', '\\', ',', ':', ' ', '1', '['),
  })
  fc.assert(
    fc.property(document, document, (one, other) => {
      const text = JSON.stringify(one)
      expect(isTextOf(text, one)).toBe(!text.includes('\\'))
      if (isTextOf(text, other)) expect(JSON.stringify(other)).toBe(text)
    }),
    { numRuns: 2_000 },
  )
})
