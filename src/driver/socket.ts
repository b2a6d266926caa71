/**
 * Opens a socket to a PostgreSQL server, TCP or Unix, and encrypts it. Connections and cancel requests both use it, so they have the
 * same protection.
 *
 * 1. An abort of the caller's signal ends every step at once. The promise rejects with the reason of the signal.
 * 2. After a failure no socket stays open.
 */
import { once } from 'node:events'
import { type Socket, connect as netConnect, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions as TlsOptions, connect as tlsConnect } from 'node:tls'

import type { ConnectTarget } from './connect-options.js'
import type { HostTarget } from './hosts.js'
import type { TlsSettings } from './tls.js'

/** What is being waited for. */
export type SocketPhase = 'socket' | 'tls'

/** How to open one socket. */
export interface SocketRequest {
  readonly target: Pick<ConnectTarget, 'keepAlive' | 'keepAliveInitialDelayMillis' | 'stream'>
  readonly host: HostTarget
  /** The address to use instead of looking up the target's name, which may lead to another server each time. */
  readonly address?: { readonly host: string; readonly port: number } | undefined
  readonly tls: TlsSettings['use']
  readonly tlsOptions: TlsOptions
  readonly signal: AbortSignal
  readonly onPhase?: (phase: SocketPhase) => void
}

/** The server does not do TLS, or is no PostgreSQL server. */
export class TlsRefusedError extends Error {
  override readonly name = 'TlsRefusedError'
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const YES = 'S'
const NO = 'N'
/** First letter of an ErrorResponse. The server is not authenticated yet, so its text is not shown. */
const ERROR = 'E'

/** Opens the socket; the result is a `TLSSocket` if it is encrypted. */
export async function openSocket(request: SocketRequest): Promise<Socket> {
  const { target, address, tls, signal, onPhase } = request
  const { host, port, socketPath: path } = request.host
  const { keepAlive, keepAliveInitialDelayMillis: keepAliveInitialDelay } = target
  signal.throwIfAborted()
  onPhase?.('socket')
  if (target.stream !== undefined) return await openStream(() => target.stream?.({ host, port }), signal)
  const where = path === undefined ? (address ?? { host: request.host.address ?? host, port }) : { path }
  const socket = netConnect({ ...where, noDelay: true, keepAlive, keepAliveInitialDelay })
  ignoreErrors(socket)
  try {
    await next(socket, 'connect', signal)
    if (tls === 'never') return socket
    onPhase?.('tls')
    if (request.host.tls.negotiation === 'postgres' && !(await serverTakesTls(socket, signal))) {
      if (tls === 'try') return socket
      throw new TlsRefusedError('The server does not support TLS')
    }
    return await encrypt(socket, request)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Opens the stream that the caller provides in place of a socket. */
async function openStream(open: () => unknown, signal: AbortSignal): Promise<Socket> {
  const opening = Promise.resolve().then(open)
  try {
    const socket = asSocket(await orAborted(opening, signal))
    ignoreErrors(socket)
    if (socket.connecting) await orAborted(once(socket, 'connect'), signal)
    return socket
  } catch (error) {
    void opening.then(
      (late) => (late as Partial<Duplex> | undefined)?.destroy?.(),
      () => undefined,
    )
    throw error
  }
}

/** Adds what node-postgres calls and a plain Duplex does not have. @throws TypeError if it is no stream. */
function asSocket(stream: unknown): Socket {
  const { write, destroy, pipe } = Object(stream) as Partial<Duplex>
  if ([write, destroy, pipe].some((method) => typeof method !== 'function'))
    throw new TypeError('connectArgs.stream must return a stream (Duplex)')
  const socket = stream as Socket
  const missing = ['setNoDelay', 'setKeepAlive', 'ref', 'unref'].filter((name) => !(name in socket))
  for (const name of missing) Object.defineProperty(socket, name, { value: () => socket })
  return socket
}

/** The promise, or the signal's reason if that comes first. Then the end of the promise is ignored. */
export function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

async function serverTakesTls(socket: Socket, signal: AbortSignal): Promise<boolean> {
  const answer = next(socket, 'data', signal)
  socket.write(SSL_REQUEST)
  const bytes = String(await answer)
  // Exactly one byte: an attacker could add more, to have it read as if it had come encrypted (CVE-2021-23222).
  if (bytes === YES) return true
  if (bytes === NO) return false
  // A server that is ending says so at once, behind its "no" too.
  if (bytes.startsWith(ERROR) || bytes.startsWith(NO + ERROR))
    throw serverClosed('The server answered the request for TLS with an error')
  throw new TlsRefusedError('The answer to the request for TLS is not that of a PostgreSQL server')
}

async function encrypt(socket: Socket, { host: server, tlsOptions, signal }: SocketRequest): Promise<Socket> {
  const { host } = server
  const secure = tlsConnect({
    // An address is no server name (RFC 6066), but the certificate must be for it.
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ...(server.tls.negotiation === 'direct' ? { ALPNProtocols: ['postgresql'] } : {}),
    ...tlsOptions,
    socket,
  })
  ignoreErrors(secure)
  await next(secure, 'secureConnect', signal)
  return secure
}

/** The next event of that name; rejects when the socket fails or closes instead. */
function next(
  socket: Socket,
  event: 'connect' | 'data' | 'secureConnect',
  signal: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (how: () => void): void => {
      socket.off(event, onEvent)
      socket.off('error', onError)
      socket.off('close', onClose)
      signal.removeEventListener('abort', onAbort)
      how()
    }
    const onEvent = (payload?: unknown): void => settle(() => resolve(payload))
    const onError = (error: Error): void => settle(() => reject(error))
    const onClose = (): void => settle(() => reject(serverClosed('The server closed the connection')))
    const onAbort = (): void => settle(() => reject(signal.reason as Error))
    socket.on(event, onEvent)
    socket.on('error', onError)
    socket.on('close', onClose)
    signal.addEventListener('abort', onAbort)
  })
}

/** A closed socket, with the code of a reset, because both mean the same to the caller. */
function serverClosed(message: string): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET' })
}

/** As long as the socket exists: an 'error' without a listener would end the process. The pending promise reports the error. */
function ignoreErrors(socket: Socket): void {
  socket.on('error', () => undefined)
}
