/** Checks and encodes a statement of the caller. */
import { encodeValues } from '../driver/values.js'
import { InvalidStatementError } from '../errors.js'
import type { StatementSubject } from '../internal/channels.js'
import { entityQueryOf, type EntityQuery } from '../query/entity-statement.js'
import { compileStatement, refusalOf, type CompiledStatement } from '../sql.js'
import type { OperationStatement } from '../pipeline/operation.js'

/** @throws InvalidStatementError for COMMIT, COPY and other texts that must not run as a plain statement. */
export function checked(compiled: CompiledStatement): CompiledStatement {
  const refusal = refusalOf(compiled.text)
  if (refusal !== undefined) throw new InvalidStatementError(refusal)
  return compiled
}

/** The text and encoded values of a statement. */
export function encoded(
  compiled: CompiledStatement | EntityQuery,
  queued?: OperationStatement['queued'],
): OperationStatement {
  const { text, values, rowMode, prepare, types } = compiled
  return {
    text,
    values: values.length === 0 ? undefined : encodeValues(values),
    rowMode,
    prepare,
    types,
    queued,
  }
}

/** The text and subject of a statement, for the channel `lifeguard:statement`. */
export function describe(statement: unknown): { text: string; subject?: StatementSubject } {
  try {
    const query = entityQueryOf(statement)
    if (query === undefined) return { text: compileStatement(statement).text }
    return { text: query.text, subject: { collection: query.meta.table.key } }
  } catch {
    return { text: '(not a statement)' }
  }
}
