/** `lifeguard/opentelemetry`: the spans of requests as trees, with OpenTelemetry's own SDK. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { fastify } from 'fastify'
import { expect, test } from 'vitest'
import { createSessionFactory, declarativeBase, integer, select, serial, text } from '../../src/index.js'
import { requestSessions } from '../../src/integrations/fastify.js'
import { instrument, type InstrumentOptions } from '../../src/integrations/opentelemetry.js'
import type { Engine } from '../../src/engine/engine.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { waitUntil } from '../helpers/wait-until.js'
import { inSpan, useTelemetry } from './opentelemetry-support.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: serial().primaryKey(),
  title: text().notNull().unique(),
  plays: integer().notNull().default(0),
}) {}

const fixture = useDatabase(
  'create table songs (id serial primary key, title text not null unique, plays integer not null default 0)',
  'create table parts (song integer references songs (id) deferrable initially deferred)',
)
const telemetry = useTelemetry()

function observed(options: EngineOptions = {}, more: InstrumentOptions = {}): Engine {
  const engine = fixture.engine({ name: 'songs', ...options })
  const { tracerProvider, meterProvider } = telemetry
  instrument(engine, { tracerProvider, meterProvider, ...more })
  return engine
}

/** The span of the first name; the test fails if there is none. */
function spanOf(name: string) {
  const found = telemetry.spans().find((span) => span.name === name)
  if (found === undefined) throw new Error(`No span ${name}: ${telemetry.tree().join(', ')}`)
  return found
}

test('the trace of an HTTP request is a tree in which each statement stands once', async () => {
  const sessionFactory = createSessionFactory({ bind: observed() })
  const app = fastify()
  app.addHook('onRequest', (request, reply, done) => {
    const span = telemetry.tracer.startSpan(`${request.method} ${request.url}`)
    reply.raw.once('close', () => span.end())
    context.with(trace.setSpan(context.active(), span), done)
  })
  const db = requestSessions(sessionFactory)
  await app.register(db.plugin)
  app.post('/songs', async (request) => {
    const session = db(request)
    await session.execute('select 1 as one')
    session.add(new Song({ title: 'Blue' }))
    await session.execute(select(Song))
    await session.execute("update songs set plays = 1 where title = 'Blue'")
    return {}
  })
  const url = await app.listen()
  const { status } = await fetch(`${url}/songs`, { method: 'POST' })
  await app.close()
  expect(status).toBe(200)
  await waitUntil(() => telemetry.spans().some(({ name }) => name === 'POST /songs'))
  const name = fixture.db.name
  expect(telemetry.tree()).toEqual([
    'POST /songs',
    '  lifeguard.transaction',
    `    SELECT ${name}`,
    '      lifeguard.acquire',
    '    SELECT songs',
    '    lifeguard.flush',
    '      INSERT songs',
    `    UPDATE ${name}`,
  ])
  expect(new Set(telemetry.spans().map((span) => span.spanContext().traceId)).size).toBe(1)
})

test('a statement span has the stable attributes, and no value of a parameter or literal', async () => {
  const engine = observed()
  await engine.begin((connection) =>
    connection.execute("select $1::text as a, 'secret' as b, 4711 as c /* secret */", ['hidden']),
  )
  const { attributes, kind, status } = spanOf(`SELECT ${fixture.db.name}`)
  const { hostname, port } = new URL(fixture.db.url)
  expect(kind).toBe(SpanKind.CLIENT)
  expect(status.code).toBe(SpanStatusCode.UNSET)
  expect(attributes).toEqual({
    'db.system.name': 'postgresql',
    'db.namespace': fixture.db.name,
    'db.operation.name': 'SELECT',
    'db.query.text': 'select $1::text as a, ? as b, ? as c',
    'db.response.returned_rows': 1,
    'db.client.connection.pool.name': 'songs',
    'server.address': hostname,
    ...(port !== '' && port !== '5432' && { 'server.port': Number(port) }),
  })
})

test('a failed statement has its SQLSTATE and nothing of its message', async () => {
  const engine = observed()
  await errorOf(engine.begin((connection) => connection.execute('select $1::integer', ['a secret'])))
  const span = telemetry
    .spans()
    .find(({ name }) => name !== 'lifeguard.transaction' && name !== 'lifeguard.acquire')
  expect(span?.attributes).toMatchObject({ 'error.type': '22P02', 'db.response.status_code': '22P02' })
  expect(span?.status).toEqual({ code: SpanStatusCode.ERROR })
  expect(span?.events).toEqual([])
  expect(spanOf('lifeguard.transaction').attributes).toMatchObject({
    'lifeguard.transaction.outcome': 'rolled back',
  })
})

test('a COMMIT that PostgreSQL refuses has its SQLSTATE on the transaction', async () => {
  const engine = observed()
  await errorOf(engine.begin((connection) => connection.execute('insert into parts values (-1)')))
  const { attributes, status } = spanOf('lifeguard.transaction')
  expect(attributes).toMatchObject({ 'db.response.status_code': '23503', 'error.type': '23503' })
  expect(status.code).toBe(SpanStatusCode.ERROR)
})

test('a span of the caller keeps its statements, and each request its own', async () => {
  const { withSession } = createSessionFactory({ bind: observed({ poolSize: 1, maxOverflow: 0 }) })
  const request = (name: string): Promise<void> =>
    inSpan(telemetry, name, () =>
      withSession(async (session) => {
        await session.execute(`select 1 as "${name}"`)
        await inSpan(telemetry, `${name} service`, () => session.execute('select 2'))
      }),
    )
  await Promise.all(['first', 'second', 'third'].map(request))
  const select1 = `SELECT ${fixture.db.name}`
  const treeOf = (name: string) => [
    name,
    '  lifeguard.transaction',
    `    ${select1}`,
    '      lifeguard.acquire',
    `  ${name} service`,
    `    ${select1}`,
  ]
  expect(telemetry.tree()).toEqual(['first', 'second', 'third'].flatMap(treeOf))
})

test('the waiting for a connection that ends in vain is a span of its statement', async () => {
  const engine = observed({ poolSize: 1, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })
  const held = await engine.connect()
  const leaving = new AbortController()
  const refused = inSpan(telemetry, 'request', () =>
    errorOf(withSession((session) => session.execute('select 1'), { signal: leaving.signal })),
  )
  await waitUntil(() => engine.stats().waiting === 1)
  leaving.abort()
  await refused
  await held.close()
  const { name } = fixture.db
  expect(telemetry.tree().slice(-3)).toEqual(['request', `  ${name}`, '    lifeguard.acquire'])
  const failed = telemetry.spans().filter(({ attributes }) => attributes['error.type'] === 'ABORTED')
  expect(failed.map((span) => span.name)).toEqual(['lifeguard.acquire', name])
})

test('streams, COPY, scripts and autocommit statements have one span each', async () => {
  const engine = observed()
  const { withSession } = createSessionFactory({ bind: engine })
  await inSpan(telemetry, 'job', () =>
    withSession(async (session) => {
      for await (const row of session.stream('select generate_series(1, 5) as n', { batchSize: 2 })) {
        if (row.n === 9) break
      }
      await pipeline(Readable.from(['copied\n']), await session.copyFrom('copy songs (title) from stdin'))
      await session.executeScript('select 1; select 2')
    }),
  )
  const { name } = fixture.db
  const ofTransaction = ['job', '  lifeguard.transaction']
  expect(telemetry.tree().filter((line) => !line.includes('acquire'))).toEqual([
    ...ofTransaction,
    `    SELECT ${name}`,
    `    COPY ${name}`,
    `    ${name}`,
  ])
  expect(spanOf(`SELECT ${name}`).attributes['db.response.returned_rows']).toBe(5)
})

test('queryText: false leaves the text out', async () => {
  const engine = observed({}, { queryText: false })
  await engine.begin((connection) => connection.execute('select 1'))
  expect(spanOf(`SELECT ${fixture.db.name}`).attributes).not.toHaveProperty('db.query.text')
})
