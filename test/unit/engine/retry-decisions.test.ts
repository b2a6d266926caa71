/** What is run again: as a table of errors, and of what else is known. */
import { expect, test } from 'vitest'
import {
  DeadlockError,
  SerializationFailureError,
  UniqueViolationError,
} from '../../../src/database-errors.js'
import { checkRetry, runWithRetry } from '../../../src/engine/retry.js'
import {
  AbortedError,
  CommitOutcomeUnknownError,
  ConnectionLostError,
  InvalidOptionError,
  StaleDataError,
  TransactionAbortedError,
} from '../../../src/errors.js'
import { ManualClock } from '../pool/manual-clock.js'

const failed = (cause: unknown): TransactionAbortedError => new TransactionAbortedError('aborted', { cause })

const TABLE: readonly (readonly [what: string, error: unknown, again: boolean])[] = [
  ['a serialization failure', new SerializationFailureError('x', { code: '40001' }, {}), true],
  ['a deadlock', new DeadlockError('x', { code: '40P01' }, {}), true],
  ['stale data', new StaleDataError('x'), true],
  ['a loss before COMMIT', new ConnectionLostError('x'), true],
  ['a COMMIT of which nothing is known', new CommitOutcomeUnknownError('x', { cause: undefined }), false],
  ['a unique value', new UniqueViolationError('x', { code: '23505' }, {}), false],
  ['an abort', new AbortedError('x'), false],
  ['a mistake of the block', new TypeError('x'), false],
  // An aborted transaction is as good as its cause.
  ['what a loss has aborted', failed(new ConnectionLostError('x')), true],
  ['what a mistake has aborted', failed(new TypeError('x')), false],
  ['what is no error', 'x', false],
]

async function runs(error: unknown, given: { attempts?: number; hasStored?: boolean } = {}): Promise<number> {
  const clock = new ManualClock()
  let count = 0
  const retry = { attempts: given.attempts ?? 3, backoff: () => 5 }
  const done = runWithRetry(
    retry,
    clock,
    undefined,
    () => {
      count++
      throw error
    },
    { hasStored: () => given.hasStored === true },
  ).catch((thrown: unknown) => expect(thrown).toBe(error))
  await clock.advance(1_000)
  await done
  expect(clock.timers.all).toBe(0)
  return count
}

test.each(TABLE)('%s is run again: %s %s', async (_what, error, again) => {
  expect(await runs(error)).toBe(again ? 3 : 1)
  expect(await runs(error, { attempts: 1 })).toBe(1)
  // To run it again would store that twice.
  expect(await runs(error, { hasStored: true })).toBe(1)
})

test('the backoff is asked with the attempt that failed, and waits as long as it says', async () => {
  const clock = new ManualClock()
  const [asked, at]: [number[], number[]] = [[], []]
  const backoff = (attempt: number): number => {
    asked.push(attempt)
    return attempt * 100
  }
  const done = runWithRetry({ attempts: 3, backoff }, clock, undefined, () => {
    at.push(clock.now() - 1_000)
    return at.length < 3 ? Promise.reject(new ConnectionLostError('x')) : Promise.resolve('value')
  })
  await clock.advance(299)
  expect(at).toEqual([0, 100])
  await clock.advance(1)
  expect([asked, at, await done]).toEqual([[1, 2], [0, 100, 300], 'value'])
})

test('an abort ends the pause at once, and leaves no timer', async () => {
  const clock = new ManualClock()
  const abort = new AbortController()
  const done = runWithRetry({ attempts: 3, backoff: () => 100 }, clock, abort.signal, () =>
    Promise.reject(new ConnectionLostError('x')),
  )
  const ended = expect(done).rejects.toMatchObject({ name: 'AbortError', cause: 'enough' })
  await clock.advance(50)
  abort.abort('enough')
  await ended
  expect(clock.timers.all).toBe(0)
})

test.each([-1, NaN, Infinity, '5', undefined])('a backoff of %s is refused', async (millis) => {
  const clock = new ManualClock()
  const retry = { attempts: 2, backoff: () => millis as number }
  const done = runWithRetry(retry, clock, undefined, () => Promise.reject(new ConnectionLostError('x')))
  await expect(done).rejects.toThrow(InvalidOptionError)
})

test.each<[retry: unknown, message: string]>([
  [5, 'retry'],
  [{}, 'retry.attempts'],
  [{ attempts: 0 }, 'retry.attempts'],
  [{ attempts: 1.5 }, 'retry.attempts'],
  [{ attempts: 2, backoff: 5 }, 'retry.backoff'],
  [{ attempts: 2, backOff: () => 5 }, "did you mean 'backoff'"],
])('%j is refused', (retry, message) => {
  expect(() => checkRetry(retry as never)).toThrow(InvalidOptionError)
  expect(() => checkRetry(retry as never)).toThrow(message)
})
