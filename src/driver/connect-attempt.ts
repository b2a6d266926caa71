/**
 * One attempt to connect to one server: password, certificates, socket, TLS, authentication, role.
 *
 * 1. However the attempt ends without a connection, no socket stays open.
 * 2. A client has a listener for 'error' as long as it exists.
 * 3. Functions of `pg` are looked up when they are called, because instrumentation may replace methods of `pg.Client.prototype` at any
 *    time.
 */
import type { Socket } from 'node:net'
import { type ConnectionOptions as TlsOptions, TLSSocket } from 'node:tls'
import pg from 'pg'

import { isServerError } from '../database-errors.js'
import type { Clock } from '../internal/clock.js'
import type { ClientCalls } from './client-calls.js'
import { cancelBackend, type CancelTarget } from './cancel.js'
import { type ConnectPhase, NoPasswordError } from './connect-failure.js'
import type { ConnectTarget } from './connect-options.js'
import type { NoticeListener, ServerNotice, TypeParsers } from './driver.js'
import type { HostTarget } from './hosts.js'
import { PgConnection } from './pg-connection.js'
import { type PrimaryHistory, requireRole, type RoleRequirement } from './server-role.js'
import { openSocket, orAborted } from './socket.js'
import { StartupGuard } from './startup-guard.js'
import type { StatementPolicy } from './statement-policy.js'
import type { TlsSettings } from './tls.js'
import { WireConnection } from './wire-connection.js'

/** What all connections of a driver have in common. */
export interface ConnectionDefaults {
  readonly target: ConnectTarget
  readonly types: TypeParsers
  readonly statements: StatementPolicy
  readonly calls: ClientCalls
  readonly clock: Clock
  readonly onNotice: NoticeListener | undefined
  readonly hideParameters: boolean
  /** Numbers the connections of the driver, from 1. */
  readonly nextId: () => number
}

/** One attempt. */
export interface AttemptOptions {
  readonly host: HostTarget
  /** The role that the server must have. */
  readonly role: RoleRequirement
  readonly signal: AbortSignal
  /** Called at the start of each phase. */
  readonly onPhase: (phase: ConnectPhase) => void
}

/** A connection that was made. */
export interface Connected {
  readonly connection: PgConnection
  /** The history of the server, if it is a primary and a primary was required. */
  readonly history: PrimaryHistory | undefined
}

/** An attempt, as far as it has come. */
interface Attempt extends AttemptOptions {
  readonly password: string | undefined
  readonly tlsOptions: TlsOptions
}

/** node-postgres's client, with members that its published types leave out. */
type Client = pg.Client & {
  /** null, as the key: the server has sent none. */
  readonly processID: number | null
  readonly secretKey: CancelTarget['secretKey']
}

/** @throws what happened, as it was thrown; `connectFailure` explains it. */
export async function connectToHost(
  defaults: ConnectionDefaults,
  options: AttemptOptions,
): Promise<Connected> {
  const { host, signal, onPhase } = options
  const { target } = defaults
  const { tls } = host
  signal.throwIfAborted()
  onPhase('password')
  // The password comes before the socket, because a slow function must not occupy a connection of the server.
  const password = await orAborted(target.password({ host: host.host, port: host.port }), signal)
  onPhase('certificates')
  const tlsOptions = tls.use === 'never' ? {} : await orAborted(tls.load(), signal)
  const attempt: Attempt = { ...options, password, tlsOptions }
  try {
    return await attemptWith(defaults, attempt, tls.use)
  } catch (first) {
    if (tls.use !== 'try' || !mayWorkUnencrypted(first)) throw first
    return await attemptWith(defaults, attempt, 'never').catch((second: unknown) => {
      // The server refuses plain text as well, so the failure of TLS is the error to report.
      throw isRefusedByRules(second) ? first : second
    })
  }
}

async function attemptWith(
  defaults: ConnectionDefaults,
  attempt: Attempt,
  tls: TlsSettings['use'],
): Promise<Connected> {
  const { clock, target } = defaults
  const { host, tlsOptions, role, signal, onPhase } = attempt
  const startedAt = clock.now()
  const socket = await openSocket({ target, host, tls, tlsOptions, signal, onPhase })
  const roundTripMillis = clock.now() - startedAt
  onPhase('authentication')
  try {
    const connection = await authenticate(defaults, attempt, socket, roundTripMillis)
    onPhase('role')
    return { connection, history: await orAborted(requireRole(connection, role), signal) }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

async function authenticate(
  defaults: ConnectionDefaults,
  { host: server, password, tlsOptions, signal }: Attempt,
  socket: Socket,
  roundTripMillis: number,
): Promise<PgConnection> {
  const { target, statements, calls, clock } = defaults
  const { user, database, channelBinding, startup } = target
  const { host, port } = server
  const encrypted = socket instanceof TLSSocket
  const wire = new WireConnection({
    stream: alreadyOpen(socket),
    startup: new StartupGuard({ channelBinding, encrypted }),
  })
  // Notices that come before the connection has its number: of login triggers, or about the version of a collation.
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
  const connecting = new Promise<void>((resolve, reject) => {
    calls.connect(client, (error) => (error ? reject(error) : resolve()))
  })
  await orAborted(connecting, signal)
  // It came in the same chunk as the end of the authentication.
  if (early !== undefined) throw early
  const address = addressOf(socket)
  const { processID: processId, secretKey } = client
  if (processId !== null) statements.connected(processId)
  const connection = new PgConnection({
    id: defaults.nextId(),
    server: Object.freeze({ host, port }),
    client,
    calls,
    wire,
    clock,
    types: defaults.types,
    onNotice: defaults.onNotice,
    hideParameters: defaults.hideParameters,
    statements,
    roundTripMillis,
    cancel: (timeoutMillis, isHarmful) =>
      cancelBackend(
        { target, host: server, address, encrypted, tlsOptions, processId, secretKey },
        timeoutMillis,
        clock,
        isHarmful,
      ),
  })
  for (const notice of notices) connection.tellNotice(notice)
  return connection
}

/** node-postgres calls `connect` of the stream that it is given. This stream is connected already, so it only emits the event. */
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
