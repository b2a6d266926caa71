/** A pool that has never connected says why at once: nothing was given, or the first attempt failed. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createEngine, type Engine, type EngineOptions, PoolTimeoutError } from '../../src/index.js'
import { errorOf } from './session-support.js'

const engines: Engine[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  await Promise.all(engines.splice(0).map((engine) => engine.dispose({ timeoutMillis: 0 })))
})

function engineOf(options: EngineOptions): Engine {
  const engine = createEngine(options)
  engines.push(engine)
  return engine
}

/** A port of this machine on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function warnings(): { readonly codes: string[]; readonly messages: string[] } {
  const codes: string[] = []
  const messages: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((message, options) => {
    codes.push((options as { code: string }).code)
    messages.push(String(message))
  })
  return { codes, messages }
}

describe('nothing given, nothing set', () => {
  test('is told by the error of the first connect, without waiting', async () => {
    for (const name of Object.keys(process.env)) if (name.startsWith('PG')) vi.stubEnv(name, undefined)
    // A server at the default port would refuse an unknown user; a server that is not there refuses the connection.
    const engine = engineOf({ url: undefined, poolTimeoutMillis: null, connectTimeoutMillis: 5_000 })
    const outcome = await engine.connect().catch((error: unknown) => error)
    if (!(outcome instanceof Error)) return
    expect(outcome).toMatchObject({ code: 'CONNECT_FAILED', fatal: true })
    expect(outcome.message).toContain(
      'No url was given (is DATABASE_URL set?), no host, and no variable (PGHOST',
    )
    expect(inspect(outcome).split('\n').length).toBeLessThan(40)
  })
})

describe('a pool that has never connected', () => {
  test('warns of its first failure, once', async () => {
    const { codes, messages } = warnings()
    const port = await closedPort()
    const engine = engineOf({ host: '127.0.0.1', port, poolTimeoutMillis: 300 })
    const errors = await Promise.all([errorOf(engine.connect()), errorOf(engine.connect())])
    expect(engine.stats().counters.connectFailed).toBeGreaterThan(1)
    expect(codes).toEqual(['LIFEGUARD_CONNECT'])
    expect(messages[0]).toMatch(
      /has no connection yet, and tries again: Cannot connect to .*nothing listens there/,
    )
    expect(errors.map(({ code }) => code)).toEqual(['POOL_TIMEOUT', 'POOL_TIMEOUT'])
  })

  test('does not warn where the caller is told, or where something listens', async () => {
    const { codes } = warnings()
    const port = await closedPort()
    const told = engineOf({ host: '127.0.0.1', port, connectRetry: 'fail' })
    expect(await errorOf(told.connect())).toMatchObject({ code: 'CONNECT_FAILED' })
    const heard = engineOf({ host: '127.0.0.1', port, poolTimeoutMillis: 100 })
    heard.on('connectFailed', () => undefined)
    expect(await errorOf(heard.connect())).toMatchObject({ code: 'POOL_TIMEOUT' })
    expect(codes).toEqual([])
  })

  test('has an error that is short when it is printed', async () => {
    warnings()
    const engine = engineOf({ host: '127.0.0.1', port: await closedPort(), poolTimeoutMillis: 100 })
    const error = await errorOf(engine.connect())
    expect(error).toBeInstanceOf(PoolTimeoutError)
    expect((error as unknown as PoolTimeoutError).stats.waiting).toBe(0)
    expect(Object.keys(error)).not.toContain('stats')
    expect(inspect(error).split('\n').length).toBeLessThan(40)
  })
})
