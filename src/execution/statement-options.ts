/** The options of one statement, besides its text and its values. */
import { StatementTimeoutError } from '../database-errors.js'
import { InvalidStatementError } from '../errors.js'
import { nearestName } from '../internal/nearest-name.js'
import { noValue } from '../internal/no-value.js'
import { checkMillis, checkSignal } from '../internal/validate.js'
import { describeArgument } from '../sql.js'

/** Options of one statement. */
export interface StatementOptions {
  /** Abort cancels the statement on the server; inside a transaction, the transaction is then failed and must be rolled back. */
  readonly signal?: AbortSignal | undefined
  /** Cancel the statement on the server after this many milliseconds. Default: only the server's `statement_timeout`. */
  readonly timeoutMillis?: number | undefined
}

export const NO_OPTIONS: StatementOptions = {}
export const STATEMENT_OPTION_NAMES: readonly string[] = [
  'signal',
  'timeoutMillis',
] satisfies (keyof StatementOptions)[]

/**
 * @throws InvalidStatementError for an argument that is neither values nor options, which would be ignored silently.
 *   InvalidOptionError for an option of a wrong type.
 */
export function statementOptions(given: unknown, names: readonly string[]): StatementOptions {
  if (given === undefined) return NO_OPTIONS
  const isKnown = (name: string): boolean => names.includes(name)
  // A Set of values has no keys, so it would pass as empty options.
  const isBag = typeof given === 'object' && given !== null && noValue(given) === undefined
  if (isBag && !Array.isArray(given) && Object.keys(given).every(isKnown)) {
    const { signal, timeoutMillis } = given as StatementOptions
    if (signal !== undefined) checkSignal('signal', signal)
    if (timeoutMillis !== undefined) checkMillis('timeoutMillis', timeoutMillis, { min: 0 })
    return given
  }
  const isByName = isBag && !Array.isArray(given) && !Object.keys(given).some(isLike(names))
  const advice = isByName
    ? '. There are no named parameters: write sql`... ${value}`, or $1, $2, ... and an array'
    : ''
  throw new InvalidStatementError(
    `After the statement come its values (an array) or options ({ ${names.join(', ')} }), not ${describeArgument(given)}${advice}`,
  )
}

/** Whether a name resembles that of an option: then it is a misspelt option, and not a value. */
function isLike(names: readonly string[]): (name: string) => boolean {
  return (name) => nearestName(name, names) !== undefined
}

/** The error of a statement that ran longer than its `timeoutMillis`. */
export function timedOut(statement: string, timeoutMillis: number): StatementTimeoutError {
  const message = `canceling statement due to statement timeout: it ran longer than timeoutMillis (${timeoutMillis} ms)`
  return new StatementTimeoutError(message, { code: '57014', severity: 'ERROR' }, { statement })
}
