import { expect, test } from 'vitest'
import { holdsSeveral } from '../../../src/integrations/builders/several-statements.js'

test.each([
  'select 1; select 2',
  'select 1;select 2;',
  ';; select 1; /* x */ select 2',
  "select 'a''; b'; select 2",
  "select E'it\\'s; one'; select 2",
  'do $$ begin; end $$; select 2',
  'select 1 /* ; /* ; */ ; */ ; select 2',
  'select "a;b" from x; select 2',
])('%s', (text) => expect(holdsSeveral(text)).toBe(true))

test.each([
  '',
  'select 1',
  'select 1;',
  'select 1; -- done\n /* really */ ;',
  "select 'a; b'",
  "select 'it''s; one'",
  "select E'it\\'s; one'",
  'select "a; b"',
  'do $$ begin; end $$',
  'do $tag$ begin; select $$;$$; end $tag$;',
  'select 1 /* ; /* ; */ ; */',
  'select 1 -- ; select 2',
  'select a$b$c; -- no body',
  'select $1; ',
])('not: %s', (text) => expect(holdsSeveral(text)).toBe(false))

test('a text that ends early is no endless loop', () => {
  for (const text of ["select ';", 'select ";', 'select $$;', 'select /* ;', "select E';\\"])
    expect(typeof holdsSeveral(text)).toBe('boolean')
})
