/**
 * What one acquire and release costs, without a server: `npx tsx bench/pool.ts`.
 *
 * Every candidate keeps 5 connections that do nothing. Rounds are interleaved and in random order, so that whatever
 * else the machine does hits all of them alike; the table shows medians, and ratios of medians to pg-pool.
 */
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import genericPool from 'generic-pool'
import type { Driver, DriverConnection } from '../src/driver/driver.js'
import { resolvePoolOptions, type PoolOptions } from '../src/pool/options.js'
import { QueuePool } from '../src/pool/queue-pool.js'

const SIZE = 5
const CALLERS = 20
const CYCLES = 40_000
const ROUNDS = Number(process.env['ROUNDS'] ?? 31)
const load = createRequire(import.meta.url)

/** A candidate runs so many cycles of acquire and release, one after the other. */
type Run = (cycles: number) => Promise<void>

const nothing = (): void => undefined

function lifeguard(options: PoolOptions = {}): Run {
  let id = 0
  const connection = (): DriverConnection => ({
    id: (id += 1),
    processId: id,
    connectedAt: performance.now(),
    transactionStatus: 'idle',
    busy: false,
    lost: undefined,
    onLost: undefined,
    onNotification: undefined,
    parameter: () => undefined,
    submit: nothing,
    conclude: nothing,
    lend: nothing,
    script: () => Promise.resolve(),
    ping: () => Promise.resolve(),
    reset: () => Promise.resolve(),
    cancel: () => Promise.resolve(),
    close: () => Promise.resolve(),
    destroy: nothing,
    ref: nothing,
    unref: nothing,
  })
  const driver: Driver = { target: 'nowhere', connect: () => Promise.resolve(connection()) }
  const resolved = resolvePoolOptions({ poolSize: SIZE, maxOverflow: 0, captureStacks: false, ...options })
  const pool = new QueuePool({ driver, name: 'bench', options: resolved })
  return async (cycles) => {
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const lease = await pool.acquire()
      lease.release()
    }
  }
}

function pgPool(): Run {
  class Client extends EventEmitter {
    readonly _queryable = true
    readonly _ending = false
    connect(done: () => void): void {
      setImmediate(done)
    }
    ref = nothing
    unref = nothing
  }
  interface PgPool {
    connect(): Promise<{ release(): void }>
  }
  const Pool = load('pg-pool') as new (options: object) => PgPool
  const pool = new Pool({ Client, max: SIZE })
  return async (cycles) => {
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const client = await pool.connect()
      client.release()
    }
  }
}

/** tarn is no dependency of this project: it takes part where it is installed. */
function tarn(): Run | undefined {
  interface Tarn {
    acquire(): { promise: Promise<object> }
    release(resource: object): void
  }
  let Pool: new (options: object) => Tarn
  try {
    ;({ Pool } = load(process.env['TARN'] ?? 'tarn') as { Pool: new (options: object) => Tarn })
  } catch {
    return undefined
  }
  const pool = new Pool({ create: () => Promise.resolve({}), destroy: nothing, min: 0, max: SIZE })
  return async (cycles) => {
    for (let cycle = 0; cycle < cycles; cycle += 1) pool.release(await pool.acquire().promise)
  }
}

function bareGenericPool(): Run {
  const factory = { create: () => Promise.resolve({}), destroy: () => Promise.resolve() }
  const pool = genericPool.createPool(factory, { max: SIZE })
  return async (cycles) => {
    for (let cycle = 0; cycle < cycles; cycle += 1) void pool.release(await pool.acquire())
  }
}

async function microsPerCycle(run: Run, callers: number): Promise<number> {
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: callers }, () => run(CYCLES / callers)))
  return ((performance.now() - startedAt) / CYCLES) * 1_000
}

function median(values: number[]): number {
  return values.sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN
}

const candidates = new Map<string, Run | undefined>([
  ['lifeguard', lifeguard()],
  ['lifeguard, no pre-ping', lifeguard({ poolPrePing: false })],
  ['lifeguard, FIFO', lifeguard({ poolUseLifo: false })],
  ['lifeguard, captureStacks', lifeguard({ captureStacks: true })],
  ['pg-pool', pgPool()],
  ['tarn', tarn()],
  ['generic-pool', bareGenericPool()],
])
const samples = new Map<string, { alone: number[]; crowded: number[] }>()

for (let round = 0; round < ROUNDS; round += 1) {
  const inRandomOrder = [...candidates].sort(() => Math.random() - 0.5)
  for (const [name, run] of inRandomOrder) {
    if (run === undefined) continue
    const taken = samples.get(name) ?? { alone: [], crowded: [] }
    samples.set(name, taken)
    const [alone, crowded] = [await microsPerCycle(run, 1), await microsPerCycle(run, CALLERS)]
    // The first rounds warm the compiler up.
    if (round < 3) continue
    taken.alone.push(alone)
    taken.crowded.push(crowded)
  }
}

const rows = [...samples].map(([name, { alone, crowded }]) => ({
  name,
  alone: median(alone),
  crowded: median(crowded),
}))
const anchor = rows.find(({ name }) => name === 'pg-pool')
console.log(
  `microseconds per acquire + release, median of ${String(ROUNDS - 3)} rounds; (throughput relative to pg-pool)`,
)
console.log(
  `${''.padEnd(26)} 1 caller, ${String(SIZE)} slots     ${String(CALLERS)} callers, ${String(SIZE)} slots`,
)
for (const { name, alone, crowded } of rows.sort((one, other) => one.alone - other.alone)) {
  const cell = (micros: number, reference: number | undefined): string =>
    `${micros.toFixed(3)} (${((reference ?? NaN) / micros).toFixed(2)}x)`
  console.log(`${name.padEnd(26)} ${cell(alone, anchor?.alone).padEnd(21)} ${cell(crowded, anchor?.crowded)}`)
}
process.exit()
