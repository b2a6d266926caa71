/**
 * One call of `execute`: from the caller's promise to the rows that it gives, or to the error that leads to the caller's line.
 *
 * A statement that has its place in the queue at once costs two promises: one that the operation settles, and the caller's, which
 * is derived from it. V8 follows derived promises to the line that awaits, as it follows `await`.
 */
import type { StatementResult } from '../driver/driver.js'
import { Result } from '../result/result.js'
import type { PendingCall } from './pending-calls.js'
import type { Operation, OperationFollower } from '../pipeline/operation.js'

/** A call of `execute`, as the tracker of calls sees it. */
export interface ExecuteCall extends PendingCall {
  /** Its statement has its place in the queue. */
  queued: boolean
}

/** The runner of the call. */
export interface CallHost {
  /** Returns the error as the caller sees it, and notes the failure of the call. Call it in the caller's own continuation. */
  failed(call: ExecuteCall, error: unknown, text: string): unknown
  /** The call has ended without an error. */
  answered(call: ExecuteCall): void
}

/** Makes of the result what the caller has asked for. */
export type ReadResult<Value> = (result: Result<never, never>) => Value

export class StatementCall<Value> implements ExecuteCall, OperationFollower {
  /** The promise that the caller holds. */
  outer: Promise<unknown> | undefined = undefined
  queued = false
  readonly scope: object | undefined
  readonly read: ReadResult<Value>
  readonly #host: CallHost
  #operation: Operation | undefined = undefined
  #resolve: ((call: StatementCall<Value>) => void) | undefined = undefined

  /** @param scope The nested block that has made the call. */
  constructor(host: CallHost, read: ReadResult<Value>, scope: object | undefined) {
    this.#host = host
    this.read = read
    this.scope = scope
  }

  /** The caller's promise, for an operation that is queued. */
  follow(operation: Operation): Promise<Value> {
    this.queued = true
    this.#operation = operation
    operation.follow(this)
    const ended = new Promise<StatementCall<Value>>((resolve) => (this.#resolve = resolve))
    return ended.then(valueOf)
  }

  ended(): void {
    this.#resolve?.(this)
  }

  /** @throws what the caller is to see. */
  get value(): Value {
    const operation = this.#operation as Operation
    let result: StatementResult
    try {
      result = operation.result
    } catch (error) {
      throw this.#host.failed(this, error, operation.text)
    }
    this.#host.answered(this)
    return this.read(new Result<never, never>(result as never))
  }
}

function valueOf<Value>(call: StatementCall<Value>): Value {
  return call.value
}
