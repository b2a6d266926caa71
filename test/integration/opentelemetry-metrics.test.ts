/** `lifeguard/opentelemetry`: metrics of the pool and of statements; two engines; beside instrumentation-pg; its end. */
import { tracingChannel } from 'node:diagnostics_channel'
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import type { EngineOptions } from '../../src/engine/options.js'
import { instrument } from '../../src/integrations/opentelemetry.js'
import { waitUntil } from '../helpers/wait-until.js'
import { useTelemetry, type Point } from './opentelemetry-support.js'
import { errorOf, useDatabase } from './session-support.js'

const POOL = 'db.client.connection.pool.name'
const STATE = 'db.client.connection.state'
const fixture = useDatabase()
const telemetry = useTelemetry()

function observed(options: EngineOptions): { engine: Engine; stop: () => void } {
  const engine = fixture.engine(options)
  const { tracerProvider, meterProvider } = telemetry
  return { engine, stop: instrument(engine, { tracerProvider, meterProvider }) }
}

/** Points of a metric of one pool, each as `value` or `value rest of the attributes`. */
async function pointsOf(pool: string, name: string, ...attributes: string[]): Promise<string[]> {
  const shown = ({ attributes: found, value }: Point): string =>
    [value, ...attributes.map((key) => found[key])].join(' ').trimEnd()
  return (await telemetry.points(name)).filter((point) => point.attributes[POOL] === pool).map(shown)
}

test('the pool is reported by the conventions', async () => {
  const { engine } = observed({ name: 'main', poolSize: 2, maxOverflow: 1, minIdle: 0 })
  const connections = await Promise.all([engine.connect(), engine.connect(), engine.connect()])
  const waiting = engine.connect()
  await waitUntil(() => engine.stats().waiting === 1)
  const gauge = (name: string, ...more: string[]) => pointsOf('main', `db.client.connection.${name}`, ...more)
  expect(await gauge('count', STATE)).toEqual(['0 idle', '3 used'])
  expect(await gauge('max')).toEqual(['3'])
  expect(await gauge('idle.max')).toEqual(['2'])
  expect(await gauge('idle.min')).toEqual(['0'])
  expect(await gauge('pending_requests')).toEqual(['1'])
  expect(await gauge('timeouts')).toEqual(['0'])
  await connections[0].close()
  await (await waiting).close()
  await Promise.all(connections.map((connection) => connection.close()))
  await waitUntil(() => engine.stats().size === 2)
  expect(await gauge('count', STATE)).toEqual(['2 idle', '0 used'])
  expect(await gauge('create_time')).toEqual(['3'])
  expect(await gauge('wait_time')).toEqual(['4'])
  expect(await gauge('use_time')).toEqual(['4'])
  expect(await pointsOf('main', 'lifeguard.connection.closed', 'lifeguard.close.reason')).toEqual([
    '1 overflow',
  ])
})

test('statements are counted once, by command and SQLSTATE', async () => {
  const { engine } = observed({ name: 'counted' })
  await engine.begin(async (connection) => {
    await connection.execute('select generate_series(1, 3)')
    await connection.execute('select 1')
    await connection.executeScript('select 1; select 2')
  })
  await errorOf(engine.begin((connection) => connection.execute('select 1 / 0')))
  const duration = 'db.client.operation.duration'
  expect(await pointsOf('counted', duration, 'db.operation.name', 'error.type')).toEqual([
    '2 SELECT',
    '1',
    '1  22012',
  ])
  expect(await pointsOf('counted', 'db.client.response.returned_rows')).toEqual(['2'])
  const outcomes = await pointsOf(
    'counted',
    'lifeguard.transaction.duration',
    'lifeguard.transaction.outcome',
  )
  expect(outcomes).toEqual(['1 committed', '1 rolled back'])
})

test('two engines report their own numbers, also under one name', async () => {
  const { engine: one } = observed({ name: 'twin' })
  const { engine: two } = observed({ name: 'twin' })
  const held = [await one.connect(), await two.connect(), await two.connect()]
  await one.begin((connection) => connection.execute('select 1'))
  expect(await pointsOf('twin', 'db.client.connection.count', STATE)).toEqual(['1 idle', '1 used'])
  expect(await pointsOf('twin#2', 'db.client.connection.count', STATE)).toEqual(['0 idle', '2 used'])
  expect(await pointsOf('twin', 'db.client.operation.duration')).toEqual(['1'])
  expect(await pointsOf('twin#2', 'db.client.operation.duration')).toEqual([])
  for (const connection of held) await connection.close()
})

test('a counter goes on when the pool is made anew', async () => {
  const { engine } = observed({ name: 'anew' })
  const use = () => engine.begin((connection) => connection.execute('select 1'))
  const closed = () => pointsOf('anew', 'lifeguard.connection.closed', 'lifeguard.close.reason')
  await use()
  engine.refresh()
  expect(await closed()).toEqual(['1 stale'])
  await engine.recreate()
  await use()
  engine.refresh()
  await use()
  engine.refresh()
  expect(await closed()).toEqual(['2 stale'])
})

/** The replaced methods of pg's client, as the instrumentation replaces them when pg is loaded. */
function patchPg(instrumentation: PgInstrumentation): () => void {
  const { init } = instrumentation as unknown as {
    init(): { patch(module: unknown): void; unpatch(module: unknown): void }[]
  }
  const [definition] = init.call(instrumentation)
  definition?.patch(pg)
  return () => definition?.unpatch(pg)
}

test('beside instrumentation-pg no statement, script or connect is reported twice', async () => {
  const { tracerProvider, meterProvider } = telemetry
  const instrumentation = new PgInstrumentation()
  instrumentation.setTracerProvider(tracerProvider)
  instrumentation.setMeterProvider(meterProvider)
  const unpatch = patchPg(instrumentation)
  try {
    const { engine, stop } = observed({ name: 'beside' })
    const work = () =>
      engine.begin(async (connection) => {
        await connection.execute('select 1')
        await connection.executeScript('select 1; select 2')
      })
    const counted = async () =>
      (await telemetry.points('db.client.operation.duration')).reduce((sum, { value }) => sum + value, 0)
    const before = await counted()
    await work()
    const names = () => telemetry.spans().map(({ name }) => name)
    expect(names().filter((name) => name.startsWith('pg'))).toEqual([])
    expect((await counted()) - before).toBe(2)
    // Without this one the instrumentation goes on.
    stop()
    await work()
    expect(names().filter((name) => name.startsWith('pg'))).toEqual([`pg.query:SELECT ${fixture.db.name}`])
    const client = new pg.Client(fixture.db.url)
    await client.connect()
    await client.query('select 1')
    await client.end()
    expect(names().filter((name) => name.startsWith('pg'))).toHaveLength(3)
  } finally {
    unpatch()
    instrumentation.disable()
  }
})

test('it ends with the engine, and before it when it is stopped: no subscriber stays', async () => {
  const channels = ['statement', 'transaction', 'flush', 'acquire'].map((name) =>
    tracingChannel(`lifeguard:${name}`),
  )
  const subscribed = () => channels.filter((channel) => channel.hasSubscribers).length
  await waitUntil(() => subscribed() === 0)
  const { engine, stop } = observed({ name: 'ending' })
  expect(subscribed()).toBe(4)
  stop()
  stop()
  expect(subscribed()).toBe(0)
  const { tracerProvider, meterProvider } = telemetry
  instrument(engine, { tracerProvider, meterProvider })
  await engine.begin((connection) => connection.execute('select 1'))
  await engine.dispose()
  expect(subscribed()).toBe(0)
  expect(await pointsOf('ending', 'db.client.connection.max')).toEqual([])
})

test('wrong arguments are refused, and a second call', () => {
  const { engine } = observed({ name: 'once' })
  expect(() => instrument(engine)).toThrow('already')
  const other = fixture.engine()
  expect(() => instrument({} as Engine)).toThrow('takes an engine')
  expect(() => instrument(other, { tracer: 1 } as never)).toThrow("no option 'tracer'")
  expect(() => instrument(other, { tracerProvider: {} as never })).toThrow('getTracer')
  expect(() => instrument(other, { meterProvider: {} as never })).toThrow('getMeter')
  expect(() => instrument(other, { queryText: 1 as never })).toThrow('queryText')
})
