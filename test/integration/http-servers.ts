/** The routes of `http-routes.ts` as services of each framework, over real HTTP. */
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import type { SessionFactory } from '../../src/index.js'
import * as forExpress from '../../src/integrations/express.js'
import * as forFastify from '../../src/integrations/fastify.js'
import * as forHono from '../../src/integrations/hono.js'
import * as forKoa from '../../src/integrations/koa.js'
import { routesOf, type Answer, type Exchange, type Stage } from './http-routes.js'

/** A running service. */
export interface Service {
  readonly url: string
  /** Answers what runs, then ends. */
  close(): Promise<void>
}

/** What the tests choose. */
export interface ServiceOptions {
  readonly rollbackOnStatus?: (status: number) => boolean
  readonly errors?: forExpress.ErrorAnswers
  readonly session?: forExpress.RequestSession
}

/** A framework: how its service is started. */
export interface Framework {
  readonly name: string
  /** Whether the session is still open while the body of an answer is streamed. */
  readonly streamsInSession: boolean
  start(factory: SessionFactory, stage: Stage, options?: ServiceOptions): Promise<Service>
}

const quiet = { onError: (): void => undefined }

export const expressApp: Framework = {
  name: 'express',
  streamsInSession: true,
  async start(factory, stage, options = {}) {
    const app = express()
    const db = forExpress.requestSessions(factory, { ...options, ...quiet })
    app.get('/health', db.health)
    app.use(db.middleware)
    app.use(express.json())
    app.use((req, res, next) => {
      if (req.header('authorization') === 'none') res.status(401).json({ error: 'unauthorized' })
      else next()
    })
    for (const [name, handler] of Object.entries(routesOf(stage))) {
      app.post(`/${name}`, async (req, res) => {
        const answer = await handler(exchangeOf(factory, () => db(req), String(req.query['text'])))
        res.status(answer.status)
        if (answer.stream === undefined) res.json(answer.body)
        else answer.stream.pipe(res)
      })
    }
    app.post('/answersFirst', async (req, res) => {
      await db(req).execute('insert into notes (text) values ($1)', [String(req.query['text'])])
      res.status(200).json({ first: true })
      await stage.gate('answersFirst')
      await db(req)
        .execute('select 1')
        .catch((error: unknown) => stage.errors.push(error))
      stage.reached.push('answersFirst ended')
    })
    app.use(db.errorHandler)
    app.use(((error, _req, res, _next) => {
      const { status = 500 } = Object(error) as { status?: number }
      res.status(status).json({ error: 'of the application' })
    }) as express.ErrorRequestHandler)
    return await listen(createServer(app), factory)
  },
}

export const fastifyApp: Framework = {
  name: 'fastify',
  streamsInSession: false,
  async start(factory, stage, options = {}) {
    const app = Fastify({ forceCloseConnections: 'idle' })
    const db = forFastify.requestSessions(factory, options)
    app.register(db.plugin)
    app.get('/health', db.health)
    app.addHook('preHandler', async (request, reply) => {
      if (request.headers.authorization === 'none') return reply.code(401).send({ error: 'unauthorized' })
    })
    for (const [name, handler] of Object.entries(routesOf(stage))) {
      app.post<{ Querystring: { text: string } }>(`/${name}`, async (request, reply) => {
        const answer = await handler(exchangeOf(factory, () => db(request), request.query.text))
        reply.code(answer.status)
        return answer.stream ?? answer.body
      })
    }
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { url, close: () => app.close() }
  },
}

export const honoApp: Framework = {
  name: 'hono',
  streamsInSession: false,
  async start(factory, stage, options = {}) {
    const app = new Hono()
    const db = forHono.requestSessions(factory, { ...options, ...quiet })
    app.get('/health', db.health)
    app.use(db.middleware).onError(db.onError)
    app.use(async (c, next) => {
      if (c.req.header('authorization') === 'none') return c.json({ error: 'unauthorized' }, 401)
      if (c.req.header('content-length') !== '0' && c.req.header('content-length') !== undefined) {
        const text = await c.req.text()
        try {
          JSON.parse(text)
        } catch {
          return c.json({ error: 'not JSON' }, 400)
        }
      }
      return await next()
    })
    for (const [name, handler] of Object.entries(routesOf(stage))) {
      app.post(`/${name}`, async (c) => {
        const answer = await handler(exchangeOf(factory, () => db(c), c.req.query('text') ?? ''))
        if (answer.stream !== undefined) return c.body(Readable.toWeb(answer.stream) as ReadableStream)
        return c.json(answer.body as object, answer.status as 200)
      })
    }
    return await listen(createServer(listenerOf(getRequestListener(app.fetch))), factory)
  },
}

export const koaApp: Framework = {
  name: 'koa',
  streamsInSession: false,
  async start(factory, stage, options = {}) {
    const app = new Koa()
    app.on('error', () => undefined)
    const db = forKoa.requestSessions(factory, options)
    const routes = routesOf(stage)
    app.use(async (ctx, next) => {
      if (ctx.path === '/health') await db.health(ctx)
      else await next()
    })
    app.use(db.middleware)
    app.use(async (ctx, next) => {
      if (ctx.get('authorization') === 'none') return ctx.throw(401)
      const chunks: Buffer[] = []
      for await (const chunk of ctx.req) chunks.push(chunk as Buffer)
      if (chunks.length > 0) {
        try {
          JSON.parse(Buffer.concat(chunks).toString())
        } catch {
          return ctx.throw(400)
        }
      }
      return await next()
    })
    app.use(async (ctx) => {
      const handler = routes[ctx.path.slice(1)]
      if (handler === undefined) return
      const answer: Answer = await handler(exchangeOf(factory, () => db(ctx), String(ctx.query['text'])))
      ctx.status = answer.status
      ctx.body = answer.stream ?? answer.body
    })
    return await listen(createServer(listenerOf(app.callback())), factory)
  },
}

export function exchangeOf(factory: SessionFactory, session: Exchange['session'], text: string): Exchange {
  return { factory, session, text }
}

/** A listener for Node's server of one that returns a promise. */
export function listenerOf<Given extends unknown[]>(
  listener: (...given: Given) => Promise<unknown>,
): (...given: Given) => void {
  return (...given) => void listener(...given)
}

/** Listens on a port of its own; at its end the requests are answered, then the engine is disposed. */
export async function listen(server: Server, { bind }: SessionFactory): Promise<Service> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      await closed
      await bind.dispose()
    },
  }
}

/** What a client gets. */
export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** False: the connection was cut before the end of the body. */
  readonly complete: boolean
}

/** A request on a connection of its own. */
export function post(
  url: string,
  options: {
    readonly method?: string
    readonly body?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly signal?: AbortSignal
  } = {},
): Promise<Reply> {
  const { method = 'POST', body, headers, signal } = options
  return new Promise((resolve, reject) => {
    const sending = httpRequest(
      url,
      {
        method,
        agent: false,
        headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
        signal,
      },
      (response) => {
        const chunks: Buffer[] = []
        const done = (): void => {
          const { statusCode: status = 0, headers: received, complete } = response
          resolve({ status, headers: received, text: Buffer.concat(chunks).toString(), complete })
        }
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', done)
        response.on('error', done)
      },
    )
    sending.on('error', reject)
    sending.end(body)
  })
}
