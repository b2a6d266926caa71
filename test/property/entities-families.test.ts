/**
 * Children move between parents, and parents are deleted, in random programs, against a model: whom a child belongs to now,
 * pending changes included, decides what is deleted. `FC_RUNS` sets the number of programs (by default as many as some seconds
 * allow); a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSessionFactory } from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { FamiliesRun, type Rows, type Step, type StepKind } from './entities-families-run.js'
import { LONGEST_MILLIS, storedRows, tryPrograms, usePropertyDatabase } from './entities-fixture.js'
import { Base, ENTITIES } from './entities-families-schema.js'

const DEFAULT_RUNS = 1500
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = byLength(2_500, 8_000)

const fixture = usePropertyDatabase(Base, 1)

const rows: Rows = (kind) => storedRows(fixture, ENTITIES[kind])

const WEIGHTS: Readonly<Record<StepKind, number>> = {
  grow: 10,
  give: 30,
  assign: 6,
  change: 3,
  delete: 10,
  keep: 4,
  load: 5,
  query: 3,
  expire: 2,
  flush: 6,
  commit: 6,
  rollback: 2,
}
const number = fc.integer({ min: 0, max: 30 })
const kinds = Object.entries<number>(WEIGHTS).map(([kind, weight]) => ({
  weight,
  arbitrary: fc.constant(kind as StepKind),
}))
const program = fc.array(fc.record({ kind: fc.oneof(...kinds), a: number, b: number, c: number }), {
  maxLength: 30,
  size: 'max',
})

interface Settings {
  readonly autoflush: boolean
  readonly expireOnCommit: boolean
}

async function check(steps: readonly Step[], settings: Settings): Promise<void> {
  const tables = Base.metadata.tables.map(({ sql }) => sql)
  await fixture.admin.query(`truncate ${tables.join(', ')}`)
  const run = new FamiliesRun(createSessionFactory({ bind: fixture.engine, ...settings }), rows)
  try {
    await run.program(steps)
  } finally {
    await run.close()
  }
  expect(fixture.engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
}

const settings = fc.record({ autoflush: fc.constant(false), expireOnCommit: fc.boolean() })

test(
  'what is deleted is what belongs to what is deleted, whatever moved before',
  { timeout: LONGEST_MILLIS },
  () => tryPrograms({ program, settings }, { runs: DEFAULT_RUNS, millis: DEFAULT_MILLIS }, check),
)
