/** What becomes of operations whose transaction or connection failed. */
import { isDisconnect, isServerError } from '../database-errors.js'
import {
  CommitOutcomeUnknownError,
  ConnectionLostError,
  EngineDisposedError,
  TransactionAbortedError,
} from '../errors.js'
import type { Operation } from './operation.js'

/** True if the server or the socket ended the session. 25006 does not: the connection lives, on a read-only server. */
export function endsSession(error: Error): boolean {
  return isDisconnect(error) && (error as { code?: unknown }).code !== '25006'
}

/** For a statement that commits by itself: it may have done so. The server's last words say that it has not. */
export function mayHaveCommitted({ calledOff }: Operation, error: Error): boolean {
  return calledOff === undefined && !isServerError(error)
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

/** Whether it may be repeated depends on who ended the connection. */
export function connectionLost(cause: unknown): ConnectionLostError | EngineDisposedError {
  if (cause instanceof EngineDisposedError) {
    return new EngineDisposedError(`${cause.message}. Nothing of its transaction was stored`, { cause })
  }
  return new ConnectionLostError(
    'The connection was lost (see cause). Nothing of its transaction was stored, so it is safe to run the whole transaction again',
    { cause },
  )
}

/** What is asked of a transaction whose connection was lost earlier, for the reason `cause`. */
export function afterLoss(
  cause: unknown,
): ConnectionLostError | EngineDisposedError | CommitOutcomeUnknownError {
  return cause instanceof CommitOutcomeUnknownError
    ? new CommitOutcomeUnknownError(cause.message, { cause: cause.cause })
    : connectionLost(cause)
}

export function outcomeUnknown(cause: unknown, autocommit: boolean): CommitOutcomeUnknownError {
  const when = autocommit
    ? 'while a statement ran that commits by itself (autocommit)'
    : 'after COMMIT was sent and before its answer came'
  return new CommitOutcomeUnknownError(
    `The connection was lost ${when}: look whether its work was stored before you retry`,
    { cause },
  )
}
