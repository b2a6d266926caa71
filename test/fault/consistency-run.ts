/** A consistency run: workers that call, the nemesis between them, and what is stored in the end. */
import {
  createEngine,
  createSessionFactory,
  type DisposeOptions,
  type Engine,
  type SessionFactory,
} from '../../src/index.js'
import { startServer } from '../helpers/local-server.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { Call } from './consistency-call.js'
import { History, violationsOf, type Operation, type Violation } from './consistency-history.js'
import { Nemesis } from './consistency-nemesis.js'
import { READS } from './consistency-reads.js'
import { createTables, readStored } from './consistency-tables.js'
import { WRITES } from './consistency-writes.js'
import { Random } from './support-random.js'

const WORKERS = 20
const APPLICATION = 'consistency'
/** Calls between two faults, and how many of them a fault lasts. */
const PERIOD = 70
const LASTING = 20
/** A fault that keeps all calls from ending lasts so long. */
const LASTING_MILLIS = 150
/** No call may take longer, whatever happened. */
const HANG_MILLIS = 60_000

const WORK = [...WRITES, ...READS].map(([weight, work]) => [weight, { kind: work.name, work }] as const)

/** How long, and which choices. */
export interface RunOptions {
  readonly seed: number
  readonly operations: number
}

/** What came of it. */
export interface RunReport {
  readonly history: History
  readonly violations: readonly Violation[]
  readonly figures: Readonly<Record<string, unknown>>
}

export async function runConsistency(
  options: RunOptions,
  watch: (engine: Engine) => Engine,
): Promise<RunReport> {
  // What was committed has to survive the crash of a process, so COMMIT waits for the log.
  const settings = {
    max_connections: 40,
    synchronous_commit: 'on',
    deadlock_timeout: '50ms',
    lock_timeout: '5s',
  }
  await using server = await startServer({ settings })
  using proxy = await startProxy(server.url)
  await using run = new Run(options, proxy.url, watch)
  await createTables(run.engine)
  const { history } = run
  const nemesis = new Nemesis(
    {
      server,
      proxy,
      history,
      application: APPLICATION,
      running: run.running,
      engine: () => run.engine,
      replaceEngine: (disposing) => run.replaceEngine(disposing),
    },
    new Random(options.seed),
  )
  const startedAt = performance.now()
  const workers = Array.from({ length: WORKERS }, () => run.work())
  let faults = 0
  for (let next = PERIOD; next < options.operations; next += PERIOD) {
    await run.ended(next)
    await nemesis.strike()
    faults++
    await run.ended(run.done + LASTING, LASTING_MILLIS)
    await nemesis.heal()
  }
  await nemesis.end()
  await run.ended(options.operations)
  await Promise.all(workers)
  await run.stop()
  // A backend whose client is gone ends by itself.
  const others = 'select 1 from pg_stat_activity where application_name = $1'
  await waitUntil(async () => (await server.query(others, [APPLICATION])).length === 0, {
    deadlineMillis: HANG_MILLIS,
    message: 'the backends to end',
  })
  const stored = await readStored(server.url, run.notified)
  return {
    history,
    violations: violationsOf(history, stored),
    figures: {
      ...options,
      faults,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      told: count([...history.operations.values()].map(({ told }) => String(told))),
      attempts: [...history.operations.values()].reduce((sum, { attempts }) => sum + attempts, 0),
      notified: run.notified.flat().length,
    },
  }
}

/** How often each value occurs. */
function count(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1
  return counts
}

/** The callers, and the engine that they use at the moment. */
class Run implements AsyncDisposable {
  readonly history = new History()
  readonly running = new Set<Operation>()
  readonly notified: number[][] = []
  engine: Engine
  done = 0
  readonly #options: RunOptions
  readonly #url: string
  readonly #watch: (engine: Engine) => Engine
  readonly #listeners: Promise<void>[] = []
  #sessions: SessionFactory
  #begun = 0
  #progress: () => void = () => undefined

  constructor(options: RunOptions, url: string, watch: (engine: Engine) => Engine) {
    this.#options = options
    this.#url = url
    this.#watch = watch
    this.engine = this.#createEngine()
    this.#sessions = createSessionFactory({ bind: this.engine })
  }

  /** One caller: one call after the other, until there were enough. */
  async work(): Promise<void> {
    while (this.#begun < this.#options.operations) {
      const number = ++this.#begun
      // Its choices depend on its number only, not on the order in which calls begin.
      const random = new Random(this.#options.seed + number)
      const { kind, work } = random.weighted(WORK)
      const operation = this.history.begin(number, kind)
      this.running.add(operation)
      await new Call(operation, random, this.engine, this.#sessions, this.notified.length - 1).run(work)
      this.running.delete(operation)
      this.done++
      this.#progress()
    }
  }

  /** Resolves when so many calls have ended, or when this time is over; fails if nothing ends any more. */
  async ended(goal: number, millis = Infinity): Promise<void> {
    const until = performance.now() + millis
    while (this.done < goal && this.#begun - this.running.size < this.#options.operations) {
      const left = Math.min(until - performance.now(), HANG_MILLIS)
      if (left <= 0) return
      const before = this.done
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#progress = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      if (left === HANG_MILLIS && this.done === before) throw new Error(this.#hang())
    }
  }

  async replaceEngine(disposing: DisposeOptions): Promise<void> {
    const old = this.engine
    this.engine = this.#createEngine()
    this.#sessions = createSessionFactory({ bind: this.engine })
    await old.dispose(disposing)
  }

  async stop(): Promise<void> {
    await this.engine.dispose({ timeoutMillis: 1000 })
    await Promise.all(this.#listeners)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #createEngine(): Engine {
    const engine = this.#watch(
      createEngine({
        url: this.#url,
        poolSize: 6,
        maxOverflow: 3,
        // Its housekeeper comes ten times a second.
        keepAliveMillis: 200,
        prePingSkipMillis: 20,
        prePingTimeoutMillis: 250,
        captureStacks: false,
        // With nine connections and twenty workers, reads in autocommit mode share connections all the time.
        pipelining: true,
        connectArgs: { serverSettings: { application_name: APPLICATION } },
      }),
    )
    this.#listeners.push(this.#listen(engine))
    return engine
  }

  /** A new list of tokens whenever the channel is listened to anew. Two engines may listen at a time. */
  async #listen(engine: Engine): Promise<void> {
    let inbox: number[] = []
    const onConnect = (): void => void this.notified.push((inbox = []))
    for await (const { payload } of engine.listen('told', { onConnect })) inbox.push(Number(payload))
  }

  #hang(): string {
    const stories = [...this.running].map((operation) => this.history.story(operation))
    return `No call has ended for ${String(HANG_MILLIS)} ms. ${this.engine.status()}\n${stories.join('\n')}`
  }
}
