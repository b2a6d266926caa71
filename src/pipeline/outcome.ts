/**
 * The outcome of a statement or a COMMIT. This is the one place that decides it, for every way in which they can end (the answer,
 * an abort, a timeout, a FATAL, a lost socket, `dispose`, `invalidate`).
 *
 * | run? | may commit | what was seen of it                                           | outcome       |
 * | ---- | ---------- | ------------------------------------------------------------- | ------------- |
 * | no   |            |                                                               | `not run`     |
 * | yes  |            | PostgreSQL committed, its wait for a standby was cut short    | `unknown`     |
 * | yes  | yes        | success                                                       | `committed`   |
 * | yes  | yes        | PostgreSQL's own refusal, or it skipped it                    | `rolled back` |
 * | yes  | yes        | anything else: no answer, FATAL, an error of a pooler         | `unknown`     |
 * | yes  | no         | success                                                       | `open`        |
 * | yes  | no         | anything else: the transaction ends without a COMMIT          | `rolled back` |
 *
 * What may commit: COMMIT, a statement, a script or a COPY that is its own transaction (autocommit), and in a transaction a
 * script that may end it. Not what has nothing to store: plain reads in a read-only transaction, and elsewhere reads that call
 * no function but some of PostgreSQL's own (`isPureRead`).
 */
import { isFromBackend, isServerError, type ServerErrorFields } from '../database-errors.js'
import { RowsUnreadable, StandbyWaitEnded, StatementNotRun, StatementSkipped } from '../driver/driver.js'
import { EndedBehindError } from './script.js'
import { endsSession } from './transaction-errors.js'

export type Outcome = 'not run' | 'open' | 'committed' | 'rolled back' | 'unknown'

/** What was seen of the statement. */
export type Seen =
  | 'success'
  | 'success without standby'
  | 'refusal'
  /** PostgreSQL itself has ended the session while it ran the statement. It has run no later one. */
  | 'end'
  | 'nothing'

export interface Evidence {
  /** False: the server has certainly not run it (`StatementNotRun`). */
  readonly isRun: boolean
  /** Its effects may be stored without a later COMMIT. */
  readonly commits: boolean
  readonly seen: Seen
}

/** See the table above. */
export function outcomeOf({ isRun, commits, seen }: Evidence): Outcome {
  if (!isRun) return 'not run'
  if (seen === 'success without standby') return 'unknown'
  if (seen === 'success') return commits ? 'committed' : 'open'
  return commits && seen !== 'refusal' ? 'unknown' : 'rolled back'
}

/**
 * Classifies the error of a statement as evidence of what the server has done.
 *
 * @param isLost The connection is lost: the error is the reason of that, not the server's answer.
 */
export function seenIn(error: Error, isLost: boolean): Seen {
  // The library's own errors: the statement was skipped, or the text of the error says what the script has stored.
  if (error instanceof StatementSkipped || error instanceof EndedBehindError) return 'refusal'
  if (error instanceof StandbyWaitEnded) return 'success without standby'
  if (isLost || error instanceof StatementNotRun) return 'nothing'
  if (error instanceof RowsUnreadable) return 'success'
  if (!isServerError(error)) return 'nothing'
  if (isRefusal(error)) return 'refusal'
  return endsSession(error) && isFromBackend(error) ? 'end' : 'nothing'
}

/** SQLSTATEs that mean that the statement may have been completed. */
const IN_DOUBT = new Set(['08007', '40003'])

/** Classes of SQLSTATEs that poolers and proxies use for a broken link to their server. */
const LINK_CLASSES = new Set(['', '08', '57', '58', 'XX'])

/**
 * True if PostgreSQL itself reports that it has refused the statement.
 *
 * - ERROR is a refusal, because PostgreSQL undoes the statement. But a pooler can also send ERROR, when the link to its server
 *   has broken. So in the classes that poolers use for that, only an error with a place in PostgreSQL's source is a refusal.
 * - FATAL is not a refusal. An administrator, a crash or a shutdown can end a session right after its commit. The exception is
 *   25P03 (idle in transaction): PostgreSQL sends it only while it waits for a command, so it has not read the one on its way.
 */
function isRefusal(error: Error & ServerErrorFields): boolean {
  const { code = '' } = error
  if (endsSession(error)) return isFromBackend(error) && code === '25P03'
  if (IN_DOUBT.has(code)) return false
  return isFromBackend(error) || !LINK_CLASSES.has(code.slice(0, 2))
}
