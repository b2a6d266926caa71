/** The options of a transaction, and the statements that begin it. */
import type { DriverConnection } from '../driver/driver.js'
import { InvalidOptionError } from '../errors.js'
import {
  checkBoolean,
  checkInteger,
  checkObject,
  checkOneOf,
  checkString,
  refuseUnsendable,
} from '../internal/validate.js'

/** SQL's isolation levels, as SQLAlchemy spells them. */
export type IsolationLevel = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE' | 'READ UNCOMMITTED'

/**
 * Options of transactions, for an engine, a session factory, a session or a block. For each option the block wins over the
 * session, the session over the factory, and the factory over the engine. They are sent in the batch of BEGIN and cost no round
 * trip.
 */
export interface TransactionOptions {
  /** Default: the server's (`default_transaction_isolation`). */
  readonly isolationLevel?: IsolationLevel | undefined
  /** True: PostgreSQL refuses writes. A block of plain reads then returns its value without waiting for COMMIT. */
  readonly readOnly?: boolean | undefined
  /** With `SERIALIZABLE` and `readOnly`: wait for a snapshot that cannot cause a serialization failure. Default: the server's. */
  readonly deferrable?: boolean | undefined
  /** `statement_timeout` of the transaction; 0 = none. Default: the server's. */
  readonly statementTimeoutMillis?: number | undefined
  /** `lock_timeout` of the transaction; 0 = none. Default: the server's. */
  readonly lockTimeoutMillis?: number | undefined
  /** `idle_in_transaction_session_timeout` of the transaction; 0 = none. Default: the server's. */
  readonly idleInTransactionTimeoutMillis?: number | undefined
  /** `SET LOCAL ROLE`: the role whose rights and row-level policies apply. */
  readonly role?: string | undefined
  /** `SET LOCAL`: settings of the transaction, for example `{ 'app.tenant': '7' }` for row-level security. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

/** One of the statements that begin a transaction. */
export interface BeginStatement {
  readonly text: string
  readonly values: readonly string[]
  /** True: if the server refuses it, nothing after it has run, and the batch goes on to another connection. */
  readonly isCheck?: boolean | undefined
  /** Called with the rows that the server returned. */
  readonly onRows?: ((rows: readonly unknown[]) => void) | undefined
}

/** The statements that begin a transaction on a certain connection. */
export type BeginPlan = (connection: DriverConnection) => readonly BeginStatement[]

const LEVELS: readonly IsolationLevel[] = [
  'READ COMMITTED',
  'REPEATABLE READ',
  'SERIALIZABLE',
  'READ UNCOMMITTED',
]

const TIMEOUTS = {
  statementTimeoutMillis: 'statement_timeout',
  lockTimeoutMillis: 'lock_timeout',
  idleInTransactionTimeoutMillis: 'idle_in_transaction_session_timeout',
} as const

const TIMEOUT_NAMES = Object.keys(TIMEOUTS) as (keyof typeof TIMEOUTS)[]

// PostgreSQL's timeouts are 32-bit integers.
const LONGEST_TIMEOUT_MILLIS = 2_147_483_647

/** Names of the options, for the refusal of unknown keys. */
export const TRANSACTION_OPTION_NAMES: readonly (keyof TransactionOptions)[] = [
  'isolationLevel',
  'readOnly',
  'deferrable',
  ...TIMEOUT_NAMES,
  'role',
  'settings',
]

/** Checks the values. @throws InvalidOptionError naming the option. */
export function checkTransactionOptions(options: TransactionOptions): void {
  for (const name of TRANSACTION_OPTION_NAMES) {
    const value = options[name]
    if (value !== undefined) CHECKS[name](name, value)
  }
}

type Check = (name: string, value: unknown) => void

const checkTimeout: Check = (name, value) =>
  checkInteger(name, value, { min: 0, max: LONGEST_TIMEOUT_MILLIS })

const CHECKS: Readonly<Record<keyof TransactionOptions, Check>> = {
  isolationLevel: (name, value) => checkOneOf(name, value, LEVELS),
  readOnly: checkBoolean,
  deferrable: checkBoolean,
  statementTimeoutMillis: checkTimeout,
  lockTimeoutMillis: checkTimeout,
  idleInTransactionTimeoutMillis: checkTimeout,
  role: (name, value) => refuseUnsendable(name, checkString(name, value)),
  settings(name, value) {
    checkObject(name, value)
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== 'string')
        throw new InvalidOptionError(
          `${name}.${key}`,
          `${name}.${key} must be a string, not a ${typeof text}`,
        )
      refuseUnsendable(`${name}.${key}`, text)
    }
  },
}

/** The narrower options over the wider ones; settings are merged by name. */
export function mergeTransactionOptions(
  wider: TransactionOptions,
  narrower: TransactionOptions,
): TransactionOptions {
  const merged: Record<string, unknown> = { ...wider }
  for (const name of TRANSACTION_OPTION_NAMES) {
    const value = narrower[name]
    if (value !== undefined) merged[name] = value
  }
  if (wider.settings !== undefined && narrower.settings !== undefined) {
    merged.settings = { ...wider.settings, ...narrower.settings }
  }
  return merged
}

/** The statements that begin a transaction: BEGIN with its modes, then one statement for all settings, if any. */
export function beginStatements(options: TransactionOptions): readonly BeginStatement[] {
  const statements: BeginStatement[] = [{ text: beginText(options), values: [] }]
  const settings: [string, string][] = []
  for (const name of TIMEOUT_NAMES) {
    const value = options[name]
    if (value !== undefined) settings.push([TIMEOUTS[name], String(value)])
  }
  settings.push(...Object.entries(options.settings ?? {}))
  // The role comes last: it may lack the right to set the others.
  if (options.role !== undefined) settings.push(['role', options.role])
  if (settings.length > 0) {
    const calls = settings.map((_, index) => `set_config($${index * 2 + 1}, $${index * 2 + 2}, true)`)
    statements.push({ text: `select ${calls.join(', ')}`, values: settings.flat() })
  }
  return statements
}

function beginText({ isolationLevel, readOnly, deferrable }: TransactionOptions): string {
  let text = 'BEGIN'
  if (isolationLevel !== undefined) text += ` ISOLATION LEVEL ${isolationLevel}`
  if (readOnly !== undefined) text += readOnly ? ' READ ONLY' : ' READ WRITE'
  if (deferrable !== undefined) text += deferrable ? ' DEFERRABLE' : ' NOT DEFERRABLE'
  return text
}
