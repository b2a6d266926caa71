/** Builds the statements of a test's batches, and the answers to them. */
import type { BatchStatement, StatementResult } from '../../driver/driver.js'

/** A copy; spelt out, because its fields may be getters. */
export function copyOf(statement: BatchStatement): BatchStatement {
  const { text, values, rowMode, types, prepare, portal, maxRows, onlyBind, closePortal } = statement
  return {
    text,
    values,
    rowMode,
    types,
    prepare,
    portal,
    maxRows,
    onlyBind,
    closePortal,
    onResult: (result) => statement.onResult(result),
    onError: (error) => statement.onError(error),
  }
}

/** The same statement, which tells its outcome once. */
export function settledOnce(statement: BatchStatement): BatchStatement {
  let isSettled = false
  const once =
    <Argument>(settle: (argument: Argument) => void) =>
    (argument: Argument): void => {
      if (isSettled) return
      isSettled = true
      settle(argument)
    }
  return {
    ...copyOf(statement),
    onResult: once((result: StatementResult) => statement.onResult(result)),
    onError: once((error: Error) => statement.onError(error)),
  }
}

/** The answer to SAVEPOINT is that to BEGIN. */
export function renamed({ text }: BatchStatement, result: StatementResult): StatementResult {
  return text.startsWith('BEGIN') ? answer('BEGIN') : result
}

/** The answer to a command without rows. */
export function answer(command: string): StatementResult {
  return { command, rowCount: null, fields: [], rows: [], suspended: false }
}

/** As PostgreSQL answers a cancel. */
export function cancelled(): Error {
  return refusal('57014', 'canceling statement due to user request')
}

/** An error as PostgreSQL sends it: the statement was certainly not run. */
export function refusal(code: string, message: string): Error {
  const place = { file: 'lifeguard/testing', line: '1', routine: 'withRollback' }
  return Object.assign(new Error(message), { code, severity: 'ERROR', ...place })
}
