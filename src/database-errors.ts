/**
 * The errors of PostgreSQL as classes by SQLSTATE, and the predicates `isRetryable`, `isTimeout` and `isDisconnect`.
 *
 * 1. The class is chosen by SQLSTATE alone, except where one SQLSTATE has two meanings (57014).
 * 2. node-postgres's own error is the `cause`, unchanged.
 * 3. An error has the text of the statement, never its values. PostgreSQL's own text may quote values: with `hideParameters` the
 *    driver has removed them (`hidden-values.ts`).
 */
import { LifeguardError } from './errors.js'
import { markStalePlan, stalePlanOf } from './internal/stale-plan.js'
import { hideQuoted } from './internal/hidden-values.js'
import { isInstance } from './internal/revoked.js'
import { isModeRefused } from './internal/standby-refusals.js'
import { adviceFor } from './internal/statement-mistakes.js'

/** The fields of an ErrorResponse as node-postgres parses them. Every one is text. */
export interface ServerErrorFields {
  /** SQLSTATE. */
  readonly code?: string | undefined
  readonly severity?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly position?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  readonly dataType?: string | undefined
  readonly constraint?: string | undefined
  /** The file of PostgreSQL's source that reported the error. Errors of poolers and proxies have none. */
  readonly file?: string | undefined
  readonly line?: string | undefined
  readonly routine?: string | undefined
}

/** What {@link databaseErrorFrom} knows besides the server's answer. */
export interface DatabaseErrorContext {
  /** Text of the statement that failed. */
  readonly statement?: string | undefined
  /** True: keep values out of the error, also those that PostgreSQL quotes. Default false. */
  readonly hideParameters?: boolean | undefined
  /** True: the session is not a read-only one. Default false. */
  readonly sessionMayWrite?: boolean | undefined
}

/**
 * PostgreSQL answered a statement with an error. `message` is PostgreSQL's, with advice for common mistakes; `cause` is node-postgres's error.
 * Whether a retry is safe depends on the failure: see {@link isRetryable}.
 *
 * @example
 * try { await session.execute(statement) } catch (error) {
 *   if (error instanceof UniqueViolationError && error.constraint === 'songs_title_key') return 'title taken'
 *   throw error
 * }
 */
export class DatabaseError extends LifeguardError {
  /** Five characters, see "PostgreSQL Error Codes" in PostgreSQL's manual. */
  readonly sqlState: string
  /** `ERROR`, or `FATAL` and `PANIC` if the server ended the session; never translated. */
  declare readonly severity: string | undefined
  /** Details, often with the conflicting values. Absent with `hideParameters`. */
  declare readonly detail: string | undefined
  declare readonly hint: string | undefined
  declare readonly schema: string | undefined
  declare readonly table: string | undefined
  declare readonly column: string | undefined
  declare readonly constraint: string | undefined
  declare readonly dataType: string | undefined
  /** Where in `statement` the mistake is, in characters from 1. */
  declare readonly position: number | undefined
  /** The function in PostgreSQL's source that reported the error. */
  declare readonly routine: string | undefined
  /** Text of the statement, without its values. */
  declare readonly statement: string | undefined

  /** Use {@link databaseErrorFrom}. */
  constructor(message: string, fields: ServerErrorFields, context: DatabaseErrorContext, cause?: unknown) {
    super('DATABASE_ERROR', message, cause === undefined ? undefined : { cause })
    this.sqlState = fields.code ?? ''
    const known = {
      severity: fields.severity,
      detail: context.hideParameters === true ? undefined : fields.detail,
      hint: fields.hint,
      schema: fields.schema,
      table: fields.table,
      column: fields.column,
      constraint: fields.constraint,
      dataType: fields.dataType,
      position: fields.position === undefined ? undefined : Number(fields.position),
      routine: fields.routine,
      statement: context.statement,
    }
    // Only what the server sent: a dozen `undefined` would hide the one field that matters when the error is printed.
    for (const [name, value] of Object.entries(known)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: true })
    }
  }
}

/** A constraint refused the data (class 23). Never safe to retry with the same data. */
export class IntegrityError extends DatabaseError {}
/** 23505: another row has the same key; `constraint` names it, `detail` shows the key. */
export class UniqueViolationError extends IntegrityError {}
/** 23503: the referenced row does not exist, or the row is still referenced. */
export class ForeignKeyViolationError extends IntegrityError {}
/** 23502: `column` must have a value. */
export class NotNullViolationError extends IntegrityError {}
/** 23514: a CHECK constraint, or a domain's. */
export class CheckViolationError extends IntegrityError {}
/** 23P01: an EXCLUDE constraint, for example overlapping periods. */
export class ExclusionViolationError extends IntegrityError {}

/** A value does not fit (class 22): too long, out of range, division by zero, ... Never safe to retry. */
export class DataError extends DatabaseError {}
/** 22P02: text that is no uuid, number, date, enum label, ... */
export class InvalidTextRepresentationError extends DataError {}

/** 40001: a conflict with a concurrent transaction. Retry the whole transaction. */
export class SerializationFailureError extends DatabaseError {}
/** 40P01: two transactions waited for each other, and PostgreSQL has aborted this one. Retry the whole transaction. */
export class DeadlockError extends DatabaseError {}
/** 55P03: `lock_timeout` passed, or NOWAIT found the row locked. */
export class LockTimeoutError extends DatabaseError {}
/** 57014: the statement was cancelled (`pg_cancel_backend`, an aborted call). See {@link StatementTimeoutError}. */
export class QueryCanceledError extends DatabaseError {}
/**
 * 57014: the statement ran longer than `statement_timeout`. PostgreSQL tells it from a cancel only by its message, so
 * with `lc_messages` other than English it is a plain {@link QueryCanceledError}.
 */
export class StatementTimeoutError extends QueryCanceledError {}
/**
 * 25006: a write in a read-only transaction, or on a standby (after a failover: on what was the primary). 0A000: a transaction
 * that a standby cannot begin (`READ WRITE`, `SERIALIZABLE`). Nothing was stored. If the session may write, the connection
 * leads to the wrong server: the pool replaces its connections, and a retry may reach the primary.
 */
export class ReadOnlyError extends DatabaseError {
  /** True: the session may write, so a retry may help. False: it has `readOnly: true`. */
  readonly sessionMayWrite: boolean

  /** Use {@link databaseErrorFrom}. */
  constructor(message: string, fields: ServerErrorFields, context: DatabaseErrorContext, cause?: unknown) {
    super(message, fields, context, cause)
    this.sessionMayWrite = context.sessionMayWrite === true
  }
}

/** 42601: the statement is not SQL; `position` says where. */
export class SqlSyntaxError extends DatabaseError {}
/** 42P01: the table or view does not exist: a migration is missing, or the `search_path` is wrong. */
export class UndefinedTableError extends DatabaseError {}
/** 42703: the column does not exist. */
export class UndefinedColumnError extends DatabaseError {}
/** 42501: the role lacks a privilege, or row-level security refused the row. */
export class InsufficientPrivilegeError extends DatabaseError {}

const CLASS_BY_SQL_STATE: Readonly<Record<string, typeof DatabaseError>> = {
  '22P02': InvalidTextRepresentationError,
  '23502': NotNullViolationError,
  '23503': ForeignKeyViolationError,
  '23505': UniqueViolationError,
  '23514': CheckViolationError,
  '23P01': ExclusionViolationError,
  '40001': SerializationFailureError,
  '40P01': DeadlockError,
  '42501': InsufficientPrivilegeError,
  '42601': SqlSyntaxError,
  '42703': UndefinedColumnError,
  '42P01': UndefinedTableError,
  '55P03': LockTimeoutError,
  '57014': QueryCanceledError,
}

const CLASS_BY_SQL_STATE_CLASS: Readonly<Record<string, typeof DatabaseError>> = {
  '22': DataError,
  '23': IntegrityError,
}

/**
 * Makes the right error for an answer of the server. Call it in the caller's own async continuation: the stack then
 * leads to the line that awaits the statement.
 */
export function databaseErrorFrom(
  error: Error & ServerErrorFields,
  context: DatabaseErrorContext = {},
): DatabaseError {
  const sqlState = error.code ?? ''
  const Class = isWriteRefused(error) ? ReadOnlyError : classFor(sqlState, error.message)
  const hidden = context.hideParameters === true
  const message = hidden && sqlState.startsWith('22') ? hideQuoted(error.message) : error.message
  const told = message + adviceFor(error, context.statement)
  const made = new Class(told, error, context, hidden ? undefined : error)
  const stale = stalePlanOf(error)
  if (stale !== undefined) markStalePlan(made, stale)
  Error.captureStackTrace(made, databaseErrorFrom)
  return made
}

function classFor(sqlState: string, message: string): typeof DatabaseError {
  if (sqlState === '57014' && message.includes('statement timeout')) return StatementTimeoutError
  return CLASS_BY_SQL_STATE[sqlState] ?? CLASS_BY_SQL_STATE_CLASS[sqlState.slice(0, 2)] ?? DatabaseError
}

/** True for node-postgres's error for an ErrorResponse, whichever copy of the package made it. */
export function isServerError(
  error: unknown,
): error is Error & ServerErrorFields & { readonly code: string } {
  if (!isInstance(error, Error)) return false
  const { code, severity } = error as ServerErrorFields
  return typeof code === 'string' && code.length === 5 && typeof severity === 'string'
}

/** True if PostgreSQL itself says it: its messages name their place in its source, those of poolers and proxies do not. */
export function isFromBackend(error: Error): boolean {
  const { file, line, routine } = error as ServerErrorFields
  return file !== undefined && line !== undefined && routine !== undefined
}

/** True if the server takes no writes: a write was refused (25006), or the transaction, because the server is a standby (0A000). */
export function isWriteRefused(error: unknown): boolean {
  if (error instanceof ReadOnlyError) return true
  const { code, sqlState, routine } = error as ServerErrorFields & { readonly sqlState?: string }
  const state = sqlState ?? code
  return state === '25006' || isModeRefused({ code: state, routine })
}

/** SQLSTATEs after which the session is gone, also where a pooler does not say FATAL. */
const DISCONNECT_STATES = new Set(['25P03', '25P04', '57P01', '57P02', '57P03', '57P05'])
const TIMEOUT_STATES = new Set(['25P03', '25P04', '57P05'])
const SESSION_ENDS = new Set(['FATAL', 'PANIC'])

const DISCONNECT_CODES = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'ENETUNREACH',
  'ENOTCONN',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_SOCKET_CLOSED',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
])

/** node-postgres has no codes for its own: these are all its messages for a connection that cannot be used any more. */
const DISCONNECT_MESSAGES = [/^Connection terminated/, /is not queryable$/, /^Query read timeout$/]

/**
 * True if the error means that its connection can no longer be used, or leads to the wrong server after a failover
 * (25006). False for a cancelled statement (57014) and for a failed connect. Also examines `cause`.
 */
export function isDisconnect(error: unknown): boolean {
  return decide(error, (at) => {
    if (at instanceof LifeguardError) {
      if (at.code === 'CONNECTION_LOST') return true
      // Where only the wait for a standby was cut short, the connection lives.
      if (at.code === 'COMMIT_OUTCOME_UNKNOWN')
        return (at.cause as Error | undefined)?.name !== 'StandbyWaitEnded'
      if (at.code === 'CONNECT_FAILED' || at.code === 'ABORTED') return false
    }
    const state = sqlStateOf(at)
    if (state === undefined) return isSocketFailure(at) || undefined
    if (isWriteRefused(at)) return true
    const { severity = '' } = at as ServerErrorFields
    // After an ERROR the session goes on, also after one of class 08: too few values for a statement are 08P01, and a
    // foreign server that is out of reach is 08001.
    if (state === '57014' || severity === 'ERROR') return false
    return DISCONNECT_STATES.has(state) || SESSION_ENDS.has(severity)
  })
}

/**
 * True if running the whole transaction again is safe and may help: serialization failure, deadlock, stale data, a stale
 * prepared statement (see docs/prepared-statements.md), a connection lost before COMMIT was sent, a connect failure that may
 * pass, a write that a standby refused (25006) to a session that may write. Also examines `cause`. Never true when something
 * may have been stored ({@link CommitOutcomeUnknownError}, {@link HookError}).
 *
 * @example
 * for (let attempt = 1; ; attempt += 1) {
 *   try { return await withSession(work) } catch (error) {
 *     if (attempt === 3 || !isRetryable(error)) throw error
 *   }
 * }
 */
export function isRetryable(error: unknown): boolean {
  return decide(error, (at) => {
    if (at instanceof LifeguardError && !(at instanceof DatabaseError)) {
      if (at.code === 'CONNECTION_LOST' || at.code === 'STALE_DATA') return true
      if (at.code === 'CONNECT_FAILED') return (at as LifeguardError & { fatal: boolean }).fatal === false
      // Other errors of Lifeguard are not retryable. For TRANSACTION_ABORTED its cause decides.
      return at.code === 'TRANSACTION_ABORTED' ? undefined : false
    }
    if (stalePlanOf(at)?.certain === true) return true
    const state = sqlStateOf(at)
    if (state === undefined) return undefined
    if (state === '40001' || state === '40P01') return true
    if (isWriteRefused(at)) return at instanceof ReadOnlyError && at.sessionMayWrite
    return isDisconnect(at)
  })
}

/**
 * True for a timeout of a statement, a lock, a transaction, the wait for a connection, a connect, or a signal of the caller
 * (`AbortSignal.timeout`). Also examines `cause`.
 */
export function isTimeout(error: unknown): boolean {
  return decide(error, (at) => {
    if (at instanceof StatementTimeoutError) return true
    if (at instanceof LifeguardError && at.code === 'POOL_TIMEOUT') return true
    const { name, code, message } = at as Error & { code?: unknown }
    if (name === 'TimeoutError' || code === 'ETIMEDOUT' || message === 'Query read timeout') return true
    const state = sqlStateOf(at)
    if (state === undefined) return undefined
    // Both have a second meaning, which only the message tells: a cancel, and NOWAIT.
    if (state === '57014') return message.includes('statement timeout')
    if (state === '55P03') return message.includes('lock timeout')
    return TIMEOUT_STATES.has(state)
  })
}

/** A longer chain of causes is a mistake, or a cycle. */
const LONGEST_CHAIN = 16

/** Asks about an error, then about its cause, and so on, until `verdict` is not undefined. */
function decide(error: unknown, verdict: (error: Error) => boolean | undefined): boolean {
  let at = error
  for (let depth = 0; isInstance(at, Error) && depth < LONGEST_CHAIN; depth += 1) {
    const answer = verdict(at)
    if (answer !== undefined) return answer
    at = at.cause
  }
  return false
}

function sqlStateOf(error: Error): string | undefined {
  if (error instanceof DatabaseError) return error.sqlState
  return isServerError(error) ? error.code : undefined
}

function isSocketFailure(error: Error): boolean {
  const { code } = error as { code?: unknown }
  if (typeof code === 'string' && (DISCONNECT_CODES.has(code) || code.startsWith('ERR_SSL_'))) return true
  return DISCONNECT_MESSAGES.some((pattern) => pattern.test(error.message))
}
