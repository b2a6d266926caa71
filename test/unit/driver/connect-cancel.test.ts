import { once } from 'node:events'
import { type AddressInfo, type Server, createServer } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cancelBackend } from '../../../src/driver/cancel.js'
import { resolveConnectOptions } from '../../../src/driver/connect-options.js'
import { systemClock } from '../../../src/internal/clock.js'

let server: Server
let received: Buffer[]
beforeEach(async () => {
  received = []
  server = createServer((socket) => {
    socket.on('data', (data) => {
      received.push(data)
      socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  server.close()
})

/** Cancels through a target whose own name leads nowhere. */
function cancel(secretKey: number | Uint8Array): Promise<void> {
  const { port } = server.address() as AddressInfo
  return cancelBackend(
    {
      target: resolveConnectOptions({ host: 'nowhere.invalid', port: 1, user: 'me' }, {}),
      address: { host: '127.0.0.1', port },
      encrypted: false,
      tlsOptions: {},
      processId: 0x01020304,
      secretKey,
    },
    5000,
    systemClock,
  )
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
