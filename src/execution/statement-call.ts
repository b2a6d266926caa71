/**
 * One call of `execute`: from the caller's promise to the rows that it returns, or to an error with the caller's line.
 *
 * A statement that can be queued at once needs one promise, the caller's. Only a failure needs another one, so that V8 can follow it
 * to the line that awaits.
 */
import type { StatementResult } from '../driver/driver.js'
import { Result } from '../result/result.js'
import type { PendingCall } from './pending-calls.js'
import type { TransactionScope } from './scope.js'
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

/** Converts the result to the value that the caller has asked for. */
export type ReadResult<Value> = (result: Result<never, never>) => Value

export class StatementCall<Value> implements ExecuteCall, OperationFollower {
  /** The promise that the caller holds. */
  outer: Promise<unknown> | undefined = undefined
  queued = false
  readonly scope: TransactionScope | undefined
  readonly read: ReadResult<Value>
  readonly #host: CallHost
  #operation: Operation | undefined = undefined
  #resolve: ((value: Value | Promise<Value>) => void) | undefined = undefined

  /** @param scope The nested block that has made the call. */
  constructor(host: CallHost, read: ReadResult<Value>, scope: TransactionScope | undefined) {
    this.#host = host
    this.read = read
    this.scope = scope
  }

  /** The caller's promise, for an operation that is queued. */
  follow(operation: Operation): Promise<Value> {
    this.queued = true
    this.#operation = operation
    operation.follow(this)
    return new Promise<Value>((resolve) => (this.#resolve = resolve))
  }

  ended(): void {
    let value: Value | Promise<Value>
    try {
      value = this.#operation?.succeeded === true ? this.value : this.#failure()
    } catch {
      value = this.#failure()
    }
    this.#resolve?.(value)
  }

  /**
   * Throws where the caller's promise follows already: V8 finds the caller's line by that, and a promise is followed in the second microtask after
   * it was resolved with another one.
   */
  async #failure(): Promise<Value> {
    await NOW
    await NOW
    return this.value
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

const NOW = Promise.resolve()
