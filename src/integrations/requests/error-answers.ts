/**
 * The HTTP answer to an error of Lifeguard: a status, a stable code and a sentence.
 *
 * 1. No answer contains SQL, values, names of tables or hosts: those are for the log.
 * 2. Errors of other libraries have no answer here; the application handles them.
 */
import {
  ConnectError,
  DatabaseError,
  InvalidOptionError,
  isTimeout,
  LifeguardError,
  ReadOnlyError,
  type ErrorCode,
} from '../../index.js'

/** The answer to one error. */
export interface ErrorAnswer {
  /** Status of the response. */
  readonly status: number
  /** Stable name of what happened, for programs: `UNIQUE_VIOLATION`, `POOL_TIMEOUT`, ... */
  readonly code: string
  /** One sentence for people. */
  readonly message: string
  /** Whole seconds for `Retry-After`; undefined: no such header. */
  readonly retryAfterSeconds?: number | undefined
}

/**
 * Replaces answers, by SQLSTATE (`'23505'`), by class of SQLSTATE (`'23'`), or by code of Lifeguard (`'NO_RESULT'`). A number
 * is a status; an object replaces the parts that it names.
 */
export type ErrorAnswers = Readonly<Record<string, number | Partial<ErrorAnswer>>>

/** The body of an answer to an error. */
export interface ErrorBody {
  readonly statusCode: number
  readonly code: string
  /** The name of the status. */
  readonly error: string
  readonly message: string
}

const SHORTLY = 1
const LATER = 5

const INTERNAL: ErrorAnswer = { status: 500, code: 'INTERNAL_ERROR', message: 'The request failed' }

const BY_SQL_STATE: Readonly<Record<string, ErrorAnswer>> = {
  '22': { status: 400, code: 'DATA_EXCEPTION', message: 'A value has the wrong form, or is out of range' },
  '23': { status: 400, code: 'CONSTRAINT_VIOLATION', message: 'A value is not allowed' },
  '23502': { status: 400, code: 'NOT_NULL_VIOLATION', message: 'A required value is missing' },
  '23503': {
    status: 409,
    code: 'FOREIGN_KEY_VIOLATION',
    message: 'The record refers to one that does not exist, or is still referred to',
  },
  '23505': { status: 409, code: 'UNIQUE_VIOLATION', message: 'There is already a record with this value' },
  '23514': { status: 400, code: 'CHECK_VIOLATION', message: 'A value is not allowed' },
  '23P01': { status: 409, code: 'EXCLUSION_VIOLATION', message: 'The record conflicts with another one' },
  '40001': busy('SERIALIZATION_FAILURE', SHORTLY),
  '40P01': busy('DEADLOCK', SHORTLY),
  '53': busy('INSUFFICIENT_RESOURCES', LATER),
  '55P03': busy('LOCK_TIMEOUT', SHORTLY),
  '57014': busy('STATEMENT_TIMEOUT', LATER),
  '57P': unavailable('SERVER_SHUTDOWN'),
}

const BY_CODE: Partial<Readonly<Record<ErrorCode, ErrorAnswer>>> = {
  INVALID_VALUE: { status: 400, code: 'INVALID_VALUE', message: 'A value cannot be stored' },
  NO_RESULT: { status: 404, code: 'NOT_FOUND', message: 'There is no such record' },
  STALE_DATA: {
    status: 409,
    code: 'STALE_DATA',
    message: 'The record was changed or deleted in the meantime: read it again',
  },
  POOL_TIMEOUT: busy('POOL_TIMEOUT', LATER),
  POOL_QUEUE_FULL: busy('POOL_QUEUE_FULL', LATER),
  CONNECT_FAILED: unavailable('DATABASE_UNAVAILABLE'),
  CONNECTION_LOST: unavailable('DATABASE_UNAVAILABLE'),
  ENGINE_DISPOSED: unavailable('SHUTTING_DOWN'),
  COMMIT_OUTCOME_UNKNOWN: {
    status: 500,
    code: 'COMMIT_OUTCOME_UNKNOWN',
    message: 'It is not known whether the change was stored: look before you repeat it',
  },
}

/** Why a session of a request is called off: the client has closed the connection. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'

  constructor() {
    super('The client closed the connection before it was answered')
  }
}

/**
 * Refuses answers that would never be given.
 * @throws InvalidOptionError
 */
export function checkAnswers(answers: unknown): void {
  // `false` leaves the errors to the application, in some frameworks.
  if (answers === undefined || answers === false) return
  const example =
    "errors takes answers by SQLSTATE or code: { '23505': 422, NO_RESULT: { message: 'Not here' } }"
  if (typeof answers !== 'object' || answers === null) throw new InvalidOptionError('errors', example)
  for (const [key, answer] of Object.entries(answers)) {
    const [state] = Object.entries(BY_SQL_STATE).find(([, { code }]) => code === key) ?? []
    if (state !== undefined)
      throw new InvalidOptionError(
        'errors',
        `errors: ${key} is the code of an answer; write '${state}', its SQLSTATE`,
      )
    if (!/^(?:[0-9A-Z]{2,3}|[0-9A-Z]{5}|ABORTED|[A-Z]+(?:_[A-Z]+)+)$/.test(key))
      throw new InvalidOptionError('errors', `errors: '${key}' is neither a SQLSTATE nor a code. ${example}`)
    if (typeof answer !== 'number' && (typeof answer !== 'object' || answer === null))
      throw new InvalidOptionError(
        'errors',
        `errors: the answer to ${key} must be a status or an object. ${example}`,
      )
  }
}

/** Undefined for an error that is not Lifeguard's. */
export function errorAnswer(error: unknown, answers: ErrorAnswers = {}): ErrorAnswer | undefined {
  if (!(error instanceof LifeguardError)) return undefined
  // An aborted transaction is answered as the failure that aborted it.
  const { code, cause } = error
  if (code === 'TRANSACTION_ABORTED' && cause instanceof LifeguardError) return errorAnswer(cause, answers)
  const usual = usualAnswer(error)
  const other = keysOf(error)
    .map((key) => answers[key])
    .find((answer) => answer !== undefined)
  return { ...usual, ...(typeof other === 'number' ? { status: other } : other) }
}

/** The body and the headers of an answer. */
export function toResponse({ status, code, message, retryAfterSeconds }: ErrorAnswer): {
  readonly body: ErrorBody
  readonly headers: Readonly<Record<string, string>>
} {
  const body = { statusCode: status, code, error: STATUS_NAMES[status] ?? 'Error', message }
  const headers: Record<string, string> = { 'content-type': 'application/json; charset=utf-8' }
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds)
  return { body, headers }
}

const STATUS_NAMES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  409: 'Conflict',
  412: 'Precondition Failed',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  499: 'Client Closed Request',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

function usualAnswer(error: LifeguardError): ErrorAnswer {
  if (error.code === 'ABORTED') return abortAnswer(error)
  if (error instanceof ReadOnlyError)
    return error.sessionMayWrite ? unavailable('READ_ONLY_SERVER') : INTERNAL
  const bySqlState = error instanceof DatabaseError ? keysOf(error).map((key) => BY_SQL_STATE[key]) : []
  return bySqlState.find((answer) => answer !== undefined) ?? BY_CODE[error.code] ?? INTERNAL
}

/** The most exact key first. */
function keysOf(error: LifeguardError): readonly string[] {
  const sqlState =
    error instanceof DatabaseError || error instanceof ConnectError ? error.sqlState : undefined
  if (sqlState === undefined) return [error.code]
  return [sqlState, sqlState.slice(0, 3), sqlState.slice(0, 2), error.code]
}

function abortAnswer(error: LifeguardError): ErrorAnswer {
  const { cause } = error
  if (cause instanceof Error && cause.name === 'ClientGoneError')
    return { status: 499, code: 'CLIENT_CLOSED_REQUEST', message: 'The client closed the connection' }
  return isTimeout(error) ? busy('TIMEOUT', LATER) : INTERNAL
}

function busy(code: string, retryAfterSeconds: number): ErrorAnswer {
  return { status: 503, code, message: 'The service is busy: try again later', retryAfterSeconds }
}

function unavailable(code: string): ErrorAnswer {
  return {
    status: 503,
    code,
    message: 'The service is not available: try again later',
    retryAfterSeconds: LATER,
  }
}
