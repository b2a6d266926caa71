/**
 * The unsettled calls of one session or connection: which of them may be forgotten, which one is the last, and what their failures
 * mean for the block that made them.
 */
import { AbortedError } from '../errors.js'
import type { Operation } from '../pipeline/operation.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import { OpenStreams } from './open-streams.js'
import { PendingCalls } from './pending-calls.js'
import type { TransactionScope } from './scope.js'
import type { ExecuteCall } from './statement-call.js'
import { isInstance } from '../internal/revoked.js'

export class CallTracker {
  readonly #pipeline: Pipeline
  // Made when they are needed: many sessions wait for a connection at a time.
  #pending: PendingCalls | undefined = undefined
  #streams: OpenStreams | undefined = undefined
  /** The call made last, while COMMIT may be sent in the batch of its statement. */
  #latest: ExecuteCall | undefined = undefined
  /** The error of statements that a block has left running. */
  #givenUp: AbortedError | undefined = undefined

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  /** The calls that may have been forgotten. */
  get pending(): PendingCalls {
    return (this.#pending ??= new PendingCalls(this.#pipeline))
  }

  /** The streams that are being read. */
  get streams(): OpenStreams {
    return (this.#streams ??= new OpenStreams())
  }

  /** Statements of the streams that are being read. */
  get streamTexts(): string[] {
    return this.#streams?.texts ?? []
  }

  /** A call of `execute` begins. */
  began(call: ExecuteCall): void {
    this.#latest = call
  }

  /** COMMIT cannot be sent in the batch of this call: it is not queued yet, was answered, or more statements follow it. */
  separateCommit(call: ExecuteCall): void {
    if (this.#latest === call) this.#latest = undefined
  }

  /** Notes a call that can fail before or after its statement: it is open until it settles. */
  add(call: ExecuteCall): void {
    this.pending.add(call)
  }

  /** The call has ended without an error. */
  answered(call: ExecuteCall): void {
    this.#pending?.delete(call)
    this.separateCommit(call)
  }

  /** The statement was answered, and reading its rows has failed. @param error As the caller sees it. */
  unread(call: ExecuteCall, error: unknown): void {
    this.#pending?.silenceIfReported(call, error)
  }

  /** The call has failed. @param error As the caller sees it. */
  failed(call: ExecuteCall, error: unknown): void {
    // In a transaction COMMIT reports the failure, whether the call was awaited or not.
    const isGivenUp = this.#givenUp !== undefined && isCausedBy(error, this.#givenUp)
    if (isGivenUp || (call.queued && !this.#pipeline.autocommit)) call.outer?.catch(ignore)
    else this.#pending?.silenceIfReported(call, error)
    this.answered(call)
  }

  /** True if the promise is that of the only statement that is queued or running. */
  isOnlyCall(promise: unknown): boolean {
    if (promise === undefined || this.#latest?.outer !== promise || this.#pending?.isEnding() === true)
      return false
    return this.#pipeline.pending.length === 1
  }

  /** True while a nested block runs, or waits for its turn. @param within Only inside of this transaction of `begin()`. */
  isInBlock(within?: TransactionScope): boolean {
    return this.#pending?.isInBlock(within) === true
  }

  /** Waits for commits and rollbacks that were not awaited; undefined if there is none. @throws what they throw. */
  ended(within?: TransactionScope): Promise<void> | undefined {
    return this.#pending?.isEnding(within) === true ? this.#pending.ended(within) : undefined
  }

  /** The failure of the block is reported, which covers the failures of its calls. @param scope Default: every block. */
  silence(scope?: object): void {
    this.#pending?.silence(scope)
  }

  /**
   * The block has thrown: its statements that still run are cancelled on the server, those that were not sent are refused.
   * @param operations Only these; default: all.
   */
  giveUp(cause: unknown, operations?: ReadonlySet<Operation>): void {
    if (this.#pipeline.quiet) return
    this.#givenUp = new AbortedError(
      'The block ended while this statement was still running, so it was cancelled (see cause)',
      { cause },
    )
    this.#pipeline.giveUp(this.#givenUp, operations)
  }
}

function isCausedBy(error: unknown, reason: Error): boolean {
  return error === reason || (isInstance(error, Error) && error.cause === reason)
}

function ignore(): void {
  // The failure is reported elsewhere.
}
