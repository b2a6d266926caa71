/** Settings of a role or a database decide how PostgreSQL prints expressions: the same database gives the same file all the same, and `check` agrees. */
import { expect, test } from 'vitest'
import { declarativeBase, integer, sql, timestamptz, type Engine } from '../../src/index.js'
import { checkEntities, introspect } from '../../src/integrations/introspect.js'
import { GeneratedEntities } from './introspect-support.js'
import { useDatabase } from './session-support.js'

const fixture = useDatabase(String.raw`
  set timezone = 'UTC';
  create type mood as enum ('back\slash');
  create table songs (
    id int primary key, at timestamptz default '2020-01-02 03:04:05+00', day date default '2020-02-01', lasts interval default '1 day 2 hours',
    bytes bytea default '\x00ff', text text default 'a\b' check (text <> 'c\d'), real real default '0.1', mood mood default 'back\slash');
  create index on songs (lower(text)) where at > '2020-01-02 03:04:05+00'`)

const SETTINGS = {
  TimeZone: 'Asia/Tokyo',
  IntervalStyle: 'sql_standard',
  bytea_output: 'escape',
  quote_all_identifiers: 'on',
  extra_float_digits: '-15',
}

test.each(Object.entries(SETTINGS))('with %s = %s', async (name, value) => {
  const usual = await GeneratedEntities.from(fixture.engine(), `settings-${name}`)
  const engine = fixture.engine({ connectArgs: { serverSettings: { [name]: value } } })
  expect((await introspect(engine)).files[0]?.text).toBe(usual.text)
  const { Base } = await usual.load()
  expect((await checkEntities(engine, Base, { extraTables: true })).differences).toEqual([])
  // The session's own again, after the transaction.
  expect(await engine.begin((connection) => connection.scalar(`show ${name}`))).toBe(value)
})

test('a check creates its tables with the settings of the session, in which hand-written defaults have their meaning', async () => {
  const Base = declarativeBase()
  Base.entity('zoned', {
    id: integer().primaryKey(),
    at: timestamptz().serverDefault(sql`'2020-01-02 12:04:05'`),
  })
  await fixture.db.query(
    `create table zoned (id int primary key, at timestamptz default '2020-01-02 03:04:05+00')`,
  )
  const engine = (TimeZone: string): Engine =>
    fixture.engine({ connectArgs: { serverSettings: { TimeZone } } })
  expect((await checkEntities(engine('Asia/Tokyo'), Base)).differences).toEqual([])
  expect((await checkEntities(engine('UTC'), Base)).differences).toHaveLength(1)
})
