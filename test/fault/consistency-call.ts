/** One call of a consistency run: how its choices are made, how its block is run, and what it counts as told. */
import {
  CommitOutcomeUnknownError,
  HookError,
  isRetryable,
  LifeguardError,
  UnreadableResultError,
  type Engine,
  type Session,
  type SessionFactory,
  type WithSessionOptions,
} from '../../src/index.js'
import type { Operation } from './consistency-history.js'
import { LISTS } from './consistency-tables.js'
import type { Random } from './support-random.js'

/** What a block of the workload throws by itself. */
export class Mine extends Error {}

/** What the faults explain. Any other failure is a violation. */
const EXPECTED = new Set([
  'ABORTED',
  'COMMIT_OUTCOME_UNKNOWN',
  'CONNECTION_LOST',
  'CONNECT_FAILED',
  'ENGINE_DISPOSED',
  'HOOK_FAILED',
  'POOL_TIMEOUT',
  'STALE_DATA',
  'STATEMENT_TIMEOUT',
  'TRANSACTION_ABORTED',
  'UNAWAITED_STATEMENT',
])
/** Read-only, serialization, deadlock, lock timeout, cancel, starting up, shutting down, too many connections. */
const EXPECTED_STATES = /^(25006|40001|40P01|55P03|57014|57P0[123]|53300|08\w{3})$/

export class Call {
  readonly operation: Operation
  readonly random: Random
  readonly engine: Engine
  readonly sessions: SessionFactory
  readonly #epoch: number

  /** @param epoch That of the channel which is listened to. */
  constructor(operation: Operation, random: Random, engine: Engine, sessions: SessionFactory, epoch: number) {
    this.#epoch = epoch
    this.operation = operation
    this.random = random
    this.engine = engine
    this.sessions = sessions
  }

  get token(): number {
    return this.operation.number
  }

  /** True as often as this, from 0 to 1. */
  chance(of: number): boolean {
    return this.random.next() < of
  }

  /** A whole number from 1 to `most`. */
  upTo(most: number): number {
    return 1 + Math.floor(this.random.next() * most)
  }

  list(): number {
    return this.upTo(LISTS)
  }

  /** Says beforehand what is stored if the call is committed. */
  stores(...effects: readonly string[]): void {
    this.operation.effects = effects
  }

  /** Says beforehand that its token is notified if the call is committed. */
  notifies(): void {
    this.operation.notifiesIn = this.#epoch
  }

  saw(list: number, items: readonly number[]): void {
    this.operation.log(
      `list ${String(list)} has ${String(items.length)} items, the last is ${String(items.at(-1))}`,
    )
    this.operation.observations.push({ list, items })
  }

  /** Complains unless the condition holds. */
  claim(holds: boolean, complaint: string): void {
    if (!holds) this.operation.complaints.push(complaint)
  }

  /** What most blocks are given: half of them can be aborted, most are run again when that is safe. */
  options(more: WithSessionOptions = {}): WithSessionOptions {
    return {
      ...(this.chance(0.5) ? { signal: this.operation.ending.signal } : {}),
      ...(this.chance(0.7) ? { retry: { attempts: 6, backoff: (attempt) => attempt * 4 } } : {}),
      ...more,
    }
  }

  /** A block, often with an `afterCommit` hook, which sometimes throws. The promise of `work` is returned as it is. */
  block<Value>(
    work: (session: Session) => Promise<Value>,
    options: WithSessionOptions = this.options(),
  ): Promise<Value> {
    const { operation } = this
    operation.hooked = options.autocommit !== true && this.chance(0.4)
    const throws = operation.hooked && this.chance(0.05)
    return this.sessions.withSession((session) => {
      operation.log(`attempt ${String(++operation.attempts)}`)
      // What an attempt that was undone has seen does not count.
      operation.observations = []
      if (operation.hooked) {
        session.afterCommit(() => {
          operation.hookRuns++
          operation.log('afterCommit')
          if (throws) throw new Mine('the hook')
        })
      }
      return work(session)
    }, options)
  }

  /** Runs the call, and writes down what it was told. */
  async run(work: (call: Call) => Promise<unknown>): Promise<void> {
    const { operation } = this
    try {
      await work(this)
      operation.end('committed', 'success')
    } catch (error) {
      const text = describe(error)
      if (!(error instanceof Mine) && !explained(error))
        operation.complaints.push(`no fault explains ${text}`)
      if (error instanceof HookError || error instanceof UnreadableResultError)
        operation.end('committed', text)
      else if (error instanceof CommitOutcomeUnknownError) operation.end('unknown', text)
      else operation.end('failed', text)
      const again = isRetryable(error)
      this.claim(!again || operation.told === 'failed', `a retry was advised for ${text}`)
    }
  }
}

function explained(error: unknown): boolean {
  if (!(error instanceof LifeguardError)) return false
  const { sqlState } = error as { readonly sqlState?: unknown }
  return EXPECTED.has(error.code) || (typeof sqlState === 'string' && EXPECTED_STATES.test(sqlState))
}

/** The chain of causes, in one line. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, sqlState } = error as { readonly code?: string; readonly sqlState?: string }
  const own = [error.name, code, sqlState].filter((one) => one !== undefined).join(' ')
  const cause = error.cause === undefined ? '' : ` <- ${describe(error.cause)}`
  return `${own}: ${error.message.slice(0, 200)}${cause}`
}
