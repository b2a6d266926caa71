/** The session factory: SQLAlchemy's sessionmaker. */
import { Engine } from '../engine/engine.js'
import { checkRetry, runWithRetry } from '../engine/retry.js'
import { checkTransactionOptions } from '../pipeline/transaction-options.js'
import { IllegalStateError, InvalidOptionError } from '../errors.js'
import { scopeValueOf } from '../internal/async-scope.js'
import { systemClock } from '../internal/clock.js'
import { isDevelopment } from '../internal/development.js'
import { addForeignNames, OF_FACTORY } from '../internal/foreign-names.js'
import type { Unsubscribe } from '../internal/emitter.js'
import {
  checkBoolean,
  checkCallback,
  checkFunction,
  checkObject,
  checkOneOf,
  refuseUnknownKeys,
} from '../internal/validate.js'
import {
  REPLICATION_OPTION_NAMES,
  resolveBind,
  type ReplicatedBind,
  type ReplicationOptions,
} from './replication.js'
import { HookSet, type SessionEvent, type SessionHook } from './session-hooks.js'
import { Session, type SessionParts } from './session.js'
import { SharedUse } from './shared-use.js'
import { UnstoredChanges } from './unstored-changes.js'
import {
  checkSessionOptions,
  checkToken,
  SESSION_OPTION_NAMES,
  type Propagation,
  type SessionOptions,
  type WithSessionOptions,
} from './session-options.js'
import { isRevoked } from '../internal/revoked.js'

/** A class of sessions: `Session`, or a subclass of your own, for example with repositories. */
export type SessionClass<S extends Session> = new (parts: SessionParts) => S

/** What `createSessionFactory` takes: the engine, the class, and the defaults of its sessions. */
export interface SessionFactoryOptions<S extends Session = Session>
  extends Omit<SessionOptions, 'signal' | 'after'>, ReplicationOptions {
  /**
   * The engine whose connections the sessions use; or `{ write, read }`: one engine for writes, and others for sessions with
   * `readOnly: true`.
   */
  readonly bind: Engine | ReplicatedBind
  /** Default `Session`. */
  readonly sessionClass?: SessionClass<S> | undefined
}

/**
 * Makes sessions: call it for a session of your own, or use `withSession`. Made by {@link createSessionFactory}.
 */
export interface SessionFactory<S extends Session = Session> {
  /** A new session; close it, or use `await using`. Its options override the factory's. */
  (options?: SessionOptions): S
  /** The engine; with replicas, the one that writes. */
  readonly bind: Engine
  /** {@link withSession}, bound to this factory: may be destructured. */
  readonly withSession: <Value>(
    work: (session: S) => Value | Promise<Value>,
    options?: WithSessionOptions,
  ) => Promise<Value>
  /** The session of the innermost `withSession` block around this call, if there is one. */
  current(): S | undefined
  /**
   * Runs a function in its own causal flow, for a factory with replicas and `consistency: 'session'`: its reads show at least
   * what it has written, what the flow around it had written until then, and what the flow of the token `after` had written. They do
   * not wait for writes of other flows. Call it for each request or job; the adapters of frameworks do. Outside of every causal
   * flow, all writes of this process count. A session belongs to the flow in which it was made.
   *
   * @param options.after A `causalityToken` of another process.
   * @returns what the function returns.
   * @example
   * await sessionFactory.causalFlow(() => handle(message), { after: message.token })
   */
  causalFlow<Value>(work: () => Value, options?: CausalFlowOptions): Value
  /** The token of the current causal flow: see `Session.causalityToken`. */
  causalityToken(): string | undefined
  /** Adds a hook for every session of this factory; returns a function that removes it. */
  on(event: SessionEvent, hook: SessionHook<S>): Unsubscribe
}

/** Options of `causalFlow`. */
export interface CausalFlowOptions {
  /** What another process has written: its `causalityToken`. One that is not understood means that the primary is read. */
  readonly after?: string | undefined
}

const WITH_SESSION_OPTION_NAMES = [...SESSION_OPTION_NAMES, 'commit', 'retry', 'propagation']
/** The options to use in place of a single time limit. */
const LIMITS =
  'statementTimeoutMillis (of each statement), poolTimeoutMillis (of the wait for a connection), or signal: AbortSignal.timeout(...) (of the whole)'
const TIME_LIMITS = { timeoutMillis: LIMITS, timeout: LIMITS }
const PROPAGATIONS: readonly Propagation[] = ['required', 'nested', 'requiresNew', 'mandatory']

/**
 * Makes a session factory.
 *
 * @throws InvalidOptionError for an unknown option or a wrong type.
 * @example
 * export const sessionFactory = createSessionFactory({ bind: engine, expireOnCommit: false, autoflush: false })
 * export const { withSession } = sessionFactory
 */
export function createSessionFactory<S extends Session = Session>(
  options: SessionFactoryOptions<S>,
): SessionFactory<S> {
  if (options === undefined || (!isRevoked(options) && options instanceof Engine)) {
    const message = 'createSessionFactory takes an object: createSessionFactory({ bind: engine })'
    throw new InvalidOptionError('bind', message)
  }
  checkObject('createSessionFactory', options)
  refuseUnknownKeys(
    'createSessionFactory',
    options,
    [
      'bind',
      'sessionClass',
      ...REPLICATION_OPTION_NAMES,
      ...SESSION_OPTION_NAMES.filter((name) => name !== 'signal' && name !== 'after'),
    ],
    { engine: 'bind', url: 'bind: createEngine({ url })', dataSource: 'bind', pool: 'bind' },
  )
  const {
    bind,
    sessionClass = Session as never,
    consistency,
    staleWaitMillis,
    whenNoReplica,
    ...defaults
  } = options
  const { engine, replication } = resolveBind(bind, { consistency, staleWaitMillis, whenNoReplica })
  checkFunction('sessionClass', sessionClass)
  checkSessionOptions(defaults)
  const hooks = new HookSet<Session>()
  // Most sessions are opened without options: the result for these is computed once.
  const plain: SessionParts = {
    engine,
    setup: engine.setUp(defaults, { releaseWhenIdle: true }),
    options: defaults,
    hooks,
    unstored: isDevelopment() ? new UnstoredChanges() : undefined,
  }
  let warned = false

  /** Adds the replicas, which depend on the caller's causal flow and the block around the call. */
  const withReplicas = (parts: SessionParts, after?: string): SessionParts =>
    replication?.partsFor(parts, { after, around: openAround() }) ?? parts

  const partsFor = (given: SessionOptions): SessionParts => {
    checkSessionOptions(given)
    checkTransactionOptions(given)
    const info = { ...defaults.info, ...given.info }
    const settings = { ...defaults.settings, ...given.settings }
    const options = { ...defaults, ...defined(given), info, settings }
    return withReplicas(
      {
        engine,
        setup: engine.setUp(options, { releaseWhenIdle: true }),
        options,
        hooks,
        unstored: plain.unstored,
      },
      given.after,
    )
  }

  const isWatching = isDevelopment()
  const withSharedUse = (parts: SessionParts): SessionParts => {
    const { autocommit = false, detectSharing = isWatching } = parts.options
    return detectSharing && !autocommit ? { ...parts, shared: new SharedUse(factory) } : parts
  }

  const factory = (given?: SessionOptions): S => {
    if (given === undefined) return new sessionClass(withSharedUse(withReplicas(plain)))
    refuseUnknownKeys('a session', given, SESSION_OPTION_NAMES, TIME_LIMITS)
    return new sessionClass(withSharedUse(partsFor(given)))
  }

  const current = (): S | undefined => scopeValueOf(factory) as S | undefined

  const openAround = (): S | undefined => {
    const outer = current()
    return outer?.closed === false ? outer : undefined
  }

  const runIn = <Value>(
    session: S,
    work: (session: S) => Value | Promise<Value>,
    { commit }: { readonly commit: boolean },
  ): Promise<Value> => session.runOwned(() => work(session), { commit, factory })

  const warnOnce = (): void => {
    if (!warned) warnOfNesting()
    warned = true
  }

  const run = <Value>(
    work: (session: S) => Value | Promise<Value>,
    given: WithSessionOptions | undefined,
  ): Promise<Value> => {
    checkCallback('withSession', work)
    const outer = openAround()
    if (given === undefined) {
      if (outer !== undefined) warnOnce()
      return runIn(new sessionClass(withReplicas(plain)), work, { commit: true })
    }
    refuseUnknownKeys('withSession', given, WITH_SESSION_OPTION_NAMES, TIME_LIMITS)
    const { commit = true, retry, propagation, ...sessionOptions } = given
    checkBoolean('commit', commit)
    if (propagation !== undefined) checkOneOf('propagation', propagation, PROPAGATIONS)
    if (retry !== undefined) checkRetry(retry)
    const { autocommit = defaults.autocommit ?? false } = sessionOptions
    if (!commit && autocommit) {
      throw new InvalidOptionError(
        'commit',
        'commit: false rolls a transaction back, but autocommit: true commits each statement at once: leave autocommit out',
      )
    }
    if (outer !== undefined) {
      if (!commit && propagation !== undefined && propagation !== 'requiresNew') {
        throw new InvalidOptionError(
          'commit',
          `commit: false needs a session of its own, and with propagation '${propagation}' this block has none`,
        )
      }
      if (propagation !== undefined && propagation !== 'requiresNew') {
        requireTransactionToJoin(outer, propagation, sessionOptions.autocommit)
      }
      if (propagation === 'required' || propagation === 'mandatory') return outer.join(() => work(outer))
      if (propagation === 'nested') return outer.beginNested(() => work(outer))
      if (propagation === undefined) warnOnce()
    } else if (propagation === 'mandatory') {
      throw new IllegalStateError(
        "withSession was called with propagation 'mandatory' outside of a session block",
      )
    }
    const parts = partsFor(sessionOptions)
    if (retry === undefined) return runIn(new sessionClass(parts), work, { commit })
    let session: S | undefined
    const once = (): Promise<Value> => runIn((session = new sessionClass(parts)), work, { commit })
    return runWithRetry(retry, systemClock, given.signal, once, {
      hasStored: () => session?.hasStored === true,
      retried: (event) => engine.internals().events.emit('retry', event),
    })
  }

  const withSession = <Value>(
    work: (session: S) => Value | Promise<Value>,
    given?: WithSessionOptions,
  ): Promise<Value> => {
    // Not an async function: it would be one promise more for each block.
    try {
      return run(work, given)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  addForeignNames(factory, OF_FACTORY)
  return Object.assign(factory, {
    bind: engine,
    withSession,
    current,
    on: (event: SessionEvent, hook: SessionHook<S>) => hooks.add(event, hook as SessionHook<Session>),
    causalFlow: <Value>(work: () => Value, given: CausalFlowOptions = {}): Value => {
      checkCallback('causalFlow', work)
      refuseUnknownKeys('causalFlow', given, ['after'])
      checkToken(given.after)
      return replication === undefined ? work() : replication.flows.run(work, given.after)
    },
    causalityToken: (): string | undefined => replication?.flows.token,
  })
}

/**
 * Runs a block with its own session: committed when it returns, rolled back when it throws (the caller gets the block's error),
 * and closed in any case. Returns the value of the block.
 *
 * If the block returns the promise of its only statement, COMMIT is sent in the same batch: the whole transaction is one round
 * trip. A read-only block of plain reads returns its value without waiting for the answer to COMMIT. To run the block again
 * after errors that `isRetryable` accepts, use the option `retry`.
 *
 * @throws what the block throws; UnawaitedStatementError if it returned while its statements were running; otherwise as
 *   `Session.execute` and `Session.commit`.
 * @example
 * const song = await withSession(sessionFactory, (session) => session.execute('select 1'), { readOnly: true })
 */
export function withSession<S extends Session, Value>(
  sessionFactory: SessionFactory<S>,
  work: (session: S) => Value | Promise<Value>,
  options?: WithSessionOptions,
): Promise<Value> {
  if (
    isRevoked(sessionFactory) ||
    typeof (sessionFactory as Partial<SessionFactory> | undefined)?.withSession !== 'function'
  ) {
    const message = 'withSession takes a session factory (made by createSessionFactory) and a function'
    return Promise.reject(new InvalidOptionError('sessionFactory', message))
  }
  return sessionFactory.withSession(work, options)
}

/** @throws InvalidOptionError if there is no transaction to join, or the block asked for none. */
function requireTransactionToJoin(
  outer: Session,
  propagation: Propagation,
  autocommit: boolean | undefined,
): void {
  if (outer.standsAlone) {
    throw new InvalidOptionError(
      'propagation',
      `propagation: '${propagation}' joins a transaction, and the block around it has none (autocommit: true): put the call into session.begin(fn), or choose 'requiresNew'`,
    )
  }
  if (autocommit !== true) return
  throw new InvalidOptionError(
    'autocommit',
    `autocommit: true needs a session of its own, and with propagation '${propagation}' this block runs in the transaction around it: choose 'requiresNew'`,
  )
}

function defined(options: SessionOptions): SessionOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function warnOfNesting(): void {
  process.emitWarning(
    'withSession was called inside another withSession of the same factory: the two use two connections, and enough of ' +
      "them at once deadlock the pool. Pass the session on, or choose propagation: 'required', 'nested' or 'requiresNew'.",
    { type: 'LifeguardWarning', code: 'LIFEGUARD_NESTED_SESSION' },
  )
}
