/**
 * Refuses what autocommit mode cannot do. There each statement is its own transaction, which PostgreSQL begins and ends by itself, so
 * options that are sent with BEGIN cannot be applied. They are refused, because silently ignoring a role or a read-only mode would
 * grant what it should prevent.
 */
import { InvalidOptionError } from '../errors.js'
import type { TransactionOptions } from '../pipeline/transaction-options.js'

type OptionName = keyof TransactionOptions

/** Server settings with the same effect for every statement of a connection. */
const SERVER_SETTINGS: Partial<Record<OptionName, string>> = {
  statementTimeoutMillis: 'statement_timeout',
  lockTimeoutMillis: 'lock_timeout',
}

/** Options that change what a statement in autocommit mode does. */
const NEED_A_TRANSACTION: readonly OptionName[] = [
  'role',
  'settings',
  'readOnly',
  'isolationLevel',
  'deferrable',
  'statementTimeoutMillis',
  'lockTimeoutMillis',
]

/**
 * @param options All options of the transactions, those of the engine included.
 * @param given The options that were given together with `autocommit`.
 * @throws InvalidOptionError for an option that would be ignored in autocommit mode.
 */
export function refuseInAutocommit(options: TransactionOptions, given: TransactionOptions): void {
  const name = NEED_A_TRANSACTION.find((option) => matters(options[option]))
  if (name === undefined) return
  const origin = matters(given[name]) ? '' : ' (an option of the engine)'
  const setting = SERVER_SETTINGS[name]
  const remedy =
    setting === undefined
      ? 'Leave autocommit out: a block that returns its only statement is one round trip all the same'
      : `Leave autocommit out, or set the limit for whole connections: connectArgs: { serverSettings: { ${setting}: '...' } }`
  throw new InvalidOptionError(
    name,
    `${name}${origin} holds within a transaction, and autocommit: true runs each statement without one, so ${name} would be ignored. ${remedy}.`,
  )
}

/** False for an option without effect: `readOnly: false`, no settings. */
function matters(value: TransactionOptions[OptionName]): boolean {
  if (value === undefined || value === false) return false
  return typeof value !== 'object' || Object.keys(value).length > 0
}

/** The error of a call that needs a transaction, in autocommit mode. */
export function needsTransaction(what: string): InvalidOptionError {
  return new InvalidOptionError(
    'autocommit',
    `${what} needs a transaction, and autocommit: true opens none: call it inside begin(fn), or leave autocommit out`,
  )
}
