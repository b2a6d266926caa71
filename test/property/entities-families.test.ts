/**
 * Children move between parents, and parents are deleted, in random programs, against a model: whom a child belongs to now,
 * pending changes included, decides what is deleted. `FC_RUNS` sets the number of programs (by default as many as some seconds
 * allow); a failure prints its seed and path.
 */
import * as fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine, createSessionFactory, type Engine } from '../../src/index.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { FamiliesRun, type Rows, type Step, type StepKind } from './entities-families-run.js'
import { Base, ENTITIES } from './entities-families-schema.js'

const DEFAULT_RUNS = 1500
/** What the default runs may take; later ones are passed over. */
const DEFAULT_MILLIS = 8_000
const LONGEST_MILLIS = 3_600_000

let db: TestDatabase
let admin: pg.Client
let engine: Engine

beforeAll(async () => {
  db = await database()
  admin = new pg.Client({ connectionString: db.url })
  await admin.connect()
  engine = createEngine({ url: db.url, captureStacks: false, poolSize: 1 })
  await engine.begin((connection) => Base.metadata.createAll(connection))
})

afterAll(async () => {
  await engine.dispose()
  await admin.end()
  await db.drop()
})

const rows: Rows = async (kind) => {
  const { table } = metaOf(ENTITIES[kind])
  const found = await admin.query<(string | null)[]>({
    text: `select ${table.columns.map(({ sql }) => `${sql}::text`).join(', ')} from ${table.sql}`,
    rowMode: 'array',
  })
  return found.rows.map((row) =>
    Object.fromEntries(
      table.columns.map((column, index) => [column.property, column.decode(row[index] ?? null)]),
    ),
  )
}

const WEIGHTS: Readonly<Record<StepKind, number>> = {
  grow: 10,
  give: 30,
  change: 3,
  delete: 10,
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
  await admin.query(`truncate ${tables.join(', ')}`)
  const run = new FamiliesRun(createSessionFactory({ bind: engine, ...settings }), rows)
  try {
    await run.program(steps)
  } finally {
    await run.close()
  }
  expect(engine.stats()).toMatchObject({ borrowed: 0, waiting: 0 })
}

const RUNS = Number(process.env['FC_RUNS'] ?? DEFAULT_RUNS)

test(
  'what is deleted is what belongs to what is deleted, whatever moved before',
  { timeout: LONGEST_MILLIS },
  async () => {
    const until = process.env['FC_RUNS'] === undefined ? performance.now() + DEFAULT_MILLIS : Infinity
    let shrinking = false
    const settings = fc.record({ autoflush: fc.constant(false), expireOnCommit: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(program, settings, async (steps, chosen) => {
        if (!shrinking && performance.now() > until) return
        try {
          await check(steps, chosen)
        } catch (error) {
          shrinking = true
          throw error
        }
      }),
      { numRuns: RUNS },
    )
  },
)
