import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net'
import { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cancelBackend } from '../../../src/driver/cancel.js'
import { resolveConnectOptions } from '../../../src/driver/connect-options.js'
import type { Clock } from '../../../src/internal/clock.js'
import { createCertificates } from '../../helpers/tls.js'
import { hostOf } from './only-host.js'

/** No time passes: what ends has ended by itself. */
const STOPPED: Clock = { now: () => 0, setTimer: () => ({ cancel: () => undefined }) }

let server: Server
let received: Buffer[]
let onRequest: (socket: Socket, data: Buffer) => void
beforeEach(async () => {
  received = []
  onRequest = (socket) => socket.end()
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (data) => {
      received.push(data)
      onRequest(socket, data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  server.close()
})

/** Cancels through a target whose own name leads nowhere. */
function cancel(
  secretKey: number | Uint8Array | null,
  { encrypted = false, isHarmful = (): boolean => false, clock = STOPPED } = {},
): Promise<void> {
  const { port } = server.address() as AddressInfo
  const target = resolveConnectOptions({ host: 'nowhere.invalid', port: 1, user: 'me' }, {})
  const cancelTarget = {
    target,
    host: hostOf(target),
    address: { host: '127.0.0.1', port },
    encrypted,
    tlsOptions: { rejectUnauthorized: false },
    processId: secretKey === null ? null : 0x01020304,
    secretKey,
  }
  return cancelBackend(cancelTarget, 5000, clock, isHarmful)
}

test('a cancel request goes to the address of the connection, not to where its name leads now', async () => {
  await cancel(-2)
  expect(Buffer.concat(received).toString('hex')).toBe('00000010' + '04d2162e' + '01020304' + 'fffffffe')
})

test('a cancel request sends a long key as it was received', async () => {
  const key = Uint8Array.from({ length: 32 }, (_, index) => index)
  await cancel(key)
  const request = Buffer.concat(received)
  expect(request.readInt32BE(0)).toBe(44)
  expect(request.subarray(12)).toEqual(Buffer.from(key))
})

test('a cancel request is done when the server closes the connection, whatever it says before', async () => {
  onRequest = (socket) => socket.end('E: no')
  await cancel(1)
})

test('a cancel request survives a server that resets the connection, encrypted or not', async () => {
  onRequest = (socket) => socket.resetAndDestroy()
  await cancel(1)

  using certificates = createCertificates()
  const { key, certificate } = certificates.server
  onRequest = (socket) => {
    socket.write('S')
    const secure = new TLSSocket(socket, {
      isServer: true,
      key: readFileSync(key),
      cert: readFileSync(certificate),
    })
    secure.on('error', () => undefined)
    secure.once('data', (data) => {
      received.push(data)
      socket.resetAndDestroy()
    })
  }
  await cancel(1, { encrypted: true })
  expect(received.at(-1)?.length).toBe(16)
})

test('a cancel request is not sent if its socket is open only after COMMIT has begun', async () => {
  let opened = 0
  const ended = new Promise<void>((resolve) => {
    server.on('connection', (socket) => {
      opened++
      socket.on('close', () => resolve())
    })
  })
  await cancel(1, { isHarmful: () => true })
  await ended
  expect(opened).toBe(1)
  expect(received).toEqual([])
})

test('without a key there is nothing to send, and no socket is opened', async () => {
  let opened = 0
  server.on('connection', () => opened++)
  await cancel(null)
  await cancel(1)
  expect(opened).toBe(1)
})

test('a time limit that ends between the opening of the socket and the request ends the wait', async () => {
  let end = (): void => undefined
  const clock: Clock = {
    now: () => 0,
    setTimer: (callback) => {
      end = callback
      return { cancel: () => undefined }
    },
  }
  onRequest = () => undefined
  const isHarmful = (): boolean => {
    end()
    return false
  }
  await cancel(1, { clock, isHarmful })
  expect(received).toEqual([])
})
