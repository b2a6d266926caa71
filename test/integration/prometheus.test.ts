/** `lifeguard/prometheus` with prom-client itself: what a scrape returns. */
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.js'
import { collect } from '../../src/integrations/prometheus.js'
import { waitUntil } from '../helpers/wait-until.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

/** Samples of a scrape: `lifeguard_pool_size{pool="main"}` to its value. */
async function scrape(register: Registry): Promise<Map<string, number>> {
  const lines = (await register.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      const value = line.slice(at + 1)
      return [line.slice(0, at), value === '+Inf' ? Infinity : Number(value)]
    }),
  )
}

function use(engine: Engine, text = 'select 1'): Promise<unknown> {
  return engine.begin((connection) => connection.execute(text))
}

test('gauges and counters are read when they are scraped', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main', poolSize: 1, maxOverflow: 1 })
  collect(engine, { register })
  const held = [await engine.connect(), await engine.connect()]
  const waiting = engine.connect()
  await waitUntil(() => engine.stats().waiting === 1)
  const samples = await scrape(register)
  const of = (name: string, more = ''): number | undefined =>
    samples.get(`lifeguard_${name}{pool="main"${more}}`)
  expect(of('pool_connections', ',state="used"')).toBe(2)
  expect(of('pool_connections', ',state="idle"')).toBe(0)
  expect(of('pool_max_connections')).toBe(2)
  expect(of('pool_size')).toBe(1)
  expect(of('pool_pending_requests')).toBe(1)
  expect(of('pool_waits_total')).toBe(engine.stats().counters.waited)
  expect(of('pool_timeouts_total')).toBe(0)
  await held[0]?.close()
  await (await waiting).close()
  await held[1]?.close()
  await waitUntil(() => engine.stats().size === 1)
  expect(
    (await scrape(register)).get('lifeguard_pool_connections_closed_total{pool="main",reason="overflow"}'),
  ).toBe(1)
})

test('histograms are cumulative, in seconds, and their count is that of the engine', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register })
  for (let count = 0; count < 5; count++) await use(engine)
  const samples = await scrape(register)
  for (const [name, count] of [
    ['pool_acquire_duration_seconds', engine.stats().counters.acquired],
    ['pool_use_duration_seconds', engine.stats().use.count],
    ['pool_connect_duration_seconds', engine.stats().connect.count],
  ] as const) {
    const buckets = [...samples]
      .filter(([key]) => key.startsWith(`lifeguard_${name}_bucket`))
      .map(([, value]) => value)
    expect(buckets).toHaveLength(21)
    expect(buckets).toEqual([...buckets].sort((a, b) => a - b))
    expect(buckets.at(-1)).toBe(count)
    expect(samples.get(`lifeguard_${name}_count{pool="main"}`)).toBe(count)
    expect(samples.get(`lifeguard_${name}_sum{pool="main"}`)).toBeLessThan(60)
  }
  expect(engine.stats().counters.acquired).toBe(5)
})

test('statements are counted by command and class of SQLSTATE, transactions by outcome', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register })
  await use(engine)
  await use(engine, "select 'a secret'")
  await errorOf(use(engine, 'select 1 / 0'))
  const samples = await scrape(register)
  const count = (name: string, labels: string) =>
    samples.get(`lifeguard_${name}_count{pool="main",${labels}}`)
  expect(count('statement_duration_seconds', 'command="SELECT",error=""')).toBe(2)
  expect(count('statement_duration_seconds', 'command="",error="22"')).toBe(1)
  expect(count('transaction_duration_seconds', 'outcome="committed"')).toBe(2)
  expect(count('transaction_duration_seconds', 'outcome="rolled back"')).toBe(1)
  expect(await register.metrics()).not.toContain('secret')
})

test('without statements only the pool is told', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register, statements: false })
  await use(engine)
  const names = [...(await scrape(register)).keys()]
  expect(names.filter((name) => !name.startsWith('lifeguard_pool_'))).toEqual([])
})

test('two engines have a label each, and a disposed one vanishes', async () => {
  const register = new Registry()
  const [one, two] = [fixture.engine({ name: 'twin' }), fixture.engine({ name: 'twin' })]
  collect(one, { register })
  const stop = collect(two, { register })
  await use(two)
  const pools = async () =>
    [...(await scrape(register))].flatMap(([key, value]) => {
      const pool = /^lifeguard_pool_connect_duration_seconds_count\{pool="(.*)"\}$/.exec(key)?.[1]
      return pool === undefined ? [] : [`${pool} ${value}`]
    })
  expect(await pools()).toEqual(['twin 0', 'twin#2 1'])
  await one.dispose()
  expect(await pools()).toEqual(['twin#2 1'])
  stop()
  stop()
  expect(await register.metrics()).toBe('\n')
})

test('the format of OpenMetrics is right, too', async () => {
  const register = new Registry()
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register })
  await use(engine)
  for (let scrapes = 0; scrapes < 2; scrapes++) {
    const text = await register.metrics()
    expect(text).toContain('# TYPE lifeguard_pool_waits counter')
    expect(text).toContain('lifeguard_pool_waits_total{pool="main"} 1')
    expect(text).not.toContain('_total_total')
  }
})

test('wrong arguments are refused, and the same engine twice', async () => {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register })
  expect(() => collect(engine, { register })).toThrow('once')
  expect(() => collect({} as Engine, { register })).toThrow('takes an engine')
  expect(() => collect(engine, undefined as never)).toThrow('{ register }')
  expect(() => collect(engine, { registry: register } as never)).toThrow("no option 'registry'")
  expect(() => collect(engine, { register: {} as never })).toThrow('prom-client')
  expect(() => collect(engine, { register, statements: 1 as never })).toThrow('statements')
  await engine.dispose()
  expect(() => collect(engine, { register })).toThrow('disposed')
})
