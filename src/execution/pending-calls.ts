/**
 * Calls whose promises the caller may have forgotten to await. Node ends a process for an unhandled rejection, so the code that
 * reports the forgotten call or its failure silences the promise here. Every other unhandled failure still ends the process.
 */
import { LifeguardError } from '../errors.js'
import type { Pipeline } from '../pipeline/pipeline.js'
import type { TransactionScope } from './scope.js'

/**
 * Where the failure of a call is reported.
 *
 * - `query`: its failure makes the transaction fail, so COMMIT reports it.
 * - `block`: runs code of the caller, whose errors are reported by the call only.
 * - `end`: commit or rollback; a block waits for it.
 */
export type CallKind = 'query' | 'block' | 'end'

/** A call that has not settled. */
export interface PendingCall {
  /** The promise that the caller holds. */
  outer: Promise<unknown> | undefined
  /** The nested block that has made the call. */
  readonly scope: TransactionScope | undefined
}

export class PendingCalls {
  readonly #pipeline: Pipeline
  readonly #calls = new Set<PendingCall>()
  readonly #ends = new Set<PendingCall>()
  readonly #blocks = new Set<PendingCall>()

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  /** Runs a call, which is open until it settles. */
  run<Value>(
    kind: CallKind,
    scope: TransactionScope | undefined,
    work: () => Promise<Value>,
  ): Promise<Value> {
    const call: PendingCall = { outer: undefined, scope }
    const running = this.#run(kind, call, work)
    call.outer = running
    return running
  }

  /** Notes a call that is run elsewhere and has not settled. */
  add(call: PendingCall): void {
    this.#calls.add(call)
  }

  delete(call: PendingCall): void {
    this.#calls.delete(call)
  }

  /**
   * True while a commit or rollback is under way.
   * @param scope Only one of this block.
   */
  isEnding(scope?: object): boolean {
    return this.#endsOf(scope).length > 0
  }

  /**
   * True while a block is under way, or waits for its turn. A block inside of one that has ended does not count: it ended as well.
   * @param scope Only one of this block.
   */
  isInBlock(scope?: object): boolean {
    for (const call of this.#blocks)
      if (call.scope?.ended !== true && (scope === undefined || call.scope === scope)) return true
    return false
  }

  /** Waits for every commit and rollback (of this block). @throws what they throw. */
  async ended(scope?: object): Promise<void> {
    while (this.isEnding(scope)) await Promise.all(this.#endsOf(scope).map(async ({ outer }) => await outer))
  }

  #endsOf(scope: object | undefined): PendingCall[] {
    return [...this.#ends].filter((call) => scope === undefined || call.scope === scope)
  }

  /** The call has failed. If the transaction failed with it, COMMIT reports the failure, so the promise is silenced. */
  silenceIfReported(call: PendingCall, error: unknown): void {
    const { name } = this.#pipeline.state
    const isReported = name === 'failed' || name === 'lost'
    if (isReported && error instanceof LifeguardError) call.outer?.catch(ignore)
  }

  /**
   * It is reported that these were not awaited, so their failures are not reported again.
   * @param scope Only those of this nested block.
   */
  silence(scope?: object): void {
    for (const call of [...this.#calls, ...this.#blocks, ...this.#ends]) {
      if (scope === undefined || call.scope === scope) call.outer?.catch(ignore)
    }
  }

  async #run<Value>(kind: CallKind, call: PendingCall, work: () => Promise<Value>): Promise<Value> {
    const open = { query: this.#calls, block: this.#blocks, end: this.#ends }[kind]
    open.add(call)
    try {
      return await work()
    } catch (error) {
      if (kind === 'query') this.silenceIfReported(call, error)
      throw error
    } finally {
      open.delete(call)
    }
  }
}

function ignore(): void {
  // The failure is reported elsewhere.
}
