/**
 * Random schemas: names with blanks, quotes and words of JavaScript, types, keys, foreign keys to any table, indexes. Each is created, read, loaded and
 * checked; all of what was generated is compiled together in the end. `FC_RUNS` sets how many.
 */
import * as fc from 'fast-check'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEngine, type Engine } from '../../src/index.js'
import { checkEntities } from '../../src/integrations/introspect.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { byLength } from '../helpers/length.js'
import { compile, GeneratedEntities, loadAll } from '../integration/introspect-support.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(6, 25))

let db: TestDatabase
let engine: Engine
beforeAll(async () => {
  db = await database()
  engine = createEngine({ url: db.url, captureStacks: false, poolSize: 1 })
})
afterAll(async () => {
  await engine.dispose()
  await db.drop()
})

const ident = (name: string): string => `"${name.replaceAll('"', '""')}"`
const NAMES = [
  'id',
  'user',
  'users',
  'User',
  'user id',
  'user_id',
  'userId',
  'class',
  'constructor',
  '__proto__',
  'then',
  'order',
  'select',
  'a"b',
  "it's",
  '`x`',
  '${x}',
  '*/',
  '//',
  '\\',
  'ünï',
  '日本',
  '1st',
  'toString',
  'Date',
  'Base',
  'text',
  'sql',
  'default',
  'two\nlines',
  'people',
  'person',
  'status',
  'data',
  'x.y',
  '  ',
  '-',
]
const names = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
  {
    weight: 1,
    arbitrary: fc
      .string({ unit: 'binary', minLength: 1, maxLength: 8 })
      .map((name) => name.replaceAll('\0', ''))
      .filter((name) => name !== '' && name.isWellFormed()),
  },
)
const types = fc.constantFrom(
  'int',
  'bigint',
  'text',
  'varchar(5)',
  'numeric(8,2)',
  'timestamptz',
  'date',
  'jsonb',
  'uuid',
  'bool',
  'bytea',
  'int4range',
  'inet',
  'text[]',
  'int[][]',
  'money',
  'bit(3)',
  'point',
  'interval',
  'time(2)',
  'real',
  'char(4)',
  'pg_lsn',
  'tstzmultirange',
  'oid',
)
const column = fc.record({
  name: names,
  type: types,
  notNull: fc.boolean(),
  unique: fc.boolean(),
  comment: fc.option(names),
})
const table = fc.record({
  name: names,
  columns: fc.uniqueArray(column, { selector: ({ name }) => name, minLength: 1, maxLength: 6 }),
  key: fc.constantFrom('serial', 'identity', 'uuid', 'two', 'none'),
  references: fc.array(
    fc.record({
      to: fc.nat(),
      name: names,
      action: fc.constantFrom('cascade', 'set null', 'no action'),
      unique: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
  check: fc.boolean(),
  index: fc.boolean(),
})
const schemas = fc.uniqueArray(table, { selector: ({ name }) => name, minLength: 1, maxLength: 5 })
type Tables = typeof schemas extends fc.Arbitrary<infer Value> ? Value : never

const UNCOMPARABLE = ['point', 'jsonb[]']

/** The statements that create the tables in a schema. */
function script(schema: string, tables: Tables): string {
  const statements: string[] = [`create schema ${ident(schema)}`]
  const keys: { readonly name: string; readonly type: string }[] = []
  for (const [at, one] of tables.entries()) {
    const sql = `${ident(schema)}.${ident(one.name)}`
    const taken = new Set(one.columns.map(({ name }) => name))
    const free = (name: string): string => {
      let made = name
      while (taken.has(made)) made = `${made}_`
      taken.add(made)
      return made
    }
    const key = free('key')
    const second = free('second')
    keys.push({ name: key, type: one.key === 'uuid' ? 'uuid' : 'int' })
    const definitions = {
      serial: [`${ident(key)} serial primary key`],
      identity: [`${ident(key)} int generated always as identity primary key`],
      uuid: [`${ident(key)} uuid primary key default gen_random_uuid()`],
      two: [
        `${ident(key)} int not null unique`,
        `${ident(second)} text`,
        `primary key (${ident(second)}, ${ident(key)})`,
      ],
      none: [`${ident(key)} int not null unique`],
    }[one.key]
    const columns = one.columns.map(
      ({ name, type, notNull, unique }) =>
        `${ident(name)} ${type}${notNull ? ' not null' : ''}${unique && !UNCOMPARABLE.includes(type) ? ' unique' : ''}`,
    )
    const references = one.references.flatMap(({ to, name, action, unique }) => {
      const index = to % (at + 1)
      const target = keys[index]
      if (target === undefined) return []
      const where = `${ident(schema)}.${ident(tables[index]?.name ?? '')} (${ident(target.name)})`
      return [
        `${ident(free(name))} ${target.type}${unique ? ' unique' : ''} references ${where} on delete ${action}`,
      ]
    })
    const checks = one.check ? [`check (${ident(one.columns[0]?.name ?? '')} is not null or 1 = 1)`] : []
    statements.push(
      `create table ${sql} (${[...columns, ...definitions, ...references, ...checks].join(', ')})`,
    )
    if (one.index)
      statements.push(`create index on ${sql} ((${ident(key)}::text || 'x')) where ${ident(key)} is not null`)
    for (const { name, comment } of one.columns)
      if (comment !== null)
        statements.push(`comment on column ${sql}.${ident(name)} is '${comment.replaceAll("'", "''")}'`)
  }
  return statements.map((statement) => `${statement};\n`).join('')
}

test(
  'whatever a schema is like, its entities compile, load, and agree with it',
  { timeout: 600_000 },
  async () => {
    const files: string[] = []
    let count = 0
    await fc.assert(
      fc.asyncProperty(
        schemas,
        names.filter((name) => !/^pg_|^public$/.test(name)),
        async (tables, name) => {
          const schema = `${[...name].slice(0, 4).join('')}${++count}`
          await db.query(script(schema, tables))
          const options = { schemas: [schema] }
          const generated = await GeneratedEntities.from(engine, `random-${count}`, options)
          const again = await GeneratedEntities.from(engine, `random-${count}`, options)
          expect(again.text).toBe(generated.text)
          const loaded = await generated.load()
          expect(loaded.entities).toHaveLength(tables.length)
          expect(await loadAll(engine, loaded)).toEqual({ rows: 0, changed: [] })
          expect((await checkEntities(engine, loaded.Base, { extraTables: true })).differences).toEqual([])
          files.push(...generated.introspection.files.map(({ path }) => join(generated.folder, path)))
          await db.query(`drop schema ${ident(schema)} cascade`)
        },
      ),
      { numRuns: RUNS },
    )
    expect(compile(files)).toEqual([])
  },
)
