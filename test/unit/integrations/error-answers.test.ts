/** What a client is told of each error. */
import { expect, test } from 'vitest'
import { databaseErrorFrom } from '../../../src/database-errors.js'
import * as errors from '../../../src/errors.js'
import { ClientGoneError, errorAnswer, toResponse } from '../../../src/integrations/requests/error-answers.js'

const ofState = (code: string, more: object = {}): Error =>
  databaseErrorFrom(
    Object.assign(new Error('insert into songs values (secret)'), { code, severity: 'ERROR', ...more }),
    { statement: 'insert into songs', sessionMayWrite: true },
  )

test.each([
  ['23505', 409, 'UNIQUE_VIOLATION', undefined],
  ['23503', 409, 'FOREIGN_KEY_VIOLATION', undefined],
  ['23P01', 409, 'EXCLUSION_VIOLATION', undefined],
  ['23502', 400, 'NOT_NULL_VIOLATION', undefined],
  ['23514', 400, 'CHECK_VIOLATION', undefined],
  ['23001', 400, 'CONSTRAINT_VIOLATION', undefined],
  ['22P02', 400, 'DATA_EXCEPTION', undefined],
  ['22003', 400, 'DATA_EXCEPTION', undefined],
  ['40001', 503, 'SERIALIZATION_FAILURE', 1],
  ['40P01', 503, 'DEADLOCK', 1],
  ['55P03', 503, 'LOCK_TIMEOUT', 1],
  ['57014', 503, 'STATEMENT_TIMEOUT', 5],
  ['53300', 503, 'INSUFFICIENT_RESOURCES', 5],
  ['57P01', 503, 'SERVER_SHUTDOWN', 5],
  ['25006', 503, 'READ_ONLY_SERVER', 5],
  ['42P01', 500, 'INTERNAL_ERROR', undefined],
  ['42501', 500, 'INTERNAL_ERROR', undefined],
])('SQLSTATE %s is %i %s', (state, status, code, retryAfterSeconds) => {
  const answer = errorAnswer(ofState(state))
  expect(answer).toMatchObject({ status, code })
  expect(answer?.retryAfterSeconds).toBe(retryAfterSeconds)
  expect(JSON.stringify(answer)).not.toMatch(/songs|secret|insert/)
})

test.each([
  [new errors.NoResultError('There is no Song with this key'), 404, 'NOT_FOUND'],
  [new errors.StaleDataError('songs'), 409, 'STALE_DATA'],
  [new errors.InvalidValueError('songs.title'), 400, 'INVALID_VALUE'],
  [new errors.ConnectionLostError('db.internal:5432'), 503, 'DATABASE_UNAVAILABLE'],
  [new errors.ConnectError('db.internal', { fatal: true }), 503, 'DATABASE_UNAVAILABLE'],
  [new errors.EngineDisposedError('pool'), 503, 'SHUTTING_DOWN'],
  [new errors.CommitOutcomeUnknownError('x'), 500, 'COMMIT_OUTCOME_UNKNOWN'],
  [new errors.UnawaitedStatementError('select 1', ['select 1']), 500, 'INTERNAL_ERROR'],
  [new errors.InvalidOptionError('poolSize', 'x'), 500, 'INTERNAL_ERROR'],
  [new errors.TransactionAbortedError('x', { cause: ofState('23505') }), 409, 'UNIQUE_VIOLATION'],
  [new errors.TransactionAbortedError('x', { cause: new Error('of the user') }), 500, 'INTERNAL_ERROR'],
  [new errors.AbortedError('x', { cause: new ClientGoneError() }), 499, 'CLIENT_CLOSED_REQUEST'],
  [new errors.AbortedError('x', { cause: new DOMException('late', 'TimeoutError') }), 503, 'TIMEOUT'],
  [new errors.AbortedError('x'), 500, 'INTERNAL_ERROR'],
])('%s is %i %s', (error, status, code) => {
  const answer = errorAnswer(error)
  expect(answer).toMatchObject({ status, code })
  expect(JSON.stringify(answer)).not.toMatch(/songs|db\.internal|select/)
})

test('a write in a session that is read-only is a mistake of the service, not of its server', () => {
  const error = databaseErrorFrom(
    Object.assign(new Error('read-only'), { code: '25006', severity: 'ERROR' }),
    { sessionMayWrite: false },
  )
  expect(errorAnswer(error)).toMatchObject({ status: 500 })
})

test('an error of another library has no answer', () => {
  expect(errorAnswer(new Error('x'))).toBeUndefined()
  expect(errorAnswer(undefined)).toBeUndefined()
  expect(errorAnswer(Object.assign(new Error('x'), { code: '23505' }))).toBeUndefined()
})

test('answers are replaced by SQLSTATE, by its class, or by code; the most exact one counts', () => {
  const answers = { '23505': { message: 'Taken' }, '23': 422, STALE_DATA: { status: 412 } }
  expect(errorAnswer(ofState('23505'), answers)).toEqual({
    status: 409,
    code: 'UNIQUE_VIOLATION',
    message: 'Taken',
  })
  expect(errorAnswer(ofState('23514'), answers)).toMatchObject({ status: 422, code: 'CHECK_VIOLATION' })
  expect(errorAnswer(new errors.StaleDataError('x'), answers)).toMatchObject({ status: 412 })
})

test('the body names the status, the code and what to do; Retry-After is a header', () => {
  const answer = errorAnswer(ofState('40001'))
  expect(answer && toResponse(answer)).toEqual({
    body: {
      statusCode: 503,
      code: 'SERIALIZATION_FAILURE',
      error: 'Service Unavailable',
      message: 'The service is busy: try again later',
    },
    headers: { 'content-type': 'application/json; charset=utf-8', 'retry-after': '1' },
  })
})
