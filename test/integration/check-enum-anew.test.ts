/** An enum type that is created anew because a label is gone or has moved, with all that uses the type. */
import { beforeEach, expect, test } from 'vitest'
import { checkEntities } from '../../src/integrations/introspect.js'
import { sampled } from '../helpers/length.js'
import { since, understood } from '../helpers/server-version.js'
import { uncommented } from './check-drifts.js'
import { GeneratedEntities, type LoadedEntities } from './introspect-support.js'
import { useDatabase } from './session-support.js'

const SCHEMA = `
create type mood as enum ('sad', 'ok', 'happy');
create type part as (m mood, ms mood[], n int); create type whole as (p part, ps part[]);
create domain good as mood default 'ok' not null check (value <> 'sad'); create domain moods as mood[];
create type span as range (subtype = mood, multirange_type_name = spans);
create table parent (m mood primary key, other mood unique, n int);
create table thing (
  id int primary key, m mood not null default 'ok' references parent, ms mood[] default '{sad,NULL}', p part default row('ok', '{sad}', 1), ps part[], w whole,
  g good, gs good[], d moods, s span default span('sad', 'ok'), ss spans, label text default 'happy'::mood::text, n int check (n > 0),
  constraint by_text check (label <> 'sad'::mood::text), constraint moody check (m <> 'sad' or n is null), exclude using gist (s with &&));
create index on thing (m); create index on thing (n) where m <> 'happy'; create index on thing ((case when n > 1 then 'ok'::mood end)); create index on thing using gist (s);
create statistics thing_st on m, n from thing;
create table parted (id int, m mood default 'ok', primary key (id)) partition by range (id);
create table parted1 partition of parted for values from (0) to (9); create index on parted (id) where m = 'ok';
`
const ROWS = `
insert into parent values ('ok', 'happy', 1), ('sad', 'sad', 2);
insert into thing values (1, 'ok', '{sad,NULL,happy}', row('sad', '{ok}', 1), array[row('ok', null, 2)::part], row(row('ok', null, 1), '{}'), 'happy', '{ok}', '{sad}', '[sad,happy)', '{[sad,happy)}');
insert into thing (id, g, s) values (2, default, 'empty'); insert into parted values (1);
`

const fixture = useDatabase()
beforeEach(async () => {
  await fixture.db.query(
    `drop publication if exists published; drop publication if exists published_too; drop schema public cascade; create schema public; ${SCHEMA} ${ROWS}`,
  )
})

let loaded: LoadedEntities | undefined
async function check() {
  loaded ??= await (await GeneratedEntities.from(fixture.engine(), 'enum-anew')).load()
  return checkEntities(fixture.engine(), loaded.Base)
}

async function run(script: string): Promise<void> {
  await fixture.engine().begin((connection) => connection.executeScript(script))
}

const contents = (): Promise<unknown> =>
  fixture.db.query(
    'select t::text, p::text, d::text from thing t, parent p, parted d order by t.id, p.n, d.id',
  )

test.each([
  ['a label too many', SCHEMA, `alter type mood add value 'angry' before 'ok'`],
  ['labels in another order', SCHEMA.replace("('sad', 'ok', 'happy')", "('ok', 'sad', 'happy')"), 'select 1'],
])('%s: the script runs, and loses nothing', async (_name, schema, change) => {
  await check()
  await fixture.db.query(`drop schema public cascade; create schema public; ${schema} ${ROWS}`)
  await fixture.db.query(change)
  const before = await contents()
  const { sql: script } = await check()
  await run(uncommented(script))
  expect((await check()).differences, script).toEqual([])
  expect(await contents()).toEqual(before)
})

const USERS: readonly (readonly [user: string, creation: string, removal: string])[] = [
  [
    'function public.moody',
    'create function moody(m mood) returns int language sql as $$ select 1 $$',
    'drop function moody(mood)',
  ],
  [
    'function public.whole_of',
    'create function whole_of(int) returns whole language sql as $$ select null::whole $$',
    'drop function whole_of',
  ],
  ['view public.seen', 'create view seen as select m from thing', 'drop view seen'],
  [
    'trigger watched',
    `create function note() returns trigger language plpgsql as 'begin return new; end'; create trigger watched before update on thing for each row when (new.m = 'ok') execute function note()`,
    'drop trigger watched on thing',
  ],
  ['policy p', `create policy p on thing using (m <> 'sad')`, 'drop policy p on thing'],
  [
    'rule ruled',
    `create rule ruled as on delete to thing where old.m = 'sad' do nothing`,
    'drop rule ruled on thing',
  ],
  [
    'column long of table public.thing',
    'alter table thing add long boolean generated always as (m is null) stored',
    'alter table thing drop column long',
  ],
  [
    'column m of table elsewhere.far',
    'create schema elsewhere; create table elsewhere.far (m mood)',
    'drop schema elsewhere cascade',
  ],
  [
    'the partition key of table public.listed',
    'create table listed (m mood, id int) partition by list (m)',
    'drop table listed',
  ],
  [
    'function public.atomic',
    `create function atomic() returns bigint language sql begin atomic select count(*) from thing where m = 'ok'; end`,
    'drop function atomic',
  ],
  [
    'published',
    since(15, 'create publication published for table thing (id, m)'),
    'drop publication published',
  ],
]

test.each(
  sampled(
    USERS.filter(([, creation]) => understood([creation]).length > 0),
    0,
  ),
)(
  'the script names %s (%s), which is in the way; without it the script runs',
  async (user, creation, removal) => {
    await check()
    await fixture.db.query(creation)
    await fixture.db.query(`alter type mood add value 'angry'`)
    const { sql: script } = await check()
    expect(script).toMatch(
      /^-- \(this creates the type anew; it fails where .*: drop that before, and create it after: /m,
    )
    expect(script).toContain(user)
    await expect(run(uncommented(script))).rejects.toThrow()
    await fixture.db.query(removal)
    const without = await check()
    expect(without.sql).not.toContain('drop that before')
    await run(uncommented(without.sql))
    expect((await check()).differences).toEqual([])
  },
)

/** A creation for a column. */
type Creation = (column: string, name: string) => string

const trigger = (event: (column: string) => string, condition: (column: string) => string): Creation => {
  return (column, name) =>
    `create function note_${name}() returns trigger language plpgsql as 'begin return new; end';
     create trigger ${name} before update ${event(column)} on thing for each row ${condition(column)} execute function note_${name}()`
}

const COLUMN_USERS: readonly (readonly [user: string, creation: Creation])[] = [
  [
    'trigger',
    trigger(
      () => '',
      (column) => `when (new.${column} > 1)`,
    ),
  ],
  [
    'trigger',
    trigger(
      (column) => `of ${column}`,
      () => '',
    ),
  ],
  [
    'function',
    (column, name) =>
      `create function ${name}() returns bigint language sql begin atomic select sum(${column}) from thing; end`,
  ],
  ['rule', (column, name) => `create rule ${name} as on delete to thing where old.${column} = 5 do nothing`],
  ...(since(15, 'understood') === ''
    ? []
    : ([
        ['publication', (column, name) => `create publication ${name} for table thing (id, ${column})`],
        ['publication', (column, name) => `create publication ${name} for table thing where (${column} > 1)`],
      ] satisfies [string, Creation][])),
]

test.each(COLUMN_USERS)('a %s is in the way of a column (%s)', async (user, creation) => {
  await check()
  const { db } = fixture
  await db.query(`alter table thing drop constraint thing_n_check, alter n type bigint, add more int`)
  await db.query(creation('n', 'published'))
  const { sql: first } = await check()
  await expectRefused(first, /^-- alter table .* alter column "n" type integer/, user)
  await run(first)
  await db.query(creation('more', 'published_too'))
  const { sql: second } = await check()
  await expectRefused(second, /^-- alter table .* drop column "more"/, user)
})

async function expectRefused(script: string, change: RegExp, user: string): Promise<void> {
  const lines = script.split('\n')
  const at = lines.findIndex((line) => change.test(line))
  expect(lines[at - 1], script).toMatch(/^-- \(PostgreSQL refuses this while it is used.*published/)
  expect(lines[at - 1]).toContain(user)
  await expect(run(uncommented(lines[at] ?? ''))).rejects.toThrow()
}
