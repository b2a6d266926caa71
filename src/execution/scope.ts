/** Savepoints and transactions of `begin()`: their contracts and the errors of their ends. */
import { IllegalStateError, UnawaitedStatementError } from '../errors.js'
import { lineOfCaller } from '../internal/own-frames.js'
import type { Operation } from '../pipeline/operation.js'

/** One savepoint, or the transaction of `begin()` around them. */
export class Scope {
  /** Undefined for a transaction. */
  readonly name: string | undefined
  /** True: it was started with a callback, and only code inside of the callback belongs to it. */
  readonly isBlock: boolean
  /** The SAVEPOINT, once a statement needed it. */
  savepoint: Operation | undefined
  readonly pending: Set<Operation> = new Set()
  ended = false

  constructor(name: string | undefined, ended: 'block' | 'by hand') {
    this.name = name
    this.isBlock = ended === 'block'
  }
}

/** The transaction of `begin()`. */
export interface TransactionScope {
  /** True: it was ended by the scope or transaction around it. */
  readonly ended: boolean
}

/** An action that waits for its turn. */
export interface WaitingAction {
  /** The block whose code issued it. */
  readonly block: Scope | undefined
  start(): void
  refuse(error: unknown): void
}

/** How failures are reported to the caller. */
export interface ScopeReports {
  /** Returns the error as the caller sees it. */
  explain(error: unknown): unknown
  /** The failure of the block is reported, which covers the calls that the block has not awaited. */
  reported(block: object): void
  /** The block has thrown while these operations still ran. */
  left(error: unknown, operations: ReadonlySet<Operation>): void
  /** True while a nested block that was started in this one runs, or waits for its turn. */
  nests(block: TransactionScope): boolean
}

/** A savepoint that the caller ends, by `commit()`, `rollback()` or `await using`. */
export interface Savepoint extends AsyncDisposable {
  /** RELEASE SAVEPOINT: keeps the changes made since the savepoint, if the transaction commits. @throws TransactionAbortedError */
  commit(): Promise<void>
  /** ROLLBACK TO SAVEPOINT: undoes the changes made since the savepoint; a failed transaction becomes usable again. Idempotent. */
  rollback(): Promise<void>
}

/** @param end What the caller has done with the savepoint; undefined: it ended with what is around it. */
export function endedSavepoint(end: 'committed' | 'rolled back' | undefined): IllegalStateError {
  const why =
    end === undefined ? 'its transaction, or a savepoint around it, has ended' : `it was ${end} already`
  return new IllegalStateError(`Cannot commit the savepoint: ${why}`)
}

export function endedBlock(): IllegalStateError {
  return new IllegalStateError(
    'A nested block continued after its end, or after the end of its transaction: an `await` is missing',
  )
}

/**
 * @param pending The operations of the block and of savepoints inside.
 * @param isNesting True if a block inside runs, or something waits for the end of one.
 * @throws UnawaitedStatementError if statements or blocks of the block still run.
 */
export function requireSettled(pending: ReadonlySet<Operation>, isNesting: boolean): void {
  const left = [...pending].filter(({ outstanding }) => outstanding)
  const texts = left.map(({ text }) => text)
  if (texts.length === 0 && !isNesting) return
  const what =
    texts.length === 0 ? 'a nested block of it was running' : `${texts.length} of its statements were running`
  throw new UnawaitedStatementError(
    `A nested block returned while ${what} (an await is missing)${texts.length === 0 ? '' : `: ${left.map(withLine).join('; ')}`}`,
    texts,
  )
}

/** The statement, and (with `captureStacks`) the line that has issued it. */
export function withLine({ text, issued }: Pick<Operation, 'text' | 'issued'>): string {
  const line = lineOfCaller(issued?.stack)
  return line === undefined ? text : `${text} (issued at ${line})`
}
