/** Mistakes of the first hour with a subpath: the error names the call as it should be, and its stack begins with the caller's line. */
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  InvalidOptionError,
  type Session,
} from '../../src/index.js'
import { requestSessions } from '../../src/integrations/express.js'
import { checkEntities, introspect } from '../../src/integrations/introspect.js'
import { requestSessions as forFastify } from '../../src/integrations/fastify.js'
import { requestSessions as forHono } from '../../src/integrations/hono.js'
import { requestSessions as forKoa } from '../../src/integrations/koa.js'
import { InjectSession, LifeguardModule } from '../../src/integrations/nestjs.js'
import { collect } from '../../src/integrations/prometheus.js'
import { requestSessions as forServerless, sharedEngine } from '../../src/integrations/serverless.js'
import {
  createTestDatabase,
  expectNoLeaks,
  rollbackEach,
  startDatabase,
  withRollback,
} from '../../src/integrations/testing.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

/** As JavaScript may call it. */
function untyped(call: unknown): (...parameters: unknown[]) => unknown {
  return call as (...parameters: unknown[]) => unknown
}

async function mistake(work: () => unknown): Promise<Error> {
  const error = await errorOf(Promise.resolve().then(work))
  const [first = ''] = framesOf(error)
  expect(first).toContain('mistakes-of-setup.test')
  return error
}

function framesOf({ stack = '' }: Error): string[] {
  return stack.split('\n').filter((line) => /^\s+at /.test(line) && !line.includes('node:'))
}

describe('the call is named as it should be', () => {
  test.each<[string, () => unknown, string]>([
    [
      'createSessionFactory without options',
      () => untyped(createSessionFactory)(),
      'createSessionFactory takes an object: createSessionFactory({ bind: engine })',
    ],
    [
      'an option of an engine',
      () => untyped(createEngine)({ max: 5 }),
      'here it is poolSize and maxOverflow',
    ],
    ['an address', () => createEngine({ url: 'localhost:5432/songs' }), 'url must start with postgres://'],
    [
      'collect with the registry itself',
      () => untyped(collect)(fixture.engine(), new Registry()),
      'collect(engine, { register })',
    ],
    [
      'LifeguardModule.forRoot without options',
      () => untyped(LifeguardModule.forRoot)(),
      'LifeguardModule takes { sessionFactory }, made by createSessionFactory({ bind: engine })',
    ],
    [
      'LifeguardModule.forRoot with an engine',
      () => untyped(LifeguardModule.forRoot)({ engine: fixture.engine() }),
      'LifeguardModule takes { sessionFactory }',
    ],
    [
      'LifeguardModule.forRoot with the factory itself',
      () => untyped(LifeguardModule.forRoot)(fixture.factory()),
      'LifeguardModule takes { sessionFactory }',
    ],
    [
      'an option of LifeguardModule',
      () => untyped(LifeguardModule.forRoot)({ sessionFactory: fixture.factory(), healt: '/health' }),
      "LifeguardModule has no option 'healt'; it has",
    ],
    [
      'LifeguardModule.forRootAsync without options',
      () => untyped(LifeguardModule.forRootAsync)(),
      'forRootAsync takes { inject, useFactory }',
    ],
    [
      'withRollback with a url',
      () => untyped(withRollback)('postgres://localhost/a', () => undefined),
      'withRollback(engine, test) takes an engine, or a session factory',
    ],
    [
      'rollbackEach without an engine',
      () => untyped(rollbackEach)(),
      'rollbackEach(engine) takes an engine, or a session factory',
    ],
    [
      'Express 4',
      () => {
        const { middleware } = requestSessions(createSessionFactory({ bind: fixture.engine() }))
        const app = { lazyrouter: () => undefined }
        untyped(middleware)({ app }, { setHeader: () => undefined }, () => undefined)
      },
      'lifeguard/express needs Express 5, and this is Express 4, where a request never ends if its async handler throws: npm install express@5. requestSessions was called at ',
    ],
    [
      'rollbackEach with one hook',
      () => untyped(rollbackEach)(fixture.engine(), { beforeEach: () => undefined }),
      'rollbackEach(engine, { beforeEach, afterEach }) takes both functions of the test runner; afterEach is none',
    ],
    [
      'an option of withRollback',
      () => untyped(withRollback)(fixture.engine(), () => undefined, { isolation: 'x' }),
      "has no option 'isolation'; it has isolationLevel, waitMillis",
    ],
    [
      'an option of sharedEngine',
      () => untyped(sharedEngine)({}, { attachDatabasePool: () => undefined }),
      "sharedEngine(options, { attach }) has no option 'attachDatabasePool'",
    ],
    [
      'introspect with a url',
      () => untyped(introspect)('postgres://localhost/a'),
      'introspect takes an engine',
    ],
    [
      'checkEntities with a url',
      () => untyped(checkEntities)('postgres://localhost/a', declarativeBase()),
      'checkEntities takes an engine',
    ],
    ['expectNoLeaks without an engine', () => untyped(expectNoLeaks)(), 'expectNoLeaks(engine)'],
    [
      'an option of startDatabase',
      () => untyped(startDatabase)({ from: 'docker' }),
      "startDatabase({ source }) has no option 'from'; it has source, image",
    ],
    [
      'an option of createTestDatabase that differs by a capital letter',
      () => untyped(createTestDatabase)('postgres://localhost/a', { setup: () => undefined }),
      "has no option 'setup'; did you mean 'setUp'?",
    ],
    [
      'createTestDatabase with an engine',
      () => untyped(createTestDatabase)(fixture.engine()),
      'createTestDatabase(server.url, { setUp })',
    ],
  ])('%s', async (_name, work, message) => {
    const error = await mistake(work)
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error.message).toContain(message)
  })
})

describe('a middleware that is called, and not registered', () => {
  test.each([
    ['express', requestSessions],
    ['hono', forHono],
    ['koa', forKoa],
  ])('%s', async (_name, sessions) => {
    const db = sessions(fixture.factory())
    const error = await mistake(async () => await untyped(db.middleware)())
    expect(error.message).toContain('app.use(db.middleware), without brackets behind it')
  })
})

describe('a handler that is called, and not registered', () => {
  const express = () => untyped(requestSessions)(fixture.factory()) as ReturnType<typeof requestSessions>
  test.each<[string, () => unknown, string]>([
    ['health of Express', () => untyped(express().health)(), "app.get('/health', db.health)"],
    ['errorHandler of Express', () => untyped(express().errorHandler)(), 'app.use(db.errorHandler)'],
    ['health of Koa', () => untyped(forKoa(fixture.factory()).health)(), "router.get('/health', db.health)"],
    [
      'health of Fastify',
      () => untyped(forFastify(fixture.factory()).health)(),
      "app.get('/health', db.health)",
    ],
    ['plugin of Fastify', () => untyped(forFastify(fixture.factory()).plugin)(), 'app.register(db.plugin)'],
    ['health of Hono', () => untyped(forHono(fixture.factory()).health)(), "app.get('/health', db.health)"],
    ['onError of Hono', () => untyped(forHono(fixture.factory()).onError)(), 'app.onError(db.onError)'],
  ])('%s', async (_name, work, call) => {
    const error = await mistake(work)
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error.message).toContain(`${call}, without brackets behind it`)
  })
})

describe('db itself is registered, and not what it has', () => {
  const next = (): void => undefined
  test.each<[string, (factory: ReturnType<typeof fixture.factory>) => unknown, unknown[], string]>([
    ['express', requestSessions, [{}, {}, next], 'call app.use(db.middleware) before the routes'],
    ['fastify', forFastify, [{}, {}, next], 'call app.register(db.plugin)'],
    ['hono', forHono, [{}, next], 'call app.use(db.middleware) of Hono 4 before the routes'],
    ['koa', forKoa, [{}, next], 'call app.use(db.middleware) before the routes'],
  ])('%s: the error names the line of requestSessions', async (_name, sessions, given, call) => {
    const db = sessions(fixture.factory())
    const { message } = await mistake(() => untyped(db)(...given))
    expect(message).toContain(`cannot be registered itself: ${call}. requestSessions was called at `)
    expect(message).toContain('mistakes-of-setup.test')
  })
})

describe('a middleware that another framework calls', () => {
  const next = (): void => undefined
  const ofExpress = { setHeader: next }
  const ofKoa = { req: {}, res: ofExpress }
  const ofHono = { req: { raw: new Request('http://localhost/') }, res: new Response() }
  test.each<[string, (factory: ReturnType<typeof fixture.factory>) => unknown, unknown[]]>([
    ['Express, by Koa', requestSessions, [ofKoa, next]],
    ['Express, by Fastify', requestSessions, [{ addHook: next }, {}, next]],
    ['Hono, by Express', forHono, [{}, ofExpress, next]],
    ['Hono, by Koa', forHono, [ofKoa, next]],
    ['Koa, by Express', forKoa, [{}, ofExpress, next]],
    ['Koa, by Hono', forKoa, [ofHono, next]],
  ])('%s', async (name, sessions, given) => {
    const { middleware } = sessions(fixture.factory()) as { middleware: unknown }
    const { message } = await mistake(() => untyped(middleware)(...given))
    expect(message).toContain(`of the adapter for ${name.split(',')[0]} was called by something else`)
    expect(message).toMatch(/requestSessions was called at .*mistakes-of-setup\.test/)
  })

  test('the plugin of Fastify, by Express', async () => {
    const { plugin } = forFastify(fixture.factory())
    const { message } = await mistake(() => untyped(plugin)({}, ofExpress, next))
    expect(message).toContain('of the adapter for Fastify was called by something else')
  })
})

test('a decorator of Nest that is not called', async () => {
  const { message } = await mistake(() => untyped(InjectSession)(class Service {}))
  expect(message).toContain('A decorator is called: @InjectSession()')
})

test('a handler of a Request that returns no Response is rolled back, and its error says so', async () => {
  const told: unknown[] = []
  const engine = fixture.engine()
  const db = forServerless(createSessionFactory({ bind: engine }), { onError: (error) => told.push(error) })
  const handler = untyped(db.handler)(async () => void (await db().execute('select 1')))
  const response = (await untyped(handler)(new Request('http://localhost/'))) as Response
  expect(response.status).toBe(500)
  expect((told[0] as Error).message).toContain('return new Response(...)')
  expect(engine.stats().borrowed).toBe(0)
})

describe('answers to errors that would never be given', () => {
  test.each<[string, unknown, string]>([
    ['the code of an answer', { UNIQUE_VIOLATION: 422 }, "write '23505', its SQLSTATE"],
    ['a word', { UNIQUE: 422 }, "'UNIQUE' is neither a SQLSTATE nor a code"],
    ['a list', [422], "'0' is neither a SQLSTATE nor a code"],
    ['a text', 'none', 'errors takes answers by SQLSTATE or code'],
    ['no status', { '23505': '422' }, 'the answer to 23505 must be a status or an object'],
  ])('%s', async (_name, errors, message) => {
    const error = await mistake(() => untyped(requestSessions)(fixture.factory(), { errors }))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error.message).toContain(message)
  })

  test('SQLSTATEs, their classes, and codes are taken', () => {
    const errors = { '23505': 422, '23': 400, '57P': 503, NO_RESULT: { message: 'Not here' }, ABORTED: 503 }
    expect(typeof requestSessions(fixture.factory(), { errors })).toBe('function')
  })
})

test('expectNoLeaks takes a session factory, as withRollback does', async () => {
  await expectNoLeaks(fixture.factory())
})

describe('the stack leads to the caller', () => {
  test.each<[string, (engine: ReturnType<typeof fixture.engine>) => Promise<unknown>]>([
    ['engine.begin', async (engine) => await engine.begin((connection) => connection.execute('select 1'))],
    ['engine.connect', async (engine) => await engine.connect()],
    [
      'withSession',
      async (engine) =>
        await createSessionFactory({ bind: engine }).withSession((session) => session.execute('select 1')),
    ],
  ])('of %s that gets no connection', async (_name, work) => {
    const engine = fixture.engine()
    await engine.dispose()
    const [first] = framesOf(await errorOf(work(engine)))
    expect(first).toContain('mistakes-of-setup.test')
  })

  test('of work after dispose(), also if nothing awaits it: the error names the line that called dispose()', async () => {
    const engine = fixture.engine()
    const { withSession } = createSessionFactory({ bind: engine })
    const running = errorOf(withSession((session) => session.execute('select 1')))
    await engine.dispose()
    const late = await errorOf(withSession((session) => session.execute('select 1')))
    expect(late.message).toMatch(/dispose\(\) was called at .*mistakes-of-setup\.test/)
    expect((await running).message).toBe(late.message)
  })

  test('of a block with a statement that was not awaited', async () => {
    const { withSession } = fixture.factory()
    const block = async (): Promise<unknown> =>
      await withSession((session: Session) => void session.execute('select 1'))
    const error = await errorOf(block())
    expect(error.message).toContain('an await is missing')
    expect(framesOf(error)[0]).toContain('mistakes-of-setup.test')
  })
})
