/** Rows that exchange unique values in a cycle: no order of statements avoids the conflict, so PostgreSQL's answer decides. */
import { UniqueViolationError } from '../../database-errors.js'
import { addHint } from '../../internal/error-hint.js'

const HINT =
  ' (rows of this flush take unique values from each other in a cycle, and PostgreSQL checks each row when it is written: give one ' +
  'of them a free value, or NULL, and flush in between; or make the constraint DEFERRABLE INITIALLY DEFERRED)'

/** Adds the hint to the error of a statement, if the exchange may have caused it. */
export function explainSwap(error: unknown): void {
  if (error instanceof UniqueViolationError) addHint(error, HINT)
}
