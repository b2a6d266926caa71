/** Converts results and errors to those of pg. */
import type { FieldDescription, StatementResult } from '../../driver/driver.js'
import {
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  isDisconnect,
  LifeguardError,
  PoolTimeoutError,
  TransactionAbortedError,
} from '../../index.js'
import { firstWord } from './statement-text.js'
import type { FieldDef, QueryResult } from './types.js'

/** As pg's `Result`. */
export function resultOf({ command, rowCount, fields, rows }: StatementResult): QueryResult {
  return {
    // The first word of the tag.
    command: (command === '' ? null : (command.split(' ', 1)[0] as string)) as string,
    rowCount,
    oid: (command === 'INSERT' ? 0 : null) as number,
    rows: rows as QueryResult['rows'],
    fields: fieldsOf(fields),
  }
}

/** Those of a shape that the driver has kept; its next result has the same list. */
const KNOWN_FIELDS = new WeakMap<readonly FieldDescription[], FieldDef[]>()

function fieldsOf(fields: readonly FieldDescription[]): FieldDef[] {
  let known = KNOWN_FIELDS.get(fields)
  if (known === undefined) {
    known = fields.map((field): FieldDef => {
      const { name, tableID, columnID, dataTypeID, dataTypeSize = -1, dataTypeModifier = -1 } = field
      return { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format: 'text' }
    })
    KNOWN_FIELDS.set(fields, known)
  }
  // A list of the caller's own, as in pg.
  return known.slice()
}

/** A statement that was sent, as far as its outcome depends on it. */
export interface SentStatement {
  readonly text: string
  /** No transaction was open when it was sent. */
  readonly isAlone: boolean
}

const READS = new Set(['select', 'show', 'values', 'table', 'explain', 'fetch', 'declare', ''])

/**
 * The error of a statement as its caller gets it: of the server, and of a lost connection, as in pg, so that `code` is the SQLSTATE.
 * Where something may be stored although no answer came, it is a CommitOutcomeUnknownError.
 */
export function statementError(error: Error, { text, isAlone }: SentStatement): Error {
  const { cause } = error
  switch (error.name) {
    // The driver's words for: not sent; run, but its rows cannot be read; committed, but a failover may lose it.
    case 'StatementNotRun':
      return lostError(cause instanceof Error ? cause : error)
    case 'StatementSkipped':
    case 'RowsUnreadable':
      return cause instanceof Error ? cause : error
    case 'StandbyWaitEnded':
      return new CommitOutcomeUnknownError(
        `PostgreSQL has committed, and stopped waiting for a synchronous standby: a failover may lose it (${shorten(text)})`,
        { cause: error },
      )
  }
  if (!isDisconnect(error)) return error
  const word = firstWord(text)
  const mayStore = ENDS.has(word) || (isAlone && !READS.has(word))
  if (!mayStore) return error
  return new CommitOutcomeUnknownError(
    `The connection was lost before PostgreSQL answered: what was sent may be stored or not, so look before you retry (${shorten(text)}): ${error.message}`,
    { cause: error },
  )
}

/** The error of what was never sent, because the connection was lost before. */
export function lostError(cause: Error): Error {
  if (cause instanceof LifeguardError) return cause
  return new ConnectionLostError(
    `Client has encountered a connection error and is not queryable: release it and connect another one (${cause.message})`,
    { cause },
  )
}

/** Words that may store what was done before. */
const ENDS: ReadonlySet<string> = new Set(['commit', 'end', 'prepare'])
const UNDOES: ReadonlySet<string> = new Set(['rollback', 'abort'])

/** True for a statement whose answer ROLLBACK means that a transaction was not stored which its caller wanted to store. */
export function isRolledBackInstead(text: string, command: string): boolean {
  return command === 'ROLLBACK' && !UNDOES.has(firstWord(text))
}

/** True for the text that ends a transaction in order to store it. */
export function isCommit(text: string): boolean {
  return ENDS.has(firstWord(text))
}

/** @param first What had failed in the transaction. */
export function rolledBackInstead(text: string, first: Error | undefined): TransactionAbortedError {
  const why =
    first === undefined
      ? 'a statement of the transaction had failed, and its error was not passed on'
      : `a statement had failed, and its error was not passed on: ${first.message}`
  return new TransactionAbortedError(
    `PostgreSQL answered ${shorten(text)} with ROLLBACK, nothing was stored: ${why}. Pass the error on, or make a savepoint before what may fail`,
    { cause: first },
  )
}

/** The error of a checkout: if no connection can be made, that of the socket or the server itself, as in pg, with its `code`. */
export function connectError(error: unknown): unknown {
  if (error instanceof PoolTimeoutError && !error.message.startsWith(TIMED_OUT)) {
    // Ported code looks for pg's words.
    error.message = `${TIMED_OUT}: ${error.message}`
  }
  if (!(error instanceof ConnectError)) return error
  const { cause } = error
  if (!(cause instanceof Error) || cause instanceof LifeguardError) return error
  if (cause.name !== 'TimeoutError') return cause
  error.message = `Connection terminated due to connection timeout: ${error.message}`
  return error
}

const TIMED_OUT = 'timeout exceeded when trying to connect'

const LONGEST_TEXT = 80

export function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return `'${line.length <= LONGEST_TEXT ? line : `${line.slice(0, LONGEST_TEXT)}...`}'`
}
