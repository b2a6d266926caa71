/**
 * Recognises that the server refused a prepared statement at Bind, before it ran, because its plan is stale. If the error alone does
 * not show this, Parse and Bind are sent again.
 */
import type { StalePlan } from '../internal/stale-plan.js'
import type { Batch, BatchStatement, StatementResult } from './driver.js'

/**
 * - `missing`: this backend does not know the statement, or has another one of that name.
 * - `stale`: its plan does not fit the schema any more.
 * - `suspect`: either its plan does not fit, or the values are wrong. Only a statement that is prepared anew shows which.
 */
export type Staleness = 'missing' | 'stale' | 'suspect'

/** Undefined: the refusal has nothing to do with the plan (a lock, a cancel, a transaction that has failed). */
export function stalenessOf(error: Error): Staleness | undefined {
  const { code = '' } = error as { code?: string }
  if (code === '26000' || isTaken(error)) return 'missing'
  // "cached plan must not change result type", "cache lookup failed for type 4711".
  if (code === '0A000' || code === 'XX000') return 'stale'
  // "value out of range for type integer", "column is of type ... but expression is of type ...".
  return code.startsWith('22') || code.startsWith('42') ? 'suspect' : undefined
}

/** SQLSTATE 42P05: another statement has the name. */
export function isTaken(error: Error): boolean {
  return (error as { code?: string }).code === '42P05'
}

/** A statement that was refused after its transaction had done something, so it cannot simply be sent again. */
export interface Suspect {
  readonly statement: BatchStatement
  readonly stale: StalePlan
}

/**
 * If the batch is a single ROLLBACK, adds a Parse and a Bind of the suspect, which is not run. If the server accepts both now, the old
 * plan was to blame. ROLLBACK settles after that is known.
 */
export function withProbe(batch: Batch, { statement, stale }: Suspect, onStale: () => void): Batch {
  const [rollback] = batch.statements
  if (batch.statements.length !== 1 || rollback?.text !== 'ROLLBACK') return batch
  let held: StatementResult | undefined
  const release = (): void => {
    if (held !== undefined) rollback.onResult(held)
  }
  const first: BatchStatement = {
    text: rollback.text,
    onResult: (result) => void (held = result),
    onError: (error) => rollback.onError(error),
  }
  const probe: BatchStatement = {
    text: statement.text,
    values: statement.values,
    prepare: false,
    onlyBind: true,
    onResult: () => {
      stale.certain = true
      onStale()
      release()
    },
    onError: release,
  }
  return { ...batch, statements: [first, probe], onEnd: () => batch.onEnd() }
}

/**
 * The statements to run when the batch is sent once more after `refused` failed for its stale plan. They are parsed for this
 * one use, so that a second failure cannot come from a stale plan.
 * @param onSuccess Called when `refused` runs: its plan was stale.
 */
export function repeatable(batch: Batch, refused: BatchStatement, onSuccess: () => void): BatchStatement[] {
  if (batch.sync === 'separate') return [unprepared(refused, onSuccess)]
  return batch.statements.map((each) => unprepared(each, each === refused ? onSuccess : undefined))
}

function unprepared(statement: BatchStatement, onSuccess: (() => void) | undefined): BatchStatement {
  return {
    ...statement,
    prepare: false,
    // Methods of a class are no properties of its instances.
    onResult: (result) => {
      onSuccess?.()
      statement.onResult(result)
    },
    onError: (error) => statement.onError(error),
  }
}
