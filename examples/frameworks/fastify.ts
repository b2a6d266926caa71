/**
 * Notes over HTTP with Fastify: one session for each request.
 *
 *     DATABASE_URL=postgres://... npx tsx examples/frameworks/fastify.ts
 */
import Fastify from 'fastify'
import { createEngine, createSessionFactory } from 'lifeguard'
import { requestSessions } from 'lifeguard/fastify'

const engine = createEngine({ url: process.env.DATABASE_URL })
const db = requestSessions(createSessionFactory({ bind: engine }))
await engine.begin((connection) =>
  connection.execute('create table if not exists notes (text text primary key)'),
)

const app = Fastify({ forceCloseConnections: 'idle' })
app.register(db.plugin)
app.get('/health', db.health)
app.get('/notes', (request) => db(request).scalars('select text from notes order by text'))
app.post<{ Params: { text: string } }>('/notes/:text', async (request, reply) => {
  await db(request).execute('insert into notes values ($1)', [request.params.text])
  reply.code(201)
  return request.params
})

console.log(`listens on ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}`)
process.once('SIGTERM', () => void app.close())
