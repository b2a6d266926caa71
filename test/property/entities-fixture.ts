/** What the properties of the unit of work share: a database with the tables of a base, and how many programs are tried. */
import * as fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { createEngine, type AnyEntity, type DeclarativeBase, type Engine } from '../../src/index.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { database, type TestDatabase } from '../helpers/database.js'

/** A property has as long as its programs take. */
export const LONGEST_MILLIS = 3_600_000

export interface PropertyFixture {
  readonly db: TestDatabase
  readonly engine: Engine
  /** A connection beside the engine: it sees what is stored. */
  readonly admin: pg.Client
}

/** A database with the tables of a base, for one file. Call it at the top. @param prepare What else the database needs. */
export function usePropertyDatabase(
  base: DeclarativeBase,
  poolSize: number,
  prepare: (admin: pg.Client) => Promise<void> = async () => {},
): PropertyFixture {
  const fixture = {} as { db: TestDatabase; engine: Engine; admin: pg.Client }
  beforeAll(async () => {
    fixture.db = await database()
    fixture.admin = new pg.Client({ connectionString: fixture.db.url })
    await fixture.admin.connect()
    fixture.engine = createEngine({ url: fixture.db.url, captureStacks: false, poolSize })
    await fixture.engine.begin((connection) => base.metadata.createAll(connection))
    await prepare(fixture.admin)
  })
  afterAll(async () => {
    await fixture.engine.dispose()
    await fixture.admin.end()
    await fixture.db.drop()
  })
  return fixture
}

/** The stored rows of an entity, by property. */
export async function storedRows(
  { admin }: PropertyFixture,
  entity: AnyEntity,
): Promise<Record<string, unknown>[]> {
  const { table } = metaOf(entity)
  const { rows } = await admin.query<(string | null)[]>({
    text: `select ${table.columns.map(({ sql }) => `${sql}::text`).join(', ')} from ${table.sql}`,
    rowMode: 'array',
  })
  return rows.map((row) =>
    Object.fromEntries(
      table.columns.map((column, index) => [column.property, column.decode(row[index] ?? null)]),
    ),
  )
}

/**
 * Tries programs: as many as `FC_RUNS` says; by default as many as a time allows, but no more than `runs`. What fails is shrunk in any
 * case.
 */
export async function tryPrograms<Program, Settings>(
  { program, settings }: { program: fc.Arbitrary<Program>; settings: fc.Arbitrary<Settings> },
  { runs, millis }: { readonly runs: number; readonly millis: number },
  check: (program: Program, settings: Settings) => Promise<void>,
): Promise<void> {
  const given = process.env['FC_RUNS']
  const until = given === undefined ? performance.now() + millis : Infinity
  let shrinking = false
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
    { numRuns: given === undefined ? runs : Number(given) },
  )
}
