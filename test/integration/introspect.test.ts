/** Entities from odd schemas: generated, compiled, loaded, written back, created again. */
import { expect, test } from 'vitest'
import { GeneratedEntities, compile, loadAll, roundTrip, writeBack } from './introspect-support.js'
import { checkEntities, introspect } from '../../src/integrations/introspect.js'
import { join } from 'node:path'
import { useDatabase, errorOf } from './session-support.js'
import { database } from '../helpers/database.js'
import { withoutMicroseconds } from '../helpers/without-microseconds.js'

const SCHEMA = String.raw`
create schema shop; create schema "Shop Floor";
create extension if not exists citext; create extension if not exists hstore; create extension if not exists btree_gist;
create type shop."mood's" as enum ('it''s', 'a"b', 'c\d', '\${x}', '*/', 'x');
create type shop.status as enum ('on', 'off'); create type "Shop Floor".status as enum ('x');
create domain shop.email as citext check (value ~ '@');
create domain shop.small as smallint default 3 check (value > 0);
create domain shop.smaller as shop.small not null check (value < 100);
create type shop.point_3d as (x int, "Y y" text, at timestamptz);
create type shop.shape as (corner shop.point_3d, corners shop.point_3d[], status shop.status);
create type shop.speed as range (subtype = float8, subtype_diff = float8mi);
create table shop.people (
  id int generated always as identity primary key, email shop.email not null unique, name text not null, boss int references shop.people,
  parent_id int references shop.people on delete set null, upper_name text generated always as (upper(name)) stored,
  "default" text default E'it''s \\ "q" \${x} \u0060y\u0060', mood shop."mood's" default 'it''s', moods shop."mood's"[], tiny smallserial, big bigserial);
comment on table shop.people is E'All */ of them\n\u0060\${process.exit(1)}\u0060';
comment on column shop.people.name is '*/ process.exit(2) /*';
create table shop.messages (
  id uuid primary key default gen_random_uuid(), sender_id int not null references shop.people, recipient_id int not null references shop.people,
  person_id int references shop.people, reply_to uuid unique references shop.messages deferrable, at timestamptz not null default now(),
  exclude using gist (sender_id with =, tstzrange(at, null) with &&));
create table shop.tags (id serial primary key, name text not null unique);
create table shop.message_tags (message_id uuid references shop.messages on delete cascade, tag_id int references shop.tags on delete cascade, primary key (message_id, tag_id));
create table shop.friends (person_id int references shop.people, friend_id int references shop.people, primary key (person_id, friend_id));
create table shop.likes (person_id int references shop.people, message_id uuid references shop.messages, at timestamptz default now(), primary key (person_id, message_id));
create table shop.profiles (person_id int primary key references shop.people, bio text);
create table shop.log (at timestamptz default now(), person_id int references shop.people);
create table "Shop Floor"."People" (id serial primary key, "select" text, s "Shop Floor".status);
create table "Shop Floor"."Order" ("Order Id" serial primary key, "customerId" int not null references shop.people (id) deferrable initially deferred);
create table "Shop Floor"."OrderLine" ("Order Id" int references "Shop Floor"."Order" on delete cascade, line int, primary key ("Order Id", line));
create table shop.notes (id serial primary key, order_id int, line int, foreign key (order_id, line) references "Shop Floor"."OrderLine" on update cascade);
create table shop.class (constructor serial primary key, "__proto__" text, "then" text, "toString" text, "user id" int, user_id int, "userId" int, "1st" int, "*/" text, "ÄÖ" text);
create table shop.measure (city int, day date, v real, primary key (city, day)) partition by range (day);
create table shop.measure_2026 partition of shop.measure for values from ('2026-01-01') to ('2027-01-01');
create table shop.uniq (a int not null, b int not null, c int, unique (a, b), unique (b, c) deferrable initially deferred, constraint "odd name" check (b <> 5 or c is null));
create table shop.idx (id serial primary key, t text, n int, g int4range);
create index on shop.idx (t); create index idx_desc on shop.idx (t desc nulls last, n); create index idx_inc on shop.idx (n) include (t);
create index idx_expr on shop.idx (lower(t), (n + 1)) where n > 0; create unique index idx_uq on shop.idx (t) where n is null; create index idx_g on shop.idx using gist (g);
create table shop.types (
  id serial primary key, e shop.status[], s shop.smaller, o shop.shape, oo shop.shape[], fr shop.speed, h hstore, v varchar(3)[], c char(3)[], b bit(3),
  iv interval day to second(3), tz timetz, "char" "char", lsn pg_lsn, nums numeric(5,2)[][], bx box[], mr int4multirange, m money, tstz0 timestamptz(0));
create sequence shop.numbers increment by 10 minvalue 5 maxvalue 500 start with 100 cache 3 cycle; create sequence shop.down as smallint increment by -1; create sequence "Shop Floor"."Odd Seq";
create table shop.numbered (n int primary key default nextval('shop.numbers'), down int default nextval('shop.down'), odd bigint default nextval('"Shop Floor"."Odd Seq"'), n2 int default nextval('shop.numbers') * 2);
create table shop.instant_key (at timestamptz primary key); create table shop.instant_ref (id serial primary key, at timestamptz references shop.instant_key);
create table shop."Date" (id serial primary key); create table shop."2fast" (id serial primary key); create table shop.foo_bar (id serial primary key); create table shop."fooBar" (id serial primary key);
create view shop.v as select id, name from shop.people; create materialized view shop.mv as select id, count(*) as n from shop.people group by id; create unique index on shop.mv (id);
`
  .replaceAll('\\${', '${')
  .replaceAll('\\u0060', '`')

const ROWS = String.raw`
insert into shop.people (email, name) values ('Ann@x', 'Ann'), ('bob@x', 'Bob'); update shop.people set boss = 1, parent_id = 1, moods = array['a"b', null]::shop."mood's"[] where id = 2;
insert into shop.messages (sender_id, recipient_id) values (1, 2); insert into shop.tags (name) values ('t'); insert into shop.message_tags select id, 1 from shop.messages;
insert into shop.friends values (1, 2); insert into shop.profiles values (1, 'x'); insert into shop.log values (now(), 1), (now(), 1); insert into "Shop Floor"."People" ("select", s) values ('x', 'x');
insert into "Shop Floor"."Order" ("customerId") values (1); insert into "Shop Floor"."OrderLine" values (1, 2); insert into shop.notes (order_id, line) values (1, 2);
insert into shop.class ("then", "__proto__") values ('x', 'y'); insert into shop.measure values (1, '2026-02-02', 0.1); insert into shop.uniq values (1, 2, 3);
insert into shop.numbered (down) values (default);
insert into shop.instant_key values ('2026-01-01 00:00:00.123456'); insert into shop.instant_ref (at) select at from shop.instant_key;
insert into shop.types (e, s, o, oo, fr, h, v, c, b, iv, tz, "char", lsn, nums, bx, mr, m, tstz0) values (
  '{on,NULL}', 5, row(row(1, 'a "b"', '2026-01-01'), array[row(2, 'x', null)::shop.point_3d], 'off'), array[row(null, null, 'on')::shop.shape], '[1.5,2)', 'a=>1', '{abc,NULL}', '{ab}', '101',
  '1 day 02:03:04.5678', '12:00+02', 'c', '0/1', '{{1,2},{3,NULL}}', '{(1,2),(0,0);(3,3),(2,2)}', '{[1,2),[5,9)}', 12.3, now());
refresh materialized view shop.mv;
`

const fixture = useDatabase(SCHEMA, ROWS)
const OPTIONS = { schemas: ['shop', 'Shop Floor'] }

test(
  'everything is generated, compiles, is loaded and written back without a change, and agrees with the database',
  { timeout: 600_000 },
  async () => {
    const engine = fixture.engine()
    const one = await GeneratedEntities.from(engine, 'shop', OPTIONS)
    const bySchema = await GeneratedEntities.from(engine, 'shop-schemas', { ...OPTIONS, layout: 'schema' })
    const byTable = await GeneratedEntities.from(engine, 'shop-tables', { ...OPTIONS, layout: 'table' })
    const files = [one, bySchema, byTable].flatMap(({ folder, introspection }) =>
      introspection.files.map(({ path }) => join(folder, path)),
    )
    expect(compile(files)).toEqual([])
    const [before, versions] = [await contents(), await rowVersions()]
    for (const generated of [one, bySchema, byTable]) {
      const loaded = await generated.load()
      expect(loaded.entities.length).toBe(one.introspection.tables + one.introspection.views)
      expect(await loadAll(engine, loaded)).toEqual({ rows: 24, changed: [] })
      expect((await checkEntities(engine, loaded.Base, { extraTables: true })).differences).toEqual([])
    }
    // The end of the blocks has written nothing, not even the same.
    expect(await rowVersions()).toEqual(versions)
    expect(await writeBack(engine, await one.load())).toBeGreaterThan(15)
    expect(await contents()).toEqual(before)
  },
)

/** All rows as text, by table. */
async function rowsOf(text: string): Promise<readonly (readonly [table: string, rows: string[]])[]> {
  const tables = await fixture.db.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('shop', 'Shop Floor') order by 1`,
  )
  const all: (readonly [string, string[]])[] = []
  for (const { name } of tables) {
    const rows = await fixture.db.query<{ row: string }>(`select ${text} as row from ${name} t order by 1`)
    all.push([name, rows.map(({ row }) => row)])
  }
  return all
}

async function contents(): Promise<unknown> {
  const all = await rowsOf('t::text')
  return all.map(([name, rows]) => [name, rows.map(withoutMicroseconds)])
}

/** Where the rows stand, and which transactions wrote them. */
function rowVersions(): Promise<unknown> {
  return rowsOf(`t.tableoid::text || t.ctid || ' ' || t.xmin`)
}

test('a second run changes nothing, and code in marked places stays', async () => {
  const engine = fixture.engine()
  const [file] = (await introspect(engine, OPTIONS)).files
  const text = file?.text ?? ''
  expect((await introspect(engine, { ...OPTIONS, existing: [text] })).files[0]?.text).toBe(text)
  const edited = text
    .replace('// #region custom file', "// #region custom file\nimport 'node:fs'")
    .replace(
      '// #region custom Tag\n',
      '// #region custom Tag\n  get loud(): string {\n    return this.name.toUpperCase()\n  }\n',
    )
  const again = await introspect(engine, { ...OPTIONS, existing: [edited] })
  expect(again.files[0]?.text).toBe(edited)
  expect(again.orphans).toEqual([])
  const without = await introspect(engine, { ...OPTIONS, excludeTables: ['shop.tags'], existing: [edited] })
  expect(without.orphans.map(({ place }) => place)).toEqual(['Tag'])
})

test('relations are named as a person would', async () => {
  const { files } = await introspect(fixture.engine(), OPTIONS)
  const text = files[0]?.text ?? ''
  for (const line of [
    "sender: belongsTo(() => ShopPerson, 'senderId')",
    "messagesBySender: hasMany(() => Message, 'senderId')",
    "messagesByRecipient: hasMany(() => Message, 'recipientId')",
    "messages: hasMany(() => Message, 'personId')",
    "replyToMessage: belongsTo(() => Message, 'replyTo')",
    "messageByReplyTo: hasOne(() => Message, 'replyTo')",
    "parent: belongsTo(() => ShopPerson, 'parentId')",
    "children: hasMany(() => ShopPerson, 'parentId')",
    "bossPerson: belongsTo(() => ShopPerson, 'boss')",
    "peopleByBoss: hasMany(() => ShopPerson, 'boss')",
    "tags: manyToMany(() => Tag, 'shop.message_tags')",
    "messages: manyToMany(() => Message, 'shop.message_tags')",
    "profile: hasOne(() => Profile, 'personId')",
    "likes: hasMany(() => Like, 'personId')",
    "orderLine: belongsTo(() => OrderLine, ['orderId', 'line'])",
    "notes: hasMany(() => Note, ['orderId', 'line'])",
    "order: belongsTo(() => Order, 'orderId')",
    "manyToMany(() => ShopPerson, 'shop.friends', { own: ['personId'], other: ['friendId'] })",
  ])
    expect(text).toContain(line)
  // The link table has no relations back, and one with more in it is no link.
  expect(text).not.toContain('messageTags')
  expect(text).not.toContain("'shop.likes'")
})

test('what could not be said is told', async () => {
  const { findings } = await introspect(fixture.engine(), OPTIONS)
  const told = findings.map(({ kind, where, message }) => `${kind} ${where}: ${message}`).join('\n')
  expect(told).toMatch(/hint shop\.log: has no key/)
  expect(told).toMatch(/hint shop\.uniq: has no primary key: a, b tell its rows apart/)
  expect(told).toMatch(/hint shop\.v: has no key.*keys: \{ 'shop\.v'/)
  expect(told).toMatch(/renamed shop\.class\.constructor: the property is called constructor_/)
  expect(told).toMatch(/hint shop\.types\.lsn: pg_lsn has no type of its own/)
  expect(told).toMatch(/hint shop\.measure: its partitions are not entities/)
})

// Comments are no part of ddl().
const withoutComments = (text: string): string => text.replaceAll(/^ *\/\*\*[^]*?\*\/\n/gm, '')

test('created on an empty database and read again, it is the same file', async () => {
  const engine = fixture.engine()
  const options = { ...OPTIONS, excludeTables: ['shop.v', 'shop.mv'] }
  const generated = await GeneratedEntities.from(engine, 'shop-again', options)
  const empty = await database()
  try {
    const other = fixture.engine({ url: empty.url })
    expect(await roundTrip(other, await generated.load(), { schemas: OPTIONS.schemas })).toBe(
      withoutComments(generated.text),
    )
    await other.dispose()
  } finally {
    await empty.drop()
  }
})

test('the base names the sequences that no serial column makes', async () => {
  const { files, findings } = await introspect(fixture.engine(), OPTIONS)
  const text = files[0]?.text ?? ''
  for (const part of [
    "'shop.numbers': sql`as bigint increment by 10 minvalue 5 maxvalue 500 start with 100 cache 3 cycle`,",
    "'shop.down': sql`as smallint increment by -1`,",
    "'Shop Floor.Odd Seq': sql`as bigint`,",
  ])
    expect(text).toContain(part)
  expect(findings.filter(({ message }) => message.includes('sequence'))).toEqual([])
})

test('names and keys can be decided otherwise', async () => {
  const { files } = await introspect(fixture.engine(), {
    ...OPTIONS,
    names: {
      'shop.tags': 'Label',
      'shop.people.default': 'usual',
      'shop.messages.messages_sender_id_fkey': 'from',
      'shop.messages.messages_sender_id_fkey<': 'sent',
    },
    keys: { 'shop.v': ['id'] },
  })
  const text = files[0]?.text ?? ''
  for (const part of [
    'class Label extends',
    "usual: text('default')",
    "from: belongsTo(() => ShopPerson, 'senderId')",
    "sent: hasMany(() => Message, 'senderId')",
    'id: integer().primaryKey({ constraint: false })',
  ])
    expect(text).toContain(part)
})

test('wrong choices are refused', async () => {
  const engine = fixture.engine()
  expect((await errorOf(introspect(engine, { schemas: ['nope'] }))).message).toMatch(
    /no schema "nope"\. There are: /,
  )
  expect(await errorOf(introspect(engine, { tables: ['nope'] }))).toMatchObject({ code: 'INVALID_OPTION' })
  expect(await errorOf(introspect(engine, { layout: 'odd' as never }))).toMatchObject({
    code: 'INVALID_OPTION',
  })
})

test(
  'a table of the same name in another schema, and an enum without labels',
  { timeout: 600_000 },
  async () => {
    const { db } = fixture
    await db.query(`
    create table public.odd (id int primary key); create type public.nothing as enum (); create schema namesakes;
    create table namesakes.odd (id int primary key, odd_id int references public.odd, nothing public.nothing)`)
    try {
      const engine = fixture.engine()
      const generated = await GeneratedEntities.from(engine, 'namesakes', {
        schemas: ['public', 'namesakes'],
      })
      expect(generated.text).toContain(".references('public.odd.id')")
      expect(compile(generated.introspection.files.map(({ path }) => join(generated.folder, path)))).toEqual(
        [],
      )
      expect((await checkEntities(engine, (await generated.load()).Base)).differences).toEqual([])
    } finally {
      await db.query('drop schema namesakes cascade; drop table public.odd; drop type public.nothing')
    }
  },
)

test('no file has a name that a file system refuses or takes for a device', async () => {
  const { db } = fixture
  await db.query(
    'create schema con; create table con.nul (id int primary key); create table con."Aux" (id int primary key); create table con."../x" (id int primary key); create table con."a:b?" (id int primary key)',
  )
  try {
    const { files } = await introspect(fixture.engine(), { schemas: ['con'], layout: 'table' })
    expect(files.map(({ path }) => path)).toEqual([
      'base.ts',
      ...['x', 'aux-2', 'ab', 'nul-2'].map((name) => `con-2/${name}.ts`),
      'index.ts',
    ])
  } finally {
    await db.query('drop schema con cascade')
  }
})
