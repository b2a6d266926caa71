/** The options of sessions and of the blocks that own them. */
import type { RetryOptions } from '../engine/retry.js'
import { TRANSACTION_OPTION_NAMES, type TransactionOptions } from '../pipeline/transaction-options.js'
import { checkBoolean, checkObject } from '../internal/validate.js'

/** Options of one session. */
export interface SessionOptions extends TransactionOptions {
  /** True: instances expire at commit and have to be refreshed before they are read. Default false. */
  readonly expireOnCommit?: boolean | undefined
  /** True: pending changes are flushed before each query. Default true. */
  readonly autoflush?: boolean | undefined
  /**
   * True: every statement stands alone, unless `session.begin()` is called. Default false. Options that only a transaction
   * can keep (role, settings, readOnly, isolation level, time limits) are refused with it, also the engine's.
   */
  readonly autocommit?: boolean | undefined
  /** Aborting ends the session: waiting, its statement on the server, its transaction. */
  readonly signal?: AbortSignal | undefined
  /** Wait for a connection at most this long, instead of the engine's `poolTimeoutMillis`. */
  readonly poolTimeoutMillis?: number | null | undefined
  /**
   * Notice when one session that was made by hand serves two requests at once: `IllegalStateError` for the second one, or a
   * warning where it is not certain. Default: true, but false in production (`NODE_ENV`). False allows it.
   */
  readonly detectSharing?: boolean | undefined
  /** Anything of the caller's own; copied to `session.info`, over the factory's. */
  readonly info?: Readonly<Record<string, unknown>> | undefined
}

/** What a block does when it runs inside another block of the same factory. */
export type Propagation = 'required' | 'nested' | 'requiresNew' | 'mandatory'

/** Options of `withSession`. */
export interface WithSessionOptions extends SessionOptions {
  /** False: roll back at the end, also when the block returns (tests, dry runs). Refused with `autocommit`. Default true. */
  readonly commit?: boolean | undefined
  /**
   * Run the block again, each time in a new session, after a serialization failure, a deadlock, stale data, or a
   * connection lost before COMMIT was sent. Default: never. The block must be safe to repeat.
   */
  readonly retry?: RetryOptions | undefined
  /**
   * Inside another block of the same factory: `required` joins its session; `nested` runs in a savepoint of it;
   * `requiresNew` takes a session (and a connection) of its own; `mandatory` joins, and throws where there is none. Outside of one, all but `mandatory` open a session. Default: as `requiresNew`, with a
   * warning once, because two connections for one call can deadlock a pool.
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
  'info',
  ...TRANSACTION_OPTION_NAMES,
]

/** @throws InvalidOptionError naming the option. What an engine knows, too, is checked there. */
export function checkSessionOptions(options: SessionOptions): void {
  for (const name of ['expireOnCommit', 'autoflush', 'detectSharing'] as const) {
    if (options[name] !== undefined) checkBoolean(name, options[name])
  }
  if (options.info !== undefined) checkObject('info', options.info)
}
