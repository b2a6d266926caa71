/** The routes: one Fastify application, whatever is behind it. */
import fastify, { type FastifyInstance } from 'fastify'
import { TIMES, WORLDS, type Fortune, type ServiceWork } from './service-work.js'

/** Routes by the name of their workload. */
export const ROUTES = {
  single: '/db',
  queries: '/queries',
  fortunes: '/fortunes',
  updates: '/updates',
} as const

export type ServiceWorkload = keyof typeof ROUTES

const WORLD = { type: 'object', properties: { id: { type: 'integer' }, randomNumber: { type: 'integer' } } }
const oneWorld = { schema: { response: { 200: WORLD } } }
const manyWorlds = { schema: { response: { 200: { type: 'array', items: WORLD } } } }

/** Added by the service to what the database has. */
export const ADDED_FORTUNE = 'Additional fortune added at request time.'

export function serviceApp(work: ServiceWork): FastifyInstance {
  const app = fastify({ logger: false })
  app.get(ROUTES.single, oneWorld, () => work.single(randomId()))
  app.get(ROUTES.queries, manyWorlds, () => work.many(randomIds()))
  app.get(ROUTES.updates, manyWorlds, () => work.update(randomIds()))
  app.get(ROUTES.fortunes, async (_, reply) => {
    const fortunes = await work.fortunes()
    reply.header('content-type', 'text/html; charset=utf-8')
    return page([...fortunes, { id: 0, message: ADDED_FORTUNE }])
  })
  // A refused request is asked to come again; anything else is a fault of the contender, and ends the benchmark.
  app.setErrorHandler((error: { readonly code?: string; readonly stack?: string }, _, reply) => {
    const refused = error.code === 'POOL_QUEUE_FULL'
    return reply.code(refused ? 503 : 500).send(refused ? 'Service Unavailable' : String(error.stack))
  })
  return app
}

function page(fortunes: readonly Fortune[]): string {
  const rows = [...fortunes]
    .sort((one, other) => (one.message < other.message ? -1 : one.message > other.message ? 1 : 0))
    .map(({ id, message }) => `<tr><td>${String(id)}</td><td>${escaped(message)}</td></tr>`)
  return `<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table><tr><th>id</th><th>message</th></tr>${rows.join('')}</table></body></html>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

function randomId(): number {
  return 1 + Math.floor(Math.random() * WORLDS)
}

/** Different ones, in order. */
function randomIds(): number[] {
  const ids = new Set<number>()
  while (ids.size < TIMES) ids.add(randomId())
  return [...ids].sort((one, other) => one - other)
}
