import ts from 'typescript'
import { expect, test } from 'vitest'
import {
  docstring,
  key,
  lineComment,
  quote,
  sqlTag,
} from '../../../src/integrations/introspect/source-text.js'
import { camel, pascal, plural, singular, wordsOf } from '../../../src/integrations/introspect/words.js'
import { customLines, isGenerated, HEADER } from '../../../src/integrations/introspect/marked-places.js'

test.each([
  ['customer_id', ['customer', 'id']],
  ['customerId', ['customer', 'id']],
  ['Customer Id', ['customer', 'id']],
  ['HTMLBody2', ['html', 'body2']],
  ['__proto__', ['proto']],
  ['größe', ['größe']],
  ['*/', []],
])('the words of %s', (name, words) => {
  expect(wordsOf(name)).toEqual(words)
})

test.each([
  ['customers', 'customer'],
  ['companies', 'company'],
  ['people', 'person'],
  ['addresses', 'address'],
  ['boxes', 'box'],
  ['statuses', 'status'],
  ['song_tags', 'song_tag'],
  ['movies', 'movie'],
  ['quizzes', 'quiz'],
])('%s is the plural of %s', (many, one) => {
  expect(singular(wordsOf(many)).join('_')).toBe(one)
  expect(plural(wordsOf(one)).join('_')).toBe(many)
  expect(singular(wordsOf(one)).join('_')).toBe(one)
})

test.each(['news', 'series', 'status', 'analysis', 'bus', 'data', 'class'])('%s is no plural', (word) => {
  expect(singular([word])).toEqual([word])
})

test('words become names', () => {
  expect(camel(['order', 'line'])).toBe('orderLine')
  expect(pascal(['order', 'line'])).toBe('OrderLine')
})

test('names hold only letters that the compiler knows, however new the Unicode of Node is', () => {
  const known = (name: string): boolean =>
    [...name].every((letter) => ts.isIdentifierPart(letter.codePointAt(0) ?? 0, ts.ScriptTarget.ESNext))
  const unknown: string[] = []
  for (let code = 0; code < 0x1_0400; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const letter = String.fromCodePoint(code)
    const words = wordsOf(`x${letter}y_${letter}z_${letter}`)
    const bare = [letter, `x${letter}`].filter((name) => key(name) === name)
    for (const name of [camel(words), pascal(words), camel(plural(words)), ...bare])
      if (!known(name)) unknown.push(`${code.toString(16)}: ${name}`)
  }
  expect(unknown).toEqual([])
})

const HOSTILE = [
  "it's",
  '"double" and \'single\'',
  '\\',
  '${process.exit(1)}',
  '`backtick`',
  '*/ process.exit(1) /*',
  'two\nlines',
  'carriage\rreturn',
  '\u2028line\u2029separators',
  '// comment',
  '\0\u0001',
  '</script>',
]

test.each(HOSTILE)('%j in a string, a name and a template is text', (text) => {
  const evaluate = (source: string): unknown => (0, eval)(source)
  expect(evaluate(quote(text))).toBe(text)
  expect(Object.keys(evaluate(`({ ${key(text)}: 1 })`) as object)).toEqual([text])
  expect(evaluate(`((strings) => strings[0])${sqlTag(text).slice('sql'.length)}`)).toBe(text)
})

test.each(HOSTILE)('%j in a comment stays in it', (text) => {
  const evaluate = (source: string): unknown => (0, eval)(source)
  expect(evaluate(`${docstring(text, '').join('\n')}\n'after'`)).toBe('after')
  expect(evaluate(`${lineComment(text)}\n'after'`)).toBe('after')
})

test('code in marked places is found again, and empty places are none', () => {
  const source = [
    HEADER,
    '// #region custom file',
    "import { x } from './x.js'",
    '// #endregion custom file',
    '  // #region custom Song',
    '  get loud() { return true }',
    '',
    '  // #endregion custom Song',
    '  // #region custom Album',
    '',
    '  // #endregion custom Album',
  ].join('\r\n')
  expect(isGenerated(source)).toBe(true)
  expect(isGenerated('import x')).toBe(false)
  expect([...customLines(source)]).toEqual([
    ['file', ["import { x } from './x.js'"]],
    ['Song', ['  get loud() { return true }', '']],
  ])
  // Its lines would be lost.
  expect(() => customLines(`${source}\n// #region custom Open\ntext`)).toThrow(
    '"#region custom Open" has no "#endregion custom Open"',
  )
})
