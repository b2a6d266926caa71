import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ConnectArgs } from '../../../src/driver/connect-args.js'
import { resolveConnectOptions } from '../../../src/driver/connect-options.js'
import { openSocket, orAborted } from '../../../src/driver/socket.js'
import { hostOf } from './only-host.js'

beforeEach(() => {
  vi.spyOn(net, 'connect')
  syncBuiltinESMExports()
})
afterEach(() => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
})

/** Options of the socket that these arguments lead to. */
async function socketOptions(connectArgs: ConnectArgs): Promise<unknown> {
  const target = resolveConnectOptions({ host: '127.0.0.1', port: 1, user: 'me', connectArgs }, {})
  const { signal } = new AbortController()
  await expect(
    openSocket({ target, host: hostOf(target), tls: 'never', tlsOptions: {}, signal }),
  ).rejects.toThrow()
  return vi.mocked(net.connect).mock.lastCall?.[0]
}

test('a socket sends at once and probes a silent peer, unless told otherwise', async () => {
  expect(await socketOptions({})).toMatchObject({
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  })
  expect(await socketOptions({ keepAliveInitialDelayMillis: 5000 })).toMatchObject({
    keepAliveInitialDelay: 5000,
  })
  expect(await socketOptions({ keepAlive: false })).toMatchObject({ keepAlive: false })
})

test('what is waited for is given up when the signal says so, and what it does then is heard', async () => {
  const controller = new AbortController()
  let fail: (error: Error) => void = () => undefined
  const late = new Promise<never>((_, reject) => (fail = reject))
  const outcome = orAborted(late, controller.signal)
  const reason = new Error('enough')
  controller.abort(reason)
  fail(new Error('late'))
  await expect(outcome).rejects.toBe(reason)
  await expect(orAborted(Promise.resolve(1), controller.signal)).rejects.toBe(reason)
  await expect(orAborted(Promise.resolve(1), new AbortController().signal)).resolves.toBe(1)
})
