/**
 * Reads from simulated replicas, in an own time: random lags, promotions, timelines, tokens, silent and dead servers, flows beside each
 * other. With `session`, no read shows less than its flow has written (unless a failover has lost it), and every call ends.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  createSessionFactory,
  type Consistency,
  type EngineOptions,
  LifeguardError,
  type SessionFactory,
} from '../../../src/index.js'
import { Engine } from '../../../src/engine/engine.js'
import { resolveEngineOptions } from '../../../src/engine/options.js'
import { byLength } from '../../helpers/length.js'
import { OwnClock } from './own-clock.js'
import { ENTRY_OF, SimulatedCluster } from './simulated-cluster.js'
import type { Entry, SimulatedServer } from './simulated-server.js'

const LIMIT_MILLIS = 600_000

type Step =
  | { readonly do: 'write'; readonly size: number }
  | { readonly do: 'read'; readonly repeatable: boolean }
  | { readonly do: 'wait'; readonly millis: number }
  /** Passes its token to a flow of its own, which reads, in another process or in this one. */
  | { readonly do: 'pass'; readonly isOtherProcess: boolean; readonly forged: boolean }
  /** Writes in an awaited function, beside a read. */
  | { readonly do: 'both'; readonly size: number }

const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('write' as const), size: fc.integer({ min: 0, max: 9 }) }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), repeatable: fc.boolean() }) },
    fc.record({ do: fc.constant('wait' as const), millis: fc.integer({ min: 1, max: 300 }) }),
    fc.record({
      do: fc.constant('pass' as const),
      isOtherProcess: fc.boolean(),
      forged: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
    }),
    fc.record({ do: fc.constant('both' as const), size: fc.integer({ min: 0, max: 9 }) }),
  ),
  { minLength: 1, maxLength: 8 },
)

const server = fc.integer({ min: 0, max: 2 })
const happenings = fc.array(
  fc.record({
    after: fc.integer({ min: 0, max: 120 }),
    it: fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          what: fc.constant('replay' as const),
          server,
          records: fc.integer({ min: 1, max: 4 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          what: fc.constant('grow' as const),
          bytes: fc.integer({ min: 1, max: 9000 }),
        }),
      },
      fc.record({
        what: fc.constant('promote' as const),
        server,
        old: fc.constantFrom('goes on' as const, 'dies' as const, 'follows' as const),
      }),
      fc.record({
        what: fc.constantFrom('silent' as const, 'down' as const, 'up' as const, 'cut' as const),
        server,
      }),
    ),
  }),
  { maxLength: 40 },
)

const program = fc.record({
  consistency: fc.constantFrom<Consistency>('session', 'session', 'session', 'eventual', 'strong'),
  staleWaitMillis: fc.constantFrom(0, 20, 100),
  flows: fc.array(fc.record({ isOwn: fc.boolean(), steps }), { minLength: 1, maxLength: 4 }),
  happenings,
  /** One engine for both replicas, as behind a load balancer. */
  isBalanced: fc.boolean(),
  /** The address of the primary leads the other process to the first primary, also when that was superseded. */
  isStuck: fc.boolean(),
})

type Program = typeof program extends fc.Arbitrary<infer Value> ? Value : never

interface Outcome {
  readonly reads: number
  readonly stale: readonly string[]
  readonly failures: readonly string[]
  readonly older: number
  readonly fromReplicas: number
}

async function run({
  consistency,
  staleWaitMillis,
  flows,
  happenings,
  isBalanced,
  isStuck,
}: Program): Promise<Outcome> {
  const clock = new OwnClock()
  const cluster = new SimulatedCluster(clock, 2)
  let writes = 0
  const stale: string[] = []
  const failures: string[] = []
  const engines: Engine[] = []
  let reads = 0
  let fromReplicas = 0
  let older = 0
  let latestWritten = 1

  const engine = (serverOf: (attempt: number) => SimulatedServer | undefined): Engine => {
    const options: EngineOptions = {
      url: 'postgres://me@db/songs',
      hostTimeoutMillis: 200,
      poolSize: 3,
      poolTimeoutMillis: 2_000,
      prePingTimeoutMillis: 100,
      poolPrePing: true,
    }
    const made = new Engine({
      options: resolveEngineOptions(options),
      driver: cluster.driver(serverOf),
      clock,
    })
    engines.push(made)
    return made
  }
  const service = (primary: () => SimulatedServer): SessionFactory => {
    const write = engine(() => (primary().state === 'up' ? primary() : undefined))
    const read = isBalanced
      ? [engine((attempt) => cluster.server(1 + (attempt % 2)))]
      : [engine(() => cluster.server(1)), engine(() => cluster.server(2))]
    return createSessionFactory({ bind: { write, read }, consistency, staleWaitMillis, detectSharing: false })
  }
  // As a list of hosts: the primary that answers, the latest one.
  const latest = (): SimulatedServer => cluster.latest
  const elsewhere = service(isStuck ? () => cluster.server(0) : latest)
  const here = service(latest)

  const write = async (factory: SessionFactory, written: Set<Entry>, size: number): Promise<void> => {
    const n = ++writes * 10 + size
    let stored: Entry | undefined
    let at: SimulatedServer | undefined
    ENTRY_OF.set(n, (entry) => {
      stored = entry
      at = cluster.servers.find(({ log }) => log.includes(entry))
    })
    try {
      await factory.withSession((session) => session.execute('update notes set n = $1', [n]), {
        retry: { attempts: 3 },
      })
      if (stored !== undefined) written.add(stored)
      // A new transaction that began after the later primary was written to.
      if (at !== undefined) {
        if (at.timeline < latestWritten && at !== cluster.latest) older += 1
        latestWritten = Math.max(latestWritten, at.timeline)
      }
    } catch (error) {
      failures.push(error instanceof LifeguardError ? error.code : String(error))
    } finally {
      ENTRY_OF.delete(n)
    }
  }

  const read = async (
    factory: SessionFactory,
    written: ReadonlySet<Entry>,
    repeatable: boolean,
    after?: string,
  ): Promise<void> => {
    const before = [...written]
    reads += 1
    try {
      const row = await factory.withSession(
        async (session) =>
          (await session.execute<{ seen: string; server: string }>('select seen, server from notes')).one(),
        { readOnly: true, after, ...(repeatable && { isolationLevel: 'REPEATABLE READ' }) },
      )
      const seen = new Set(JSON.parse(row.seen) as number[])
      if (row.server !== cluster.latest.name) fromReplicas += 1
      if (consistency !== 'session') return
      // A token alone proves no later timeline, because it can be forged: the primary that the process knows is read.
      if (factory === elsewhere && isStuck && row.server === cluster.server(0).name) return
      // What no later primary has is lost.
      const missing = before.filter((entry) => !seen.has(entry.id) && cluster.latest.log.includes(entry))
      if (missing.length > 0) stale.push(`${row.server} misses ${missing.map(({ id }) => id).join()}`)
    } catch (error) {
      failures.push(error instanceof LifeguardError ? error.code : String(error))
    }
  }

  const runSteps = async (steps: readonly Step[]): Promise<void> => {
    const written = new Set<Entry>()
    for (const step of steps) {
      if (step.do === 'write') await write(here, written, step.size)
      else if (step.do === 'read') await read(here, written, step.repeatable)
      else if (step.do === 'wait') await clock.after(step.millis)
      else if (step.do === 'both') {
        const later = async (): Promise<void> => {
          await clock.after(3)
          await write(here, written, step.size)
        }
        await Promise.all([later(), read(here, written, false)])
      } else {
        const token = step.forged ? forgedToken(writes) : here.causalityToken()
        const known = step.forged ? new Set<Entry>() : written
        const factory = step.isOtherProcess ? elsewhere : here
        await factory.causalFlow(() => read(factory, known, false, token))
      }
    }
  }

  const work = Promise.all(
    flows.map(({ isOwn, steps }) => (isOwn ? here.causalFlow(() => runSteps(steps)) : runSteps(steps))),
  )
  const history = (async () => {
    for (const { after, it } of happenings) {
      await clock.after(after)
      if (it.what === 'replay') cluster.replay(cluster.server(it.server), it.records)
      else if (it.what === 'grow') cluster.grow(cluster.latest, it.bytes)
      else if (it.what === 'promote') cluster.promote(cluster.server(it.server), it.old)
      else if (it.what === 'cut') cluster.server(it.server).lose()
      else {
        cluster.server(it.server).state = it.what
        if (it.what === 'down') cluster.server(it.server).lose()
      }
    }
    // In the end everything answers, or a silent primary would be waited for.
    for (const one of cluster.servers) one.state = 'up'
  })()
  await clock.runUntilDone(Promise.all([work, history]), LIMIT_MILLIS)
  const ends = Promise.all(engines.map((one) => one.dispose({ timeoutMillis: 0 })))
  await clock.runUntilDone(ends, LIMIT_MILLIS)
  return { reads, stale, failures, older, fromReplicas }
}

const encode = (text: string): string => Buffer.from(text, 'latin1').toString('base64url')

function forgedToken(seed: number): string {
  const texts = [
    '1.7.1.1',
    '1.7000000000000000001.1.zzzzzzzzzzzzz',
    '',
    '1.x',
    '1.7000000000000000001.99.zzzzzzzzzzzz',
  ]
  return encode(texts[seed % texts.length] ?? '')
}

test(
  'never a stale read, never a call that does not end, never an error but of a lost primary',
  async () => {
    let reads = 0
    let fromReplicas = 0
    await fc.assert(
      fc.asyncProperty(program, async (given) => {
        const outcome = await run(given)
        expect(outcome.stale).toEqual([])
        expect(outcome.older).toBe(0)
        const known = [
          'CONNECTION_LOST',
          'CONNECT_FAILED',
          'COMMIT_OUTCOME_UNKNOWN',
          'POOL_TIMEOUT',
          'READ_ONLY',
        ]
        expect(outcome.failures.filter((code) => !known.includes(code))).toEqual([])
        const isDisturbed = given.happenings.some(({ it }) => it.what !== 'replay' && it.what !== 'grow')
        if (!isDisturbed) expect(outcome.failures).toEqual([])
        reads += outcome.reads
        fromReplicas += outcome.fromReplicas
      }),
      { numRuns: byLength(60, 3_000) },
    )
    // The test would say nothing if the primary had read everything.
    expect(fromReplicas).toBeGreaterThan(reads / 10)
  },
  byLength(600_000, 1_800_000),
)
