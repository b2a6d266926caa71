/** What is told of a block that runs again: the event `retry`, and the counters made of it. */
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { SerializationFailureError } from '../../src/database-errors.js'
import type { Engine } from '../../src/engine/engine.js'
import { ConnectionLostError } from '../../src/errors.js'
import { instrument } from '../../src/integrations/opentelemetry.js'
import { collect } from '../../src/integrations/prometheus.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { useTelemetry } from './opentelemetry-support.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()
const telemetry = useTelemetry()

const AT_ONCE = (): number => 0
const REFUSED = "do $$ begin raise exception using errcode = '40001', message = 'conflict'; end $$"

/** Fails twice, each time in another way, and then succeeds. */
async function failTwice(engine: Engine): Promise<void> {
  let attempt = 0
  await createSessionFactory({ bind: engine }).withSession(
    async (session) => {
      attempt++
      if (attempt === 1) throw new ConnectionLostError('gone')
      await session.execute(attempt === 2 ? REFUSED : 'select 1')
    },
    { retry: { attempts: 3, backoff: AT_ONCE } },
  )
}

test('the engine tells of each attempt that will be repeated, and of no other', async () => {
  const engine = fixture.engine()
  const told: { attempt: number; error: unknown; waitMillis: number }[] = []
  engine.on('retry', (event) => told.push(event))
  await failTwice(engine)
  expect(told).toMatchObject([
    { attempt: 1, waitMillis: 0 },
    { attempt: 2, waitMillis: 0 },
  ])
  expect(told[0]?.error).toBeInstanceOf(ConnectionLostError)
  expect(told[1]?.error).toBeInstanceOf(SerializationFailureError)
  const lost = new ConnectionLostError('gone')
  const { withSession } = createSessionFactory({ bind: engine })
  const last = withSession(() => Promise.reject(lost), { retry: { attempts: 1 } })
  expect(await errorOf(last)).toBe(lost)
  const mistake = withSession(() => Promise.reject(new TypeError('x')), { retry: { attempts: 3 } })
  expect(await errorOf(mistake)).toBeInstanceOf(TypeError)
  expect(told).toHaveLength(2)
})

test('a listener that throws does not change the block', async () => {
  const engine = fixture.engine()
  const warnings: unknown[] = []
  const warned = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', warned)
  engine.on('retry', () => {
    throw new Error('of the listener')
  })
  await failTwice(engine)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', warned)
  expect(warnings.some((message) => String(message).includes('of the listener'))).toBe(true)
})

test('OpenTelemetry counts retries by the type of the error, and tells of each connect', async () => {
  const engine = fixture.engine({ name: 'retried' })
  const { tracerProvider, meterProvider } = telemetry
  instrument(engine, { tracerProvider, meterProvider })
  await failTwice(engine)
  const points = await telemetry.points('lifeguard.transaction.retries')
  expect(points.map(({ attributes, value }) => [attributes['error.type'], value])).toEqual([
    ['CONNECTION_LOST', 1],
    ['40001', 1],
  ])
  const connects = telemetry.connects()
  expect(connects).toHaveLength(1)
  expect(connects[0]?.parentSpanContext).toBeUndefined()
  expect(connects[0]?.attributes).toMatchObject({ 'db.client.connection.pool.name': 'retried' })
})

test('a connect that fails has its type, and is counted', async () => {
  const engine = fixture.engine({ name: 'refused', user: 'nobody_here', connectRetry: 'fail' })
  const { tracerProvider, meterProvider } = telemetry
  instrument(engine, { tracerProvider, meterProvider })
  await errorOf(engine.begin((connection) => connection.execute('select 1')))
  const connects = telemetry.connects()
  expect(connects.length).toBeGreaterThan(0)
  for (const { attributes } of connects) expect(attributes['error.type']).toBe('CONNECT_FAILED')
  const failures = await telemetry.points('lifeguard.connection.create_failures')
  const own = failures.filter(({ attributes }) => attributes['db.client.connection.pool.name'] === 'refused')
  expect(own.map(({ value }) => value)).toEqual([connects.length])
})

test('Prometheus counts them, too, until it is stopped', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'counted' })
  const stop = collect(engine, { register })
  await failTwice(engine)
  const scraped = await register.metrics()
  expect(scraped).toContain('lifeguard_retries_total{pool="counted",error="CONNECTION_LOST"} 1')
  expect(scraped).toContain('lifeguard_retries_total{pool="counted",error="40001"} 1')
  stop()
  expect(engine.internals().events.has('retry')).toBe(false)
})
