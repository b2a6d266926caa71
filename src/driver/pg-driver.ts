/**
 * Makes ready connections with node-postgres.
 *
 * 1. One deadline and one signal cover the whole connect: password function, certificate files, DNS, TCP, TLS,
 *    authentication. Whatever ends it, no socket stays open.
 * 2. A client has a listener for 'error' as long as it exists.
 * 3. Nothing of `pg` is looked up before it is used: instrumentation replaces methods of `pg.Client.prototype` later.
 */
import type { Socket } from 'node:net'
import { type ConnectionOptions as TlsOptions, TLSSocket } from 'node:tls'
import pg from 'pg'

import { isServerError } from '../database-errors.js'
import { AbortedError } from '../errors.js'
import { type Clock, systemClock } from '../internal/clock.js'
import { setDeadline } from '../internal/deadline.js'
import { cancelBackend } from './cancel.js'
import { type ConnectPhase, NoPasswordError, connectFailure } from './connect-failure.js'
import { type ConnectOptions, type ConnectTarget, resolveConnectOptions } from './connect-options.js'
import type { Driver, DriverConnection, NoticeListener, ServerNotice, TypeParsers } from './driver.js'
import { PgConnection } from './pg-connection.js'
import { schemaGeneration } from './schema-generation.js'
import { openSocket, orAborted } from './socket.js'
import { StartupGuard } from './startup-guard.js'
import {
  DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS,
  DEFAULT_STATEMENT_CACHE_MAX_BYTES,
  DEFAULT_STATEMENT_CACHE_SIZE,
  StatementPolicy,
} from './statement-policy.js'
import type { TlsSettings } from './tls.js'
import { WireConnection } from './wire-connection.js'

/** Options of {@link createPgDriver}. */
export interface PgDriverOptions extends ConnectOptions {
  /** How results are parsed. Default: as `pg.types` says at that moment. */
  readonly types?: TypeParsers | undefined
  /** Most prepared statements kept per connection; 0 = none. Default {@link DEFAULT_STATEMENT_CACHE_SIZE}. */
  readonly statementCacheSize?: number | undefined
  /** Most characters of text in them. Default {@link DEFAULT_STATEMENT_CACHE_MAX_BYTES}. */
  readonly statementCacheMaxBytes?: number | undefined
  /** Greatest age of one; -1 = no limit. Default {@link DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS}. */
  readonly statementCacheMaxAgeMillis?: number | undefined
  readonly clock?: Clock | undefined
  /** Keep values that were sent out of errors and notices. Default false. */
  readonly hideParameters?: boolean | undefined
  /** Told what the server says beside its answers. */
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

/** An attempt to connect, as far as it has come. */
interface Attempt {
  readonly password: string | undefined
  readonly tlsOptions: TlsOptions
  readonly signal: AbortSignal
  readonly onPhase: (phase: ConnectPhase) => void
}

/** node-postgres's client; the published types leave out what is read here. */
type Client = pg.Client & { readonly processID: number; readonly secretKey: number | Uint8Array }

class NodePostgresDriver implements Driver {
  readonly target: string
  readonly #target: ConnectTarget
  readonly #types: TypeParsers
  readonly #statements: StatementPolicy
  readonly #clock: Clock
  readonly #onNotice: NoticeListener | undefined
  readonly #hideParameters: boolean
  #connections = 0

  constructor(options: PgDriverOptions) {
    this.#target = resolveConnectOptions(options)
    this.target = this.#target.name
    this.#types = options.types ?? pg.types
    this.#clock = options.clock ?? systemClock
    this.#onNotice = options.onNotice
    this.#hideParameters = options.hideParameters ?? false
    this.#statements = new StatementPolicy({
      size: options.statementCacheSize ?? DEFAULT_STATEMENT_CACHE_SIZE,
      isChosen: options.statementCacheSize !== undefined,
      maxBytes: options.statementCacheMaxBytes ?? DEFAULT_STATEMENT_CACHE_MAX_BYTES,
      maxAgeMillis: options.statementCacheMaxAgeMillis ?? DEFAULT_STATEMENT_CACHE_MAX_AGE_MILLIS,
      clock: this.#clock,
      generation: schemaGeneration(),
    })
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
    let phase: ConnectPhase = 'password'
    try {
      return await this.#connect(ending.signal, (next) => {
        phase = next
      })
    } catch (error) {
      throw error instanceof AbortedError
        ? error
        : connectFailure(error, this.target, phase, this.#target.isDefault && this.#connections === 0)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #connect(signal: AbortSignal, onPhase: Attempt['onPhase']): Promise<DriverConnection> {
    const { tls } = this.#target
    signal.throwIfAborted()
    onPhase('password')
    // Before the socket: a slow function must not occupy one of the server's places.
    const password = await orAborted(this.#target.password(), signal)
    onPhase('certificates')
    const tlsOptions = tls.use === 'never' ? {} : await orAborted(tls.load(), signal)
    const attempt: Attempt = { password, tlsOptions, signal, onPhase }
    try {
      return await this.#attempt(attempt, tls.use)
    } catch (first) {
      if (tls.use !== 'try' || !mayWorkUnencrypted(first)) throw first
      return await this.#attempt(attempt, 'never').catch((second: unknown) => {
        // The server refuses plain text: what was wrong with TLS is the news.
        throw isRefusedByRules(second) ? first : second
      })
    }
  }

  async #attempt(attempt: Attempt, tls: TlsSettings['use']): Promise<DriverConnection> {
    const { tlsOptions, signal, onPhase } = attempt
    const startedAt = this.#clock.now()
    const socket = await openSocket({ target: this.#target, tls, tlsOptions, signal, onPhase })
    const roundTripMillis = this.#clock.now() - startedAt
    onPhase('authentication')
    try {
      return await this.#authenticate(socket, attempt, roundTripMillis)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  async #authenticate(
    socket: Socket,
    { password, tlsOptions, signal }: Attempt,
    roundTripMillis: number,
  ): Promise<DriverConnection> {
    const { user, database, host, port, channelBinding, startup } = this.#target
    const encrypted = socket instanceof TLSSocket
    const wire = new WireConnection({
      stream: alreadyOpen(socket),
      startup: new StartupGuard({ channelBinding, encrypted }),
    })
    // Before the connection has its number: login triggers, a collation of another version.
    const notices: ServerNotice[] = []
    wire.onNotice = (notice) => notices.push(notice)
    const config = {
      user,
      database,
      host,
      port,
      // Asked for only if the server wants one; a function keeps node-postgres from looking for other sources.
      password: () => password ?? Promise.reject(new NoPasswordError('no password')),
      // The socket is encrypted already, or is not to be; without these two PGSSLMODE and the like would have a say.
      ssl: false,
      sslnegotiation: 'postgres' as const,
      enableChannelBinding: channelBinding !== 'disable' && encrypted,
      connection: wire,
    }
    const client = new pg.Client(config) as Client
    let early: Error | undefined
    client.on('error', (error) => {
      early ??= error
    })
    Object.assign(client, { getStartupConf: () => ({ ...startup }) })
    await orAborted(client.connect(), signal)
    // It came in the same chunk as the end of the authentication.
    if (early !== undefined) throw early
    const address = addressOf(socket)
    const { processID: processId, secretKey } = client
    const target = this.#target
    this.#connections += 1
    this.#statements.connected(processId)
    const connection = new PgConnection({
      id: this.#connections,
      client,
      wire,
      clock: this.#clock,
      types: this.#types,
      onNotice: this.#onNotice,
      hideParameters: this.#hideParameters,
      statements: this.#statements,
      roundTripMillis,
      cancel: (timeoutMillis) =>
        cancelBackend(
          { target, address, encrypted, tlsOptions, processId, secretKey },
          timeoutMillis,
          this.#clock,
        ),
    })
    for (const notice of notices) connection.tellNotice(notice)
    return connection
  }
}

/** node-postgres connects the stream that it is given. This one is connected: it only has to say so. */
function alreadyOpen(socket: Socket): Socket {
  const connect = (): Socket => {
    process.nextTick(() => socket.emit('connect'))
    return socket
  }
  return Object.assign(socket, { connect })
}

/** As libpq's `prefer`: TLS did not come about, or the server has rules against it. */
function mayWorkUnencrypted(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  const isTlsFailure = typeof code === 'string' && (code.startsWith('ERR_SSL_') || code === 'EPROTO')
  return isTlsFailure || isRefusedByRules(error)
}

/** No line of pg_hba.conf lets this connection in. */
function isRefusedByRules(error: unknown): boolean {
  return isServerError(error) && error.code === '28000'
}

function addressOf({
  remoteAddress: host,
  remotePort: port,
}: Socket): { host: string; port: number } | undefined {
  return host === undefined || port === undefined ? undefined : { host, port }
}
