/** What tables use from elsewhere: extensions in a schema of their own, and sequences that belong to a column which does not use them as serial. */
import { expect, test } from 'vitest'
import { checkEntities } from '../../src/integrations/introspect.js'
import { database } from '../helpers/database.js'
import { GeneratedEntities, loadAll, roundTrip, writeBack } from './introspect-support.js'
import { useDatabase } from './session-support.js'

const EXTENSIONS = `create schema extensions; create extension citext schema extensions; create extension hstore schema extensions;`
const SCHEMA = `
create schema shop;
create table shop.songs (
  title extensions.citext primary key, other_title extensions.citext, tags extensions.hstore not null default 'a=>1', more extensions.hstore[], titles extensions.citext[]);
create table shop.loose (id serial, n int); alter table shop.loose alter id drop not null;
create table shop.borrowed (id int primary key default nextval('shop.loose_id_seq'));
create sequence shop.given as smallint start 5; create table shop.owners (id serial primary key, n int); alter sequence shop.given owned by shop.owners.n;
create table shop.takers (id int primary key default nextval('shop.given'));
`
const ROWS = `
insert into shop.songs values ('Help!', 'x', default, array['b=>NULL, "c d"=>2'::extensions.hstore, null], '{a,NULL}');
insert into shop.loose (n) values (1), (2); insert into shop.borrowed default values; insert into shop.owners (n) values (1); insert into shop.takers default values;
`
const fixture = useDatabase(EXTENSIONS + SCHEMA, ROWS)
const OPTIONS = { schemas: ['shop'] }

test('they compile, load, are written back, agree, and are created again', { timeout: 600_000 }, async () => {
  const engine = fixture.engine()
  const generated = await GeneratedEntities.from(engine, 'elsewhere', OPTIONS)
  expect(generated.problems()).toEqual([])
  const loaded = await generated.load()
  expect(await loadAll(engine, loaded)).toEqual({ rows: 6, changed: [] })
  expect(await writeBack(engine, loaded)).toBe(4)
  expect((await checkEntities(engine, loaded.Base, { extraTables: true })).differences).toEqual([])
  for (const part of [
    "tags: hstore({ schema: 'extensions' }).notNull()",
    "otherTitle: citext('other_title', { schema: 'extensions' })",
    "id: integer().serverDefault(sql`nextval('shop.loose_id_seq'::regclass)`)",
    "'shop.given': sql`as smallint start with 5`,",
    "'shop.loose_id_seq': sql`as integer`,",
  ])
    expect(generated.text).toContain(part)
  // A sequence that a serial column makes is not named beside it.
  expect(generated.text).not.toContain('owners_id_seq')
  expect(generated.introspection.findings.filter(({ message }) => message.includes('sequence'))).toEqual([])
  const empty = await database()
  try {
    await empty.query(EXTENSIONS)
    const other = fixture.engine({ url: empty.url })
    expect(await roundTrip(other, loaded, OPTIONS)).toBe(generated.text)
    await other.dispose()
  } finally {
    await empty.drop()
  }
})
