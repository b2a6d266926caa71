/**
 * Many sessions in autocommit mode that share one to four connections (`pipelining`), in random programs: each statement has the
 * outcome that it has alone, in the order of its session, and no session sees a setting of another. `FC_RUNS` sets the number of
 * programs; a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine } from '../../src/engine/engine.js'
import { AbortedError, CommitOutcomeUnknownError, ConnectionLostError } from '../../src/errors.js'
import { isRetryable } from '../../src/index.js'
import { createSessionFactory } from '../../src/session/session-factory.js'
import type { Session } from '../../src/session/session.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { waitUntil } from '../helpers/wait-until.js'
import { byLength } from '../helpers/length.js'

const DEFAULT_RUNS = 1_000
const DEFAULT_MILLIS = byLength(2_000, 20_000)
const LONGEST_MILLIS = 3_600_000

/** One statement of a session. */
interface Step {
  readonly kind: 'echo' | 'count' | 'setting' | 'write' | 'fail' | 'slow' | 'block' | 'rows'
  /** Turns of the event loop before it. */
  readonly turns: number
  /** Turns until its signal is aborted. */
  readonly abortTurns: number | undefined
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    'echo',
    'echo',
    'echo',
    'count',
    'count',
    'setting',
    'write',
    'fail',
    'slow',
    'block',
    'rows',
  ),
  turns: fc.nat(2),
  abortTurns: fc.option(fc.nat(6), { nil: undefined, freq: 8 }),
})
const program = fc.record({
  sessions: fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 16 }),
  connections: fc.constantFrom(1, 1, 2, 4),
  /** Turns until a backend or all are killed or cancelled. */
  strike: fc.option(
    fc.record({
      turns: fc.nat(12),
      how: fc.constantFrom('pg_terminate_backend', 'pg_cancel_backend'),
      most: fc.constantFrom(1, 9),
    }),
    { nil: undefined, freq: 4 },
  ),
})

let db: TestDatabase
beforeAll(async () => {
  db = await database()
  await db.query('create table rows (session int not null, n int not null)')
})
afterAll(() => db.drop())

test(
  'each statement has its own outcome, in the order of its session',
  { timeout: LONGEST_MILLIS },
  async () => {
    let shared = 0
    // Not interruptAfterTimeLimit: the program that is interrupted would go on behind the end of the test.
    const given = Number(process.env['FC_RUNS'] ?? 0)
    const end = given > 0 ? Infinity : performance.now() + DEFAULT_MILLIS
    await fc.assert(
      fc.asyncProperty(program, async ({ sessions, connections, strike }) => {
        if (performance.now() > end) return
        await db.query('truncate rows')
        const engine = createEngine({ url: db.url, poolSize: connections, maxOverflow: 0, pipelining: true })
        engine.on('acquire', () => shared++)
        try {
          const runs = sessions.map((steps, at) => new Run(at, steps, strike !== undefined))
          const factory = createSessionFactory({ bind: engine, autocommit: true })
          const striking = strike === undefined ? undefined : hit(strike)
          await Promise.all(runs.map((run) => factory.withSession((session) => run.work(session))))
          await striking
          for (const run of runs) {
            const [row] = await db.query<{ count: number }>(
              'select count(*)::int from rows where session = $1',
              [run.id],
            )
            run.check('rows in the end', row?.count)
            expect(run.complaints).toEqual([])
          }
          // A connection whose statement was aborted comes back when the server has answered the cancel request.
          await waitUntil(() => engine.stats().borrowed + engine.stats().waiting === 0)
        } finally {
          await engine.dispose({ timeoutMillis: 1_000 })
        }
      }),
      { numRuns: given > 0 ? given : DEFAULT_RUNS },
    )
    expect(shared).toBeGreaterThan(0)
  },
)

async function hit({ turns, how, most }: { turns: number; how: string; most: number }): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn()
  await db.query(
    `select ${how}(pid) from (select pid from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() order by query_start desc limit ${String(most)}) hit`,
  )
}

/** One session, and the model of it: how many rows it has stored for certain, and at most. */
class Run {
  readonly id: number
  readonly complaints: string[] = []
  readonly #steps: readonly Step[]
  readonly #isStruck: boolean
  #stored = 0
  #unknown = 0

  constructor(id: number, steps: readonly Step[], isStruck: boolean) {
    this.id = id
    this.#steps = steps
    this.#isStruck = isStruck
  }

  async work(session: Session): Promise<void> {
    for (const [at, { kind, turns, abortTurns }] of this.#steps.entries()) {
      for (let turn = 0; turn < turns; turn++) await nextTurn()
      const controller = new AbortController()
      if (abortTurns !== undefined) void abortAfter(controller, abortTurns)
      try {
        await this.#do(session, kind, at, controller.signal)
      } catch (error) {
        this.#judge(kind, error, abortTurns !== undefined)
      }
    }
  }

  async #do(session: Session, kind: Step['kind'], at: number, signal: AbortSignal): Promise<void> {
    const mark = this.id * 100 + at
    if (kind === 'echo')
      this.#see('its own number', await session.scalar('select $1::int', [mark], { signal }), mark)
    if (kind === 'slow') {
      this.#see(
        'a slow number',
        await session.scalar('select $1::int from pg_sleep(0.003)', [mark], { signal }),
        mark,
      )
    }
    if (kind === 'rows') {
      const rows = await session.scalars('select $1::int * 1000 + i from generate_series(0, 99) i', [mark], {
        signal,
      })
      this.#see('its own rows', rows.length === 100 && rows.every((row, i) => row === mark * 1000 + i), true)
    }
    if (kind === 'count') {
      const text = 'select count(*)::int from rows where session = $1'
      this.check('its own rows', await session.scalar<number>(text, [this.id], { signal }))
    }
    if (kind === 'setting') {
      const told = await session.scalar<string | null>("select current_setting('app.session', true)", {
        signal,
      })
      this.#see('no setting', told ?? '', '')
    }
    if (kind === 'write') {
      await session.execute('insert into rows values ($1, $2)', [this.id, at], { signal })
      this.#stored++
    }
    if (kind === 'fail') await session.execute('select 1 / $1::int', [0], { signal })
    if (kind === 'block') await this.#block(session, at)
  }

  /** A transaction with a setting of its own. */
  async #block(session: Session, at: number): Promise<void> {
    await session.begin(async () => {
      await session.execute("select set_config('app.session', $1, true)", [String(this.id)])
      await session.execute('insert into rows values ($1, $2)', [this.id, at])
      const told = await session.scalar("select current_setting('app.session', true)")
      this.#see('its own setting', told, String(this.id))
    })
    this.#stored++
  }

  #judge(kind: Step['kind'], error: unknown, isAborted: boolean): void {
    if (error instanceof CommitOutcomeUnknownError && (kind === 'write' || kind === 'block')) {
      this.#unknown++
      return
    }
    if (kind === 'fail' && (error as { sqlState?: string }).sqlState === '22012') return
    if (isAborted && error instanceof AbortedError) return
    const isHit =
      error instanceof ConnectionLostError || (error as { sqlState?: string }).sqlState === '57014'
    if (this.#isStruck && (isHit || isRetryable(error))) return
    this.complaints.push(`${kind}: ${String(error)}`)
  }

  check(what: string, count: number | null | undefined): void {
    const isRight =
      typeof count === 'number' && count >= this.#stored && count <= this.#stored + this.#unknown
    if (!isRight) this.complaints.push(`${what}: ${String(count)}, not ${this.#stored} (+${this.#unknown})`)
  }

  #see(what: string, told: unknown, expected: unknown): void {
    if (told !== expected) this.complaints.push(`${what}: ${String(told)}, not ${String(expected)}`)
  }
}

async function abortAfter(controller: AbortController, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await nextTurn()
  controller.abort()
}
