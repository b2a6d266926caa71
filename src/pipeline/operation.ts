/** One operation of a session on its connection: a statement, or a step of its transaction (BEGIN, SAVEPOINT, COMMIT, ...). */
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
 * - `step`: sent before a statement (BEGIN, SAVEPOINT, RELEASE); if it fails, the statement fails.
 * - `check`: a step that fails if the connection is the wrong one; see `BeginStatement.isCheck`.
 * - `commit`, `rollback`: end the transaction.
 * - `rollbackTo`: rolls back to a savepoint, and ends the failed state if the failure happened inside.
 * - `exclusive`: takes the whole connection for a while (a script, COPY).
 */
export type OperationKind =
  'statement' | 'step' | 'check' | 'commit' | 'rollback' | 'rollbackTo' | 'exclusive'

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
  /** Called when the operation is queued. */
  readonly queued?: (() => void) | undefined
}

/** Work that needs the whole connection (a script, COPY). */
export interface ExclusiveWork {
  /** @param leave Cancels the work on the server, with that reason. */
  run(connection: DriverConnection, leave: (reason: Error) => void): Promise<unknown>
  /** Ends the work where a cancel on the server is not enough (a stream). */
  stop?(reason: Error): void
  /** True: the caller has left the stream, and does not wait for the end. */
  readonly left?: boolean
  /** True: the server still waits for data (COPY FROM STDIN), so it cannot have finished. */
  readonly incomplete?: boolean
}

/** Called with the end of an operation, before its caller is (`ResponseHandler`). */
export interface OperationOwner {
  /** A COMMIT on its way may store something. */
  readonly storing: boolean
  answered(operation: Operation, result: StatementResult): void
  refused(operation: Operation, error: Error): void
}

/** Called when an operation has ended, before its promise settles. Must not throw. */
export interface OperationFollower {
  ended(operation: Operation): void
}

export class Operation implements BatchStatement {
  readonly kind: OperationKind
  readonly text: string
  readonly values: readonly EncodedValue[] | undefined
  /** Set for the BEGIN that checks an idle connection (pre-ping), and before a COMMIT that an abort must not hit. */
  flushAfter: boolean | undefined = undefined
  /** True: a signal or timeout may cancel it, so no other statement of the caller shares its batch. */
  cancellable = false
  /** Why the operation was called off: it fails with this reason. */
  calledOff: Error | undefined = undefined
  /** When it was sent, on the pipeline's clock. */
  sentAt = 0
  /** For `exclusive`: what to do with the connection. */
  readonly work: ExclusiveWork | undefined
  /** With `captureStacks`: the stack of the call that has issued it, until it ends. */
  issued: { readonly stack?: string } | undefined = undefined
  /** The next operation in the queue. */
  next: Operation | undefined = undefined
  /** The operations of its nested block that have not ended. It removes itself from them when it ends. */
  among: Set<Operation> | undefined = undefined

  readonly #owner: OperationOwner
  /** Options that differ from the usual ones. They have no fields of their own, because many operations may wait at a time. */
  readonly #special: OperationStatement | undefined
  #outcome: StatementResult | Failure | undefined = undefined
  #follower: OperationFollower | undefined = undefined
  #awaited: AwaitedEnd | undefined = undefined

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
    this.work = work
    this.#special = isSpecial(statement) ? statement : undefined
  }

  get rowMode(): RowMode | undefined {
    return this.#special?.rowMode
  }

  get types(): TypeParsers | undefined {
    return this.#special?.types
  }

  get prepare(): boolean | undefined {
    return this.#special?.prepare
  }

  get portal(): string | undefined {
    return this.#special?.portal
  }

  get maxRows(): number | undefined {
    return this.#special?.maxRows
  }

  get closePortal(): boolean | undefined {
    return this.#special?.closePortal
  }

  /** Settles with the answer. Made on first access, because most steps are not awaited, and their failures must not be unhandled rejections. */
  get promise(): Promise<StatementResult> {
    if (this.#awaited === undefined) {
      this.#awaited = new AwaitedEnd()
      if (this.#outcome !== undefined) this.#awaited.settle(this.#outcome)
    }
    return this.#awaited.promise
  }

  /** Sets the follower. Call it at most once, and before the operation has ended. */
  follow(follower: OperationFollower): void {
    this.#follower = follower
  }

  get commits(): boolean {
    return this.kind === 'commit' && this.#owner.storing
  }

  /** The server's answer. @throws the error of the operation. */
  get result(): StatementResult {
    if (this.#outcome instanceof Failure) throw this.#outcome.error
    return this.#outcome ?? NOTHING
  }

  get succeeded(): boolean {
    return this.#outcome !== undefined && !(this.#outcome instanceof Failure)
  }

  get settled(): boolean {
    return this.#outcome !== undefined
  }

  /** True for work of the caller that has not ended, unless the caller has left its stream. */
  get outstanding(): boolean {
    if (this.kind !== 'statement' && this.kind !== 'exclusive') return false
    return !this.settled && this.work?.left !== true
  }

  /** Notes that it is cancelled on the server: it fails with `reason`. */
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

  /** It is sent again, on another connection: a step that was answered is answered once more. */
  renew(): void {
    if (this.kind === 'step') this.#outcome = undefined
  }

  succeed(result: StatementResult): void {
    this.#settle(result)
  }

  fail(error: unknown): void {
    this.#settle(new Failure(error))
  }

  #settle(outcome: StatementResult | Failure): void {
    if (this.settled) return
    this.#outcome = outcome
    this.issued = undefined
    this.among?.delete(this)
    this.#follower?.ended(this)
    this.#awaited?.settle(outcome)
  }
}

class Failure {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}

/** The promise of an operation that is awaited. */
class AwaitedEnd {
  #resolve!: (result: StatementResult) => void
  #reject!: (error: unknown) => void
  readonly promise: Promise<StatementResult> = new Promise((resolve, reject) => {
    this.#resolve = resolve
    this.#reject = reject
  })

  settle(outcome: StatementResult | Failure): void {
    if (outcome instanceof Failure) this.#reject(outcome.error)
    else this.#resolve(outcome)
  }
}

function isSpecial({ rowMode, types, prepare, portal, maxRows, closePortal }: OperationStatement): boolean {
  if (rowMode === 'array' || prepare === false) return true
  return (types ?? portal ?? maxRows ?? closePortal) !== undefined
}

/** True for ROLLBACK and ROLLBACK TO, which end the failed state instead of being refused in it. */
export function undoes(operation: Operation | undefined): boolean {
  return operation?.kind === 'rollback' || operation?.kind === 'rollbackTo'
}

/** The result of an operation that was settled without the server. */
export const NOTHING: StatementResult = {
  command: '',
  rowCount: null,
  fields: [],
  rows: [],
  suspended: false,
}
