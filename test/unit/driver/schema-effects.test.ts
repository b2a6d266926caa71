import { describe, expect, test } from 'vitest'
import { effectOf, tagChangesSchema } from '../../../src/driver/schema-effects.js'

const changesOf = (text: string, values: readonly string[] = []) => effectOf(text).changes?.(values)

test.each([
  ['select 1', 'none'],
  ['insert into t values ($1)', 'none'],
  ["select 'create table t ()'", 'none'],
  ['with x as (select 1) select * from x', 'none'],
  ['', 'none'],
  ['create table t (a int)', 'schema'],
  ['  -- a migration\n /* of /* two */ parts */ ALTER table t add b int', 'schema'],
  [';drop type mood', 'schema'],
  ['do $$ begin execute $q$alter table t add b int$q$; end $$', 'schema'],
  ["commit prepared 'x'", 'schema'],
  ["rollback prepared 'x'", 'schema'],
  ['import foreign schema s from server f into public', 'schema'],
  ['create temp table t (a int)', 'temporary'],
  ['CREATE LOCAL TEMPORARY TABLE t (a int)', 'temporary'],
  ['discard temp', 'discardTemporary'],
  ['discard all', 'discardAll'],
  ['discard plans', 'none'],
  ['deallocate all', 'deallocate'],
  ['COMMIT', 'end'],
  ['COMMIT AND CHAIN', 'end'],
  ['end', 'end'],
  ["prepare transaction 'x'", 'end'],
  ['ROLLBACK', 'rollback'],
  ['abort', 'rollback'],
  ['ROLLBACK TO SAVEPOINT a', 'undo'],
  ['rollback work to a', 'undo'],
  ['set search_path to a', 'settings'],
  ['set time zone utc', 'none'],
  ['set session characteristics as transaction read only', 'none'],
  ["select set_config('app.tenant', $1, true)", 'none'],
] as const)('%s: %s', (text, kind) => {
  expect(effectOf(text).kind).toBe(kind)
})

test.each([
  'BEGIN',
  'COMMIT',
  'ROLLBACK TO a',
  'savepoint a',
  'RELEASE a',
  'show search_path',
  'set search_path to a',
])('%s means the same in every schema', (text) => {
  expect(effectOf(text).schemaFree).toBe(true)
})

describe('settings by which names are resolved', () => {
  test.each([
    ['set search_path to tenant_7, public', [], 'path', 'tenant_7, public', false],
    ['SET LOCAL search_path = a;', [], 'path', 'a', true],
    ['set session "search_path" = a', [], 'path', 'a', false],
    ["set schema 'a'", [], 'path', "'a'", false],
    ['set search_path to default', [], 'path', '', false],
    ['reset search_path', [], 'path', '', false],
    ['reset all', [], 'path', '', false],
    ['set role reader', [], 'role', 'reader', false],
    ['set local role none', [], 'role', '', true],
    ['set session authorization reader', [], 'role', 'reader', false],
    ['reset role', [], 'role', '', false],
    ["select set_config('search_path', 'a', true)", [], 'path', "'a'", true],
    ['select set_config($1, $2, false)', ['search_path', 'a'], 'path', "'a'", false],
    ["select set_config('Role', $1, true)", ['reader'], 'role', "'reader'", true],
    ["select set_config('search_path', (select s from tenants), true)", [], 'path', undefined, false],
    ["select set_config(concat('search', '_path'), 'a', true)", [], 'path', undefined, false],
  ])('%s', (text, values, setting, value, local) => {
    expect(changesOf(text, values)).toEqual([{ setting, value, local }])
  })

  test('several in one statement, as BEGIN is followed by them; others are passed over', () => {
    const text = 'select set_config($1, $2, true), set_config($3, $4, true), set_config($5, $6, true)'
    expect(changesOf(text, ['statement_timeout', '5', 'search_path', 'a', 'role', 'r'])).toEqual([
      { setting: 'path', value: "'a'", local: true },
      { setting: 'role', value: "'r'", local: true },
    ])
    expect(changesOf('select set_config($1, $2, true)', ['app.tenant', '7'])).toEqual([])
  })
})

test.each([
  ['CREATE TABLE', false, true],
  ['ALTER TYPE', false, true],
  ['DROP SCHEMA', false, true],
  ['DO', false, true],
  ['COMMIT PREPARED', false, true],
  ['IMPORT FOREIGN SCHEMA', false, true],
  ['SELECT 5', false, true],
  ['SELECT 5', true, false],
  ['COMMIT', false, false],
  ['INSERT 0 1', false, false],
  ['DELETE 3', false, false],
  ['DISCARD TEMP', false, false],
])('tag %s, with rows: %s', (tag, returnsRows, changes) => {
  expect(tagChangesSchema(tag, returnsRows)).toBe(changes)
})
