/** `withRollback`: runs a test in a transaction that is rolled back, even if its code opens its own blocks. */
import type { Driver } from '../../driver/driver.js'
import type { Substitute } from '../../engine/substitutes.js'
import type { AcquireOptions, Lease, Pool } from '../../pool/pool.js'
import { Engine, InvalidOptionError, type IsolationLevel, type SessionFactory } from '../../index.js'
import { refuseUnknown } from './options.js'
import { SavepointConnection } from './savepoint-connection.js'
import { SharedTransaction } from './shared-transaction.js'

/** Options of `withRollback` and `rollbackEach`. */
export interface RollbackOptions {
  /** Isolation level of the whole test. Default: the server's. Levels that the code under test sets are ignored. */
  readonly isolationLevel?: IsolationLevel | undefined
  /** How long a session waits for another session that began later and is still open. Default 5000. */
  readonly waitMillis?: number | undefined
}

/** The two functions that a test runner calls. */
export interface RollbackHooks {
  /** Call it before each test. */
  begin(): Promise<void>
  /** Call it after each test. Does nothing if `begin` has failed. */
  rollback(): Promise<void>
}

const WAIT_MILLIS = 5_000
const NO_LISTEN =
  'engine.listen() would hear nothing inside of withRollback: NOTIFY is sent at COMMIT, and this transaction is rolled back. Test it in a database of its own (createTestDatabase)'

/**
 * Runs a test in a transaction that is rolled back. Everything that uses the engine during the test is part of it:
 * `withSession`, `engine.begin`, `engine.connect`, autocommit. Their transactions become savepoints, so a commit is visible to
 * the rest of the test, and a rollback undoes only its own work.
 *
 * @param target The engine of the code under test, or a session factory bound to it.
 * @throws what the test throws. IllegalStateError if a statement has ended the transaction, or if the engine runs another test
 *   already.
 * @example
 * test('a song is stored', () => withRollback(engine, async () => {
 *   await addSong('Blue')
 *   expect(await countSongs()).toBe(1)
 * }))
 */
export async function withRollback<Value>(
  target: Engine | SessionFactory,
  test: () => Value | Promise<Value>,
  options: RollbackOptions = {},
): Promise<Value> {
  if (typeof test !== 'function')
    throw new InvalidOptionError('test', 'withRollback takes an engine and a function: the test')
  const hooks = rollbackEach(engineOf(target, 'withRollback(engine, test)'), options)
  await hooks.begin()
  let value: Value
  try {
    value = await test()
  } catch (error) {
    // The error of the test says more than one of its rollback.
    await hooks.rollback().catch(() => undefined)
    throw error
  }
  await hooks.rollback()
  return value
}

/**
 * The same for the hooks of a test runner.
 * @example
 * const { begin, rollback } = rollbackEach(engine)
 * beforeEach(begin)
 * afterEach(rollback)
 */
export function rollbackEach(target: Engine | SessionFactory, options: RollbackOptions = {}): RollbackHooks {
  const engine = engineOf(target, 'rollbackEach(engine)')
  refuseUnknown('rollbackEach(engine, { isolationLevel, waitMillis })', options, [
    'isolationLevel',
    'waitMillis',
  ])
  let end: (() => Promise<void>) | undefined
  return {
    begin: async () => {
      if (end !== undefined) await end()
      end = await begin(engine, options)
    },
    rollback: async () => {
      const ending = end
      end = undefined
      await ending?.()
    },
  }
}

/**
 * @param call The call as the caller should write it.
 * @throws InvalidOptionError
 */
export function engineOf(target: unknown, call: string): Engine {
  if (target instanceof Engine) return target
  const bind: unknown = typeof target === 'function' ? (target as { bind?: unknown }).bind : undefined
  if (bind instanceof Engine) return bind
  throw new InvalidOptionError('engine', `${call} takes an engine, or a session factory`)
}

async function begin(
  engine: Engine,
  { isolationLevel, waitMillis = WAIT_MILLIS }: RollbackOptions,
): Promise<() => Promise<void>> {
  engine.internals().substitutes.requireFree()
  const lease = await engine.lease({}, rollbackEach)
  const shared = new SharedTransaction(lease, waitMillis)
  let restore: () => Promise<void>
  try {
    await shared.begin(isolationLevel === undefined ? '' : `isolation level ${isolationLevel}`)
    restore = engine.internals().substitutes.begin((_pool, scopes) => substitute(shared, scopes), NO_LISTEN)
  } catch (error) {
    await shared.end().catch(() => undefined)
    throw error
  }
  return async () => {
    try {
      await restore()
    } finally {
      await shared.end()
    }
  }
}

function substitute(shared: SharedTransaction, scopes: () => readonly object[]): Substitute {
  let connections = 0
  const driver: Driver = {
    target: 'the transaction of withRollback',
    connect: () => Promise.resolve(new SavepointConnection(++connections, shared)),
  }
  return { driver, wrap: (pool) => withScopes(pool, scopes), end: () => shared.end().catch(() => undefined) }
}

/** Tells each connection which blocks are around the code that acquires it. */
function withScopes(pool: Pool, scopes: () => readonly object[]): Pool {
  const acquire = async (options?: AcquireOptions): Promise<Lease> => {
    const around = scopes()
    const lease = await pool.acquire(options)
    ;(lease.connection as SavepointConnection).acquiredIn(around)
    return lease
  }
  return new Proxy(pool, {
    get: (target, name) => {
      if (name === 'acquire') return acquire
      // Without it, sessions call `acquire` as well.
      if (name === 'request') return undefined
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
}
