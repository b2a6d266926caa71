/**
 * The transaction of `begin()`: begins when it is its turn and nothing else runs. Statements issued outside of its block wait until it
 * has ended.
 */
import { runInScope } from '../internal/async-scope.js'
import type { TransactionScope } from './scope.js'
import type { StatementRunner } from './statement-runner.js'
import { begunAlready } from '../pipeline/transaction-errors.js'

/**
 * Calls `action` when it is the caller's turn and nothing else is under way. Only outside of a transaction.
 * @throws IllegalStateError if a transaction is open that `begin()` without a callback has begun.
 */
export async function whenAlone<Value>(runner: StatementRunner, action: () => Value): Promise<Value> {
  const { pipeline, scopes } = runner
  // Settles when everything that is queued now has settled: a ROLLBACK without a transaction is never sent, but waits its turn.
  const queueSettled = (): Promise<unknown> => pipeline.enqueue('rollback', { text: 'ROLLBACK' }).promise
  for (;;) {
    const turn = await scopes.inTurn(() => {
      if (pipeline.quiet) return { value: action() }
      return { before: pipeline.autocommit ? queueSettled() : runner.ownTransaction }
    })
    if ('value' in turn) return turn.value
    if (turn.before === undefined) throw begunAlready()
    await turn.before
  }
}

/**
 * Opens a transaction of `begin()` when it is the turn of the caller, and nothing else is under way.
 * @throws IllegalStateError inside of a transaction.
 */
export async function beginInTurn<Opened>(runner: StatementRunner, open: () => Opened): Promise<Opened> {
  const { pipeline, scopes } = runner
  const start = (): Opened => {
    scopes.requireNoTransaction()
    return open()
  }
  runner.requireRunning()
  scopes.requireNoTransaction()
  return await (pipeline.setup.autocommit ? whenAlone(runner, start) : scopes.inTurn(start))
}

/** Calls `work` as a part of the transaction. */
export function runInside<Value>(
  runner: StatementRunner,
  scope: TransactionScope | undefined,
  work: () => Value,
): Value {
  return scope === undefined ? work() : runInScope(runner.scopes, scope, work)
}

/** Runs the block of `begin()`: `run` ends its transaction. */
export async function runTransaction<Value>(
  runner: StatementRunner,
  run: (scope: TransactionScope) => Promise<Value>,
): Promise<Value> {
  const { pipeline, scopes } = runner
  const scope = await beginInTurn(runner, () => {
    pipeline.beginOnce({ inBlock: true })
    return scopes.openTransaction()
  })
  try {
    return await run(scope)
  } finally {
    if (!scope.ended) {
      pipeline.explicitTransactions.leaveBlock({ transactionOpen: pipeline.state.inTransaction })
      scopes.closeTransaction(scope)
    }
  }
}
