import { describe, expect, test } from 'vitest'
import { isPureRead } from '../../../src/pipeline/pure-reads.js'

describe('a pure read', () => {
  test.each([
    'select 1',
    '  SELECT id, title FROM songs WHERE id = $1',
    'select count(*) filter (where n > 1) over (partition by a) from songs',
    'with a as (select 1), b as materialized (select 2) select * from a, b',
    `select 'insert into x; pg_notify(1)' as "update", "delete" from "into" where a in ('(', ')')`,
    '-- update it\nselect lower(title) /* nextval(x) */ from songs',
    'select * from unnest($1::int[]) with ordinality as "k"("id", n)',
    'select * from jsonb_to_recordset($1) as t(a int, b numeric(10, 2))',
    'select pg_catalog.lower(x), coalesce(a, b), extract(epoch from now()) from t',
    'select * from (values (1), (2)) as v(n) where exists (select from t where t.n = any(array[v.n]))',
    '(select 1) union all (select 2)',
    'show transaction_isolation',
    'table songs',
    'values (1)',
    'select pg_backend_pid()',
    `select e'plain', b'1', interval '1 day'`,
  ])('%s', (text) => {
    expect(isPureRead(text)).toBe(true)
  })
})

describe('no pure read', () => {
  test.each([
    `select pg_notify('a', 'b')`,
    `select PG_NOTIFY ('a', 'b')`,
    `select "pg_notify"('a', 'b')`,
    `select pg_catalog.pg_notify('a', 'b')`,
    'select lo_create(0)',
    `select lo_from_bytea(0, '')`,
    'select setval($1, 1), nextval($1)',
    `select set_config('a.b', 'c', false)`,
    'select pg_advisory_lock(1)',
    `select dblink_exec('delete from t')`,
    'select my_function()',
    `select log('PostgreSQL has one for numbers')`,
    'select my_schema.lower(title) from songs',
    'select /* a comment */ mine/* in between */ (1)',
    'select mine -- line\n (1)',
    'select * from songs for update',
    'select * from songs for no key update',
    'select * from songs for key share',
    'with gone as (delete from songs returning *) select * from gone',
    'select * into copy from songs',
    'insert into songs default values returning id',
    'explain analyze select mine()',
    'execute prepared',
    'fetch all from c',
    'call p()',
    'listen a',
    `select $$ it's $$, mine()`,
    `select $a1$ ' $a1$, mine('x'), $b1$ ' $b1$`,
    'select $tag$ (select) $tag$',
    `select e'\\'', mine()`,
    `select /* outer /* inner */ mine() */ 1`,
    `select 'unterminated`,
    '',
  ])('%s', (text) => {
    expect(isPureRead(text)).toBe(false)
  })
})

test('a long text is read in time that grows with its length', () => {
  const text = `select ${Array.from({ length: 100_000 }, (_, n) => `lower('${n}')`).join(', ')}`
  expect(isPureRead(text)).toBe(true)
  expect(isPureRead(`select ${'('.repeat(200_000)}`)).toBe(true)
  expect(isPureRead(`select ${'a'.repeat(200_000)} (`)).toBe(false)
  expect(isPureRead(`select ${'a'.repeat(200_000)}`)).toBe(true)
  expect(isPureRead(`${' '.repeat(200_000)}mine`)).toBe(false)
  expect(isPureRead(`select ${'as '.repeat(100_000)}`)).toBe(true)
})
