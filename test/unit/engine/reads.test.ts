import { expect, test } from 'vitest'
import { isPureRead } from '../../../src/pipeline/pure-reads.js'
import { isPlainRead } from '../../../src/pipeline/read-tracker.js'

test.each([
  'select',
  'select 1',
  ' SELECT * from songs where id = $1',
  'select count(*)::int from songs',
  'select COALESCE (max(plays), 0) from songs where id in ($1, $2) or id = any($3)',
  'with some as (select 1) select * from some where (a, b) in (values (1, 2)) and not exists (select 1)',
  'select (plays + 1) * (2) from songs',
  'table songs',
  'values (1), (2)',
])('calls no function that could write: %s', (text) => {
  expect(isPureRead(text)).toBe(true)
})

test.each([
  'select add_song()',
  'select add_song ($1)',
  'select evil.count(*) from songs',
  'select "count"(*) from songs',
  'select * from add_songs(3)',
  'select * from songs where id = add_song()',
  'select é(1)',
  'select add_song/* a comment */()',
  'select add_song--\n()',
  'select pg_advisory_lock(1)',
])('may call a function that writes: %s', (text) => {
  expect(isPlainRead(text)).toBe(true)
  expect(isPureRead(text)).toBe(false)
})

test.each([
  'insert into songs values (1)',
  'with one as (delete from songs returning id) select * from one',
  'select id into copied from songs',
  'select id from songs for share',
  "select nextval('ids')",
  'begin',
])('is no plain read: %s', (text) => {
  expect(isPlainRead(text)).toBe(false)
  expect(isPureRead(text)).toBe(false)
})
