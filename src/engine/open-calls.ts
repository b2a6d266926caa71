/**
 * Calls whose promises somebody may have forgotten to await. Node ends a process for a rejection that nobody handles, so
 * whoever reports the forgotten call, or its failure, silences it here. Every other failure stays as loud as any.
 */
import { LifeguardError } from '../errors.js'
import type { Conversation } from './conversation.js'

/**
 * What a call is to whoever reports failures.
 *
 * - `query`: its failure is the transaction's, so that COMMIT reports it.
 * - `block`: runs code of the caller; what that throws is its own.
 * - `end`: commit or rollback: a block waits for it.
 */
export type CallKind = 'query' | 'block' | 'end'

/** A call that has not settled. */
export interface OpenCall {
  /** The promise that the caller holds. */
  outer: Promise<unknown> | undefined
  /** The nested block that has made it. */
  readonly scope: object | undefined
}

export class OpenCalls {
  readonly #conversation: Conversation
  readonly #calls = new Set<OpenCall>()
  readonly #ends = new Set<OpenCall>()

  constructor(conversation: Conversation) {
    this.#conversation = conversation
  }

  /** Runs a call, which is open until it settles. */
  run<Value>(kind: CallKind, scope: object | undefined, work: () => Promise<Value>): Promise<Value> {
    const call: OpenCall = { outer: undefined, scope }
    const running = this.#run(kind, call, work)
    call.outer = running
    return running
  }

  /** Of a call that is run elsewhere: it has not settled. */
  add(call: OpenCall): void {
    this.#calls.add(call)
  }

  delete(call: OpenCall): void {
    this.#calls.delete(call)
  }

  /** True while a commit or rollback is under way. */
  get ending(): boolean {
    return this.#ends.size > 0
  }

  /** Waits for every commit and rollback. @throws what they throw. */
  async ended(): Promise<void> {
    while (this.ending) await Promise.all([...this.#ends].map(async ({ outer }) => await outer))
  }

  /** A call has failed: nobody needs to hear of it here if the transaction has, because COMMIT will say so. */
  forgive(call: OpenCall, error: unknown): void {
    const { name } = this.#conversation.state
    const isReported = name === 'failed' || name === 'lost'
    if (isReported && error instanceof LifeguardError) call.outer?.catch(ignore)
  }

  /**
   * That these were not awaited is reported: what becomes of them is nobody's surprise.
   * @param scope Only those of this nested block.
   */
  silence(scope?: object): void {
    for (const call of [...this.#calls, ...this.#ends]) {
      if (scope === undefined || call.scope === scope) call.outer?.catch(ignore)
    }
  }

  async #run<Value>(kind: CallKind, call: OpenCall, work: () => Promise<Value>): Promise<Value> {
    const open = kind === 'end' ? this.#ends : this.#calls
    open.add(call)
    try {
      return await work()
    } catch (error) {
      if (kind === 'query') this.forgive(call, error)
      throw error
    } finally {
      open.delete(call)
    }
  }
}

function ignore(): void {
  // It is reported elsewhere.
}
