/** Sessions of requests, in each framework over real HTTP: what is stored, what is released, what the client sees. */
import { describe, expect, test as testAlways } from 'vitest'
import type { EngineOptions, SessionFactory } from '../../src/index.js'
import { AbortedError } from '../../src/errors.js'
import { isSampled } from '../helpers/length.js'
import { waitUntil } from '../helpers/wait-until.js'
import { nestApp } from './http-nestjs.js'
import { requestApp } from './http-requests.js'
import { useNotes } from './http-notes.js'
import { Stage } from './http-routes.js'
import {
  expressApp,
  fastifyApp,
  honoApp,
  koaApp,
  post,
  type Framework,
  type Reply,
  type Service,
  type ServiceOptions,
} from './http-servers.js'
import { backendsOf } from './session-support.js'

const { fixture, services, stored } = useNotes(
  'create table late (text text, unique (text) deferrable initially deferred)',
)

interface Running {
  readonly url: string
  readonly service: Service
  readonly stage: Stage
  readonly factory: SessionFactory
}

async function start(
  framework: Framework,
  engine: EngineOptions = {},
  options?: ServiceOptions,
): Promise<Running> {
  await fixture.db.query('truncate notes, late')
  const factory = fixture.factory({
    connectArgs: { serverSettings: { application_name: framework.name } },
    ...engine,
  })
  const stage = new Stage()
  const service = await framework.start(factory, stage, options)
  services.push(service)
  return { url: service.url, service, stage, factory }
}

const bodyOf = ({ text }: Reply): unknown => JSON.parse(text)
const released = ({ factory }: Running): Promise<unknown> =>
  waitUntil(() => factory.bind.stats().borrowed === 0, { message: 'every connection to be released' })

const FRAMEWORKS = [expressApp, fastifyApp, honoApp, koaApp, nestApp, requestApp]

describe.each(FRAMEWORKS)('$name', (framework) => {
  let row = 0
  /** In a short run each framework has a third of the rows, and each row two of the frameworks. */
  const test = (name: string, body: () => Promise<void>): void => {
    if (isSampled(row++, FRAMEWORKS.indexOf(framework))) testAlways(name, body)
  }

  test('a request that succeeds is stored before its answer arrives', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/add?text=a`)
    expect(await stored()).toEqual(['a'])
    expect([reply.status, bodyOf(reply)]).toEqual([201, { text: 'a' }])
    expect(running.factory.bind.stats().borrowed).toBe(0)
  })

  test('a request that never uses its session opens no connection', async () => {
    const { url, factory } = await start(framework)
    expect((await post(`${url}/nothing`)).status).toBe(200)
    expect((await post(`${url}/unknown`)).status).toBe(404)
    expect(factory.bind.stats().counters).toMatchObject({ acquired: 0, connected: 0 })
  })

  test('a handler that throws stores nothing; the error is the application’s to answer', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/throws?text=a`)
    expect(reply.status).toBe(500)
    expect(await stored()).toEqual([])
    await released(running)
  })

  test('a handler that throws a value that is no Error stores nothing, and its client is answered', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/throwsString?text=a`)
    expect(reply.status).toBe(500)
    expect(await stored()).toEqual([])
    await released(running)
  })

  test('a status of 400 or greater rolls back, unless the policy says otherwise', async () => {
    const { url } = await start(framework)
    expect((await post(`${url}/conflict?text=a`)).status).toBe(409)
    expect(await stored()).toEqual([])
    const other = await start(framework, {}, { rollbackOnStatus: (status) => status >= 500 })
    expect((await post(`${other.url}/conflict?text=a`)).status).toBe(409)
    expect(await stored()).toEqual(['a'])
  })

  test('a redirect is stored', async () => {
    const { url } = await start(framework)
    expect((await post(`${url}/redirect?text=a`)).status).toBe(302)
    expect(await stored()).toEqual(['a'])
  })

  test('a unique violation is answered with 409, without SQL, names or values', async () => {
    const { url } = await start(framework)
    const reply = await post(`${url}/unique?text=secret`)
    expect(reply.status).toBe(409)
    expect(bodyOf(reply)).toEqual({
      statusCode: 409,
      code: 'UNIQUE_VIOLATION',
      error: 'Conflict',
      message: 'There is already a record with this value',
    })
    expect(await stored()).toEqual([])
  })

  test('an answer to an error can be replaced by SQLSTATE', async () => {
    const { url } = await start(framework, {}, { errors: { '23505': { status: 422, message: 'Taken' } } })
    const reply = await post(`${url}/unique?text=a`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([422, { code: 'UNIQUE_VIOLATION', message: 'Taken' }])
  })

  test('a COMMIT that is refused replaces the answer of the handler', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/late?text=a`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([409, { code: 'UNIQUE_VIOLATION' }])
    expect(reply.text).not.toContain('stored')
    expect(await fixture.db.query('select * from late')).toEqual([])
    await released(running)
  })

  test('a row that is not there is 404', async () => {
    const { url } = await start(framework)
    const reply = await post(`${url}/missing`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([404, { code: 'NOT_FOUND' }])
  })

  test('a missing await stores nothing, and the client does not see the statement', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/unawaited?text=a`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([500, { code: 'INTERNAL_ERROR' }])
    expect(reply.text).not.toContain('pg_sleep')
    expect(await stored()).toEqual([])
    await released(running)
  })

  test('a body that is refused before the handler costs no connection', async () => {
    const { url, factory } = await start(framework)
    expect((await post(`${url}/add?text=a`, { body: '{' })).status).toBe(400)
    expect(factory.bind.stats().counters.acquired).toBe(0)
    expect((await post(`${url}/add?text=b`, { body: '{}' })).status).toBe(201)
    expect(await stored()).toEqual(['b'])
  })

  test('an early reply costs no connection', async () => {
    const { url, factory } = await start(framework)
    const reply = await post(`${url}/add?text=a`, { headers: { authorization: 'none' } })
    expect(reply.status).toBe(401)
    expect(factory.bind.stats().counters.acquired).toBe(0)
  })

  test('a client that leaves during a statement: it is cancelled, nothing is stored, later use is refused', async () => {
    const running = await start(framework)
    const controller = new AbortController()
    const asked = post(`${running.url}/slow?text=a`, { signal: controller.signal })
    const { db } = fixture
    const sleeping = async (): Promise<boolean> =>
      (await backendsOf(db, framework.name)).some(
        ({ query, state }) => query.includes('pg_sleep') && state === 'active',
      )
    await waitUntil(sleeping, { message: 'the statement to run' })
    controller.abort()
    await expect(asked).rejects.toThrow()
    await running.stage.arrived('slow ended')
    await released(running)
    expect(await sleeping()).toBe(false)
    expect(running.stage.errors).toHaveLength(2)
    expect(running.stage.errors[0]).toBeInstanceOf(AbortedError)
    expect(await stored()).toEqual([])
  })

  test('a client that leaves while the handler is busy: the connection is free before the handler ends', async () => {
    const running = await start(framework, { poolSize: 1, maxOverflow: 0 })
    const controller = new AbortController()
    const asked = post(`${running.url}/waits?text=a`, { signal: controller.signal })
    await running.stage.arrived('waits')
    controller.abort()
    await expect(asked).rejects.toThrow()
    await released(running)
    // The pool's only connection serves another request, and the handler that goes on cannot reach it.
    expect((await post(`${running.url}/add?text=b`)).status).toBe(201)
    running.stage.open('waits')
    await running.stage.arrived('waits ended')
    expect(running.stage.errors).toHaveLength(1)
    expect(await stored()).toEqual(['b'])
  })

  test('a timeout of a statement is 503 with Retry-After, and nothing is stored', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/times?text=a`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([503, { code: 'STATEMENT_TIMEOUT' }])
    expect(reply.headers['retry-after']).toBe('5')
    expect(await stored()).toEqual([])
    await released(running)
  })

  test('an exhausted pool is 503 with Retry-After, and the client does not see who holds it', async () => {
    const running = await start(framework, { poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 0 })
    const holding = post(`${running.url}/holds?text=a`)
    await running.stage.arrived('holds')
    const reply = await post(`${running.url}/add?text=b`)
    expect([reply.status, bodyOf(reply)]).toMatchObject([503, { code: 'POOL_TIMEOUT' }])
    expect(reply.text).not.toContain('insert')
    expect(reply.headers['retry-after']).toBe('5')
    running.stage.open('holds')
    expect((await holding).status).toBe(201)
    expect(await stored()).toEqual(['a'])
  })

  test('withSession joins the session of the request with propagation required', async () => {
    const { url } = await start(framework)
    const reply = await post(`${url}/joins?text=a`, { body: '{}' })
    expect(bodyOf(reply)).toEqual({ joined: true, current: true })
    expect(await stored()).toEqual(['a', 'a outer'])
  })

  test('a streamed answer is complete, and stored', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/streams?text=a`)
    expect([reply.status, reply.text, reply.complete]).toEqual([200, 'one two three', true])
    await released(running)
    expect(await stored()).toEqual(['a'])
  })

  test('a body that reads rows in a session of its own is streamed', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/streamsRows?text=a`)
    expect(reply.text.split('\n')).toHaveLength(1501)
    await released(running)
    expect(await stored()).toEqual(['a'])
  })

  test('a body that reads the session of the request finds it open or refused, as documented', async () => {
    const running = await start(framework)
    const reply = await post(`${running.url}/streamsSession?text=a`)
    expect([reply.text, reply.complete]).toEqual(['begun ended', true])
    expect(running.stage.errors).toHaveLength(framework.streamsInSession ? 0 : 1)
    expect(await stored()).toEqual(['a'])
    await released(running)
  })

  test('a client that leaves while the body is streamed: the session of an answer that has not ended is rolled back', async () => {
    const running = await start(framework)
    const controller = new AbortController()
    const asked = post(`${running.url}/streamsOn?text=a`, { signal: controller.signal })
    const left = asked.then(
      ({ complete }) => complete,
      () => false,
    )
    await running.stage.arrived('streams on')
    controller.abort()
    expect(await left).toBe(false)
    await released(running)
    running.stage.open('streams on')
    expect(await stored()).toEqual(framework.streamsInSession ? [] : ['a'])
  })

  test('200 requests at once share a pool of 5', async () => {
    const running = await start(framework, { poolSize: 5, maxOverflow: 0 })
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, index) => post(`${running.url}/add?text=${index}`)),
    )
    expect(replies.filter(({ status }) => status !== 201)).toEqual([])
    expect(await stored()).toHaveLength(200)
    const { size, borrowed, waiting } = running.factory.bind.stats()
    expect([size, borrowed, waiting]).toEqual([5, 0, 0])
  })

  test('a shutdown under load answers what runs, stores it, and leaves no backend', async () => {
    const running = await start(framework, { poolSize: 2, maxOverflow: 3 })
    const asked = Array.from({ length: 5 }, (_, index) => post(`${running.url}/holds?text=${index}`))
    await running.stage.arrived('holds', 5)
    const closing = running.service.close()
    running.stage.open('holds')
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([201, 201, 201, 201, 201])
    await closing
    services.splice(0)
    expect(await stored()).toHaveLength(5)
    expect(await backendsOf(fixture.db, framework.name)).toEqual([])
  })

  test('health is 200, and 503 with the reason when the pool is exhausted', async () => {
    const running = await start(framework, { poolSize: 1, maxOverflow: 0 })
    const healthy = await post(`${running.url}/health`, { method: 'GET' })
    expect([healthy.status, bodyOf(healthy)]).toMatchObject([200, { ok: true, pool: { size: 1 } }])
    const holding = post(`${running.url}/holds?text=a`)
    await running.stage.arrived('holds')
    const reply = await post(`${running.url}/health`, { method: 'GET' })
    expect([reply.status, bodyOf(reply)]).toMatchObject([503, { ok: false, reason: 'saturated' }])
    running.stage.open('holds')
    await holding
  })
})
