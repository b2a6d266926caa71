/**
 * Sessions with objects in programs that do not await: commit, rollback, flush, queries and nested blocks overlap in every
 * way. `FC_RUNS` sets the number of programs; a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSessionFactory, type Session } from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { LONGEST_MILLIS, storedRows, tryPrograms, usePropertyDatabase } from './entities-fixture.js'
import { OverlapRun, type ActionKind, type Pause, type Step, type Stored } from './entities-overlap-run.js'
import { Base, Person, Tag, Team } from './entities-schema.js'

const DEFAULT_RUNS = 1500
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = byLength(2_500, 9_000)
const DEADLINE_MILLIS = 60_000

const unhandled: unknown[] = []
const note = (error: unknown): void => void unhandled.push(error)

const fixture = usePropertyDatabase(Base, 2, async (admin) => {
  // What was ever committed.
  await admin.query('create table ever (mark text)')
  for (const [table, mark] of [
    ['people', 'email'],
    ['teams', 'id'],
    ['tags', 'name'],
  ]) {
    await admin.query(`create function note_${table}() returns trigger language plpgsql as $$
      begin insert into ever values (new.${mark}::text); return null; end $$`)
    await admin.query(
      `create trigger note after insert on ${table} for each row execute function note_${table}()`,
    )
  }
})
beforeAll(() => void process.on('unhandledRejection', note))
afterAll(() => void process.off('unhandledRejection', note))

async function stored(): Promise<Stored> {
  const links = await fixture.admin.query<[number, string]>({
    text: 'select person_id, tag_name from people_tags',
    rowMode: 'array',
  })
  const ever = await fixture.admin.query<{ mark: string }>('select mark from ever')
  return {
    people: await storedRows(fixture, Person),
    teams: await storedRows(fixture, Team),
    tags: await storedRows(fixture, Tag),
    links: links.rows,
    ever: new Set(ever.rows.map(({ mark }) => mark)),
  }
}

// Programs -----------------------------------------------------------------------------------------------------------

const WEIGHTS: Readonly<Record<ActionKind, number>> = {
  add: 20,
  'add again': 4,
  change: 12,
  refer: 8,
  collect: 4,
  delete: 6,
  flush: 6,
  query: 4,
  get: 4,
  refresh: 4,
  statement: 3,
  break: 1,
  commit: 8,
  rollback: 5,
}
const PAUSES: Readonly<Record<Pause, number>> = { none: 8, microtask: 3, turn: 3, this: 2 }

function oneOf<Name extends string>(weights: Readonly<Record<Name, number>>): fc.Arbitrary<Name> {
  return fc.oneof(
    ...Object.entries<number>(weights).map(([name, weight]) => ({
      weight,
      arbitrary: fc.constant(name as Name),
    })),
  )
}

const number = fc.integer({ min: 0, max: 11 })
const pause = oneOf(PAUSES)
const action = fc.record({ kind: oneOf(WEIGHTS), a: number, b: number, pause })
const { nested } = fc.letrec<{ nested: Step }>((tie) => ({
  nested: fc.record({
    kind: fc.constant('nested' as const),
    steps: fc.array(
      fc.oneof(
        { maxDepth: 2, depthSize: 'small' },
        { weight: 8, arbitrary: action },
        { weight: 1, arbitrary: tie('nested') },
      ),
      { maxLength: 6 },
    ),
    throws: fc.boolean(),
    pause,
  }),
}))
const program = fc.array(fc.oneof({ weight: 12, arbitrary: action }, { weight: 1, arbitrary: nested }), {
  minLength: 2,
  maxLength: 25,
  size: 'max',
})
const settings = fc.record({
  expireOnCommit: fc.boolean(),
  autoflush: fc.boolean(),
  autocommit: fc.boolean(),
  hooks: fc.constantFrom('none', 'none', 'tick', 'query'),
})
type Settings = typeof settings extends fc.Arbitrary<infer Value> ? Value : never

async function check(steps: readonly Step[], { hooks, ...options }: Settings): Promise<void> {
  await fixture.admin.query('truncate people_tags, people, teams, tags, ever')
  const factory = createSessionFactory({ bind: fixture.engine, ...options })
  if (hooks !== 'none') {
    for (const event of ['beforeFlush', 'afterFlush', 'beforeCommit'] as const) {
      factory.on(event, async (session: Session) => {
        if (hooks === 'query') await session.execute('select 2')
        else await new Promise((resolve) => setImmediate(resolve))
      })
    }
  }
  const run = new OverlapRun(factory)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), DEADLINE_MILLIS)
  })
  try {
    await Promise.race([run.program(steps), late])
    await run.compare(await stored())
  } finally {
    clearTimeout(timer)
    await run.close()
  }
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled.splice(0)).toEqual([])
  expect(fixture.engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
}

test(
  'what promises have said, what objects say and what is stored agree, whatever overlaps',
  { timeout: LONGEST_MILLIS },
  () => tryPrograms({ program, settings }, { runs: DEFAULT_RUNS, millis: DEFAULT_MILLIS }, check),
)

function step(kind: ActionKind, pause: Pause = 'none'): Step {
  return { kind, a: 0, b: 0, pause }
}

test('a commit that a nested block refuses (autocommit) stores nothing', () =>
  check(
    [
      step('add'),
      {
        kind: 'nested',
        steps: [step('query', 'turn'), step('delete', 'this'), step('commit', 'turn')],
        throws: false,
        pause: 'turn',
      },
      step('query'),
      step('query'),
    ],
    { expireOnCommit: false, autoflush: false, autocommit: true, hooks: 'none' },
  ))

test('objects that are deleted and rolled back while a flush (autocommit) waits in its hook', () =>
  check(
    [
      step('add', 'this'),
      step('flush', 'turn'),
      step('add', 'turn'),
      { kind: 'nested', steps: [], throws: false, pause: 'this' },
      step('change'),
      step('flush', 'microtask'),
      step('rollback', 'turn'),
      step('delete', 'turn'),
    ],
    { expireOnCommit: false, autoflush: false, autocommit: true, hooks: 'query' },
  ))

test('objects that are removed after they expired, and read again before the flush', () =>
  check(
    [
      step('add', 'microtask'),
      step('commit'),
      step('add', 'this'),
      { kind: 'add', a: 11, b: 0, pause: 'none' },
      { kind: 'nested', steps: [], throws: false, pause: 'none' },
      { kind: 'refer', a: 4, b: 11, pause: 'turn' },
      step('query'),
    ],
    { expireOnCommit: true, autoflush: false, autocommit: true, hooks: 'none' },
  ))
