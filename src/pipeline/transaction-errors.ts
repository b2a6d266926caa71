/** The errors of operations whose transaction or connection failed. */
import { isDisconnect, isServerError, isWriteRefused } from '../database-errors.js'
import { StandbyWaitEnded } from '../driver/driver.js'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  EngineDisposedError,
  IllegalStateError,
  TransactionAbortedError,
  UnreadableResultError,
} from '../errors.js'

/** True if the server or the socket ended the session. A refused write does not: the connection to the read-only server still works. */
export function endsSession(error: Error): boolean {
  return isDisconnect(error) && !isWriteRefused(error)
}

const RECOVERY_CONFLICT = '40001'

/**
 * On a standby: the statement was cancelled in favour of what the standby replays. Inside a savepoint PostgreSQL ends the whole session
 * instead.
 */
export function isRecoveryConflict(error: Error): boolean {
  return isServerError(error) && error.code === RECOVERY_CONFLICT
}

export function transactionAborted(cause: unknown): TransactionAbortedError {
  return new TransactionAbortedError(
    'The transaction was aborted by an earlier failure (see cause), and nothing runs in it any more: let the error out of ' +
      'its block, or call rollback()',
    { cause },
  )
}

export function answeredWithRollback(cause: unknown): TransactionAbortedError {
  return new TransactionAbortedError(
    'PostgreSQL answered COMMIT with ROLLBACK: a statement of the transaction had failed, nothing was stored',
    { cause },
  )
}

/** The error of a lost connection. Its class depends on who ended the connection, because that decides whether a retry is safe. */
export function connectionLost(cause: unknown): ConnectionLostError | EngineDisposedError {
  if (cause instanceof EngineDisposedError) {
    return new EngineDisposedError(`${cause.message}. Nothing of its transaction was stored`, { cause })
  }
  return new ConnectionLostError(
    'The connection was lost (see cause). Nothing of its transaction was stored, so it is safe to run the whole transaction again',
    { cause },
  )
}

/** The error of an operation in a transaction whose connection was lost earlier, for the reason `cause`. */
export function afterLoss(
  cause: unknown,
): ConnectionLostError | EngineDisposedError | CommitOutcomeUnknownError {
  return cause instanceof CommitOutcomeUnknownError
    ? new CommitOutcomeUnknownError(cause.message, { cause: cause.cause })
    : connectionLost(cause)
}

/**
 * COMMIT or a statement in autocommit was sent, and PostgreSQL has neither confirmed nor refused it.
 * @param autocommit True: it was a statement that is its own transaction.
 */
export function outcomeUnknown(cause: unknown, autocommit: boolean): CommitOutcomeUnknownError {
  const advice = 'look whether its work was stored before you retry'
  if (cause instanceof StandbyWaitEnded) {
    const what = autocommit ? 'The statement' : 'The transaction'
    return new CommitOutcomeUnknownError(
      `${what} was committed on this server, but the wait for its synchronous standby was cut short: a failover may lose it ` +
        `(see cause): ${advice}`,
      { cause },
    )
  }
  const what = autocommit ? 'a statement that commits by itself (autocommit)' : 'COMMIT'
  return new CommitOutcomeUnknownError(
    `PostgreSQL did not answer ${what} before the connection was lost or given up (see cause): ${advice}`,
    { cause },
  )
}

/** The block was aborted, and the COMMIT that was under way may be stored. */
export function abortedTooLate(cause: Error): CommitOutcomeUnknownError {
  return new CommitOutcomeUnknownError(
    'The block was aborted while COMMIT, or a statement that commits by itself, was on its way: it may be stored. Look before ' +
      'you retry',
    { cause },
  )
}

/** In autocommit mode: the statement was committed, but its rows cannot be given to the caller. */
export function committedButUnreadable(cause: unknown): UnreadableResultError {
  return new UnreadableResultError('The statement was committed, but its result cannot be read (see cause)', {
    cause,
  })
}

/** `begin()` was called inside a transaction. */
export function begunAlready(): IllegalStateError {
  return new IllegalStateError(
    'begin() was called inside of a transaction, and its COMMIT would also commit the work of that transaction: call beginNested() for a part that can be rolled back separately, or await the end of the transaction first',
  )
}
