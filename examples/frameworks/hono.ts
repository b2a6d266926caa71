/**
 * Notes over HTTP with Hono on Node: one session for each request.
 *
 *     DATABASE_URL=postgres://... npx tsx examples/frameworks/hono.ts
 */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createEngine, createSessionFactory } from 'lifeguard'
import { requestSessions } from 'lifeguard/hono'

const engine = createEngine({ url: process.env.DATABASE_URL })
const db = requestSessions(createSessionFactory({ bind: engine }))
await engine.begin((connection) =>
  connection.execute('create table if not exists notes (text text primary key)'),
)

const app = new Hono()
app.use(db.middleware).onError(db.onError)
app.get('/health', db.health)
app.get('/notes', async (c) => c.json(await db(c).scalars('select text from notes order by text')))
app.post('/notes/:text', async (c) => {
  const { text } = c.req.param()
  await db(c).execute('insert into notes values ($1)', [text])
  return c.json({ text }, 201)
})

const options = { fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT ?? 3000) }
const server = serve(options, ({ port }) => console.log(`listens on http://127.0.0.1:${port}`))
server.on('close', () => void engine.dispose())
process.once('SIGTERM', () => server.close())
