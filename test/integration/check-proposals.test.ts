/** The statements that `check` proposes: run from top to bottom in one transaction they bring the database to the entities. */
import { expect, test } from 'vitest'
import { checkEntities, type Difference } from '../../src/integrations/introspect.js'
import { sampled } from '../helpers/length.js'
import { LIVE, LOSSY, reset, ROWS, SCHEMA, uncommented } from './check-drifts.js'
import { GeneratedEntities, type LoadedEntities } from './introspect-support.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase(SCHEMA, ROWS)

let loaded: LoadedEntities | undefined
async function entities(): Promise<LoadedEntities> {
  if (loaded !== undefined) return loaded
  const generated = await GeneratedEntities.from(fixture.engine(), 'proposals', {
    schemas: ['public', 'other'],
  })
  return (loaded = await generated.load())
}

test('what was read agrees', async () => {
  const { Base } = await entities()
  expect((await checkEntities(fixture.engine(), Base)).differences).toEqual([])
})

/** Makes the change, and runs what is proposed, in one transaction. @returns What differs then. */
async function undone(change: string, edit: (script: string) => string): Promise<readonly Difference[]> {
  const { Base } = await entities()
  await reset(fixture.db)
  await fixture.db.query(change)
  const engine = fixture.engine()
  const { sql: script, agrees } = await checkEntities(engine, Base)
  expect(agrees).toBe(false)
  await engine.begin((connection) => connection.executeScript(edit(script)))
  return (await checkEntities(engine, Base)).differences
}

test.each(sampled(LIVE, 0))('%s: undone in one transaction', async (change) => {
  const left = await undone(change, (script) => script)
  // What only the database has stays.
  expect(left.filter(({ kind }) => kind !== 'extra')).toEqual([])
})

test.each(sampled(LOSSY, 0))('%s: undone with what is a comment', async (change) => {
  let script = ''
  const left = await undone(change, (text) => (script = uncommented(text)))
  expect(left, script).toEqual([])
})

test('as it is proposed, the script is harmless: what would be lost stays', async () => {
  for (const change of sampled(LOSSY, 1)) {
    const left = await undone(change, (script) => script)
    expect(left.length, change).toBeGreaterThan(0)
  }
})

test.each([
  [
    'alter table used drop column long, alter word type text, add column long int generated always as (length(word)) stored',
    'default value for column long',
  ],
  [
    'alter table used alter seen type bigint; create view sight as select seen from used',
    'view public.sight',
  ],
  [
    'alter table used alter seen type text, alter seen set default 5::text; create policy p on used using (seen is null)',
    'policy p',
  ],
])('%s: what PostgreSQL refuses is a comment', async (change, user) => {
  let proposed = ''
  const left = await undone(change, (script) => (proposed = script))
  expect(left.length).toBeGreaterThan(0)
  expect(proposed).toContain(user)
  expect(proposed).toMatch(/^-- alter table "public"."used" alter column "(word|seen)".* type /m)
})

test('a label is used in a later transaction than that which adds it', async () => {
  const { Base } = await entities()
  await reset(fixture.db)
  await fixture.db.query(`drop table child, thing; drop type mood; create type mood as enum ('sad', 'happy')`)
  const engine = fixture.engine()
  for (const round of [1, 2]) {
    const { sql: script } = await checkEntities(engine, Base)
    if (round === 1) expect(script).toContain(`-- (in a transaction after the one that adds the label 'ok')`)
    await engine.begin((connection) => connection.executeScript(script))
  }
  expect((await checkEntities(engine, Base)).differences).toEqual([])
})

test('a label that has another name: the type is created anew, then the default', async () => {
  const { Base } = await entities()
  await reset(fixture.db)
  await fixture.db.query(`alter type mood rename value 'ok' to 'fine'`)
  const engine = fixture.engine()
  for (let round = 0; round < 2; round++) {
    const { sql: script } = await checkEntities(engine, Base)
    await engine.begin((connection) => connection.executeScript(uncommented(script)))
  }
  expect((await checkEntities(engine, Base)).differences).toEqual([])
})
