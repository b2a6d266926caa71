/** Operations that are sent in one batch. */
import type { DriverConnection } from '../driver/driver.js'
import { CommitOutcomeUnknownError, UnreadableResultError } from '../errors.js'
import type { Timer } from '../internal/clock.js'
import type { Operation } from './operation.js'
import type { OperationQueue } from './operation-queue.js'
import { isPlainRead, mayEndTransaction, mayTurnWriting } from './read-tracker.js'
import { isPureRead } from './pure-reads.js'

/**
 * - `lost`: the connection died before it answered BEGIN or, where the caller only reads, before it answered a statement.
 * - `behind`: the server is a replica that has not replayed yet what the transaction has to see, or cannot tell (`BeginStatement.isCheck`).
 * - `conflict`: the server is a replica that has cancelled the statement, or ended the session, because of a conflict with recovery.
 * - `serializable`: the transaction is serializable, and the server is a standby, which cannot run such transactions.
 */
export type ReplayReason = 'lost' | 'behind' | 'conflict' | 'serializable'

/** A batch is sent again. */
export interface Replay {
  readonly reason: ReplayReason
  /** What the server or the socket has answered. */
  readonly error: Error
}

/** A batch that was sent and is not answered yet. */
export interface InFlightBatch {
  readonly operations: readonly Operation[]
  /** Each of them is its own transaction. */
  readonly alone: boolean
  /** How many of them, from the first, begin the transaction. */
  readonly beginning: number
  /** The server has answered the first of them. */
  answered: boolean
  /** The server refused one of them, so it ran no later one. */
  refused: boolean
  /** ROLLBACK (TO) and the operations after it that the server skipped after an earlier refusal: sent next, in order. */
  readonly undoing: Operation[]
  /** Why the batch has to be sent once more, on another connection. */
  replay: Replay | undefined
  /** Asks where the write-ahead log stands, after everything else. */
  readonly position: Operation | undefined
  /** Settle the calls whose work is stored. They are called when the position is known; undefined if there is none. */
  held: (() => void)[] | undefined
  /** Drops the connection, unless the first answer comes in time. */
  deadline: Timer | undefined
  /** The connection it was sent on, if that was handed to the next waiter before the answer. */
  handedOff: DriverConnection | undefined
}

export function batchOf(
  operations: readonly Operation[],
  alone: boolean,
  beginning = 0,
  position?: Operation,
): InFlightBatch {
  return {
    operations,
    alone,
    beginning,
    answered: false,
    refused: false,
    undoing: [],
    replay: undefined,
    position,
    held: undefined,
    deadline: undefined,
    handedOff: undefined,
  }
}

/** What decides which operations a batch takes. */
export interface BatchRules {
  /** Its BEGIN is the liveness check of an idle connection (pre-ping). */
  readonly proving: boolean
  /** Every statement is its own transaction. */
  readonly alone: boolean
  /** The transaction is read-only. */
  readonly readOnly: boolean
  /** The batch may be aborted: the server answers the statement before COMMIT before it commits (see 7). */
  readonly flushes: boolean
  /** COMMIT may wait for a synchronous standby (see 8). */
  readonly commitMayWait: boolean
  /** Makes the query for the position of what the batch stores; undefined if the session does not ask for it. */
  readonly position: (() => Operation) | undefined
  /** The transaction may have written before this batch. */
  readonly hasWritten: boolean
}

/**
 * Takes from the front of the queue the operations that may share a batch.
 *
 * 1. COMMIT and ROLLBACK end a batch, because what follows is another transaction.
 * 2. COMMIT is not sent with a BEGIN that is the liveness check of its connection (`proving`), unless it can store nothing.
 * 3. A statement that may be cancelled is the last of its batch, with no other statement before it, so that a cancel cannot hit those.
 * 4. Work that needs the whole connection (a script, COPY) shares no batch.
 * 5. In autocommit there is no transaction to end: COMMIT and ROLLBACK stay in the queue and are settled without the server.
 * 6. The query for the position of a write is the last of its batch, after COMMIT.
 * 7. No cancel must hit a COMMIT. If the batch may be aborted, the server therefore answers the statement before COMMIT before it
 *    commits: the answer shows that COMMIT is running. Steps take the server no time: no cancel is sent at a batch of steps and COMMIT.
 * 8. While that answer is on its way, or lies in the socket, a cancel could still hit COMMIT. That does harm only where COMMIT waits for a
 *    synchronous standby: there COMMIT is sent once the statements that may be cancelled are answered, unless it can store nothing. This costs
 *    a round trip, which is less than the wait for a standby takes.
 */
export function takeBatch(
  queue: OperationQueue,
  begin: readonly Operation[],
  deferred: readonly Operation[],
  { proving, alone, readOnly, flushes, commitMayWait, position, hasWritten }: BatchRules,
): InFlightBatch {
  const operations = [...begin, ...deferred]
  const writes = (): boolean =>
    hasWritten || (readOnly ? operations.some(mayTurnWriting) : !arePlainReads(operations, isPureRead))
  queue.makeEnd()
  let taken = 0
  for (let next = queue.first; next !== undefined; next = queue.first) {
    const ends = next.kind === 'commit' || next.kind === 'rollback'
    const waits = next.kind === 'commit' && proving && !(readOnly && arePlainReads(operations, isPureRead))
    if (next.kind === 'exclusive' || waits || (ends && alone)) break
    if (next.cancellable && taken > 0) break
    if (flushes && next.kind === 'commit' && operations.some(({ kind }) => kind === 'statement')) {
      if (commitMayWait && writes()) break
      ;(operations[operations.length - 1] as Operation).flushAfter = true
    }
    queue.shift()
    operations.push(next)
    taken++
    if (next.cancellable || ends) break
  }
  const isLast = alone || operations[operations.length - 1]?.kind === 'commit'
  if (position === undefined || !isLast || !writes()) return batchOf(operations, alone, begin.length)
  const query = position()
  return batchOf([...operations, query], alone, begin.length, query)
}

/** The server has answered the first operation. */
export function answeredFirst(inFlight: InFlightBatch): void {
  inFlight.answered = true
  inFlight.deadline?.cancel()
}

/** True if the batch begins the transaction and BEGIN is not answered. A batch that was called off is not sent again. */
export function isUnbegun({ beginning, answered, operations }: InFlightBatch): boolean {
  return beginning > 0 && !answered && !operations.some(({ calledOff }) => calledOff)
}

/** True if no statement of the caller was answered or called off. Answers to steps (SAVEPOINT) reach no caller. */
export function isUnanswered({ operations }: InFlightBatch): boolean {
  return !operations.some(
    ({ calledOff, settled, kind }) =>
      calledOff !== undefined || (settled && kind !== 'step' && kind !== 'check'),
  )
}

/** By their texts the statements only read. Words in quotes do not count (`isPureRead`). */
export function onlyReads({ operations }: InFlightBatch): boolean {
  return arePlainReads(operations, (text) => isPlainRead(text) || isPureRead(text))
}

/** Whether the batch may be sent once more when `refused` failed for its stale plan: only steps were answered before it. */
export function mayRepeat({ operations }: InFlightBatch, refused: unknown): boolean {
  const at = operations.findIndex((operation) => operation === refused)
  if (at === -1 || operations.some(({ calledOff }) => calledOff !== undefined)) return false
  return operations.slice(0, at).every(({ kind }) => kind === 'step')
}

/** Whether a statement that is its own transaction may be sent once more. */
export function mayRepeatAlone({ operations }: InFlightBatch, refused: unknown): boolean {
  return operations.some((operation) => operation === refused && operation.calledOff === undefined)
}

/** True if the batch has a COMMIT that the server may have run. */
export function hasOpenCommit(inFlight: InFlightBatch | undefined): boolean {
  return inFlight?.refused === false && inFlight.operations.some(({ kind }) => kind === 'commit')
}

/**
 * By their texts, none of the statements can store anything, nor turn a read-only transaction into another one. NOTIFY and
 * large objects, which PostgreSQL allows in a read-only transaction, are effects as well.
 *
 * @param isRead `isPureRead`: excludes statements that call functions of the user as well.
 */
export function arePlainReads(
  operations: readonly Operation[],
  isRead: (text: string) => boolean = isPlainRead,
): boolean {
  const statements = operations.filter(({ kind }) => kind === 'statement' || kind === 'exclusive')
  return statements.every(({ kind, text }) => kind === 'statement' && isRead(text))
}

/**
 * Settles when every operation of the batch that commits (COMMIT, a statement in autocommit) was answered or given up: true if
 * one of them may be stored. Undefined if the batch has no such operation.
 */
export function settlingOf(inFlight: InFlightBatch | undefined): Promise<boolean> | undefined {
  const storing = inFlight?.operations.filter(
    ({ kind, text, settled }) =>
      kind === 'commit' ||
      (!settled && (inFlight.alone || (kind === 'exclusive' && mayEndTransaction(text)))),
  )
  if (storing === undefined || storing.length === 0) return undefined
  return Promise.allSettled(storing.map(({ promise }) => promise)).then((ends) => ends.some(mayBeStored))
}

function mayBeStored(end: PromiseSettledResult<unknown>): boolean {
  if (end.status === 'fulfilled') return true
  const { reason } = end as { reason: unknown }
  return reason instanceof CommitOutcomeUnknownError || reason instanceof UnreadableResultError
}
