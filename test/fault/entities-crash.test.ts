/**
 * The connection dies at every boundary between two messages while objects are flushed and committed. Whatever the caller is
 * told then must be true (see `crash-matrix.test.ts`), and if nothing is stored, the same objects can be stored by another
 * session, once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  belongsTo,
  CommitOutcomeUnknownError,
  createEngine,
  createSessionFactory,
  declarativeBase,
  eq,
  hasMany,
  integer,
  select,
  serial,
  text,
  version,
  type Engine,
  type EngineOptions,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { guardLeaks } from '../helpers/leak-guard.js'
import { sampled } from '../helpers/length.js'
import { startProxy } from '../helpers/proxy.js'
import { dieAt, lieOf, NAMED_PLACES, Observer } from './crash-support.js'

const Base = declarativeBase()

class Mark extends Base.entity('marks', {
  id: serial().primaryKey(),
  run: integer().notNull().index(),
  mark: text().notNull(),
  parentId: integer('parent_id').references('marks.id').index(),
  version: version(),
}) {
  static readonly relations = {
    parent: belongsTo(() => Mark, 'parentId'),
    children: hasMany(() => Mark, 'parentId'),
  }
}

const watch = guardLeaks()
let db: TestDatabase
let observer: Observer
/** Sessions that nothing happens to. */
let safe: Engine

beforeAll(async () => {
  db = await database()
  observer = await Observer.connect(db.url)
  safe = createEngine({ url: db.url, poolSize: 1 })
  await safe.begin((connection) => Base.metadata.createAll(connection))
})
afterAll(async () => {
  await safe.dispose()
  await observer.end()
  await db.drop()
})

/** Work on objects that can be begun once more, with the same objects. */
type Work = (session: Session) => Promise<void> | void

interface Scenario {
  readonly name: string
  readonly options?: EngineOptions
  /** The marks that are stored before, and if the work succeeds. */
  readonly before: readonly string[]
  readonly after: readonly string[]
  work(run: number): Work
}

/** New objects that refer to each other: PostgreSQL makes their keys. */
function family(run: number): Work {
  const parent: WithRelations<typeof Mark> = new Mark({ run, mark: 'a' })
  parent.children = [new Mark({ run, mark: 'b' }), new Mark({ run, mark: 'c' })]
  return (session) => session.add(parent)
}

/** Loads objects, changes one, deletes one, and adds one. */
function mixture(run: number): Work {
  const added = new Mark({ run, mark: 'b' })
  let loaded: Mark[] = []
  return async (session) => {
    for (const known of loaded) session.add(known)
    loaded = await session.scalars(select(Mark).where(eq(Mark.c.run, run)).orderBy(Mark.c.id))
    const [changed, deleted] = loaded as [Mark, Mark]
    changed.mark = 'a'
    session.delete(deleted)
    session.add(added)
  }
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'one new object',
    before: [],
    after: ['a'],
    work(run) {
      const mark = new Mark({ run, mark: 'a' })
      return (session) => session.add(mark)
    },
  },
  {
    name: 'one new object on an idle connection',
    options: { prePingSkipMillis: 0 },
    before: [],
    after: ['a'],
    work(run) {
      const mark = new Mark({ run, mark: 'a' })
      return (session) => session.add(mark)
    },
  },
  { name: 'a graph whose keys PostgreSQL makes', before: [], after: ['a', 'b', 'c'], work: family },
  {
    name: 'a graph in a savepoint',
    before: [],
    after: ['a', 'b', 'c'],
    work(run) {
      const add = family(run)
      return (session) => session.beginNested(() => add(session))
    },
  },
  {
    name: 'objects that are changed, deleted and added',
    before: ['old', 'older'],
    after: ['a', 'b'],
    work: mixture,
  },
]

let nextRun = 1

describe.each(SCENARIOS.map((scenario, row) => [scenario.name, scenario, row] as const))(
  '%s',
  (_name, scenario, row) => {
    test.each(sampled(NAMED_PLACES, row))('%s', async (_place, place) => {
      const { before, after, options } = scenario
      using proxy = await startProxy(db.url)
      const engine = watch(
        createEngine({ url: proxy.url, poolSize: 1, maxOverflow: 0, keepAliveMillis: -1, ...options }),
      )
      const sessions = createSessionFactory({ bind: engine })
      const lies: string[] = []
      let runs = 0
      for (let fired = true; fired;) {
        // Connects, if the last run ended the connection. The pool may not have noticed that yet: a read is safe to run again.
        await sessions.withSession((session) => session.execute('select'), { retry: { attempts: 3 } })
        const run = nextRun++
        for (const mark of before)
          await observer.rows('insert into marks (run, mark, version) values ($1, $2, 1)', [run, mark])
        const work = scenario.work(run)
        const ending = dieAt(proxy, observer, place, ++runs)
        const [outcome] = await Promise.allSettled([sessions.withSession(work)])
        fired = await ending(
          async () => engine.stats().borrowed === 0 && (await observer.transactionsOpen()) === 0,
        )
        const stored = await marksOf(run)
        const lie = lieOf(outcome, after, stored)
        if (lie !== undefined) lies.push(`message ${String(runs)}: ${lie}`)
        expect([[...before], [...after]], `after message ${String(runs)}`).toContainEqual(stored)
        if (!fired) expect(outcome.status, 'undisturbed').toBe('fulfilled')
        if (outcome.status === 'rejected' && !(outcome.reason instanceof CommitOutcomeUnknownError)) {
          await createSessionFactory({ bind: safe }).withSession(work)
          expect(await marksOf(run), `again, after message ${String(runs)}`).toEqual(after)
        }
      }
      expect(lies).toEqual([])
      expect(runs).toBeGreaterThan(3)
      await engine.dispose()
    })
  },
)

async function marksOf(run: number): Promise<string[]> {
  const rows = await observer.rows<{ mark: string }>('select mark from marks where run = $1 order by mark', [
    run,
  ])
  return rows.map(({ mark }) => mark)
}
