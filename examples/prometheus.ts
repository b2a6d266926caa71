/**
 * Metrics of an engine on `/metrics`, for Prometheus.
 *
 *   DATABASE_URL=postgres://localhost/test npx tsx examples/prometheus.ts
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEngine, createSessionFactory } from 'lifeguard'
import { collect } from 'lifeguard/prometheus'
import { register } from 'prom-client'

const engine = createEngine({ url: process.env['DATABASE_URL'], name: 'songs' })
collect(engine, { register })

const server = createServer((_request, response) => {
  void register.metrics().then((body) => response.setHeader('Content-Type', register.contentType).end(body))
})
await new Promise<void>((resolve) => server.listen(0, resolve))

const { withSession } = createSessionFactory({ bind: engine })
await withSession((session) => session.execute('select 1'))

const { port } = server.address() as AddressInfo
const scraped = await fetch(`http://localhost:${port}/metrics`)
console.log(await scraped.text())

// How it is now, without Prometheus: the numbers since an earlier call.
const before = engine.stats()
await withSession((session) => session.execute('select 2'))
const { counters, use } = engine.stats({ since: before })
console.log(`${counters.acquired} acquired, p99 ${use.p99Millis} ms in use`)

server.close()
await engine.dispose()
