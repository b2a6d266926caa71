/**
 * Notes over HTTP with Express: one session for each request.
 *
 *     DATABASE_URL=postgres://... npx tsx examples/frameworks/express.ts
 */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createEngine, createSessionFactory } from 'lifeguard'
import { requestSessions } from 'lifeguard/express'

const engine = createEngine({ url: process.env.DATABASE_URL })
const db = requestSessions(createSessionFactory({ bind: engine }))
await engine.begin((connection) =>
  connection.execute('create table if not exists notes (text text primary key)'),
)

const app = express()
app.use(db.middleware)
app.get('/health', db.health)
app.get('/notes', async (req, res) => {
  res.json(await db(req).scalars('select text from notes order by text'))
})
app.post('/notes/:text', async (req, res) => {
  await db(req).execute('insert into notes values ($1)', [req.params.text])
  res.status(201).json({ text: req.params.text })
})
app.use(db.errorHandler)

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listens on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
server.on('close', () => void engine.dispose())
process.once('SIGTERM', () => server.close())
