/** A service in a process of its own: `POST /id/n` writes, `GET /id` reads from a replica, and causality tokens travel in a header. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createEngine, createSessionFactory } from '../../src/index.js'
import { requestSessions } from '../../src/integrations/hono.js'
import { type Seen, WHERE } from './replica-statements.js'

const { WRITE_URL, READ_URLS = '', STALE_WAIT_MILLIS } = process.env
const write = createEngine({ url: WRITE_URL, hostTimeoutMillis: 1_000 })
const sessionFactory = createSessionFactory({
  bind: { write, read: READ_URLS.split(' ').map((url) => createEngine({ url })) },
  consistency: 'session',
  staleWaitMillis: Number(STALE_WAIT_MILLIS),
})
const db = requestSessions(sessionFactory, {
  causality: 'header',
  session: (c) => ({ readOnly: c.req.raw.method === 'GET' }),
})
const app = new Hono()
app.get('/stats', (c) => c.json(write.stats().primaryReads))
app.use(db.middleware).onError(db.onError)
app.post('/:id/:n', async (c) => {
  const { id, n } = c.req.param()
  await db(c).execute('update notes set n = $1 where id = $2', [Number(n), Number(id)])
  return c.json({})
})
app.get('/:id', async (c) => {
  const rows = await db(c).execute<Seen>(WHERE, [Number(c.req.param('id'))])
  return c.json(rows.one())
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
  console.log(`listening on ${String(port)}`),
)
