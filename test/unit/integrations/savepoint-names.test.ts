/** Which SAVEPOINT uses the name of an open one, by the texts of a transaction. */
import { expect, test } from 'vitest'
import {
  releasedIn,
  rolledBackToIn,
  savepointIn,
  SavepointNames,
} from '../../../src/integrations/pg-pool/savepoint-names.js'

/** What is reported for these statements, one after the other. */
function reported(...texts: string[]): (string | undefined)[] {
  const names = new SavepointNames()
  return texts.map((text) => names.note(text)).filter((name) => name !== undefined)
}

test.each([
  ['side by side', ['begin', 'savepoint sp1', 'savepoint sp1'], ['sp1']],
  ['in another spelling', ['SAVEPOINT A', 'insert into songs values (1)', '/* x */ savepoint "a";'], ['a']],
  ['once for each transaction', ['savepoint a', 'savepoint a', 'savepoint a', 'commit'], ['a']],
  [
    'again in the next one',
    ['savepoint a', 'savepoint a', 'rollback', 'savepoint a', 'savepoint a'],
    ['a', 'a'],
  ],
  ['with one between them', ['savepoint a', 'savepoint b', 'savepoint a'], ['a']],
])('is reported: %s', (_when, texts, names) => {
  expect(reported(...texts)).toEqual(names)
})

test.each([
  ['after RELEASE', ['savepoint a', 'release savepoint a', 'savepoint a']],
  ['after ROLLBACK TO', ['savepoint a', 'rollback to savepoint a', 'savepoint a']],
  ['after RELEASE of one around it', ['savepoint a', 'savepoint b', 'release a', 'savepoint b']],
  [
    'in another transaction',
    ['savepoint a', 'commit', 'begin', 'savepoint a', 'end', 'savepoint a', 'abort', 'savepoint a'],
  ],
  ['of another name', ['savepoint a', 'savepoint "A"', 'savepoint a1']],
  ['for what is none', ['select 1', '', 'release nothing', 'rollback to nothing']],
])('is not reported: %s', (_when, texts) => {
  expect(reported(...texts)).toEqual([])
})

test('names are read as PostgreSQL reads them', () => {
  expect(savepointIn(' savepoint "a ""b""" ; ')).toBe('a "b"')
  expect(savepointIn('savepoints')).toBeUndefined()
  expect([releasedIn('RELEASE SAVEPOINT Foo'), releasedIn('release foo;')]).toEqual(['foo', 'foo'])
  expect(
    ['rollback to a', 'ROLLBACK WORK TO SAVEPOINT A', 'abort transaction to a'].map(rolledBackToIn),
  ).toEqual(['a', 'a', 'a'])
  expect(rolledBackToIn('rollback')).toBeUndefined()
  const commented = '/* "x" */ rollback -- to b\n to /* c */ savepoint "a--/*" /*traceparent=00*/'
  expect(rolledBackToIn(commented)).toBe('a--/*')
})
