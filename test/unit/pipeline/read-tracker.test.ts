/** Whether a transaction has only read: by PostgreSQL's tags, and by the texts. */
import { expect, test } from 'vitest'
import { NOTHING } from '../../../src/pipeline/operation.js'
import { mayEndTransaction, mayStore, ReadTracker } from '../../../src/pipeline/read-tracker.js'
import { operationOf } from './operations.js'

const answered = (command: string): typeof NOTHING => ({ ...NOTHING, command })

function tracked(words: readonly (readonly [word: string, command: string])[]): ReadTracker {
  const reads = new ReadTracker()
  for (const [word, command] of words) reads.note(operationOf(word), answered(command))
  return reads
}

test.each<[words: [word: string, command: string][], only: boolean, pure: boolean]>([
  [[], true, true],
  [[['read', 'SELECT']], true, true],
  [[['read', 'SHOW']], true, true],
  [
    [
      ['read', 'FETCH'],
      ['read', 'EXPLAIN'],
      ['read', ''],
    ],
    true,
    true,
  ],
  // PostgreSQL calls it a read, whatever the function does.
  [[['call', 'SELECT']], true, false],
  [
    [
      ['read', 'SELECT'],
      ['call', 'SELECT'],
    ],
    true,
    false,
  ],
  [[['write', 'INSERT']], false, false],
  [
    [
      ['read', 'SELECT'],
      ['write', 'INSERT'],
      ['read', 'SELECT'],
    ],
    false,
    false,
  ],
  // A tag that is not known stores, for all that is known.
  [[['read', 'NEW COMMAND']], false, false],
  [[['copy', '']], false, false],
  // Steps and the ends of transactions say nothing.
  [
    [
      ['begin', 'BEGIN'],
      ['savepoint', 'SAVEPOINT'],
      ['undo', 'ROLLBACK'],
      ['read', 'SELECT'],
    ],
    true,
    true,
  ],
])('%j: only reads %s, pure %s', (words, only, pure) => {
  const reads = tracked(words)
  expect([reads.only, reads.pure]).toEqual([only, pure])
  reads.clear()
  expect([reads.only, reads.pure]).toEqual([true, true])
})

test('what has read too often ends as if it had written', () => {
  const many = (count: number): ReadTracker =>
    tracked(Array.from({ length: count }, () => ['read', 'SELECT'] as const))
  expect(many(32).pure).toBe(true)
  expect([many(33).only, many(33).pure, many(100).pure]).toEqual([true, false, false])
})

test.each<[word: string, command: string, stores: boolean]>([
  ['read', 'SELECT', false],
  ['call', 'SELECT', true],
  ['read', 'INSERT', true],
  ['copy', 'SELECT', true],
  ['commit', '', true],
])('%s that is answered with %s may store: %s', (word, command, stores) => {
  expect(mayStore(operationOf(word), answered(command))).toBe(stores)
})

test.each<[script: string, ends: boolean]>([
  ['insert into songs values (1)', false],
  ['select 1; COMMIT', true],
  ['end', true],
  ["prepare transaction 'x'", true],
  ['rollback to s1', true],
  ['abort;', true],
  ['select committed from pending', false],
  // Taken for one as well: never the other way round.
  ['select case when true then 1 end', true],
])('%s may end the transaction: %s', (script, ends) => {
  expect(mayEndTransaction(script)).toBe(ends)
})
