/** The options of sessions and of `withSession`. */
import type { RetryOptions } from '../engine/retry.js'
import { TRANSACTION_OPTION_NAMES, type TransactionOptions } from '../pipeline/transaction-options.js'
import { InvalidOptionError } from '../errors.js'
import { checkBoolean, checkObject } from '../internal/validate.js'

/** Options of one session. */
export interface SessionOptions extends TransactionOptions {
  /** True: instances expire at commit and have to be refreshed before they are read. Default false. */
  readonly expireOnCommit?: boolean | undefined
  /** True: pending changes are flushed before each query. Default true. */
  readonly autoflush?: boolean | undefined
  /**
   * True: every statement is its own transaction, except inside `session.begin()`. Default false. Options that need a transaction
   * (role, settings, readOnly, isolation level, time limits) throw with it, also the engine's.
   */
  readonly autocommit?: boolean | undefined
  /**
   * Its abort cancels the wait for a connection and the running statement, and rolls the transaction back. The session runs
   * nothing more (`AbortedError`).
   */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of the engine's `poolTimeoutMillis`. */
  readonly poolTimeoutMillis?: number | null | undefined
  /**
   * Detect that a session made by hand serves two requests at once: `IllegalStateError` for the second one, or a warning if it is
   * not certain. Default: true, but false in production (`NODE_ENV`). False allows sharing.
   */
  readonly detectSharing?: boolean | undefined
  /**
   * With replicas and `consistency: 'session'`: a `session.causalityToken` of another process. Reads show at least what that
   * process had written by then. With an invalid token the primary is read. Without replicas it has no effect.
   */
  readonly after?: string | undefined
  /** The caller's own data, merged over the factory's and copied to `session.info`. */
  readonly info?: Readonly<Record<string, unknown>> | undefined
}

/** What a block does when it runs inside another block of the same factory. */
export type Propagation = 'required' | 'nested' | 'requiresNew' | 'mandatory'

/** Options of `withSession`. */
export interface WithSessionOptions extends SessionOptions {
  /** False: roll back at the end, also when the block returns (tests, dry runs). Refused with `autocommit`. Default true. */
  readonly commit?: boolean | undefined
  /**
   * Run the block again, each time in a new session, after an error that `isRetryable` accepts, such as a serialization failure, a
   * deadlock, stale data, or a connection lost before COMMIT was sent. Default: never. The block must be safe to repeat.
   */
  readonly retry?: RetryOptions | undefined
  /**
   * Inside another block of the same factory: `required` joins its session; `nested` runs in a savepoint of it;
   * `requiresNew` takes a session (and a connection) of its own; `mandatory` joins, and throws outside of a block. Outside of a
   * block, all others open a session. Default: as `requiresNew`, with one warning, because a caller that needs two connections
   * can deadlock the pool.
   */
  readonly propagation?: Propagation | undefined
}

export const SESSION_OPTION_NAMES: readonly (keyof SessionOptions)[] = [
  'expireOnCommit',
  'autoflush',
  'autocommit',
  'signal',
  'poolTimeoutMillis',
  'detectSharing',
  'after',
  'info',
  ...TRANSACTION_OPTION_NAMES,
]

/** @throws InvalidOptionError naming the option. What an engine knows, too, is checked there. */
export function checkSessionOptions(options: SessionOptions): void {
  for (const name of ['expireOnCommit', 'autoflush', 'detectSharing'] as const) {
    if (options[name] !== undefined) checkBoolean(name, options[name])
  }
  checkToken(options.after)
  if (options.info !== undefined) checkObject('info', options.info)
}

/** @throws InvalidOptionError for anything but a string. What the string says is never an error. */
export function checkToken(after: unknown): void {
  if (after !== undefined && typeof after !== 'string')
    throw new InvalidOptionError('after', 'after must be a causalityToken: a string')
}
