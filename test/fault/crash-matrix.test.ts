/**
 * The connection dies at every boundary between two messages, in both directions, in three ways. Whatever the caller is
 * told then must be true of what a second connection finds stored:
 *
 * - success: everything, exactly once;
 * - `CommitOutcomeUnknownError`: everything or nothing, and no retry is advised;
 * - any other error: nothing.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CommitOutcomeUnknownError,
  createEngine,
  createSessionFactory,
  isRetryable,
  type EngineOptions,
  type SessionFactory,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import type { CutStyle, Sender } from '../helpers/proxied-connection.js'
import { startProxy, type Proxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'

const watch = guardLeaks()
let db: TestDatabase
/** Looks at the database from outside. One for all, because there are thousands of looks. */
let observer: pg.Client

beforeAll(async () => {
  db = await database()
  observer = new pg.Client({ connectionString: db.url })
  await observer.connect()
  await db.query('create table marks (run int, mark text, once int unique deferrable initially deferred)')
  await db.query('create table taken (id int primary key)')
  await db.query('insert into taken values (1)')
})
afterAll(async () => {
  await observer.end()
  await db.drop()
})

/** What somebody was told, and the marks that are stored if it was good news. */
interface Told {
  readonly marks: readonly string[]
  readonly outcome: Promise<unknown>
}

interface Scenario {
  readonly name: string
  readonly options?: EngineOptions
  /** The work of one run; `mark` is the insert to do. */
  work(sessions: SessionFactory, mark: (name: string) => readonly [string, unknown[]]): Told[]
}

const UNPROVEN: EngineOptions = { prePingSkipMillis: 0 }

function twoInserts(sessions: SessionFactory, mark: Parameters<Scenario['work']>[1]): Told[] {
  const outcome = sessions.withSession(async (session) => {
    await session.execute(...mark('a'))
    await session.execute(...mark('b'))
  })
  return [{ marks: ['a', 'b'], outcome }]
}

function ridingCommit(sessions: SessionFactory, mark: Parameters<Scenario['work']>[1]): Told[] {
  return [{ marks: ['a'], outcome: sessions.withSession((session) => session.execute(...mark('a'))) }]
}

function pipelinedCommit(sessions: SessionFactory, mark: Parameters<Scenario['work']>[1]): Told[] {
  const session = sessions()
  const inserted = session.execute(...mark('a'))
  const committed = session.commit().finally(() => session.close())
  return [
    { marks: ['a'], outcome: committed },
    { marks: ['a'], outcome: Promise.all([inserted, committed]) },
  ]
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'two awaited inserts', work: twoInserts },
  { name: 'two awaited inserts on an idle connection', options: UNPROVEN, work: twoInserts },
  { name: 'an insert that COMMIT rides with', work: ridingCommit },
  { name: 'an insert that COMMIT rides with, on an idle connection', options: UNPROVEN, work: ridingCommit },
  { name: 'an insert and a commit in one tick', work: pipelinedCommit },
  {
    name: 'an insert and a commit in one tick, on an idle connection',
    options: UNPROVEN,
    work: pipelinedCommit,
  },
  {
    name: 'an insert in a savepoint, and one after it',
    work: (sessions, mark) => [
      {
        marks: ['a', 'b'],
        outcome: sessions.withSession(async (session) => {
          await session.beginNested(() => session.execute(...mark('a')))
          await session.execute(...mark('b'))
        }),
      },
    ],
  },
  {
    name: 'a transaction that is run again when that is safe',
    options: UNPROVEN,
    work: (sessions, mark) => [
      {
        marks: ['a', 'b'],
        outcome: sessions.withSession(
          async (session) => {
            await session.execute(...mark('a'))
            await session.execute(...mark('b'))
          },
          { retry: { attempts: 3, backoff: () => 0 } },
        ),
      },
    ],
  },
  {
    name: 'a commit that the server refuses',
    work: (sessions) => [
      {
        marks: ['never stored'],
        outcome: sessions.withSession(async (session) => {
          await session.execute('insert into marks (once) values (1), (1)')
        }),
      },
    ],
  },
  {
    name: 'an insert in autocommit',
    work: (sessions, mark) => [
      {
        marks: ['a'],
        outcome: sessions.withSession((session) => session.execute(...mark('a')), { autocommit: true }),
      },
    ],
  },
  {
    name: 'three inserts at once in autocommit, the first of which the server refuses',
    work: (sessions, mark) => {
      const session = sessions({ autocommit: true })
      const refused = session.execute('insert into taken values (1)')
      const first = session.execute(...mark('a'))
      const second = session.execute(...mark('b'))
      const closing = Promise.allSettled([refused, first, second]).then(() => session.close())
      return [
        { marks: ['never stored'], outcome: Promise.all([refused, closing]) },
        { marks: ['a'], outcome: first },
        { marks: ['b'], outcome: second },
      ]
    },
  },
  {
    name: 'an insert right behind a read-only transaction whose COMMIT nobody waits for',
    work: (sessions, mark) => {
      const first = sessions.withSession((session) => session.scalar('select 1').then((one) => one), {
        readOnly: true,
      })
      return [
        {
          marks: ['a'],
          outcome: first.then(() => sessions.withSession((session) => session.execute(...mark('a')))),
        },
      ]
    },
  },
  {
    name: 'an insert in autocommit right behind a read-only transaction whose COMMIT nobody waits for',
    work: (sessions, mark) => {
      const first = sessions.withSession((session) => session.scalar('select 1').then((one) => one), {
        readOnly: true,
      })
      const options = { autocommit: true }
      return [
        {
          marks: ['a'],
          outcome: first.then(() => sessions.withSession((s) => s.execute(...mark('a')), options)),
        },
      ]
    },
  },
  {
    name: 'a read-only transaction',
    work: (sessions) => [
      {
        marks: [],
        outcome: sessions
          .withSession(
            async (session) => {
              await session.execute('select 1')
              return session.scalar('select count(*)::int from taken')
            },
            { readOnly: true },
          )
          .then((count) => expect(count).toBe(1)),
      },
    ],
  },
]

const OTHERS = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'

type Death = CutStyle | 'terminate'

interface Place {
  readonly from: Sender
  readonly when: 'before' | 'after'
  readonly death: Death
}

const PLACES: readonly Place[] = (['client', 'server'] as const).flatMap((from) => [
  { from, when: 'before', death: 'reset' },
  { from, when: 'after', death: 'reset' },
  { from, when: 'before', death: 'end' },
  { from, when: 'before', death: 'terminate' },
])

const NAMED_PLACES = PLACES.map(
  (place) => [`${place.death} ${place.when} each message of the ${place.from}`, place] as const,
)
const NAMED_SCENARIOS = SCENARIOS.map((scenario) => [scenario.name, scenario] as const)

describe.each(NAMED_SCENARIOS)('%s', (_name, scenario) => {
  test.each(NAMED_PLACES)('%s', async (_place, place) => {
    using proxy = await startProxy(db.url)
    const engine = watch(
      createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0, keepAliveMillis: -1, ...scenario.options }),
    )
    const sessions = createSessionFactory({ bind: engine })
    const lies: string[] = []
    let runs = 0
    for (let fired = true; fired;) {
      // Connects, if the last run ended the connection.
      await sessions.withSession((session) => session.execute('select'))
      const run = nextRun++
      const ending = dieAt(proxy, place, ++runs)
      const told = scenario.work(sessions, (name) => [
        'insert into marks (run, mark) values ($1, $2)',
        [run, name],
      ])
      const outcomes = await Promise.allSettled(told.map(({ outcome }) => outcome))
      // A read-only transaction gives its value, and its connection, before it has ended.
      fired = await ending(async () => engine.stats().borrowed === 0 && (await transactionsOpen()) === 0)
      const stored = await marksOf(run)
      for (const [index, { marks }] of told.entries()) {
        const lie = lieOf(outcomes[index] as PromiseSettledResult<unknown>, marks, stored)
        if (lie !== undefined) lies.push(`message ${String(runs)}: ${lie}`)
      }
      if (!fired) {
        const expected = told.flatMap(({ marks }) => marks).filter((mark) => mark !== 'never stored')
        expect(new Set(stored), 'undisturbed').toEqual(new Set(expected))
      }
    }
    expect(lies).toEqual([])
    expect(runs).toBeGreaterThan(3)
    await engine.dispose()
  })
})

let nextRun = 1

/**
 * Kills the connection at the n-th message from now on. The function it returns tells whether it came to that, when the
 * backend is gone or the work is over.
 */
function dieAt(
  proxy: Proxy,
  { from, when, death }: Place,
  nth: number,
): (over: () => Promise<boolean>) => Promise<boolean> {
  let seen = 0
  let fired = false
  const message = (): boolean => (fired = ++seen === nth)
  const dead =
    death === 'terminate'
      ? proxy.holdAt({ from, when, message }).then(async (connection) => {
          await terminateBackends()
          connection.resume()
        })
      : proxy.cutAt({ from, when, message, style: death })
  return async (over) => {
    await waitUntil(async () => fired || (await over()))
    if (fired) await dead
    return fired
  }
}

/** Ends every other session of the database, and waits until they are gone. New ones may have come by then. */
async function terminateBackends(): Promise<void> {
  const ended = await observe<{ pid: number }>(`select pid, pg_terminate_backend(pid) ${OTHERS}`)
  const pids = ended.map(({ pid }) => pid)
  await waitUntil(async () => (await observe(`select ${OTHERS} and pid = any($1)`, [pids])).length === 0)
}

async function transactionsOpen(): Promise<number> {
  return (await observe(`select ${OTHERS} and state <> 'idle'`)).length
}

async function marksOf(run: number): Promise<string[]> {
  const rows = await observe<{ mark: string }>('select mark from marks where run = $1', [run])
  return rows.map(({ mark }) => mark)
}

async function observe<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
  return (await observer.query<Row>(text, values)).rows
}

/** What is untrue about the outcome, if anything. */
function lieOf(
  outcome: PromiseSettledResult<unknown>,
  marks: readonly string[],
  stored: readonly string[],
): string | undefined {
  const counts = marks.map((mark) => stored.filter((one) => one === mark).length)
  const found = `stored ${counts.join(' and ')} times`
  const all = counts.every((count) => count === 1)
  const none = counts.every((count) => count === 0)
  if (outcome.status === 'fulfilled') return all ? undefined : `success was told, ${found}`
  const { reason } = outcome as { reason: Error }
  if (reason instanceof CommitOutcomeUnknownError) {
    if (isRetryable(reason)) return 'a retry was advised for an unknown outcome'
    return all || none ? undefined : `half of it was stored: ${found}`
  }
  return none ? undefined : `${reason.name} (${reason.message}) was told, ${found}`
}
