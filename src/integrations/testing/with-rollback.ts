/** `withRollback`: runs a test in a transaction that is rolled back, even if its code opens its own blocks. */
import type { Driver } from '../../driver/driver.js'
import type { Substitute } from '../../engine/substitutes.js'
import type { AcquireOptions, Lease, Pool } from '../../pool/pool.js'
import { Engine, InvalidOptionError, type IsolationLevel, type SessionFactory } from '../../index.js'
import { refuseUnknown } from './options.js'
import { SavepointConnection } from './savepoint-connection.js'
import { SharedTransaction } from './shared-transaction.js'

/** Options of `withRollback`. */
export interface RollbackOptions {
  /** Isolation level of the whole test. Default: the server's. Levels that the code under test sets are ignored. */
  readonly isolationLevel?: IsolationLevel | undefined
  /** How long a session waits for another session that began later and is still open. Default 5000. */
  readonly waitMillis?: number | undefined
}

/** How a test runner registers a function: `beforeEach` and `afterEach` of vitest, jest, node:test and others. */
type RegisterHook = (run: () => Promise<void>) => unknown

/** Options of `rollbackEach`. */
export interface RollbackEachOptions extends RollbackOptions {
  /** The runner's `beforeEach`: `begin` is registered with it. */
  readonly beforeEach?: RegisterHook | undefined
  /** The runner's `afterEach`: `rollback` is registered with it. */
  readonly afterEach?: RegisterHook | undefined
}

/** The two functions that a test runner calls. */
export interface RollbackHooks {
  /** Call it before each test. */
  begin(): Promise<void>
  /** Call it after each test. Does nothing if `begin` has failed. */
  rollback(): Promise<void>
}

const WAIT_MILLIS = 5_000
const OPTIONS = ['isolationLevel', 'waitMillis'] as const
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
  const engine = engineOf(target, 'withRollback(engine, test)')
  refuseUnknown('withRollback(engine, test, { isolationLevel, waitMillis })', options, OPTIONS)
  const hooks = hooksOf(engine, options)
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
 * The same for every test of a file or `describe`, with the hooks of the test runner. Without them it returns the two functions,
 * to register or call them elsewhere.
 * @param target As for `withRollback`. A function that returns it is called before each test: for an engine that `beforeAll` makes.
 * @example
 * import { afterEach, beforeEach } from 'vitest'
 * rollbackEach(engine, { beforeEach, afterEach })
 */
export function rollbackEach(
  target: Engine | SessionFactory | (() => Engine | SessionFactory),
  options: RollbackEachOptions = {},
): RollbackHooks {
  const engine = laterEngine(target) ?? engineOf(target, 'rollbackEach(engine)')
  const call = 'rollbackEach(engine, { beforeEach, afterEach })'
  refuseUnknown(call, options, ['beforeEach', 'afterEach', ...OPTIONS])
  const { beforeEach, afterEach } = options
  const hooks = hooksOf(engine, options)
  if (beforeEach === undefined && afterEach === undefined) return hooks
  if (typeof beforeEach !== 'function' || typeof afterEach !== 'function') {
    const lacking = typeof beforeEach === 'function' ? 'afterEach' : 'beforeEach'
    throw new InvalidOptionError(
      lacking,
      `${call} takes both functions of the test runner; ${lacking} is none`,
    )
  }
  beforeEach(hooks.begin)
  afterEach(hooks.rollback)
  return hooks
}

function hooksOf(engine: Engine | (() => Engine), options: RollbackOptions): RollbackHooks {
  let end: (() => Promise<void>) | undefined
  return {
    begin: async () => {
      if (end !== undefined) await end()
      end = await begin(typeof engine === 'function' ? engine() : engine, options)
    },
    rollback: async () => {
      const ending = end
      end = undefined
      await ending?.()
    },
  }
}

/** Undefined for an engine or a session factory itself. */
function laterEngine(target: unknown): (() => Engine) | undefined {
  if (typeof target !== 'function' || isFactory(target)) return undefined
  return () => engineOf((target as () => unknown)(), 'rollbackEach(() => engine)')
}

function isFactory(target: object): target is { readonly bind: Engine } {
  return (target as { bind?: unknown }).bind instanceof Engine
}

/**
 * @param call The call as the caller should write it.
 * @throws InvalidOptionError
 */
export function engineOf(target: unknown, call: string): Engine {
  if (target instanceof Engine) return target
  if (typeof target === 'function' && isFactory(target)) return target.bind
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
