import { inspect } from 'node:util'
import { StandbyWaitEnded } from '../../src/driver/driver.js'
import { describe, expect, test } from 'vitest'
import {
  CheckViolationError,
  DataError,
  DatabaseError,
  DeadlockError,
  ExclusionViolationError,
  ForeignKeyViolationError,
  InsufficientPrivilegeError,
  IntegrityError,
  InvalidTextRepresentationError,
  LockTimeoutError,
  NotNullViolationError,
  QueryCanceledError,
  ReadOnlyError,
  SerializationFailureError,
  type ServerErrorFields,
  SqlSyntaxError,
  StatementTimeoutError,
  UndefinedColumnError,
  UndefinedTableError,
  UniqueViolationError,
  databaseErrorFrom,
  isDisconnect,
  isRetryable,
  isTimeout,
} from '../../src/database-errors.js'
import {
  AbortedError,
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  HookError,
  LifeguardError,
  SessionClosedError,
  TransactionAbortedError,
} from '../../src/errors.js'

/** An ErrorResponse as node-postgres hands it on. */
function serverError(
  code: string,
  message = 'refused',
  fields: ServerErrorFields = {},
): Error & ServerErrorFields {
  return Object.assign(new Error(message), { code, severity: 'ERROR', ...fields })
}

function socketError(code: string): Error {
  return Object.assign(new Error(`read ${code}`), { code })
}

const TIMEOUT = 'canceling statement due to statement timeout'

describe('the class of an error', () => {
  test.each([
    ['22P02', InvalidTextRepresentationError],
    ['22003', DataError],
    ['23502', NotNullViolationError],
    ['23503', ForeignKeyViolationError],
    ['23505', UniqueViolationError],
    ['23514', CheckViolationError],
    ['23P01', ExclusionViolationError],
    ['23001', IntegrityError],
    ['25006', ReadOnlyError],
    ['40001', SerializationFailureError],
    ['40P01', DeadlockError],
    ['42501', InsufficientPrivilegeError],
    ['42601', SqlSyntaxError],
    ['42703', UndefinedColumnError],
    ['42P01', UndefinedTableError],
    ['55P03', LockTimeoutError],
    ['57014', QueryCanceledError],
    ['P0001', DatabaseError],
    ['XX000', DatabaseError],
  ])('of %s', (sqlState, Class) => {
    const error = databaseErrorFrom(serverError(sqlState))
    expect(error.constructor).toBe(Class)
    expect(error).toBeInstanceOf(Class)
    expect(error).toBeInstanceOf(DatabaseError)
    expect(error).toBeInstanceOf(LifeguardError)
    expect(error).toMatchObject({ name: Class.name, code: 'DATABASE_ERROR', sqlState })
  })

  test('of 57014 is told by the message: a timeout is also a cancel, a cancel no timeout', () => {
    expect(databaseErrorFrom(serverError('57014', TIMEOUT))).toBeInstanceOf(StatementTimeoutError)
    expect(databaseErrorFrom(serverError('57014', TIMEOUT))).toBeInstanceOf(QueryCanceledError)
    const canceled = databaseErrorFrom(serverError('57014', 'canceling statement due to user request'))
    expect(canceled).not.toBeInstanceOf(StatementTimeoutError)
  })

  test('says what a violation has in common with the others of its kind', () => {
    const error = databaseErrorFrom(serverError('23505'))
    expect(error).toBeInstanceOf(IntegrityError)
    expect(error).not.toBeInstanceOf(NotNullViolationError)
    expect(databaseErrorFrom(serverError('22P02'))).toBeInstanceOf(DataError)
  })
})

describe('what an error holds', () => {
  const cause = serverError('23505', 'duplicate key value violates unique constraint "songs_title_key"', {
    detail: 'Key (title)=(Waterloo) already exists.',
    hint: 'a hint',
    schema: 'public',
    table: 'songs',
    column: 'title',
    dataType: 'text',
    constraint: 'songs_title_key',
    position: '7',
    routine: '_bt_check_unique',
  })
  const statement = 'insert into songs (title) values ($1)'

  test("is everything the server said, the statement, and node-postgres's error as the cause", () => {
    const error = databaseErrorFrom(cause, { statement })
    expect(error).toMatchObject({
      message: cause.message,
      sqlState: '23505',
      severity: 'ERROR',
      detail: 'Key (title)=(Waterloo) already exists.',
      hint: 'a hint',
      schema: 'public',
      table: 'songs',
      column: 'title',
      dataType: 'text',
      constraint: 'songs_title_key',
      position: 7,
      routine: '_bt_check_unique',
      statement,
    })
    expect(error.cause).toBe(cause)
  })

  test('is only what the server said: nothing undefined is printed', () => {
    expect(inspect(databaseErrorFrom(serverError('40001')))).not.toContain('undefined')
  })

  test('leaves out values with hideParameters, also those that PostgreSQL quotes', () => {
    const hidden = databaseErrorFrom(cause, { statement, hideParameters: true })
    expect(hidden).toMatchObject({ message: cause.message, constraint: 'songs_title_key', statement })
    expect(inspect(hidden)).not.toContain('Waterloo')

    const text = 'invalid input syntax for type uuid: "my "secret""'
    const data = databaseErrorFrom(serverError('22P02', text), { hideParameters: true })
    expect(data.message).toBe('invalid input syntax for type uuid: "(hidden)"')
    expect(inspect(data)).not.toContain('secret')
    expect(databaseErrorFrom(serverError('22P02', text)).message).toBe(text)
  })

  test('is a stack that leads to the awaiting caller, and does not start in this library', async () => {
    async function statementOfTheUser(): Promise<never> {
      await Promise.resolve()
      throw databaseErrorFrom(cause)
    }
    async function handlerOfTheUser(): Promise<void> {
      await statementOfTheUser()
    }
    const error: unknown = await handlerOfTheUser().catch((caught: unknown) => caught)
    const [, first, ...rest] = String((error as Error).stack).split('\n')
    expect(first).toContain('statementOfTheUser')
    expect(rest.join('\n')).toContain('handlerOfTheUser')
  })
})

describe('isDisconnect', () => {
  test.each(['08000', '08003', '08006', '08P01', '25P03', '25P04', '57P01', '57P02', '57P03', '57P05'])(
    'is true for %s that ended the session, raw and wrapped',
    (sqlState) => {
      const error = serverError(sqlState, 'the end', { severity: 'FATAL' })
      expect(isDisconnect(error)).toBe(true)
      expect(isDisconnect(databaseErrorFrom(error))).toBe(true)
    },
  )

  test('is true for a server that has become read-only, whose session goes on', () => {
    expect(isDisconnect(serverError('25006'))).toBe(true)
    expect(isDisconnect(databaseErrorFrom(serverError('25006')))).toBe(true)
  })

  test('knows the end of a session whose server speaks another language', () => {
    expect(isDisconnect(serverError('57P01', 'завершение', { severity: 'ВАЖНО' }))).toBe(true)
    expect(isDisconnect(serverError('08P01', 'не то число', { severity: 'ОШИБКА' }))).toBe(false)
  })

  // 08P01: too few values for a statement; 08001: a foreign server out of reach; 57P01: raised by a function.
  test.each([
    '08P01',
    '08001',
    '08006',
    '57P01',
    '40001',
    '40P01',
    '23505',
    '25P02',
    '53300',
    '55P03',
    '26000',
  ])('is false for the ERROR %s, after which the session goes on', (sqlState) => {
    expect(isDisconnect(serverError(sqlState))).toBe(false)
    expect(isDisconnect(databaseErrorFrom(serverError(sqlState)))).toBe(false)
  })

  test('is true for whatever ended the session, but never for a cancelled statement', () => {
    expect(isDisconnect(serverError('XX000', 'broken', { severity: 'FATAL' }))).toBe(true)
    expect(isDisconnect(databaseErrorFrom(serverError('XX000', 'broken', { severity: 'PANIC' })))).toBe(true)
    expect(isDisconnect(serverError('57014', 'canceling', { severity: 'FATAL' }))).toBe(false)
  })

  test.each([
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'ECONNREFUSED',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ERR_STREAM_DESTROYED',
  ])('is true for a socket that failed with %s', (code) => expect(isDisconnect(socketError(code))).toBe(true))

  test('is true for TLS that broke', () => {
    expect(isDisconnect(socketError('ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC'))).toBe(true)
  })

  test.each([
    'Connection terminated',
    'Connection terminated unexpectedly',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
    'Query read timeout',
  ])("is true for node-postgres's %j", (message) => expect(isDisconnect(new Error(message))).toBe(true))

  test('is true for a lost connection, whatever the cause, and through the errors around it', () => {
    const lost = new ConnectionLostError('lost')
    expect(isDisconnect(lost)).toBe(true)
    expect(isDisconnect(new CommitOutcomeUnknownError('unknown'))).toBe(true)
    const cause = new StandbyWaitEnded('canceling wait for synchronous replication')
    expect(isDisconnect(new CommitOutcomeUnknownError('unknown', { cause }))).toBe(false)
    expect(isDisconnect(new TransactionAbortedError('aborted', { cause: lost }))).toBe(true)
    expect(isDisconnect(new Error('of the user', { cause: socketError('EPIPE') }))).toBe(true)
  })

  test('is false for an attempt to connect and for an aborted call: they say nothing about a connection', () => {
    const cause = socketError('ECONNRESET')
    expect(isDisconnect(new ConnectError('failed', { fatal: false }, { cause }))).toBe(false)
    expect(isDisconnect(new AbortedError('aborted', { cause }))).toBe(false)
  })

  test.each([
    undefined,
    null,
    'ECONNRESET',
    { code: '57P01' },
    new Error('of the user'),
    socketError('ENOENT'),
  ])('is false for %j', (value) => expect(isDisconnect(value)).toBe(false))
})

describe('isRetryable', () => {
  test.each([
    ['40001', 'ERROR'],
    ['40P01', 'ERROR'],
    ['57P01', 'FATAL'],
    ['08006', 'FATAL'],
    ['25P03', 'FATAL'],
  ])('is true for %s (%s)', (sqlState, severity) => {
    const error = serverError(sqlState, 'failed', { severity })
    expect(isRetryable(databaseErrorFrom(error))).toBe(true)
    expect(isRetryable(error)).toBe(true)
  })

  test('is true for 25006 where the session may write', () => {
    const refused = (sessionMayWrite: boolean) => databaseErrorFrom(serverError('25006'), { sessionMayWrite })
    expect(isRetryable(refused(true))).toBe(true)
    expect(isRetryable(new TransactionAbortedError('later', { cause: refused(true) }))).toBe(true)
    expect(isRetryable(refused(false))).toBe(false)
  })

  test.each(['23505', '57014', '55P03', '25006', '42P01', '22P02'])('is false for %s', (sqlState) => {
    expect(isRetryable(databaseErrorFrom(serverError(sqlState)))).toBe(false)
  })

  test('is true for a connection lost before COMMIT, and for a connect that may work later', () => {
    expect(isRetryable(new ConnectionLostError('lost'))).toBe(true)
    expect(isRetryable(new ConnectError('refused', { fatal: false }))).toBe(true)
    expect(isRetryable(new ConnectError('password', { fatal: true }))).toBe(false)
  })

  test('of an aborted transaction, or of an error of the user, is that of its cause', () => {
    const deadlock = databaseErrorFrom(serverError('40P01'))
    const unique = databaseErrorFrom(serverError('23505'))
    expect(isRetryable(new TransactionAbortedError('aborted', { cause: deadlock }))).toBe(true)
    expect(isRetryable(new TransactionAbortedError('aborted', { cause: unique }))).toBe(false)
    expect(isRetryable(new Error('while saving', { cause: deadlock }))).toBe(true)
  })

  test('is false when something may be stored already, whatever the cause', () => {
    const cause = new ConnectionLostError('lost')
    expect(isRetryable(new CommitOutcomeUnknownError('unknown', { cause }))).toBe(false)
    expect(isRetryable(new HookError('hook', { cause }))).toBe(false)
  })

  test('is false for every other error of this library, whatever the cause', () => {
    const cause = new ConnectionLostError('lost')
    expect(isRetryable(new AbortedError('aborted', { cause }))).toBe(false)
    expect(isRetryable(new SessionClosedError('closed', { cause }))).toBe(false)
    expect(isRetryable(new LifeguardError('POOL_TIMEOUT', 'timeout', { cause }))).toBe(false)
  })

  test("is false for a socket that is not ours, such as a failed fetch in the user's code", () => {
    expect(isRetryable(socketError('ECONNRESET'))).toBe(false)
    expect(isRetryable(new Error('fetch failed', { cause: socketError('ECONNREFUSED') }))).toBe(false)
  })

  test('ends on causes that go in a circle', () => {
    const circle: Error = new Error('round')
    circle.cause = new Error('and round', { cause: circle })
    expect(isRetryable(circle)).toBe(false)
  })
})

describe('isTimeout', () => {
  test('is true for statement, lock, idle and transaction timeouts', () => {
    expect(isTimeout(databaseErrorFrom(serverError('57014', TIMEOUT)))).toBe(true)
    expect(isTimeout(serverError('57014', TIMEOUT))).toBe(true)
    expect(
      isTimeout(databaseErrorFrom(serverError('55P03', 'canceling statement due to lock timeout'))),
    ).toBe(true)
    for (const sqlState of ['25P03', '25P04', '57P05']) expect(isTimeout(serverError(sqlState))).toBe(true)
  })

  test('is false for a cancel, and for NOWAIT', () => {
    expect(
      isTimeout(databaseErrorFrom(serverError('57014', 'canceling statement due to user request'))),
    ).toBe(false)
    expect(isTimeout(serverError('55P03', 'could not obtain lock on row in relation "songs"'))).toBe(false)
    expect(isTimeout(databaseErrorFrom(serverError('23505')))).toBe(false)
  })

  test('is true for the pool, the socket, the connect, and deadlines of the caller', () => {
    const timeout = new DOMException('The operation was aborted due to timeout', 'TimeoutError')
    expect(isTimeout(new LifeguardError('POOL_TIMEOUT', 'no connection'))).toBe(true)
    expect(isTimeout(socketError('ETIMEDOUT'))).toBe(true)
    expect(isTimeout(new Error('Query read timeout'))).toBe(true)
    expect(isTimeout(new ConnectError('timed out', { fatal: false }, { cause: timeout }))).toBe(true)
    expect(isTimeout(new AbortedError('aborted', { cause: timeout }))).toBe(true)
  })

  test.each([undefined, 'timeout', new AbortedError('aborted'), new Error('of the user')])(
    'is false for %j',
    (value) => expect(isTimeout(value)).toBe(false),
  )
})
