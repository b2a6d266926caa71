/**
 * The base class of all errors, their codes, and all errors except those of PostgreSQL (`database-errors.ts`) and of the pool
 * (`pool/errors.ts`).
 *
 * 1. `code` is stable; match on it. `docs/errors.md` explains each code.
 * 2. `instanceof` is decided by a brand, so it also works between two copies of this package.
 * 3. No message, property or inspection of an error contains a password or a parameter value.
 */
import { captureStack } from './internal/own-frames.js'
import { isRevoked } from './internal/revoked.js'

const BRAND: unique symbol = Symbol.for('lifeguard.error') as never

/** The stable codes, one per situation. `docs/errors.md` has an entry for each. */
export type ErrorCode =
  | 'INVALID_OPTION'
  | 'INVALID_STATEMENT'
  | 'INVALID_MAPPING'
  | 'INVALID_VALUE'
  | 'RELATION_NOT_LOADED'
  | 'ATTRIBUTE_EXPIRED'
  | 'STALE_DATA'
  | 'ENGINE_DISPOSED'
  | 'CONNECT_FAILED'
  | 'POOL_TIMEOUT'
  | 'POOL_QUEUE_FULL'
  | 'CONNECTION_LOST'
  | 'CONNECTION_CLOSED'
  | 'SESSION_CLOSED'
  | 'ILLEGAL_STATE'
  | 'TRANSACTION_ABORTED'
  | 'COMMIT_OUTCOME_UNKNOWN'
  | 'UNAWAITED_STATEMENT'
  | 'HOOK_FAILED'
  | 'RESULT_UNREADABLE'
  | 'NO_RESULT'
  | 'MULTIPLE_RESULTS'
  | 'ABORTED'
  | 'DATABASE_ERROR'

/** Options of every {@link LifeguardError}. */
export interface LifeguardErrorOptions {
  /** The error that led to this one, untouched. */
  readonly cause?: unknown
}

/**
 * Base class of everything that Lifeguard throws on purpose.
 *
 * @example
 * try { await withSession(work) } catch (error) {
 *   if (error instanceof LifeguardError && error.code === 'POOL_TIMEOUT') console.error(error.message)
 *   throw error
 * }
 */
export class LifeguardError extends Error {
  /** Stable code of the situation; see `docs/errors.md`. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: LifeguardErrorOptions) {
    super(message, options)
    this.code = code
    // The class names survive minifiers and are what a log shows first.
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true, writable: true })
    Object.defineProperty(this, BRAND, { value: brandsOf(new.target) })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || isRevoked(value)) return false
    const brands = (value as { [BRAND]?: ReadonlySet<string> })[BRAND]
    return brands !== undefined && brands.has(this.name)
  }
}

const brandCache = new WeakMap<object, ReadonlySet<string>>()

function brandsOf(constructor: { readonly name: string }): ReadonlySet<string> {
  const known = brandCache.get(constructor)
  if (known !== undefined) return known
  const names = new Set<string>()
  for (let at: { readonly name: string } = constructor; at.name !== 'Error' && at.name !== '';) {
    names.add(at.name)
    at = Object.getPrototypeOf(at) as { readonly name: string }
  }
  brandCache.set(constructor, names)
  return names
}

// `new.target`, not the class: a class that names itself is renamed by the build, and its name is part of what users see.
// The mistakes of a call begin their stacks with the caller's line: they are found deep inside of the library, and the stack would end
// before that line.

/** An option that does not exist, has the wrong type or is out of range. Never safe to retry: change the call. */
export class InvalidOptionError extends LifeguardError {
  /** Name of the option, as the caller wrote it. */
  readonly option: string

  constructor(option: string, message: string, options?: LifeguardErrorOptions) {
    super('INVALID_OPTION', message, options)
    captureStack(this, new.target)
    this.option = option
  }
}

/** The argument is not a statement, or the statement needs another method (`commit()`, `copyFrom()`, ...). Never safe to retry. */
export class InvalidStatementError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('INVALID_STATEMENT', message, options)
    captureStack(this, new.target)
  }
}

/**
 * An entity, a column or a relation that is declared wrongly. Thrown by the declaration; for references between entities when
 * the metadata is first used. Never safe to retry.
 */
export class MappingError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('INVALID_MAPPING', message, options)
    captureStack(this, new.target)
  }
}

/** A value that its column cannot hold. The message names the column and never shows the value. Never safe to retry. */
export class InvalidValueError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('INVALID_VALUE', message, options)
  }
}

/** A relation was read that was neither loaded nor assigned. The message says how to load it. Never safe to retry. */
export class RelationNotLoadedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('RELATION_NOT_LOADED', message, options)
    captureStack(this, new.target)
  }
}

/**
 * An attribute was read whose stored value may have changed: its transaction was rolled back, or committed with
 * `expireOnCommit`. The message says how to load it again. Never safe to retry.
 */
export class ExpiredAttributeError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('ATTRIBUTE_EXPIRED', message, options)
    captureStack(this, new.target)
  }
}

/**
 * A row to update or delete is missing, or another transaction has changed it since it was loaded (`version()`). Nothing of the
 * transaction was stored. Safe to retry in a new session, which reads the row again.
 */
export class StaleDataError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('STALE_DATA', message, options)
  }
}

/**
 * The engine was disposed, or is being disposed: it accepts no new work, and statements that still ran at the deadline of
 * `dispose()` were cancelled. Nothing of the transaction was stored. (If it may be stored, this error is the `cause` of a
 * CommitOutcomeUnknownError.) Never safe to retry on this engine.
 */
export class EngineDisposedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('ENGINE_DISPOSED', message, options)
  }
}

/** No connection could be made; `cause` is the error of the socket, of TLS or of PostgreSQL. Safe to retry if `fatal` is false. */
export class ConnectError extends LifeguardError {
  /** True: a retry cannot help (wrong password, unknown database, refused TLS, unknown host). False: the failure may pass. */
  readonly fatal: boolean
  /** PostgreSQL's SQLSTATE, if the server answered. */
  readonly sqlState: string | undefined

  constructor(
    message: string,
    details: { readonly fatal: boolean; readonly sqlState?: string | undefined },
    options?: LifeguardErrorOptions,
  ) {
    super('CONNECT_FAILED', message, options)
    this.fatal = details.fatal
    this.sqlState = details.sqlState
  }
}

/** The connection died while it was in use. Nothing of its transaction was stored: safe to retry in a new session. */
export class ConnectionLostError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('CONNECTION_LOST', message, options)
  }
}

/** A connection was used after it was closed. Never safe to retry. */
export class ConnectionClosedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('CONNECTION_CLOSED', message, options)
  }
}

/** A session was used after it was closed, or after the block that owned it. Never safe to retry. */
export class SessionClosedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('SESSION_CLOSED', message, options)
    captureStack(this, new.target)
  }
}

/** A method was called in a state that does not allow it. Never safe to retry. */
export class IllegalStateError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('ILLEGAL_STATE', message, options)
    captureStack(this, new.target)
  }
}

/**
 * The transaction cannot be committed: a statement in it failed earlier (`cause` is that first failure), a block that had joined it
 * threw, or `rollback()` or `close()` was called while the hooks of `commit()` ran. Nothing was stored. The whole transaction may be retried if its cause may be.
 */
export class TransactionAbortedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('TRANSACTION_ABORTED', message, options)
  }
}

/**
 * COMMIT was sent, or a statement that commits by itself, and PostgreSQL has neither confirmed nor refused it (or a failover
 * may lose what it has confirmed): it may be stored or not. `cause` is the reason. Never safe to retry before you have looked
 * in the database.
 */
export class CommitOutcomeUnknownError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('COMMIT_OUTCOME_UNKNOWN', message, options)
  }
}

/**
 * A block returned while its statements were still running: an `await` is missing. The transaction was rolled back. Never safe
 * to retry: change the code.
 */
export class UnawaitedStatementError extends LifeguardError {
  /** Texts of the statements still running when the block returned; empty if only a nested or joined block was. */
  readonly statements: readonly string[]

  constructor(message: string, statements: readonly string[], options?: LifeguardErrorOptions) {
    super('UNAWAITED_STATEMENT', message, options)
    captureStack(this, new.target)
    this.statements = statements
  }
}

/** An `afterCommit` hook threw: the transaction is committed. Never safe to retry. */
export class HookError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('HOOK_FAILED', message, options)
    captureStack(this, new.target)
  }
}

/**
 * A transaction was committed, but the result of its last statement cannot be read (see `cause`). Never safe to retry, because
 * it is stored.
 */
export class UnreadableResultError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('RESULT_UNREADABLE', message, options)
  }
}

/** The result has no row, but one was required (`one()`, `scalarOne()`, `getOne()`, ...). Never safe to retry. */
export class NoResultError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('NO_RESULT', message, options)
    captureStack(this, new.target)
  }
}

/** The result has more than one row, but at most one was allowed. Never safe to retry. */
export class MultipleResultsError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('MULTIPLE_RESULTS', message, options)
    captureStack(this, new.target)
  }
}

/**
 * An `AbortSignal` of the caller ended the operation, and nothing was stored; `cause` is the signal's reason. Never safe to
 * retry. `name` is `'AbortError'`, as in the rest of Node.
 */
export class AbortedError extends LifeguardError {
  constructor(message: string, options?: LifeguardErrorOptions) {
    super('ABORTED', message, options)
    Object.defineProperty(this, 'name', { value: 'AbortError', configurable: true, writable: true })
  }
}
