import { expect, test } from 'vitest'
import { QueryTexts } from '../../../src/integrations/opentelemetry/query-text.js'

const shown = (text: string): string => new QueryTexts().of(text)

test.each([
  ['select * from songs where id = $1 and plays > 10', 'select * from songs where id = $1 and plays > ?'],
  ["select 'it''s secret', n'x', b'101', x'1F'", 'select ?, ?, ?, ?'],
  ["select e'a\\'secret', U&'secret'", 'select ?, ?'],
  ['select $$secret$$, $tag$ secret $$ $tag$', 'select ?, ?'],
  ['select 1.5e-3, .5, 0x1F, 1_000, -7', 'select ?, ?, ?, ?, -?'],
  ['select t1.a2, "3 \'col\'", a$4 from t1', 'select t1.a2, "3 \'col\'", a$4 from t1'],
  ['/* secret /* nested */ secret */ select -- secret\n 1', 'select \n ?'],
  ["select 'not ended secret", 'select ?'],
  ['select $$not ended secret', 'select ?'],
  ['select /* not ended secret', 'select'],
  // Where the first text ends depends on a setting of the session.
  ["select 'a\\', secret, 'b'", 'select ?'],
  ['', ''],
])('%s is shown as %s', (text, expected) => {
  expect(shown(text)).toBe(expected)
  expect(shown(text)).not.toMatch(/secret/)
})

test('a long text is cut, also inside of a literal', () => {
  const text = `select '${'secret '.repeat(5_000)}', 1`
  expect(shown(text)).toBe('select ?')
})

test('a text is read once', () => {
  const texts = new QueryTexts()
  for (let index = 0; index < 2_000; index++) expect(texts.of(`select ${index}`)).toBe('select ?')
})
