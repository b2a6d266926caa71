/** One thing that a session asks of its connection: a statement, or a step of its transaction. */
import type {
  BatchStatement,
  DriverConnection,
  RowMode,
  StatementResult,
  TypeParsers,
} from '../driver/driver.js'
import type { EncodedValue } from '../driver/values.js'

/**
 * - `statement`: what the user runs.
 * - `step`: put in front of a statement (BEGIN, SAVEPOINT, RELEASE); the statement stands or falls with it.
 * - `commit`, `rollback`: end the transaction.
 * - `rollbackTo`: undoes a savepoint, and with it a failure that happened inside.
 * - `exclusive`: takes the whole connection for a while (a script, COPY).
 */
export type OperationKind = 'statement' | 'step' | 'commit' | 'rollback' | 'rollbackTo' | 'exclusive'

/** What is sent for an operation. */
export interface OperationStatement {
  readonly text: string
  readonly values?: readonly EncodedValue[] | undefined
  readonly rowMode?: RowMode | undefined
  readonly types?: TypeParsers | undefined
  readonly prepare?: boolean | undefined
  readonly portal?: string | undefined
  readonly maxRows?: number | undefined
  readonly closePortal?: boolean | undefined
  /** Called when it takes its place in the queue. */
  readonly queued?: (() => void) | undefined
}

/** What takes the whole connection for a while. */
export interface ExclusiveWork {
  /** @param leave Cancels it on the server, with that reason, before it has ended. */
  run(connection: DriverConnection, leave: (reason: Error) => void): Promise<unknown>
  /** Makes it end soon, where asking the server to cancel is not enough. */
  stop?(reason: Error): void
  /** True: whoever wanted it has given it up, and does not wait for its end. */
  readonly left?: boolean
  /** True: the server waits for more of it, and so cannot have finished it. */
  readonly incomplete?: boolean
}

/** Whoever has to know how an operation ended before the one who asked for it does. */
export interface OperationOwner {
  /** A COMMIT on its way may store something. */
  readonly storing: boolean
  answered(operation: Operation, result: StatementResult): void
  refused(operation: Operation, error: Error): void
}

export class Operation implements BatchStatement {
  readonly kind: OperationKind
  readonly text: string
  readonly values: readonly EncodedValue[] | undefined
  readonly rowMode: RowMode | undefined
  readonly types: TypeParsers | undefined
  readonly prepare: boolean | undefined
  readonly portal: string | undefined
  readonly maxRows: number | undefined
  readonly closePortal: boolean | undefined
  /** Set for the BEGIN that proves an idle connection. */
  flushAfter: boolean | undefined = undefined
  /** True: it may have to be cancelled, so nothing of the user's shares its batch. */
  cancellable = false
  /** Why it was called off; its answer does not matter any more. */
  calledOff: Error | undefined = undefined
  /** When it was sent, on the conversation's clock. */
  sentAt = 0
  /** For `exclusive`: what to do with the connection. */
  readonly work: ExclusiveWork | undefined

  readonly #owner: OperationOwner
  #promise: Promise<StatementResult> | undefined = undefined
  #resolve: ((result: StatementResult) => void) | undefined = undefined
  #reject: ((error: unknown) => void) | undefined = undefined
  #result: StatementResult | undefined = undefined
  #failure: { readonly error: unknown } | undefined = undefined

  constructor(
    owner: OperationOwner,
    kind: OperationKind,
    statement: OperationStatement,
    work?: ExclusiveWork,
  ) {
    this.#owner = owner
    this.kind = kind
    this.text = statement.text
    this.values = statement.values
    this.rowMode = statement.rowMode
    this.types = statement.types
    this.prepare = statement.prepare
    this.portal = statement.portal
    this.maxRows = statement.maxRows
    this.closePortal = statement.closePortal
    this.work = work
  }

  /** How it ends. Made when it is asked for: most steps have nobody who waits, and then a failure is nobody's surprise. */
  get promise(): Promise<StatementResult> {
    this.#promise ??= new Promise((resolve, reject) => {
      if (this.#result !== undefined) resolve(this.#result)
      else if (this.#failure !== undefined) reject(this.#failure.error)
      this.#resolve = resolve
      this.#reject = reject
    })
    return this.#promise
  }

  get commits(): boolean {
    return this.kind === 'commit' && this.#owner.storing
  }

  get succeeded(): boolean {
    return this.#result !== undefined
  }

  get settled(): boolean {
    return this.#result !== undefined || this.#failure !== undefined
  }

  /** The user has to wait for it still: it has not ended, and was not given up. */
  get outstanding(): boolean {
    if (this.kind !== 'statement' && this.kind !== 'exclusive') return false
    return !this.settled && this.work?.left !== true
  }

  /** It is cancelled on the server: what it answers does not matter any more. */
  callOff(reason: Error): void {
    this.calledOff ??= reason
    this.work?.stop?.(reason)
  }

  onResult(result: StatementResult): void {
    this.#owner.answered(this, result)
  }

  onError(error: Error): void {
    this.#owner.refused(this, error)
  }

  succeed(result: StatementResult): void {
    if (this.settled) return
    this.#result = result
    this.#resolve?.(result)
  }

  fail(error: unknown): void {
    if (this.settled) return
    this.#failure = { error }
    this.#reject?.(error)
  }
}

/** True for what ends a failure instead of suffering from it. */
export function undoes(operation: Operation | undefined): boolean {
  return operation?.kind === 'rollback' || operation?.kind === 'rollbackTo'
}

/** The result of what was not sent. */
export const NOTHING: StatementResult = {
  command: '',
  rowCount: null,
  fields: [],
  rows: [],
  suspended: false,
}
