/** The routes of `http-routes.ts` as handlers of a `Request` (`lifeguard/serverless`), on Node's HTTP server. */
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { requestSessions } from '../../src/integrations/serverless.js'
import { exchangeOf, listen, listenerOf, type Framework } from './http-servers.js'
import { routesOf } from './http-routes.js'

const refused = (status: number): Response => Response.json({ error: 'of the application' }, { status })

export const requestApp: Framework = {
  name: 'serverless',
  streamsInSession: false,
  async start(factory, stage, options = {}) {
    const db = requestSessions(factory, { ...options, onError: () => undefined })
    const routes = routesOf(stage)
    const handle = db.handler(async (request) => {
      if (request.headers.get('authorization') === 'none') return refused(401)
      const text = await request.text()
      try {
        if (text !== '') JSON.parse(text)
      } catch {
        return refused(400)
      }
      const url = new URL(request.url)
      const handler = routes[url.pathname.slice(1)]
      if (handler === undefined) return refused(404)
      const answer = await handler(exchangeOf(factory, () => db(), url.searchParams.get('text') ?? ''))
      if (answer.stream === undefined) return Response.json(answer.body, { status: answer.status })
      return new Response(Readable.toWeb(answer.stream) as ReadableStream, { status: answer.status })
    })
    const serve = async (request: Request): Promise<Response> => {
      try {
        return new URL(request.url).pathname === '/health' ? await db.health() : await handle(request)
      } catch (error) {
        const { status = 500 } = Object(error) as { status?: number }
        return refused(status)
      }
    }
    return await listen(createServer(listenerOf(getRequestListener(serve))), factory)
  },
}
