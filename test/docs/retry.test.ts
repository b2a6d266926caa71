/** What docs/errors.md says about retries is what `isRetryable` says. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { databaseErrorFrom, isRetryable } from '../../src/database-errors.js'
import * as errors from '../../src/errors.js'
import { PoolQueueFullError, PoolTimeoutError } from '../../src/index.js'

const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const entries = text.split(/^### /m).slice(1)

const STATS = {} as ConstructorParameters<typeof PoolQueueFullError>[1]
const deadlock = databaseErrorFrom(Object.assign(new Error('deadlock'), { code: '40P01', severity: 'ERROR' }))
const unique = databaseErrorFrom(Object.assign(new Error('unique'), { code: '23505', severity: 'ERROR' }))

/** Errors of each code: one, or one for each answer that the entry gives. */
const SAMPLES: Readonly<Record<errors.ErrorCode, readonly Error[]>> = {
  INVALID_OPTION: [new errors.InvalidOptionError('poolSize', '')],
  INVALID_STATEMENT: [new errors.InvalidStatementError('')],
  INVALID_MAPPING: [new errors.MappingError('')],
  INVALID_VALUE: [new errors.InvalidValueError('')],
  RELATION_NOT_LOADED: [new errors.RelationNotLoadedError('')],
  ATTRIBUTE_EXPIRED: [new errors.ExpiredAttributeError('')],
  STALE_DATA: [new errors.StaleDataError('')],
  ENGINE_DISPOSED: [new errors.EngineDisposedError('')],
  CONNECT_FAILED: [
    new errors.ConnectError('', { fatal: false }),
    new errors.ConnectError('', { fatal: true }),
  ],
  POOL_TIMEOUT: [
    Object.assign(
      Object.create(PoolTimeoutError.prototype) as Error,
      new errors.LifeguardError('POOL_TIMEOUT', ''),
    ),
  ],
  POOL_QUEUE_FULL: [new PoolQueueFullError('', STATS)],
  CONNECTION_LOST: [new errors.ConnectionLostError('')],
  CONNECTION_CLOSED: [new errors.ConnectionClosedError('')],
  SESSION_CLOSED: [new errors.SessionClosedError('')],
  ILLEGAL_STATE: [new errors.IllegalStateError('')],
  TRANSACTION_ABORTED: [
    new errors.TransactionAbortedError('', { cause: deadlock }),
    new errors.TransactionAbortedError('', { cause: unique }),
  ],
  COMMIT_OUTCOME_UNKNOWN: [
    new errors.CommitOutcomeUnknownError('', { cause: new errors.ConnectionLostError('') }),
  ],
  UNAWAITED_STATEMENT: [new errors.UnawaitedStatementError('', [])],
  HOOK_FAILED: [new errors.HookError('', { cause: deadlock })],
  RESULT_UNREADABLE: [new errors.UnreadableResultError('')],
  NO_RESULT: [new errors.NoResultError('')],
  MULTIPLE_RESULTS: [new errors.MultipleResultsError('')],
  ABORTED: [new errors.AbortedError('', { cause: new errors.ConnectionLostError('') })],
  DATABASE_ERROR: [deadlock, unique],
}

test.each(Object.keys(SAMPLES))('%s begins with whether to retry, as isRetryable decides', (code) => {
  const entry = entries.find((at) => at.startsWith(`\`${code}\`\n`)) ?? ''
  const [, answer, isConditional] =
    /^`\w+`\n\n\*\*Retry: (yes|no|look first)(\.\*\*|\*\* if )/.exec(entry) ?? []
  expect(answer).toBeDefined()
  const told = SAMPLES[code as errors.ErrorCode].map((error) => isRetryable(error))
  const expected = answer === 'yes'
  expect(told).toEqual(isConditional === '.**' ? [expected] : [expected, !expected])
})

test('the table of PostgreSQL errors says yes where isRetryable does', () => {
  const rows = [...text.matchAll(/^\| `\w+Error` +\| (\w{5}) +\|.*\| +(\S.*?) +\|$/gm)]
  expect(rows.length).toBeGreaterThan(14)
  for (const [, state = '', retry = ''] of rows) {
    const code = state.replaceAll('x', '0')
    const error = databaseErrorFrom(Object.assign(new Error(state), { code, severity: 'ERROR' }))
    expect([state, isRetryable(error)]).toEqual([state, retry === '**yes**'])
  }
})
