/**
 * How long callers wait at most when a server fails: a replica that is killed, silent or slow, a first host that is silent, an address
 * that leads to a demoted server. On a slow machine the margins grow with the time that the same calls take without the fault.
 */
import { setTimeout as pass } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createSessionFactory, LifeguardError, ReadOnlyError, type SessionFactory } from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { SUPERUSER } from '../helpers/local-server.js'
import { type Proxy, startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { nextValue, portOf, reach, useCluster } from './replica-servers.js'
import { useEngines } from './support.js'

const HOST_TIMEOUT_MILLIS = 1_000
const CALLERS = 20
const READS = byLength(25, 100)

const { cluster } = useCluster()
const makeEngine = useEngines()

interface Measured {
  readonly failed: number
  readonly p99: number
  readonly longest: number
}

/** Reads of all callers, one after the other each. */
async function measure(factory: SessionFactory, onFirst?: () => void): Promise<Measured> {
  const millis: number[] = []
  let failed = 0
  const caller = async (): Promise<void> => {
    for (let read = 0; read < READS; read += 1) {
      const startedAt = performance.now()
      await portOf(factory).catch(() => (failed += 1))
      millis.push(performance.now() - startedAt)
    }
  }
  const callers = Array.from({ length: CALLERS }, caller)
  onFirst?.()
  await Promise.all(callers)
  millis.sort((one, other) => one - other)
  return { failed, p99: millis[Math.floor(millis.length * 0.99)] ?? NaN, longest: millis.at(-1) ?? NaN }
}

/** 100 ms, or on a slow machine more. */
const margin = (atLeast: number, { longest }: { readonly longest: number }): number =>
  Math.max(atLeast, 3 * longest)

describe('of two replicas, one is', () => {
  const FAULTS: Readonly<Record<string, (proxy: Proxy) => void>> = {
    killed: (proxy) => {
      proxy.refuse()
      for (const connection of proxy.connections) void connection.cut('reset')
    },
    'black-holed': (proxy) => proxy.blackHole(),
    '10 s late': (proxy) => proxy.delay(10_000),
  }

  test.each(Object.keys(FAULTS))(
    '%s: no read fails, and none waits for much longer than hostTimeoutMillis',
    async (name) => {
      using proxy = await startProxy(cluster.standby.url)
      const options = { hostTimeoutMillis: HOST_TIMEOUT_MILLIS, poolSize: CALLERS }
      const write = makeEngine({ url: cluster.primary.url, ...options })
      const read = [proxy.url, cluster.late.url].map((url) => makeEngine({ url, ...options }))
      const factory = createSessionFactory({ bind: { write, read }, consistency: 'session' })
      await measure(factory)
      const before = await measure(factory)
      const during = await measure(factory, () => FAULTS[name]?.(proxy))
      console.log(
        `${name}: p99 ${during.p99.toFixed(0)} ms, longest ${during.longest.toFixed(0)} ms ` +
          `(without the fault ${before.p99.toFixed(0)} and ${before.longest.toFixed(0)} ms)`,
      )
      expect([before.failed, during.failed]).toEqual([0, 0])
      expect(during.p99).toBeLessThan(HOST_TIMEOUT_MILLIS + margin(100, before))
      expect(during.longest).toBeLessThan(HOST_TIMEOUT_MILLIS + margin(100, before))
    },
  )
})

test('a first host that takes connections and is silent costs hostTimeoutMillis', async () => {
  using hole = await startProxy(cluster.standby.url)
  hole.blackHole()
  const connect = async (ports: readonly number[]): Promise<number> => {
    const engine = makeEngine({
      hosts: ports.map((port) => ({ host: '127.0.0.1', port })),
      ...SUPERUSER,
      database: 'postgres',
      hostTimeoutMillis: HOST_TIMEOUT_MILLIS,
      connectArgs: { target_session_attrs: 'primary' },
    })
    const startedAt = performance.now()
    expect(await portOf(createSessionFactory({ bind: engine }), {})).toBe(cluster.primary.port)
    return performance.now() - startedAt
  }
  const plain: number[] = []
  const silent: number[] = []
  for (let round = 0; round < 5; round += 1) {
    plain.push(await connect([cluster.primary.port]))
    silent.push(await connect([hole.port, cluster.primary.port]))
  }
  const [without, longest] = [Math.max(...plain), Math.max(...silent)]
  console.log(`a silent first host: ${longest.toFixed(0)} ms at most; without it ${without.toFixed(0)} ms`)
  expect(longest).toBeLessThan(HOST_TIMEOUT_MILLIS + margin(200, { longest: without }))
})

test('an address that leads to the demoted server for 2 s: with 10 attempts no writer is told', async () => {
  using address = await startProxy(cluster.primary.url)
  const engine = makeEngine({ url: address.url, poolSize: CALLERS, maxOverflow: 0 })
  const { withSession } = createSessionFactory({ bind: engine })
  await cluster.primary.query('create table if not exists written (n int primary key)')
  await reach(cluster.primary, cluster.standby)
  const told: string[] = []
  const stored = new Set<number>()
  let refused = 0
  let isOver = false
  const writer = async (): Promise<void> => {
    while (!isOver) {
      const n = nextValue()
      const insert = withSession(
        async (session) => {
          await session
            .execute('insert into written values ($1) on conflict do nothing', [n])
            .catch((error: unknown) => {
              if (error instanceof ReadOnlyError) refused += 1
              throw error
            })
        },
        { retry: { attempts: 10 } },
      )
      await insert.then(
        () => stored.add(n),
        (error: unknown) => told.push(error instanceof LifeguardError ? error.code : String(error)),
      )
    }
  }
  const writers = Array.from({ length: CALLERS }, writer)
  // What the failover of a managed cluster does: the name leads to the old primary, which is a standby by now.
  address.redirect(cluster.standby.url)
  for (const connection of address.connections) void connection.cut('reset')
  await pass(2_000)
  // Each of them has met the standby, also where a connection takes long to open.
  await waitUntil(() => refused > CALLERS)
  address.redirect(cluster.primary.url)
  isOver = true
  await Promise.all(writers)
  console.log(
    `demoted for 2 s: ${String(refused)} writes were refused, ${String(told.length)} callers were told`,
  )
  expect(refused).toBeGreaterThan(CALLERS)
  // A COMMIT may have been on its way when the connections were cut.
  expect(told.filter((code) => code !== 'COMMIT_OUTCOME_UNKNOWN')).toEqual([])
  const rows = await cluster.primary.query<{ n: number }>('select n from written')
  const there = new Set(rows.map(({ n }) => n))
  expect([...stored].filter((n) => !there.has(n))).toEqual([])
})
