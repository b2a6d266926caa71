/** What is special to Fastify, Hono and Koa: hooks, hijacked replies, time limits, error handlers. */
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import { AbortedError, type Session, UniqueViolationError } from '../../src/index.js'
import * as forFastify from '../../src/integrations/fastify.js'
import * as forHono from '../../src/integrations/hono.js'
import * as forKoa from '../../src/integrations/koa.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useNotes } from './http-notes.js'
import { listen, listenerOf, post } from './http-servers.js'

const { fixture, services, stored } = useNotes()

const insert = (session: Session, text = 'a'): Promise<unknown> =>
  session.execute('insert into notes (text) values ($1)', [text])

describe('fastify', () => {
  async function start(
    routes: (app: FastifyInstance, db: forFastify.FastifySessions<Session>) => void,
    options: forFastify.FastifyOptions = {},
    server: FastifyServerOptions = {},
  ): Promise<string> {
    await fixture.db.query('truncate notes')
    const app = Fastify(server)
    const db = forFastify.requestSessions(fixture.factory(), options)
    await app.register(db.plugin)
    routes(app, db)
    services.push({ url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() })
    return services.at(-1)?.url ?? ''
  }

  test.each([
    ['without a logger: a warning', undefined, 1],
    ['with a logger: in the log', { level: 'silent' }, 0],
  ])('the cause of an answer of 500 is told %s', async (_, logger, expected) => {
    const warnings: (Error & { code?: string })[] = []
    const collect = (warning: Error): void => void warnings.push(warning)
    process.on('warning', collect)
    const url = await start(
      (app, db) => app.post('/', async (request) => void insert(db(request))),
      {},
      logger === undefined ? {} : { logger },
    )
    expect((await post(url)).status).toBe(500)
    await new Promise(setImmediate)
    process.off('warning', collect)
    const told = warnings.filter(({ code }) => code === 'LIFEGUARD_REQUEST')
    expect(told.length).toBe(expected)
    for (const { message } of told) expect(message).toContain('an await is missing')
  })

  test('a reply that is sent early ends the transaction; a statement after it is refused', async () => {
    const errors: unknown[] = []
    const url = await start((app, db) => {
      app.post('/', async (request, reply) => {
        await insert(db(request))
        await reply.code(201).send({})
        await insert(db(request), 'b').catch((error: unknown) => errors.push(error))
        return reply
      })
    })
    expect((await post(url)).status).toBe(201)
    await waitUntil(() => errors.length === 1)
    expect(await stored()).toEqual(['a'])
  })

  test('a handler that exceeds its time is answered with 503, and what it does later is refused', async () => {
    const errors: unknown[] = []
    const url = await start((app, db) => {
      app.post('/', { handlerTimeout: 30 }, async (request) => {
        // On a slow machine the time is over before the first insert has ended.
        const note = (error: unknown): void => void errors.push(error)
        await insert(db(request)).catch(note)
        await db(request).execute('select pg_sleep(300)').catch(note)
        await insert(db(request), 'b').catch(note)
      })
    })
    expect((await post(url)).status).toBe(503)
    await waitUntil(() => errors.length >= 2)
    expect(await stored()).toEqual([])
  })

  test('a hijacked reply is rolled back, with a warning', async () => {
    const warnings: string[] = []
    const listener = (warning: Error): void => void warnings.push(warning.message)
    process.on('warning', listener)
    const url = await start((app, db) => {
      app.post('/', async (request, reply) => {
        await insert(db(request))
        reply.hijack()
        reply.raw.end('raw')
      })
    })
    expect((await post(url)).text).toBe('raw')
    await waitUntil(() => warnings.some((text) => text.includes('hijack')))
    process.off('warning', listener)
    expect(await stored()).toEqual([])
  })

  test('an error handler of the application is left alone, and may ask for the answer', async () => {
    await fixture.db.query('truncate notes')
    const app = Fastify()
    app.setErrorHandler((error, _request, reply) =>
      reply
        .code(forFastify.errorAnswer(error)?.status ?? 500)
        .send({ mine: error instanceof UniqueViolationError }),
    )
    const db = forFastify.requestSessions(fixture.factory())
    await app.register(db.plugin)
    app.post('/', async (request) => {
      await insert(db(request))
      await insert(db(request))
    })
    services.push({ url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() })
    const reply = await post(services[0]?.url ?? '')
    expect([reply.status, reply.text]).toEqual([409, '{"mine":true}'])
    expect(await stored()).toEqual([])
  })

  test('a request that failed is rolled back, also when an error handler of a part answers it with 200', async () => {
    const url = await start((app, db) => {
      void app.register(async (part) => {
        part.setErrorHandler((_error, _request, reply) => reply.code(200).send({ hidden: true }))
        part.post('/', async (request) => {
          await insert(db(request))
          throw new Error('hidden')
        })
      })
    })
    expect((await post(url)).text).toBe('{"hidden":true}')
    expect(await stored()).toEqual([])
  })

  test('a second answer while COMMIT is on its way is never sent', async () => {
    const url = await start((app, db) => {
      app.post('/', async (request, reply) => {
        await insert(db(request))
        void reply.code(201).send({ first: true })
        return { second: true }
      })
    })
    const reply = await post(url)
    expect([reply.status, reply.text]).toEqual([201, '{"first":true}'])
    expect(await stored()).toEqual(['a'])
  })

  test('the error is logged with its cause, which the client does not see', async () => {
    const lines: string[] = []
    const url = await start(
      (app, db) => {
        app.post('/', async (request) => db(request).execute('select * from nowhere'))
      },
      {},
      { logger: { level: 'error', stream: { write: (line: string) => void lines.push(line) } } },
    )
    const reply = await post(url)
    expect([reply.status, reply.text.includes('nowhere')]).toEqual([500, false])
    expect(lines.join('')).toContain('nowhere')
  })

  test('routes that are declared before the plugin has loaded have a session', async () => {
    await fixture.db.query('truncate notes')
    const app = Fastify()
    const db = forFastify.requestSessions(fixture.factory())
    app.register(db.plugin)
    app.register(db.plugin)
    app.post('/', async (request) => insert(db(request)).then(() => ({})))
    services.push({ url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() })
    expect((await post(services[0]?.url ?? '')).status).toBe(200)
    expect(await stored()).toEqual(['a'])
  })

  test('the engine is disposed with the application, unless it is shared', async () => {
    const [own, shared] = [fixture.factory(), fixture.factory()]
    const app = Fastify()
    await app.register(forFastify.requestSessions(own).plugin)
    await app.register(forFastify.requestSessions(shared, { dispose: false }).plugin)
    await app.close()
    expect([own.bind.stats().disposed, shared.bind.stats().disposed]).toEqual([true, false])
  })

  test('requests without a socket (inject) are committed as well', async () => {
    await fixture.db.query('truncate notes')
    const app = Fastify()
    const db = forFastify.requestSessions(fixture.factory())
    app.register(db.plugin)
    app.post('/', async (request) => insert(db(request)).then(() => ({})))
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(200)
    expect(await stored()).toEqual(['a'])
    await app.close()
  })
})

describe('hono', () => {
  async function start(
    routes: (app: Hono, db: forHono.HonoSessions<Session>) => void,
    options: forHono.HonoOptions = {},
  ): Promise<string> {
    await fixture.db.query('truncate notes')
    const factory = fixture.factory()
    const app = new Hono()
    const db = forHono.requestSessions(factory, { onError: () => undefined, ...options })
    app.use(db.middleware).onError(db.onError)
    routes(app, db)
    const service = await listen(createServer(listenerOf(getRequestListener(app.fetch))), factory)
    services.push(service)
    return service.url
  }

  test('a request that failed is rolled back, also when a sub-application answers it with 200', async () => {
    const url = await start((app, db) => {
      const part = new Hono().onError((_error, c) => c.json({ hidden: true }))
      part.post('/', async (c) => {
        await insert(db(c))
        throw new Error('hidden')
      })
      app.route('/part', part)
    })
    const reply = await post(`${url}/part`)
    expect([reply.status, reply.text]).toEqual([200, '{"hidden":true}'])
    expect(await stored()).toEqual([])
  })

  test('an HTTPException is its own answer, and rolls back', async () => {
    const url = await start((app, db) => {
      app.post('/', async (c) => {
        await insert(db(c))
        throw new HTTPException(418, { message: 'teapot' })
      })
    })
    const reply = await post(url)
    expect([reply.status, reply.text]).toEqual([418, 'teapot'])
    expect(await stored()).toEqual([])
  })

  test('requests without a server are committed as well', async () => {
    await fixture.db.query('truncate notes')
    const app = new Hono()
    const db = forHono.requestSessions(fixture.factory())
    app.use(db.middleware).post('/', async (c) => insert(db(c)).then(() => c.json({})))
    expect((await app.request('/', { method: 'POST' })).status).toBe(200)
    expect(await stored()).toEqual(['a'])
  })
})

describe('koa', () => {
  async function start(
    handler: (ctx: Koa.Context, db: forKoa.KoaSessions<Session>) => unknown,
    options: forKoa.KoaOptions = {},
    outer?: Koa.Middleware,
  ): Promise<{ url: string; reported: unknown[] }> {
    await fixture.db.query('truncate notes')
    const factory = fixture.factory()
    const app = new Koa()
    const reported: unknown[] = []
    app.on('error', (error) => reported.push(error))
    const db = forKoa.requestSessions(factory, options)
    if (outer !== undefined) app.use(outer)
    app.use(db.middleware)
    app.use((ctx) => handler(ctx, db))
    const service = await listen(createServer(listenerOf(app.callback())), factory)
    services.push(service)
    return { url: service.url, reported }
  }

  test('a handler that throws undefined is answered', async () => {
    const { url } = await start(async (ctx, db) => {
      await insert(db(ctx))
      throw undefined as unknown as Error
    })
    expect((await post(url)).status).toBe(500)
    expect(await stored()).toEqual([])
  })

  test('an answer of 500 is reported to the application, one of 409 is not', async () => {
    const { url, reported } = await start((ctx, db) =>
      ctx.path === '/broken'
        ? db(ctx).execute('select * from nowhere')
        : insert(db(ctx)).then(() => insert(db(ctx))),
    )
    expect((await post(`${url}/broken`)).status).toBe(500)
    expect((await post(url)).status).toBe(409)
    expect(reported).toHaveLength(1)
    expect((reported[0] as Error).message).toContain('nowhere')
  })

  test('with errors: false, errors are thrown on to the middleware around it', async () => {
    const { url } = await start(
      async (ctx, db) => {
        await insert(db(ctx))
        await insert(db(ctx))
      },
      { errors: false },
      async (ctx, next) => {
        await next().catch((error: unknown) => {
          ctx.status = 400
          ctx.body = { mine: error instanceof UniqueViolationError }
        })
      },
    )
    const reply = await post(url)
    expect([reply.status, reply.text]).toEqual([400, '{"mine":true}'])
  })

  test('a request that nothing has answered is 404, and is rolled back', async () => {
    const { url } = await start((ctx, db) => insert(db(ctx)).then(() => undefined))
    expect((await post(url)).status).toBe(404)
    expect(await stored()).toEqual([])
  })

  test('an aborted statement of another signal is an error of the service', async () => {
    const { url, reported } = await start((ctx, db) =>
      db(ctx).execute('select 1', [], { signal: AbortSignal.abort() }),
    )
    expect((await post(url)).status).toBe(500)
    expect(reported[0]).toBeInstanceOf(AbortedError)
  })
})
