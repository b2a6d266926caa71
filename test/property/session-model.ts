/**
 * What a session must do, as a model: operations take effect one after the other, in the order in which they were given on
 * their level; a nested block is one operation of the level around it.
 */
import { LifeguardError } from '../../src/errors.js'

/** One thing that a program asks of a session. */
export type Step =
  | { readonly kind: 'insert'; readonly id: number }
  /** A statement that PostgreSQL refuses. */
  | { readonly kind: 'fail' }
  /** Counts the rows. */
  | { readonly kind: 'read' }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  /** A nested block around one slow insert, whose signal fires after so many turns of the event loop. */
  | { readonly kind: 'abortable'; readonly id: number; readonly turns: number }
  | Block

export interface Block {
  readonly kind: 'block'
  readonly steps: readonly Step[]
  /** Give all steps at once, or one after the other. */
  readonly parallel: boolean
  /** Pass on the first error of a step, or swallow them all. */
  readonly propagate: boolean
  /** Throw in the end. */
  readonly throws: boolean
}

export type Outcome =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown }

/** A step that was given, in the order of its level, and what became of it. */
export interface Entry {
  readonly step: Step
  readonly children: Entry[]
  outcome: Outcome | undefined
}

/** How an interruption (close, abort) may show. */
const INTERRUPTIONS = new Set(['SESSION_CLOSED', 'ILLEGAL_STATE', 'ABORTED'])

export class Model {
  /** What is stored for others to see. */
  committed: ReadonlySet<number> = new Set()
  readonly complaints: string[] = []
  /** The session was closed or aborted at some moment. */
  readonly #interrupted: boolean
  /** What the transaction sees. */
  #rows = new Set<number>()
  /** A statement has failed, and nothing has undone it. */
  #failed = false
  /** An operation of the transaction was interrupted: it must not be committed without it. */
  #incomplete = false

  constructor(interrupted: boolean) {
    this.#interrupted = interrupted
  }

  /** Goes through the operations of a level. */
  replay(entries: readonly Entry[]): void {
    for (const entry of entries) this.#apply(entry)
  }

  #apply(entry: Entry): void {
    const { step, outcome } = entry
    if (outcome === undefined) {
      this.#complain(entry, 'never settled')
      return
    }
    if (step.kind === 'block') {
      this.#applyBlock(entry, step)
      return
    }
    // Its own signal was meant for nothing else.
    if (step.kind === 'abortable' && !outcome.ok && codeOf(outcome.error) === 'ABORTED') return
    if (this.#wasInterrupted(outcome)) {
      this.#incomplete = true
      return
    }
    switch (step.kind) {
      case 'commit':
        this.#expect(entry, !this.#failed, 'TRANSACTION_ABORTED')
        if (!outcome.ok) return
        if (this.#incomplete)
          this.#complain(entry, 'was fulfilled without an operation that was given before it')
        this.committed = new Set(this.#rows)
        return
      case 'rollback':
        this.#expect(entry, true)
        this.#rows = new Set(this.committed)
        this.#failed = false
        this.#incomplete = false
        return
      case 'abortable':
        // No matter which side wins: the block is stored as a whole, or not at all.
        if (outcome.ok) this.#insert(entry, step.id)
        return
      case 'insert':
        this.#insert(entry, step.id)
        return
      case 'fail':
        this.#expect(entry, false, this.#failed ? 'TRANSACTION_ABORTED' : '22012')
        this.#failed = true
        return
      case 'read':
        this.#expect(entry, !this.#failed, 'TRANSACTION_ABORTED')
        if (outcome.ok && outcome.value !== this.#rows.size) {
          this.#complain(entry, `saw ${String(outcome.value)} rows instead of ${this.#rows.size}`)
        }
    }
  }

  #insert(entry: Entry, id: number): void {
    const clash = this.#rows.has(id)
    this.#expect(entry, !this.#failed && !clash, this.#failed ? 'TRANSACTION_ABORTED' : '23505')
    if (clash) this.#failed = true
    if (!this.#failed) this.#rows.add(id)
  }

  #applyBlock(entry: Entry, { propagate, throws }: Block): void {
    const [rows, failed] = [new Set(this.#rows), this.#failed]
    this.replay(entry.children)
    const refused = propagate && entry.children.some(({ outcome }) => outcome?.ok === false)
    const outcome = entry.outcome as Outcome
    this.#judgeBlock(entry, outcome, failed, !refused && !throws)
    if (outcome.ok) return
    this.#rows = rows
    this.#failed = failed
  }

  #judgeBlock(entry: Entry, outcome: Outcome, failedBefore: boolean, returned: boolean): void {
    if (this.#interrupted && !outcome.ok) {
      // What was cancelled inside has failed the block, which is undone as a whole.
      if (codeOf(outcome.error) === 'TRANSACTION_ABORTED') return
      // What a step has passed on was judged with the step.
      if (entry.children.some((child) => isRejectedWith(child, outcome.error))) return
      if (this.#wasInterrupted(outcome)) {
        this.#incomplete = true
        return
      }
    }
    // Where the transaction had failed before, that matters only to the statements of the block.
    if (!failedBefore || !returned) this.#expect(entry, returned && !this.#failed)
  }

  #wasInterrupted(outcome: Outcome): boolean {
    if (!this.#interrupted || outcome.ok) return false
    const code = codeOf(outcome.error)
    // What was cancelled has failed the transaction.
    return INTERRUPTIONS.has(code) || (this.#incomplete && code === 'TRANSACTION_ABORTED')
  }

  #expect(entry: Entry, ok: boolean, code?: string): void {
    const { outcome } = entry
    if (outcome === undefined) return
    if (outcome.ok !== ok) {
      this.#complain(entry, outcome.ok ? 'was fulfilled' : `was rejected: ${String(outcome.error)}`)
    } else if (!outcome.ok && code !== undefined && codeOf(outcome.error) !== code) {
      this.#complain(entry, `was rejected with ${codeOf(outcome.error)} instead of ${code}`)
    }
  }

  #complain({ step }: Entry, what: string): void {
    this.complaints.push(`${JSON.stringify(step)} ${what}`)
  }
}

function isRejectedWith({ outcome }: Entry, error: unknown): boolean {
  return outcome?.ok === false && outcome.error === error
}

/** The code of an error; of PostgreSQL's, the SQLSTATE. */
function codeOf(error: unknown): string {
  if (error instanceof LifeguardError && error.code === 'DATABASE_ERROR') {
    return (error as LifeguardError & { sqlState: string }).sqlState
  }
  return error instanceof LifeguardError ? error.code : String(error)
}
