/** `connectArgs.stream`: a stream of the caller in place of a socket. */
import { connect, type Socket } from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { ConnectError, InvalidOptionError } from '../../src/errors.js'
import type { OpenStream } from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, gate, useDatabase } from './session-support.js'

const fixture = useDatabase()

/** Opens sockets to the server, and remembers for whom. */
function tunnel(): { readonly stream: OpenStream; readonly opened: { host: string; socket: Socket }[] } {
  const opened: { host: string; socket: Socket }[] = []
  const { hostname, port } = new URL(fixture.db.url)
  const stream: OpenStream = ({ host }) => {
    const socket = connect(Number(port), hostname)
    opened.push({ host, socket })
    return socket
  }
  return { stream, opened }
}

/** Options that lead to the database by way of a host that does not exist. */
function behind(stream: OpenStream): Parameters<typeof fixture.engine>[0] {
  const url = new URL(fixture.db.url)
  url.hostname = 'no-such-host.invalid'
  url.searchParams.delete('sslmode')
  return { url: url.href, connectArgs: { stream }, poolSize: 1, maxOverflow: 0 }
}

test('connections and cancel requests go through it, and it is told the server that is meant', async () => {
  const { stream, opened } = tunnel()
  const engine = fixture.engine(behind(stream))
  expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
  expect(opened).toMatchObject([{ host: 'no-such-host.invalid' }])
  const slow = engine.begin((connection) => connection.execute('select pg_sleep(60)', { timeoutMillis: 50 }))
  expect(await errorOf(slow)).toMatchObject({ name: 'StatementTimeoutError' })
  expect(opened).toHaveLength(2)
  await engine.dispose()
  await waitUntil(() => opened.every(({ socket }) => socket.destroyed))
})

test('a promise of a plain Duplex will do', async () => {
  const { stream } = tunnel()
  const plain = async (server: { host: string; port: number }): Promise<Duplex> => {
    const socket = await stream(server)
    return Duplex.from({ readable: socket, writable: socket })
  }
  const engine = fixture.engine(behind(plain))
  expect(await engine.begin((connection) => connection.scalar('select 1'))).toBe(1)
  // It cannot be told not to keep the process alive, as a socket can.
  await engine.dispose()
})

test('what it throws, or returns instead of a stream, fails the connect', async () => {
  const thrown = new Error('no tunnel')
  const failing = fixture.engine(behind(() => Promise.reject(thrown)))
  const error = await errorOf(failing.connect())
  expect(error).toBeInstanceOf(ConnectError)
  expect(error.cause).toBe(thrown)
  const wrong = fixture.engine(behind((() => 'tcp://') as never))
  expect((await errorOf(wrong.connect())).message).toContain('connectArgs.stream must return a stream')
})

test('a stream that comes too late is destroyed', async () => {
  const { opened, open } = gate<PassThrough>()
  const engine = fixture.engine({ ...behind(() => opened), connectTimeoutMillis: 50, poolTimeoutMillis: 100 })
  expect(await errorOf(engine.connect())).toBeInstanceOf(Error)
  const late = new PassThrough()
  open(late)
  await waitUntil(() => late.destroyed)
})

test('it has to encrypt by itself', () => {
  const stream: OpenStream = () => new PassThrough()
  for (const connectArgs of [{ sslmode: 'require' as const }, { ssl: true }])
    expect(() => fixture.engine({ host: 'x', connectArgs: { ...connectArgs, stream } })).toThrow(
      InvalidOptionError,
    )
  expect(() => fixture.engine({ url: 'postgres://x/?sslmode=verify-full', connectArgs: { stream } })).toThrow(
    'connectArgs.stream',
  )
  expect(() => fixture.engine({ connectArgs: { stream: 'no' as never } })).toThrow(InvalidOptionError)
})
