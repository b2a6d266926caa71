/**
 * Opens connections with node-postgres, to one server or to one of several.
 *
 * One deadline and one signal cover the whole connect: password function, certificate files, DNS, TCP, TLS, authentication, and the
 * search among hosts. If it fails or is aborted, no socket stays open.
 */
import pg from 'pg'

import { AbortedError } from '../errors.js'
import { type Clock, systemClock } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import { ClientCalls } from './client-calls.js'
import { type Connected, type ConnectionDefaults, connectToHost } from './connect-attempt.js'
import {
  type ConnectPhase,
  FailedPhase,
  connectFailure,
  endsSearch,
  searchFailure,
} from './connect-failure.js'
import { type ConnectOptions, type ConnectTarget, resolveConnectOptions } from './connect-options.js'
import type { ConnectPlace, Driver, DriverConnection, NoticeListener, TypeParsers } from './driver.js'
import { NoHostError, searchHosts, shuffle } from './host-search.js'
import type { TargetSessionAttrs } from './connect-args.js'
import type { HostTarget } from './hosts.js'
import type { PgConnection } from './pg-connection.js'
import { PrimaryWatch } from './primary-watch.js'
import { isLater, type PrimaryHistory, requireNotOlder, requireRole, ROLES_OF_ONE } from './server-role.js'
import { schemaGeneration } from './schema-generation.js'
import {
  DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS,
  DEFAULT_STATEMENT_CACHE_MAX_BYTES,
  DEFAULT_STATEMENT_CACHE_SIZE,
  StatementPolicy,
} from './statement-policy.js'

/** Options of {@link createPgDriver}. */
export interface PgDriverOptions extends ConnectOptions {
  /** How results are parsed. Default: as `pg.types` says at that moment. */
  readonly types?: TypeParsers | undefined
  /** The most prepared statements kept per connection; 0 = none. Default {@link DEFAULT_STATEMENT_CACHE_SIZE}. */
  readonly statementCacheSize?: number | undefined
  /** The most characters of text in them. Default {@link DEFAULT_STATEMENT_CACHE_MAX_BYTES}. */
  readonly statementCacheMaxBytes?: number | undefined
  /** Greatest age of one; -1 = no limit. Default {@link DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS}. */
  readonly statementCacheMaxAgeMillis?: number | undefined
  readonly clock?: Clock | undefined
  /** Keep values that were sent out of errors and notices. Default false. */
  readonly hideParameters?: boolean | undefined
  /** How the methods of node-postgres's client are called. */
  readonly calls?: ClientCalls | undefined
  /** Called with each notice of the server. */
  readonly onNotice?: NoticeListener | undefined
}

/**
 * Makes a driver. Opens nothing.
 *
 * @throws InvalidOptionError that names the option, the part of the url or the variable.
 */
export function createPgDriver(options: PgDriverOptions): Driver {
  return new NodePostgresDriver(options)
}

class NodePostgresDriver implements Driver {
  readonly target: string
  readonly place: ConnectPlace
  readonly #target: ConnectTarget
  readonly #clock: Clock
  readonly #defaults: ConnectionDefaults
  #connections = 0
  /** The host of the last connection, if only one server can have the role that is wanted. */
  #primary: HostTarget | undefined
  /** The history of the latest primary that it has connected to. */
  #history: PrimaryHistory | undefined
  /** Undefined if there is no other host, or if any server will do. */
  readonly #watch: PrimaryWatch | undefined

  constructor(options: PgDriverOptions) {
    this.#target = resolveConnectOptions(options)
    this.target = this.#target.name
    const { hosts, database, user, password } = this.#target
    this.place = Object.freeze({
      servers: hosts.map(({ host, port }) => ({ host, port })),
      database,
      user,
      isEncrypted: hosts.every(({ tls }) => tls.use === 'always'),
      password,
    })
    this.#clock = options.clock ?? systemClock
    this.#defaults = {
      target: this.#target,
      types: options.types ?? pg.types,
      clock: this.#clock,
      calls: options.calls ?? new ClientCalls(),
      onNotice: options.onNotice,
      hideParameters: options.hideParameters ?? false,
      statements: new StatementPolicy({
        size: options.statementCacheSize ?? DEFAULT_STATEMENT_CACHE_SIZE,
        isChosen: options.statementCacheSize !== undefined,
        maxBytes: options.statementCacheMaxBytes ?? DEFAULT_STATEMENT_CACHE_MAX_BYTES,
        maxAgeMillis: options.statementCacheMaxAgeMillis ?? DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS,
        clock: this.#clock,
        generation: schemaGeneration(),
      }),
      nextId: () => (this.#connections += 1),
    }
    const isOneOfSeveral = hosts.length > 1 && ROLES_OF_ONE.has(this.#target.session)
    this.#watch = isOneOfSeveral ? this.#watchPrimary() : undefined
  }

  async connect({ timeoutMillis, signal }: Parameters<Driver['connect']>[0]): Promise<DriverConnection> {
    const ending = new AbortController()
    const onAbort = (): void => {
      ending.abort(new AbortedError(`Connecting to ${this.target} was aborted`, { cause: signal?.reason }))
    }
    const expire = (): void => {
      ending.abort(new DOMException(`No connection within ${timeoutMillis} ms`, 'TimeoutError'))
    }
    const timer = setDeadline(this.#clock, expire, timeoutMillis)
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort)
    try {
      return await this.#connect(ending.signal)
    } catch (error) {
      if (ending.signal.reason instanceof AbortedError) throw ending.signal.reason
      throw error instanceof NoHostError
        ? searchFailure(error.failures, this.#target)
        : connectFailure(error, this.target, this.#target.isDefault && this.#connections === 0)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #connect(signal: AbortSignal): Promise<DriverConnection> {
    const { hosts, session } = this.#target
    const [only] = hosts
    if (only !== undefined && hosts.length === 1) {
      // `prefer-standby` accepts a primary if there is no standby, and no other host can be one.
      return this.#found(
        only,
        await this.#attempt(only, session === 'prefer-standby' ? 'any' : session, signal),
      )
    }
    if (session !== 'prefer-standby') return await this.#search(session, signal)
    return await this.#search('standby', signal).catch((error: unknown) => {
      // Another attempt would be refused as well, and counts against the user at the server.
      const isFinal =
        error instanceof NoHostError && error.failures.some((failure) => endsSearch(failure.error))
      if (signal.aborted || isFinal) throw error
      return this.#search('any', signal)
    })
  }

  /** Connects to the first of the hosts that answers and has the role. */
  async #search(session: TargetSessionAttrs, signal: AbortSignal): Promise<DriverConnection> {
    const { hostTimeoutMillis } = this.#target
    const { host, connected } = await searchHosts({
      hosts: this.#order(),
      attempt: async (host, stop, onSocket) => {
        const ending = new AbortController()
        const onStop = (): void => ending.abort(stop.reason)
        const expire = (): void => {
          ending.abort(
            new DOMException(
              `${host.name} gave no connection within ${hostTimeoutMillis} ms`,
              'TimeoutError',
            ),
          )
        }
        const timer = setDeadline(this.#clock, expire, hostTimeoutMillis)
        stop.addEventListener('abort', onStop)
        try {
          return { host, connected: await this.#attempt(host, session, ending.signal, onSocket) }
        } finally {
          timer.cancel()
          stop.removeEventListener('abort', onStop)
        }
      },
      discard: (late) => void late.connected.connection.close(hostTimeoutMillis),
      isFinal: endsSearch,
      clock: this.#clock,
      signal,
    })
    return this.#found(host, connected)
  }

  /**
   * Notes where the primary is. A connection to another one, or of a later timeline, replaces those before it.
   * @throws FailedPhase if a later primary was found in the meantime.
   */
  #found(host: HostTarget, { connection, history }: Connected): PgConnection {
    if (!ROLES_OF_ONE.has(this.#target.session)) return connection
    try {
      requireNotOlder(history, this.#history)
    } catch (error) {
      connection.destroy()
      throw new FailedPhase('role', error)
    }
    const promoted = isLater(history, this.#history)
    connection.supersedes = (this.#primary !== undefined && this.#primary !== host) || promoted
    this.#primary = host
    this.#history = history ?? this.#history
    if (history !== undefined) {
      this.#watch?.add(connection, history)
      if (promoted) this.#watch?.endOlder(history, host.name)
    }
    return connection
  }

  #watchPrimary(): PrimaryWatch {
    const { hosts, session, hostTimeoutMillis } = this.#target
    return new PrimaryWatch({
      clock: this.#clock,
      hostTimeoutMillis,
      otherHosts: () => hosts.filter((host) => host !== this.#primary),
      connect: async (host, signal) => (await this.#attempt(host, 'any', signal)).connection,
      historyOf: (connection) => requireRole(connection, { session, latest: this.#history }),
      onPrimary: (host, history) => {
        if (!isLater(history, this.#history)) return false
        this.#primary = host
        this.#history = history
        return true
      },
    })
  }

  /** Rejects with a {@link FailedPhase}: the error, and the phase in which it happened. */
  async #attempt(
    host: HostTarget,
    session: TargetSessionAttrs,
    signal: AbortSignal,
    onSocket?: () => void,
  ): Promise<Connected> {
    let phase: ConnectPhase = 'password'
    const onPhase = (next: ConnectPhase): void => {
      if (phase === 'socket') onSocket?.()
      phase = next
    }
    try {
      return await connectToHost(this.#defaults, {
        host,
        role: { session, latest: this.#history },
        signal,
        onPhase,
      })
    } catch (error) {
      throw new FailedPhase(phase, error)
    }
  }

  /** The server that had the role last comes first. If only one server can have it, no caller depends on the order. */
  #order(): readonly HostTarget[] {
    const { hosts, shuffled } = this.#target
    const order = shuffled ? shuffle(hosts) : hosts
    const known = this.#primary
    return known === undefined ? order : [known, ...order.filter((host) => host !== known)]
  }
}
