/**
 * Sessions with objects that refer to each other in every way, in random programs, against a model: instances are compared
 * after each flush, the database after each commit. `FC_RUNS` sets the number of programs (by default as many as some
 * seconds allow); a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSessionFactory } from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { LONGEST_MILLIS, storedRows, tryPrograms, usePropertyDatabase } from './entities-fixture.js'
import { Run, type ActionKind, type Observer, type Step } from './entities-run.js'
import { Base, KINDS, SHAPES, type Kind } from './entities-schema.js'

const DEFAULT_RUNS = 2000
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = byLength(2_500, 9_000)

const fixture = usePropertyDatabase(Base, 1)

const observer: Observer = {
  rows: (kind: Kind) => storedRows(fixture, SHAPES[kind].entity),
  async links() {
    const text = 'select person_id, tag_name from people_tags'
    return (await fixture.admin.query<unknown[]>({ text, rowMode: 'array' })).rows
  },
}

// Programs -----------------------------------------------------------------------------------------------------------

const WEIGHTS: Readonly<Record<ActionKind, number>> = {
  add: 20,
  'add again': 4,
  change: 8,
  'change in place': 8,
  'change unique': 12,
  'change key': 6,
  refer: 20,
  collect: 30,
  delete: 8,
  flush: 6,
  query: 4,
  refresh: 2,
  expire: 2,
  break: 1,
  commit: 4,
  'break commit': 1,
  rollback: 2,
  'new session': 2,
}
const OUTSIDE: readonly ActionKind[] = ['commit', 'break commit', 'rollback', 'new session']

const number = fc.integer({ min: 0, max: 20 })

function action(kinds: readonly ActionKind[]): fc.Arbitrary<Step> {
  const kind = fc.oneof(...kinds.map((name) => ({ weight: WEIGHTS[name], arbitrary: fc.constant(name) })))
  return fc.record({ kind, a: number, b: number, c: number, flag: fc.boolean() })
}

const actions = Object.keys(WEIGHTS) as ActionKind[]
const inside = action(actions.filter((kind) => !OUTSIDE.includes(kind)))
const { nested } = fc.letrec<{ nested: Step }>((tie) => ({
  nested: fc.record({
    kind: fc.constant('nested' as const),
    steps: fc.array(
      fc.oneof(
        { maxDepth: 2, depthSize: 'small' },
        { weight: 8, arbitrary: inside },
        { weight: 1, arbitrary: tie('nested') },
      ),
      { maxLength: 8 },
    ),
    throws: fc.boolean(),
  }),
}))
const program = fc
  .tuple(
    fc.array(action(['add']), { minLength: 2, maxLength: 12, size: 'max' }),
    fc.array(fc.oneof({ weight: 12, arbitrary: action(actions) }, { weight: 1, arbitrary: nested }), {
      maxLength: 40,
      size: 'max',
    }),
  )
  .map(([first, rest]): readonly Step[] => [...first, ...rest])

async function check(steps: readonly Step[], expireOnCommit = false): Promise<void> {
  await fixture.admin.query(
    `truncate ${['people_tags', ...KINDS.map((kind) => SHAPES[kind].table)].join(', ')}`,
  )
  const run = new Run(createSessionFactory({ bind: fixture.engine, expireOnCommit }), observer)
  try {
    await run.program(steps)
  } finally {
    await run.close()
  }
  expect(fixture.engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
}

// Tests --------------------------------------------------------------------------------------------------------------

test(
  'objects and rows are what a program has made of them, whatever it did',
  { timeout: LONGEST_MILLIS },
  () =>
    tryPrograms({ program, settings: fc.boolean() }, { runs: DEFAULT_RUNS, millis: DEFAULT_MILLIS }, check),
)

/** A step; what it chooses from is written behind it. */
function step(kind: ActionKind, a = 0, b = 0, c = 0, flag = false): Step {
  return { kind, a, b, c, flag }
}

const [person, team, place, visit] = ['person', 'team', 'place', 'visit'].map((kind) =>
  KINDS.indexOf(kind as Kind),
) as [number, number, number, number]

// Programs that have failed once.
test.each<[string, readonly Step[], boolean?]>([
  [
    'a new object whose foreign key was set before a rollback is added again with another relation',
    [
      step('add', person),
      step('add', person),
      step('expire'),
      step('refer', 0, 0, 0, true),
      step('break'),
      { kind: 'nested', steps: [step('add again')], throws: false },
    ],
  ],
  [
    'a collection that is loaded knows what was not flushed yet',
    [
      step('add', person),
      step('add', person, 0, 1),
      step('flush'),
      step('refer', 1),
      step('collect', 0, 0, 1),
    ],
  ],
  [
    'a relation that is assigned to an expired object is written once',
    [
      step('add', person),
      { kind: 'nested', steps: [step('change in place', 0, 1)], throws: true },
      step('refer'),
    ],
  ],
  [
    'a relation that was not loaded and is set to null is a change, and undone by a rollback',
    [step('add', place), step('add', visit, 0, 0, true), step('commit'), step('delete'), step('rollback')],
    true,
  ],
  [
    'a relation that is set to null where it is null is forgotten with its savepoint',
    [
      step('add', person),
      {
        kind: 'nested',
        steps: [
          { kind: 'nested', steps: [step('refer', 0, 0, 9)], throws: true },
          step('refer', 0, 0, 0, true),
        ],
        throws: false,
      },
    ],
  ],
  [
    'one change both lets go of a row that is deleted and takes its unique key',
    [
      step('add', person),
      step('add', person, 0, 1),
      step('flush'),
      step('collect', 0, 0, 7),
      step('flush'),
      step('delete'),
      step('change unique', 0, 4),
    ],
  ],
  [
    'a collection that was emptied without being loaded lets go of what it held, also if its owner is deleted',
    [
      step('add', team),
      step('add', person, 0, 0, true),
      step('flush'),
      step('collect', 0, 0, 0, true),
      step('delete'),
    ],
  ],
  [
    'a foreign key that was changed is not let go of by the collection that its row is still in',
    [
      step('add', place),
      step('add', place, 0, 1),
      step('add', visit, 0, 0, true),
      step('commit'),
      step('refer', 0, 0, 1, true),
      step('collect', 0, 0, 0),
    ],
    true,
  ],
  [
    'a new object whose required foreign key was set before a rollback is added again with another relation',
    [
      step('add', 5),
      step('add', 19),
      step('add'),
      step('add', 5),
      step('add', 0, 0, 1),
      step('add', 0, 0, 1),
      step('collect', 10),
      step('delete', 16),
      step('refer', 1, 0, 4, true),
      step('rollback'),
      {
        kind: 'nested',
        steps: [
          { kind: 'nested', steps: [step('add')], throws: true },
          { kind: 'nested', steps: [step('add', 5), step('add again', 11)], throws: false },
        ],
        throws: false,
      },
    ],
  ],
])('%s', (_what, steps, expireOnCommit) => check(steps, expireOnCommit))
