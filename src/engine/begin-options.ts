/** Options of `engine.connect()` and `engine.begin()`, and the pipelines that are made from them. */
import { refuseInAutocommit } from '../execution/autocommit.js'
import { checkBoolean, checkMillis, checkSignal } from '../internal/validate.js'
import type { Beginning } from '../pipeline/begin.js'
import type { PipelineSetup } from '../pipeline/contract.js'
import {
  checkTransactionOptions,
  mergeTransactionOptions,
  TRANSACTION_OPTION_NAMES,
  type TransactionOptions,
} from '../pipeline/transaction-options.js'

/** Options of `engine.connect()` and `engine.begin()`. */
export interface BeginOptions extends TransactionOptions {
  /** Its abort cancels the wait for a connection; for `begin` also the block, as the signal of a session does. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of the engine's `poolTimeoutMillis`. */
  readonly poolTimeoutMillis?: number | null | undefined
}

/** Options of `engine.connect()`. */
export interface ConnectionOptions extends BeginOptions {
  /**
   * True: no transaction; every statement is its own transaction, unless `begin()` is called. Default false. Options that need
   * a transaction (role, settings, readOnly, isolation level, time limits) throw with it, also those of the engine.
   */
  readonly autocommit?: boolean | undefined
}

export const BEGIN_OPTION_NAMES: readonly string[] = [
  'signal',
  'poolTimeoutMillis',
  ...TRANSACTION_OPTION_NAMES,
]
export const CONNECTION_OPTION_NAMES: readonly string[] = ['autocommit', ...BEGIN_OPTION_NAMES]
const WAIT_RANGE = { min: 0, also: [null] } as const

/** What the pipelines of one engine have in common. */
export interface SetupDefaults {
  /** The engine's own options of transactions. */
  readonly transaction: TransactionOptions
  readonly beginnings: (options: TransactionOptions) => Beginning
}

/** How the owner of a pipeline holds its connection. */
export interface HoldOptions {
  /** True: the connection goes back to the pool whenever no transaction is open (a session). */
  readonly releaseWhenIdle: boolean
}

/** @throws InvalidOptionError */
export function resolveSetup(
  options: ConnectionOptions,
  { releaseWhenIdle }: HoldOptions,
  defaults: SetupDefaults,
): PipelineSetup {
  checkTransactionOptions(options)
  const transaction = mergeTransactionOptions(defaults.transaction, options)
  const { autocommit = false, signal, poolTimeoutMillis } = options
  if (checkBoolean('autocommit', autocommit)) refuseInAutocommit(transaction, options)
  if (signal !== undefined) checkSignal('signal', signal)
  if (poolTimeoutMillis !== undefined) checkMillis('poolTimeoutMillis', poolTimeoutMillis, WAIT_RANGE)
  return {
    beginning: defaults.beginnings(transaction),
    autocommit,
    readOnly: transaction.readOnly === true,
    releaseWhenIdle,
    acquire: { signal, timeoutMillis: poolTimeoutMillis, proof: autocommit ? 'pool' : 'caller' },
  }
}
