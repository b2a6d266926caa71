/** Sends a cancel request, which asks the server to stop the statement of a backend. */
import * as timers from 'node:timers'
import type { ConnectionOptions as TlsOptions } from 'node:tls'

import type { Clock } from '../internal/clock.js'
import type { ConnectTarget } from './connect-options.js'
import type { HostTarget } from './hosts.js'
import { openSocket } from './socket.js'

/** The connection whose statement is to be cancelled. */
export interface CancelTarget {
  readonly target: ConnectTarget
  readonly host: HostTarget
  /** The server that the connection went to; undefined for a Unix socket. */
  readonly address: { readonly host: string; readonly port: number } | undefined
  readonly encrypted: boolean
  readonly tlsOptions: TlsOptions
  /** null: the server (a proxy) has sent no key, so no request can name its backend. */
  readonly processId: number | null
  /** As the server sent it: four bytes as a number, or as many bytes as newer protocols use. */
  readonly secretKey: number | Uint8Array | null
}

const CANCEL_REQUEST_CODE = 80_877_102

/** Kept from the start, because fake timers of a test runner would hold the cancel back for ever. */
const { setImmediate } = timers

/**
 * Sends a CancelRequest over a socket of its own: to the same server and, where the connection is encrypted, encrypted.
 * Resolves when the server has taken it (it then closes the socket), or after the timeout.
 *
 * Never rejects. A request that arrives may still come too late or hit nothing, so the caller has to watch the statement in any
 * case. That wait also shows if the server cannot be reached.
 *
 * @param isHarmful Asked right before the request is sent, and not only before its socket is opened, because by then the answer may
 *   have come that shows that COMMIT is running.
 */
export async function cancelBackend(
  cancel: CancelTarget,
  timeoutMillis: number,
  clock: Clock,
  isHarmful: () => boolean,
): Promise<void> {
  const { target, host, address, tlsOptions } = cancel
  const request = cancelRequest(cancel)
  if (request === undefined) return
  const ending = new AbortController()
  const timer = clock.setTimer(() => ending.abort(), timeoutMillis, { keepAlive: false })
  const { signal } = ending
  try {
    const tls = cancel.encrypted ? 'always' : 'never'
    const socket = await openSocket({ target, host, address, tls, tlsOptions, signal })
    await socketsAreRead()
    if (isHarmful() || socket.destroyed || signal.aborted) {
      socket.destroy()
      return
    }
    await new Promise<void>((resolve) => {
      socket.on('close', () => resolve())
      signal.addEventListener('abort', () => socket.destroy())
      socket.resume()
      // Not `end`: PgBouncer drops the request of a client that hangs up first.
      socket.write(request)
    })
  } catch {
    // See above.
  } finally {
    timer.cancel()
  }
}

/** Resolves when this process has read what had reached its sockets before the call. */
async function socketsAreRead(): Promise<void> {
  // The first turn may come before the next look at the sockets.
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

function cancelRequest({ processId, secretKey }: CancelTarget): Buffer | undefined {
  if (processId === null || secretKey === null) return undefined
  const key = typeof secretKey === 'number' ? fourBytes(secretKey) : secretKey
  const head = Buffer.alloc(12)
  head.writeInt32BE(head.length + key.length, 0)
  head.writeInt32BE(CANCEL_REQUEST_CODE, 4)
  head.writeInt32BE(processId, 8)
  return Buffer.concat([head, key])
}

function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
