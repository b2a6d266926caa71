import dns from 'node:dns'
import { getEventListeners, once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createPgDriver } from '../../src/driver/pg-driver.js'
import { AbortedError, ConnectError } from '../../src/errors.js'
import { startFakeServer } from '../helpers/fake-server.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { waitUntil } from '../helpers/wait-until.js'
import { stoppedClock } from './connecting-support.js'

guardLeaks()
afterEach(() => {
  vi.restoreAllMocks()
})

type Options = Omit<Parameters<typeof createPgDriver>[0], 'clock' | 'statementCacheSize'>

/** A place at which a connect hangs. */
interface Stuck extends Disposable {
  readonly options: Options
  /** True when the connect has come that far. */
  reached(): boolean | Promise<boolean>
  /** Sockets that are still open. */
  openSockets(): number
}

/** A server that answers a new client as told. */
class ScriptedServer implements Disposable {
  readonly #server: Server
  readonly sockets = new Set<Socket>()
  readonly received: Buffer[] = []

  constructor(onData: (socket: Socket, data: Buffer) => void) {
    this.#server = createServer((socket) => {
      this.sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('data', (data) => {
        this.received.push(data)
        onData(socket, data)
      })
    })
  }

  async listen(): Promise<Options> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port } = this.#server.address() as AddressInfo
    return { host: '127.0.0.1', port, user: 'me', password: 's3cret' }
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy()
    this.#server.close()
  }
}

/** A message of the server, as latin1. */
function message(type: string, body: string): string {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return type + length.toString('latin1') + body
}

const WELCOME = message('R', '\0\0\0\0') + message('Z', 'I')

/** A server whose program has stopped accepting and whose queue is full: the system answers no more. */
async function stuckInTcp(): Promise<Stuck> {
  const program = `
    const { createServer } = require('node:net')
    const { parentPort } = require('node:worker_threads')
    const server = createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
  const worker = new Worker(program, { eval: true })
  const [port] = (await once(worker, 'message')) as [number]
  const fillers = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  const stuckFillers = (): number => fillers.filter((filler) => filler.connecting).length
  const attempts = (): number =>
    process.getActiveResourcesInfo().filter((name) => name.endsWith('ConnectWrap')).length
  return {
    options: { host: '127.0.0.1', port, user: 'me', password: 's3cret' },
    reached: () => stuckFillers() > 0 && attempts() > stuckFillers(),
    openSockets: () => attempts() - stuckFillers(),
    [Symbol.dispose]: () => {
      for (const filler of fillers) filler.destroy()
      void worker.terminate()
    },
  }
}

async function stuckWith(onData: (socket: Socket) => void, options: Options = {}): Promise<Stuck> {
  const server = new ScriptedServer(onData)
  const where = await server.listen()
  return {
    options: { ...where, ...options },
    reached: () => server.received.length > 0,
    openSockets: () => server.sockets.size,
    [Symbol.dispose]: () => server[Symbol.dispose](),
  }
}

/** Says yes to TLS and then nothing. */
async function stuckInHandshake(): Promise<Stuck> {
  const server = new ScriptedServer((socket, data) => {
    if (data.length === 8) socket.write('S')
  })
  const where = await server.listen()
  return {
    options: where,
    reached: () => server.received.some((data) => data[0] === 0x16),
    openSockets: () => server.sockets.size,
    [Symbol.dispose]: () => server[Symbol.dispose](),
  }
}

async function stuckInAuthentication(): Promise<Stuck> {
  let asked = false
  const server = await startFakeServer({
    onStartup: () => {
      asked = true
      return 'silence'
    },
  })
  return {
    options: { url: server.url },
    reached: () => asked,
    openSockets: () => server.openSockets,
    [Symbol.dispose]: () => server.close(),
  }
}

function stuckInPassword(): Promise<Stuck> {
  const password = vi.fn(() => new Promise<string>(() => undefined))
  return Promise.resolve({
    options: { host: '127.0.0.1', port: 1, user: 'me', password },
    reached: () => password.mock.calls.length > 0,
    openSockets: () => 0,
    [Symbol.dispose]: () => undefined,
  })
}

function stuckInDns(): Promise<Stuck> {
  const lookup = vi.spyOn(dns, 'lookup').mockImplementation(() => undefined)
  return Promise.resolve({
    options: { host: 'db.example', user: 'me', password: 's3cret' },
    reached: () => lookup.mock.calls.length > 0,
    openSockets: () => 0,
    [Symbol.dispose]: () => undefined,
  })
}

const PLACES: readonly (readonly [place: string, start: () => Promise<Stuck>, phase: string])[] = [
  ['the password function', stuckInPassword, 'waiting for the password function'],
  ['the name service', stuckInDns, 'opening the socket'],
  ['TCP', stuckInTcp, 'opening the socket'],
  ['the answer about TLS', () => stuckWith(() => undefined), 'negotiating TLS'],
  ['the TLS handshake', stuckInHandshake, 'negotiating TLS'],
  [
    'direct TLS',
    () => stuckWith(() => undefined, { connectArgs: { sslmode: 'require', sslnegotiation: 'direct' } }),
    'negotiating TLS',
  ],
  ['authentication', stuckInAuthentication, 'authenticating'],
]

describe.each(PLACES)('a connect that hangs in %s', (_, start, phase) => {
  test('ends when its time is up, says where it was, and leaves no socket open', async () => {
    using stuck = await start()
    const clock = stoppedClock()
    const driver = createPgDriver({ ...stuck.options, statementCacheSize: 0, clock })
    const outcome = driver.connect({ timeoutMillis: 1234 }).catch((error: unknown) => error)
    await waitUntil(() => stuck.reached(), { message: 'the connect to come that far' })
    clock.pass()

    const error = await outcome
    expect(error).toBeInstanceOf(ConnectError)
    expect(error).toMatchObject({
      fatal: false,
      message: `Cannot connect to ${driver.target}: timed out while ${phase}.`,
      cause: { name: 'TimeoutError', message: 'No connection within 1234 ms' },
    })
    await waitUntil(() => stuck.openSockets() === 0, { message: 'the socket to be closed' })
  })

  test('ends when it is aborted, and leaves no socket open', async () => {
    using stuck = await start()
    const controller = new AbortController()
    const driver = createPgDriver({ ...stuck.options, statementCacheSize: 0, clock: stoppedClock() })
    const outcome = driver
      .connect({ timeoutMillis: 1234, signal: controller.signal })
      .catch((error: unknown) => error)
    await waitUntil(() => stuck.reached(), { message: 'the connect to come that far' })
    const reason = new Error('the user went away')
    controller.abort(reason)

    const error = await outcome
    expect(error).toBeInstanceOf(AbortedError)
    expect(error).toMatchObject({ name: 'AbortError', cause: reason })
    await waitUntil(() => stuck.openSockets() === 0, { message: 'the socket to be closed' })
  })
})

describe('a connect', () => {
  test('that was aborted before it began does nothing', async () => {
    using server = await startFakeServer()
    const password = vi.fn(() => 'pw')
    const driver = createPgDriver({ url: server.url, password, statementCacheSize: 0 })
    const outcome = driver.connect({ timeoutMillis: 1000, signal: AbortSignal.abort() })
    await expect(outcome).rejects.toBeInstanceOf(AbortedError)
    expect(password).not.toHaveBeenCalled()
    expect(server.acceptedSockets).toBe(0)
  })

  test('that has ended holds neither its signal nor its deadline', async () => {
    using server = await startFakeServer()
    const controller = new AbortController()
    const clock = stoppedClock()
    const driver = createPgDriver({ url: server.url, statementCacheSize: 0, clock })
    const connection = await driver.connect({ timeoutMillis: 1000, signal: controller.signal })
    expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    expect(clock.timers).toBe(0)
    await connection.close(1000)
  })

  test('that ended early is not troubled by what its password function does later', async () => {
    const clock = stoppedClock()
    let fail: (error: Error) => void = () => undefined
    const password = (): Promise<string> => new Promise((_, reject) => (fail = reject))
    const driver = createPgDriver({ password, statementCacheSize: 0, clock })
    const outcome = driver.connect({ timeoutMillis: 1 }).catch((error: unknown) => error)
    clock.pass()
    expect(await outcome).toBeInstanceOf(ConnectError)
    // guardLeaks sees a rejection that is not handled.
    fail(new Error('too late'))
  })

  test.each<[string, (socket: Socket, data: Buffer) => void, boolean, RegExp]>([
    ['hangs up', (socket) => socket.end(), false, /closed the connection/],
    ['resets', (socket) => socket.resetAndDestroy(), false, /closed the connection/],
    ['answers with an error', (socket) => socket.write('EFATAL: s3cret'), false, /closed the connection/],
    ['says no and ends', (socket) => socket.write('NEFATAL: s3cret'), false, /closed the connection/],
    ['says no and talks on', (socket) => socket.write('NR'), true, /not that of a PostgreSQL/],
    [
      'is a web server',
      (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
      true,
      /not that of a PostgreSQL/,
    ],
    [
      'sends more than its yes',
      (socket) => socket.write('SR\0\0\0\x08\0\0\0\0'),
      true,
      /not that of a PostgreSQL/,
    ],
    [
      'says yes and talks nonsense',
      (socket, data) => socket.write(data.length === 8 ? 'S' : 'nonsense'),
      true,
      /ERR_SSL|EPROTO/,
    ],
  ])(
    'to a server that, asked for TLS, %s ends with an error and no socket',
    async (_, answer, fatal, message) => {
      using server = new ScriptedServer(answer)
      const options = await server.listen()
      const driver = createPgDriver({
        ...options,
        connectArgs: { sslmode: 'require' },
        statementCacheSize: 0,
      })
      const error: unknown = await driver.connect({ timeoutMillis: 5000 }).catch((caught: unknown) => caught)
      expect(error).toBeInstanceOf(ConnectError)
      expect(error).toMatchObject({ fatal, message: expect.stringMatching(message) as unknown })
      expect((error as Error).message).not.toContain('s3cret')
      await waitUntil(() => server.sockets.size === 0)
    },
  )

  test('with prefer goes on without TLS when the handshake fails', async () => {
    using server = new ScriptedServer((socket, data) => {
      if (data.length === 8) socket.write('S')
      else if (data[0] === 0x16) socket.write('nonsense')
      else socket.write(WELCOME, 'latin1')
    })
    const driver = createPgDriver({ ...(await server.listen()), statementCacheSize: 0 })
    const connection = await driver.connect({ timeoutMillis: 5000 })
    expect(connection.transactionStatus).toBe('idle')
    expect(server.sockets.size).toBe(1)
    connection.destroy()
  })

  test.each([
    ['clear text', message('R', '\0\0\0\x03')],
    ['a weak hash', message('R', '\0\0\0\x05salt')],
  ])('with channel_binding=require sends no password as %s', async (_, request) => {
    using server = new ScriptedServer((socket, data) => {
      if (data.length === 8) socket.write('N')
      else socket.write(request, 'latin1')
    })
    const options = { ...(await server.listen()), connectArgs: { channel_binding: 'require' as const } }
    const driver = createPgDriver({ ...options, statementCacheSize: 0 })
    await expect(driver.connect({ timeoutMillis: 5000 })).rejects.toMatchObject({ fatal: true })
    await waitUntil(() => server.sockets.size === 0)
    expect(server.received.length).toBe(2)
  })

  test('to a server that begins and ends the session in one packet fails with the reason', async () => {
    const fatal = 'SFATAL\0C57P01\0Mterminating connection\0\0'
    using server = new ScriptedServer((socket, data) => {
      if (data.length === 8) socket.write('N')
      else socket.end(WELCOME + message('E', fatal), 'latin1')
    })
    const driver = createPgDriver({ ...(await server.listen()), statementCacheSize: 0 })
    const error: unknown = await driver.connect({ timeoutMillis: 5000 }).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ fatal: false, sqlState: '57P01' })
  })

  test('that the server refuses leaves no socket, whatever the reason', async () => {
    for (const [code, fatal] of [
      ['57P03', false],
      ['28000', true],
      ['53300', false],
      ['3D000', true],
    ] as const) {
      using server = await startFakeServer({ onStartup: () => ({ code, message: 'no' }) })
      const driver = createPgDriver({ url: server.url, statementCacheSize: 0 })
      await expect(driver.connect({ timeoutMillis: 5000 })).rejects.toMatchObject({ sqlState: code, fatal })
      await waitUntil(() => server.openSockets === 0)
    }
  })
})
