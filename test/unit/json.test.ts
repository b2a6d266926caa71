import { describe, expect, test } from 'vitest'
import { jsonTextOf, NoDocument } from '../../src/internal/json.js'

class Point {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}
}

class Secretive {
  readonly #hidden = 1
  get hidden(): number {
    return this.#hidden
  }
}

/** Arrays and objects in turns. */
function nested(levels: number): unknown {
  let document: unknown = 'end'
  for (let level = 0; level < levels; level++) document = level % 2 === 0 ? [document, 1] : { a: document }
  return document
}

/** As `JSON.stringify` would write {@link nested}. */
function textOfNested(levels: number): string {
  let text = '"end"'
  for (let level = 0; level < levels; level++) text = level % 2 === 0 ? `[${text},1]` : `{"a":${text}}`
  return text
}

describe('the text of a document', () => {
  const date = new Date('2026-11-29T12:00:00Z')
  test.each([
    ['plain data', { a: [1, -0, 1e21, 'x"\n\u2028', true, null], b: {}, c: [] }],
    ['what is left out', { a: undefined, b: [undefined, 1] }],
    ['a sparse array', { list: Object.assign([], { 2: 'x' }) }],
    ['a date', { date }],
    ['bytes that say themselves what they are', { bytes: Buffer.from('ab') }],
    ['a URL', { url: new URL('https://example.org/a?b=c') }],
    ['an instance', { at: new Point(1, 2), list: [new Point(3, 4)] }],
    ['toJSON', { toJSON: (key: string) => ({ key, list: [date] }) }],
    ['toJSON of a property', { a: { toJSON: (key: string) => key }, b: [{ toJSON: (key: string) => key }] }],
    [
      'what was wrapped',
      { a: Object(1) as unknown, b: Object('x') as unknown, c: [Object(false)] as unknown },
    ],
    ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['names of all kinds', { '': 1, 'a"b': 2, '7': 3, ['__proto__']: 4 }],
    ['half a character', ['\ud800']],
    ['a string', 'text'],
    ['null', null],
  ])('is that of JSON.stringify: %s', (_what, document) => {
    expect(jsonTextOf(document)).toBe(JSON.stringify(document))
    const deep = [[nested(300)], document]
    expect(jsonTextOf(deep)).toBe(JSON.stringify(deep))
  })

  test('is written for documents of any depth', () => {
    for (const levels of [199, 200, 201, 202, 1000]) {
      expect(jsonTextOf(nested(levels))).toBe(JSON.stringify(nested(levels)))
    }
    expect(jsonTextOf(nested(50_000))).toBe(textOfNested(50_000))
  })
})

describe('what is no document is refused, with its place', () => {
  const circle: Record<string, unknown> = { list: [] }
  ;(circle['list'] as unknown[]).push({ again: circle })
  test.each([
    ['a Set', { tags: new Set(['a']) }, 'a Set: spread it into an array ([...set]) (at .tags)'],
    ['an empty Set', { tags: new Set() }, 'a Set: spread it into an array ([...set]) (at .tags)'],
    ['a Map', [1, new Map()], 'a Map: give Object.fromEntries(map) or [...map] (at [1])'],
    [
      'a WeakMap',
      { a: new WeakMap() },
      'an object of the class WeakMap, which has no properties to send (at .a)',
    ],
    ['an iterator', { a: [1].values() }, 'an iterator: make an array of it (Array.from) (at .a)'],
    ['headers', { a: new Headers() }, 'an iterator: make an array of it (Array.from) (at .a)'],
    ['an error', { a: new Error('x') }, 'an Error: give its message (at .a)'],
    [
      'an error with properties',
      { a: Object.assign(new Error('x'), { code: 1 }) },
      'an Error: give its message (at .a)',
    ],
    ['a pattern', { a: /x/ }, 'a RegExp: give its source (at .a)'],
    ['a promise', { a: Promise.resolve(1) }, 'a promise (an await is missing) (at .a)'],
    ['bytes', { a: Uint8Array.of(1) }, 'bytes: give text, base64 for example (at .a)'],
    ['an ArrayBuffer', { a: new ArrayBuffer(2) }, 'bytes: give text, base64 for example (at .a)'],
    [
      'a Blob',
      { a: new Blob(['x']) },
      'an object of the class Blob, which has no properties to send (at .a)',
    ],
    [
      'private fields',
      { a: new Secretive() },
      'an object of the class Secretive, which has no properties to send (at .a)',
    ],
    ['a function', { a: { b: [() => 1] } }, 'a function (at .a.b[0])'],
    ['a symbol', [Symbol('x')], 'a symbol (at [0])'],
    ['NaN', { a: NaN }, 'a number that is not finite (at .a)'],
    [
      'Infinity',
      [[-Infinity]],
      'Infinity, which a stored number above 1.8e308 becomes when it is read: give a smaller number or a string (at [0][0])',
    ],
    ['a bigint', { a: 1n }, 'a bigint: give a number or a string (at .a)'],
    ['an invalid date', { a: new Date(NaN) }, 'an invalid Date (at .a)'],
    ['a circle', circle, 'an object that holds itself (at .list[0].again)'],
    [
      'what toJSON gives',
      { a: { toJSON: () => new Set() } },
      'a Set: spread it into an array ([...set]) (at .a)',
    ],
    ['undefined', undefined, 'undefined'],
    ['a name that may be a secret', { 'ann@example.org': NaN }, 'a number that is not finite (at [a name])'],
    [
      'a long way',
      { a: [[[[[[[[[[NaN]]]]]]]]]] },
      'a number that is not finite (at .a[0][0][0][0][0][0][0]...)',
    ],
  ])('%s', (_what, document, message) => {
    expect(() => jsonTextOf(document)).toThrow(new NoDocument(message))
  })

  test('also in great depth', () => {
    expect(() => jsonTextOf([nested(20_000), new Set()])).toThrow(NoDocument)
    let deep: unknown = new Map()
    for (let level = 0; level < 20_000; level++) deep = [deep]
    expect(() => jsonTextOf(deep)).toThrow(/^a Map.* \(at \[0\]/)
  })

  test('but not what has a form of its own in JSON', () => {
    const set = Object.assign(new Set([1]), { toJSON: () => [1] })
    expect(jsonTextOf({ set })).toBe('{"set":[1]}')
  })

  test('the same object in two places is no circle', () => {
    const shared = { date: new Date(0) }
    expect(jsonTextOf([shared, shared])).toBe(JSON.stringify([shared, shared]))
  })
})
