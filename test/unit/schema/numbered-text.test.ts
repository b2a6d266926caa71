import { describe, expect, test } from 'vitest'
import { fragmentOf } from '../../../src/query/placeholders.js'
import { sql } from '../../../src/sql.js'

describe('a text with numbered placeholders inside another statement', () => {
  test.each<[string, unknown[], string, unknown[]]>([
    ['select $1, $2', ['a', 'b'], 'select $2, $3', ['a', 'b']],
    ['select $2, $1, $2', ['a', 'b'], 'select $2, $3, $4', ['b', 'a', 'b']],
    ['select \'$1\', "$1", $1', ['a'], 'select \'$1\', "$1", $2', ['a']],
    ["select 'it''s $1', $1", ['a'], "select 'it''s $1', $2", ['a']],
    [String.raw`select E'it\'s $1', '\', $1`, ['a'], String.raw`select E'it\'s $1', '\', $2`, ['a']],
    ['select $$ $1 $$, $tag$ $$ $1 $tag$, $1', ['a'], 'select $$ $1 $$, $tag$ $$ $1 $tag$, $2', ['a']],
    ['select a$1, ö$1, $1 -- $1\n, $1', ['a'], 'select a$1, ö$1, $2 -- $1\n, $3', ['a', 'a']],
    ['select /* $1\n $2 */ $1::text[]', [null], 'select /* $1\n $2 */ $2::text[]', [null]],
    ['select 1', [], 'select 1', []],
  ])('keeps its values: %s', (text, values, expected, parameters) => {
    const statement = sql`${0} ${fragmentOf(text, values)}`
    expect(statement.text).toBe(`$1 ${expected}`)
    expect(statement.values).toEqual([0, ...parameters])
  })

  test('is refused when a value is missing', () => {
    expect(() => fragmentOf('select $2', [1])).toThrow('placeholder $2 and 1 values')
    expect(() => fragmentOf('select $0', [1])).toThrow('placeholder $0')
  })
})
