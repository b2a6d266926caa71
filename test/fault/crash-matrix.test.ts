/**
 * The connection dies at every boundary between two messages, in both directions, in three ways. Whatever the caller is
 * told then must be true of what a second connection finds stored:
 *
 * - success: everything, exactly once;
 * - `CommitOutcomeUnknownError`: everything or nothing, and no retry is advised;
 * - any other error: nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  type EngineOptions,
  type SessionFactory,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { sampled } from '../helpers/length.js'
import { startProxy } from '../helpers/proxy.js'
import { dieAt, lieOf, NAMED_PLACES, Observer, type Told } from './crash-support.js'

const watch = guardLeaks()
let db: TestDatabase
let observer: Observer

beforeAll(async () => {
  db = await database()
  observer = await Observer.connect(db.url)
  await db.query('create table marks (run int, mark text, once int unique deferrable initially deferred)')
  await db.query('create table taken (id int primary key)')
  await db.query('insert into taken values (1)')
})
afterAll(async () => {
  await observer.end()
  await db.drop()
})

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
    name: 'an insert right behind a read-only transaction whose COMMIT is not awaited',
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
    name: 'an insert in autocommit right behind a read-only transaction whose COMMIT is not awaited',
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

const NAMED_SCENARIOS = SCENARIOS.map((scenario, row) => [scenario.name, scenario, row] as const)

describe.each(NAMED_SCENARIOS)('%s', (_name, scenario, row) => {
  test.each(sampled(NAMED_PLACES, row))('%s', async (_place, place) => {
    using proxy = await startProxy(db.url)
    const engine = watch(
      createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0, keepAliveMillis: -1, ...scenario.options }),
    )
    const sessions = createSessionFactory({ bind: engine })
    const lies: string[] = []
    let runs = 0
    for (let fired = true; fired;) {
      // Connects, if the last run ended the connection. The pool may not have noticed that yet: a read is safe to run again.
      await sessions.withSession((session) => session.execute('select'), { retry: { attempts: 3 } })
      const run = nextRun++
      const ending = dieAt(proxy, observer, place, ++runs)
      const told = scenario.work(sessions, (name) => [
        'insert into marks (run, mark) values ($1, $2)',
        [run, name],
      ])
      const outcomes = await Promise.allSettled(told.map(({ outcome }) => outcome))
      // A read-only transaction gives its value, and its connection, before it has ended.
      fired = await ending(
        async () => engine.stats().borrowed === 0 && (await observer.transactionsOpen()) === 0,
      )
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

async function marksOf(run: number): Promise<string[]> {
  const rows = await observer.rows<{ mark: string }>('select mark from marks where run = $1', [run])
  return rows.map(({ mark }) => mark)
}
