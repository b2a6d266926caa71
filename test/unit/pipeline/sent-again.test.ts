/** Which batches may be sent again to another server, and what becomes of their operations. */
import { expect, test } from 'vitest'
import { batchOf, isUnanswered, onlyReads } from '../../../src/pipeline/in-flight-batch.js'
import { NOTHING, type Operation } from '../../../src/pipeline/operation.js'
import { operationsOf } from './operations.js'

test.each<[string, boolean]>([
  ['begin read', true],
  ['begin read commit', true],
  ['begin savepoint read', true],
  ['begin write', false],
])('%s: no caller is told before its first answer, and it only reads: %s', (words, is) => {
  const operations = operationsOf(words)
  const batch = batchOf(operations, false, 1)
  expect(onlyReads(batch)).toBe(is)
  for (const operation of operations) {
    expect(isUnanswered(batch)).toBe(true)
    operation.succeed(NOTHING)
    if (operation.kind === 'statement') break
  }
  expect(isUnanswered(batch)).toBe(false)
})

test('a step that is sent again is answered again, and a statement is not', () => {
  const [savepoint, read] = operationsOf('savepoint read') as [Operation, Operation]
  for (const operation of [savepoint, read]) {
    operation.succeed(NOTHING)
    operation.renew()
  }
  expect([savepoint.settled, read.settled]).toEqual([false, true])
  savepoint.fail(new Error('refused'))
  expect(savepoint.succeeded).toBe(false)
})
