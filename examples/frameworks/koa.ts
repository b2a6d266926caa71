/**
 * Notes over HTTP with Koa: one session for each request.
 *
 *     DATABASE_URL=postgres://... npx tsx examples/frameworks/koa.ts
 */
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { createEngine, createSessionFactory } from 'lifeguard'
import { requestSessions } from 'lifeguard/koa'

const engine = createEngine({ url: process.env.DATABASE_URL })
const db = requestSessions(createSessionFactory({ bind: engine }))
await engine.begin((connection) =>
  connection.execute('create table if not exists notes (text text primary key)'),
)

const app = new Koa()
app.use(db.middleware)
app.use(async (ctx) => {
  const [, path, text] = ctx.path.split('/')
  if (path === 'health') return await db.health(ctx)
  if (path !== 'notes') return
  if (ctx.method === 'GET') ctx.body = await db(ctx).scalars('select text from notes order by text')
  else {
    await db(ctx).execute('insert into notes values ($1)', [text])
    ctx.status = 201
    ctx.body = { text }
  }
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listens on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
server.on('close', () => void engine.dispose())
process.once('SIGTERM', () => server.close())
