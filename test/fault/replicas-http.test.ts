/** Causality tokens over HTTP: what one service has written is shown by another one, which reads from a replica that is late. */
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { afterEach, describe, expect, test } from 'vitest'
import { InvalidOptionError, type Session, type SessionFactory } from '../../src/index.js'
import * as forExpress from '../../src/integrations/express.js'
import * as forFastify from '../../src/integrations/fastify.js'
import * as forHono from '../../src/integrations/hono.js'
import * as forKoa from '../../src/integrations/koa.js'
import * as forServerless from '../../src/integrations/serverless.js'
import { byLength } from '../helpers/length.js'
import { listen, listenerOf, type Service } from '../integration/http-servers.js'
import { nextValue, type Seen, useCluster, WHERE } from './replica-servers.js'
import { startNest } from './support-causality-nest.js'

const { cluster, serversFor } = useCluster()
const services: Service[] = []
afterEach(() => Promise.all(services.splice(0).map((service) => service.close())))

type Carrier = 'header' | 'cookie'

/** POST /N writes N, GET / reads it: by another session class, with `readOnly: true`. */
const write = (session: Session, path: string): Promise<unknown> =>
  session.execute('update notes set n = $1 where id = 70', [Number(path.slice(1))])
const read = async (session: Session): Promise<Seen> => (await session.execute<Seen>(WHERE, [70])).one()
const readOnly = (method: string | undefined): { readOnly: boolean } => ({ readOnly: method === 'GET' })

const FRAMEWORKS: Readonly<
  Record<string, (factory: SessionFactory, causality: Carrier) => Promise<Service>>
> = {
  async fastify(factory, causality) {
    const app = Fastify()
    const session = (request: object) => readOnly((request as { method: string }).method)
    const db = forFastify.requestSessions(factory, { causality, session, dispose: false })
    await app.register(db.plugin)
    app.post('/:n', async (request) => ({ done: (await write(db(request), request.url)) !== undefined }))
    app.get('/', (request) => read(db(request)))
    return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() }
  },
  async express(factory, causality) {
    const app = express()
    const db = forExpress.requestSessions(factory, { causality, session: ({ method }) => readOnly(method) })
    app.use(db.middleware)
    app.post('/:n', (req, res, next) => void write(db(req), req.path).then(() => res.json({}), next))
    app.get('/', (req, res, next) => void read(db(req)).then((seen) => res.json(seen), next))
    return await listen(createServer(app), factory)
  },
  async hono(factory, causality) {
    const app = new Hono()
    const db = forHono.requestSessions(factory, { causality, session: (c) => readOnly(c.req.raw.method) })
    app.use(db.middleware).onError(db.onError)
    app.post('/:n', async (c) => {
      await write(db(c), c.req.path)
      return c.json({})
    })
    app.get('/', async (c) => c.json(await read(db(c))))
    return await listen(createServer(listenerOf(getRequestListener(app.fetch))), factory)
  },
  async koa(factory, causality) {
    const app = new Koa()
    const db = forKoa.requestSessions(factory, { causality, session: ({ req }) => readOnly(req.method) })
    app.use(db.middleware)
    app.use(async (ctx) => {
      ctx.body = ctx.method === 'GET' ? await read(db(ctx)) : (await write(db(ctx), ctx.path), {})
    })
    return await listen(createServer(app.callback() as never), factory)
  },
  nestjs: (factory, causality) => startNest(factory, causality, { write, read }),
  'nestjs on fastify': (factory, causality) =>
    startNest(factory, causality, { write, read }, new FastifyAdapter()),
  async serverless(factory, causality) {
    const db = forServerless.requestSessions(factory, {
      causality,
      session: ({ method }) => readOnly(method),
    })
    const handle = db.handler(async ({ method, url }) => {
      if (method === 'GET') return Response.json(await read(db()))
      await write(db(), new URL(url).pathname)
      return Response.json({})
    })
    return await listen(createServer(listenerOf(getRequestListener((request) => handle(request)))), factory)
  },
}

function tokenOf(response: Response, carrier: Carrier): Record<string, string> {
  if (carrier === 'header') return { 'x-causality-token': response.headers.get('x-causality-token') ?? '' }
  const [cookie = ''] = response.headers.getSetCookie()
  expect(cookie).toMatch(/^causality_token=[\w-]{10,99}; Path=\/; Max-Age=60; HttpOnly; SameSite=Lax$/)
  return { cookie: `theme=dark; ${cookie.split(';')[0] ?? ''}` }
}

const CARRIERS: readonly Carrier[] = ['header', 'cookie']

// In a short run each framework has one of them.
describe.each(Object.keys(FRAMEWORKS).map((name, index) => ({ name, index })))('$name', ({ name, index }) => {
  test.each(CARRIERS.filter((_, at) => byLength(at === index % 2, true)))(
    'passes the token on by %s, from service to service',
    async (carrier) => {
      const start = async (): Promise<string> => {
        const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
        const service = await FRAMEWORKS[name]?.(factory, carrier)
        if (service === undefined) throw new Error(name)
        services.push(service)
        return service.url
      }
      const [one, other] = [await start(), await start()]
      for (let round = 0; round < 3; round += 1) {
        const wrote = nextValue()
        const written = await fetch(`${one}/${String(wrote)}`, { method: 'POST' })
        expect(written.ok).toBe(true)
        const seen = await fetch(other, { headers: tokenOf(written, carrier) })
        expect(await seen.json()).toEqual({ n: wrote, port: cluster.late.port })
        // What was passed in is passed on.
        expect(tokenOf(seen, carrier)).toEqual(tokenOf(written, carrier))
      }
      const forged = await fetch(other, {
        headers: { 'x-causality-token': 'x', cookie: 'causality_token=x' },
      })
      expect(await forged.json()).toMatchObject({ port: cluster.primary.port })
      const without = await fetch(other)
      expect(without.headers.get('x-causality-token') ?? without.headers.get('set-cookie')).toBeNull()
    },
  )
})

test.each([
  ['before COMMIT: the next request reads from the primary', false],
  ['after COMMIT', true],
])('an answer of Express whose head is sent %s', async (_name, commits) => {
  const { factory } = serversFor(cluster.late.url, { staleWaitMillis: 5_000 })
  const app = express()
  const session = ({ method }: { method?: string | undefined }) => readOnly(method)
  const db = forExpress.requestSessions(factory, { causality: 'cookie', session })
  const stream = async (req: express.Request, res: express.Response): Promise<void> => {
    await write(db(req), req.path)
    if (commits) await db(req).commit()
    res.cookie('theme', 'dark')
    res.write('begun, ')
    res.end('ended')
  }
  app.use(db.middleware)
  app.post('/:n', (req, res, next) => void stream(req, res).catch(next))
  app.get('/', (req, res, next) => void read(db(req)).then((seen) => res.json(seen), next))
  const service = await listen(createServer(app), factory)
  services.push(service)
  const wrote = nextValue()
  const written = await fetch(`${service.url}/${String(wrote)}`, { method: 'POST' })
  expect(await written.text()).toBe('begun, ended')
  const cookies = written.headers.getSetCookie()
  expect(cookies).toEqual([
    expect.stringMatching(/^theme=dark/) as string,
    expect.stringMatching(/^causality_token=/) as string,
  ])
  const seen = await fetch(service.url, { headers: { cookie: String(cookies[1]?.split(';')[0]) } })
  const { port } = commits ? cluster.late : cluster.primary
  expect(await seen.json()).toEqual({ n: wrote, port })
})

test('only a header and a cookie are known', () => {
  const { factory } = serversFor(cluster.late.url)
  expect(() => forHono.requestSessions(factory, { causality: 'query' as never })).toThrow(InvalidOptionError)
})
