import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createEngine } from '../../src/engine/engine.js'
import { declarativeBase, type DeclarativeBase } from '../../src/schema/base.js'
import {
  bigint,
  bigserial,
  boolean,
  bytea,
  char,
  date,
  doublePrecision,
  integer,
  interval,
  json,
  jsonb,
  numeric,
  real,
  serial,
  smallint,
  text,
  time,
  timestamp,
  timestamptz,
  uuid,
  varchar,
  version,
} from '../../src/schema/column-types.js'
import { customType, enumType } from '../../src/schema/custom-types.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { select } from '../../src/query/select.js'
import { insertRows } from '../../src/query/insert-statements.js'
import { sql } from '../../src/sql.js'
import { database, type TestDatabase } from '../helpers/database.js'
import { TextClient } from './schema-support.js'

let db: TestDatabase
let client: TextClient
beforeAll(async () => {
  db = await database()
  client = await TextClient.connect(db.url)
})
afterAll(async () => {
  await client.end()
  await db.drop()
})

/** Tables in a circle, one that refers to itself, an enum, a schema, indexes of all kinds. */
function musicBase(schema: string): DeclarativeBase {
  const Base = declarativeBase({ schema })
  const state = enumType('state', ["it's", 'live'], { schema })
  const key = { id: serial().primaryKey() }
  Base.entity(
    'songs',
    {
      ...key,
      title: text().notNull().index(),
      state: state('s').notNull(),
      states: state().array(),
      albumId: integer('album_id').references('albums.id', { onDelete: 'cascade', onUpdate: 'restrict' }),
      seconds: integer().check(sql`seconds > 0`),
      minutes: integer().generated(sql`seconds / 60`),
      version: version(),
      createdAt: timestamptz('created_at')
        .notNull()
        .serverDefault(sql`now()`),
    },
    {
      unique: [['title', 'albumId']],
      indexes: [
        { columns: [sql`lower(title)`], unique: true, name: 'lower "title"', where: sql`seconds > 10` },
        { columns: ['albumId', 'seconds'], using: 'btree' },
      ],
      checks: { 'no empty': sql`title <> ''` },
    },
  )
  Base.entity('albums', {
    ...key,
    hit: integer().references('songs.id', { deferred: true }),
    parent: integer().references('albums.id', { onDelete: 'set null' }),
  })
  return Base
}

describe('createAll', () => {
  test('creates schemas, enums, tables in a circle, indexes and constraints, in one script', async () => {
    const { metadata } = musicBase('music')
    await metadata.createAll(client)
    const constraints = await db.query<{ text: string }>(
      `select conrelid::regclass || ' ' || pg_get_constraintdef(oid) as text from pg_constraint
       where connamespace = 'music'::regnamespace and contype <> 'n' order by 1`,
    )
    expect(constraints.map(({ text: line }) => line)).toEqual([
      'music.albums FOREIGN KEY (hit) REFERENCES music.songs(id) DEFERRABLE INITIALLY DEFERRED',
      'music.albums FOREIGN KEY (parent) REFERENCES music.albums(id) ON DELETE SET NULL',
      'music.albums PRIMARY KEY (id)',
      'music.songs CHECK ((seconds > 0))',
      "music.songs CHECK ((title <> ''::text))",
      'music.songs FOREIGN KEY (album_id) REFERENCES music.albums(id) ON UPDATE RESTRICT ON DELETE CASCADE',
      'music.songs PRIMARY KEY (id)',
      'music.songs UNIQUE (title, album_id)',
    ])
    const indexes = await db.query<{ indexdef: string }>(
      `select indexdef from pg_indexes where schemaname = 'music' and tablename = 'songs' order by 1`,
    )
    expect(indexes.map(({ indexdef }) => indexdef.replace(/^CREATE (UNIQUE )?INDEX /, '$1'))).toEqual([
      'songs_album_id_seconds_idx ON music.songs USING btree (album_id, seconds)',
      'songs_title_idx ON music.songs USING btree (title)',
      'UNIQUE "lower ""title""" ON music.songs USING btree (lower(title)) WHERE (seconds > 10)',
      'UNIQUE songs_pkey ON music.songs USING btree (id)',
      'UNIQUE songs_title_album_id_key ON music.songs USING btree (title, album_id)',
    ])
    expect(await db.query(`select enum_range(null::music.state)::text as all`)).toEqual([
      { all: "{it's,live}" },
    ])
  })

  test('leaves alone what is there, and creates what is missing', async () => {
    await db.query('create schema if not exists music')
    const { metadata } = musicBase('music')
    await metadata.createAll(client)
    await db.query(`insert into music.albums default values`)
    await db.query('drop index music.songs_title_idx')
    await metadata.createAll(client)
    expect(await db.query('select count(*)::int from music.albums')).toEqual([{ count: 1 }])
    expect(await db.query("select to_regclass('music.songs_title_idx') as index")).toEqual([{ index: null }])
    await expect(metadata.createAll(client, { checkFirst: false })).rejects.toMatchObject({ code: '42710' })
  })

  test('may be done by ten processes at once, with or without a transaction', async () => {
    const engine = createEngine({ url: db.url, poolSize: 10 })
    try {
      const { metadata } = musicBase('boot')
      await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          index % 2 === 0
            ? engine.begin((connection) => metadata.createAll(connection))
            : engine.begin((connection) => metadata.createAll(connection), {
                isolationLevel: 'SERIALIZABLE',
              }),
        ),
      )
      expect(await db.query("select to_regclass('boot.songs')::text as name")).toEqual([
        { name: 'boot.songs' },
      ])
    } finally {
      await engine.dispose()
    }
    const clients = await Promise.all(Array.from({ length: 10 }, () => TextClient.connect(db.url)))
    const { metadata } = musicBase('boot2')
    await Promise.all(clients.map((one) => metadata.createAll(one).finally(() => one.end())))
  })

  test('is all or nothing', async () => {
    const Base = declarativeBase()
    Base.entity('fine', { id: serial().primaryKey() })
    Base.entity('broken', {
      id: serial()
        .primaryKey()
        .check(sql`nonsense > 1`),
    })
    await expect(Base.metadata.createAll(client)).rejects.toMatchObject({ code: '42703' })
    expect(await db.query("select to_regclass('fine') as name")).toEqual([{ name: null }])
  })

  test('of nothing does nothing', async () => {
    await declarativeBase().metadata.createAll(client)
    await declarativeBase().metadata.dropAll(client)
    expect(declarativeBase().metadata.ddl()).toBe('')
  })
})

describe('dropAll', () => {
  test('drops tables in a circle and enums, and does not mind what is gone', async () => {
    const { metadata } = musicBase('gone')
    await metadata.createAll(client)
    await metadata.dropAll(client)
    await metadata.dropAll(client)
    expect(await db.query(`select relname from pg_class where relnamespace = 'gone'::regnamespace`)).toEqual(
      [],
    )
    expect(await db.query("select to_regtype('gone.state') as type")).toEqual([{ type: null }])
    await expect(metadata.dropAll(client, { checkFirst: false })).rejects.toMatchObject({ code: '42P01' })
  })

  test('refuses to take what others depend on', async () => {
    const Base = declarativeBase()
    Base.entity('base_table', { id: serial().primaryKey() })
    await Base.metadata.createAll(client)
    await db.query('create view dependent as select * from base_table')
    await expect(Base.metadata.dropAll(client)).rejects.toMatchObject({ code: '2BP01' })
    await db.query('drop view dependent')
    await Base.metadata.dropAll(client)
  })
})

describe('ddl', () => {
  test('is text that creates the same', async () => {
    const { metadata } = musicBase('text')
    await db.query(metadata.ddl())
    await metadata.dropAll(client, { checkFirst: false })
    expect(metadata.ddl()).toBe(
      `create schema if not exists "text";
create type "text"."state" as enum ('it''s', 'live');
create table "text"."songs" (
  "id" serial not null,
  "title" text not null,
  "s" "text"."state" not null,
  "states" "text"."state"[],
  "album_id" integer,
  "seconds" integer check (seconds > 0),
  "minutes" integer generated always as (seconds / 60) stored,
  "version" integer not null default 1,
  "created_at" timestamptz not null default now(),
  primary key ("id"),
  unique ("title", "album_id"),
  constraint "no empty" check (title <> '')
);
create index on "text"."songs" ("title");
create unique index "lower ""title""" on "text"."songs" ((lower(title))) where seconds > 10;
create index on "text"."songs" using btree ("album_id", "seconds");
create table "text"."albums" (
  "id" serial not null,
  "hit" integer,
  "parent" integer,
  primary key ("id"),
  foreign key ("hit") references "text"."songs" ("id") deferrable initially deferred,
  foreign key ("parent") references "text"."albums" ("id") on delete set null
);
alter table "text"."songs" add foreign key ("album_id") references "text"."albums" ("id") on delete cascade on update restrict;
`,
    )
  })
})

describe('hostile names', () => {
  test.each([
    'select',
    'a"b',
    "a'b",
    'a.b',
    'a b; drop table songs; --',
    '$ddl$',
    '$1',
    'ÄÖ🎵',
    '%s',
    '\\',
    '#rows',
    'link',
    't',
  ])('of a table and its columns are names: %s', async (name) => {
    const Base = declarativeBase({ schema: `s ${name}` })
    const kind = enumType(name.slice(0, 20) + ' kind', [name, "o'clock"], { schema: `s ${name}` })
    const Thing = Base.entity(
      name,
      {
        [name]: serial().primaryKey(),
        [`${name}.parent`]: integer().references(`${name}.${name}`).index(),
        kind: kind(),
        label: text().serverDefault(sql`'x'`),
      },
      { indexes: [{ columns: [name], name: `${name} index` }], checks: { [`${name} check`]: sql`true` } },
    )
    await Base.metadata.createAll(client)
    await Base.metadata.createAll(client)
    const { table } = metaOf(Thing)
    const kinds = [table.column('kind')]
    await client.run(insertRows(table, kinds, [[name]]))
    await client.run(insertRows(table, kinds, [[name], ["o'clock"], [null]]))
    const things = await client.items(select(Thing).orderBy(Thing.c[name] as never))
    expect(things.map((thing) => thing.kind)).toEqual([name, name, "o'clock", null])
    await Base.metadata.dropAll(client)
  })
})

describe('every type', () => {
  test('goes to PostgreSQL and back, alone, in bulk, and in arrays', async () => {
    const Base = declarativeBase()
    const mood = enumType('mood', ['happy', 'so, so', 'NULL'])
    const point = customType<{ x: number; y: number }>({
      type: 'point',
      decode(given) {
        const [x = 0, y = 0] = given.slice(1, -1).split(',').map(Number)
        return { x, y }
      },
      encode: ({ x, y }) => `(${x},${y})`,
    })
    const All = Base.entity('every_type', {
      bigserial: bigserial().primaryKey(),
      smallint: smallint(),
      integer: integer(),
      bigint: bigint(),
      real: real(),
      double: doublePrecision(),
      numeric: numeric({ precision: 30, scale: 10 }),
      boolean: boolean(),
      text: text(),
      varchar: varchar({ length: 20 }),
      char: char({ length: 3 }),
      uuid: uuid(),
      json: json(),
      jsonb: jsonb(),
      bytea: bytea(),
      date: date(),
      time: time({ precision: 3 }),
      timestamp: timestamp(),
      timestamptz: timestamptz({ precision: 3 }),
      interval: interval(),
      mood: mood(),
      point: point(),
      integers: integer().array(),
      texts: text().array(),
      chars: char({ length: 2 }).array(),
      bigints: bigint().array(),
      documents: jsonb().array(),
      instants: timestamptz().array(),
      blobs: bytea().array(),
      moods: mood().array(),
    })
    await Base.metadata.createAll(client)
    const full = new All({
      smallint: -32768,
      integer: 2147483647,
      bigint: 9223372036854775807n,
      real: 1.5,
      double: 0.1 + 0.2,
      numeric: '12345678901234567890.1234567890',
      boolean: false,
      text: 'a\n"b" \\ \'c\' 🎵 {NULL} $1',
      varchar: 'NULL',
      char: 'abc',
      uuid: '5b6f1c7e-0d9c-4f8e-9d6e-1a2b3c4d5e6f',
      json: { z: [1, { a: null }], 'a"b': '\u0001' },
      jsonb: [{ a: 'x' }, 1, null],
      bytea: Buffer.from([0, 1, 255]),
      date: '2026-01-31',
      time: '13:45:00.123',
      timestamp: '2026-01-31 13:45:00.123456',
      timestamptz: new Date('2026-01-31T13:45:00.123Z'),
      interval: '1 day 02:00:00',
      mood: 'so, so',
      point: { x: 1.5, y: -2 },
      integers: [1, 2],
      texts: ['', 'NULL', 'a,b', '{"x"}', '\\'],
      chars: ['ab', 'cd'],
      bigints: [1n, -1n],
      documents: [{ a: '"' }, [1]],
      instants: [new Date(0), new Date('2026-01-31T13:45:00.123Z')],
      blobs: [Buffer.from('a'), Buffer.alloc(0)],
      moods: ['happy', 'NULL'],
    })
    const empty = new All()
    const special = new All({
      real: NaN,
      double: -Infinity,
      jsonb: 'text',
      json: false,
      texts: [],
      documents: [],
    })
    const ancient = new All({ timestamptz: new Date('-000043-03-15T00:00:00Z') })
    const late = new All({ timestamptz: new Date('+020000-01-01T00:00:00Z') })
    const latest = new All({ timestamptz: new Date(8.64e15) })
    const given = [full, empty, special, ancient, late, latest]
    const meta = metaOf(All)
    const columns = meta.table.columns.filter(({ property }) => property !== 'bigserial')
    const rows = given.map((instance) =>
      columns.map((column) => column.encode((instance as Record<string, unknown>)[column.property])),
    )
    for (const row of rows) await client.run(insertRows(meta.table, columns, [row]))
    await client.run(insertRows(meta.table, columns, rows))
    const loaded = await client.items(select(All).orderBy(All.c.bigserial))
    const expected = [...given, ...given].map((values, index) => ({
      ...values,
      bigserial: BigInt(index + 1),
    }))
    expect(loaded.map((instance) => ({ ...instance }))).toEqual(expected)

    // What was loaded and left alone does not look changed.
    for (const row of await client.rows(select(All).toEntityQuery())) {
      const instance = meta.create()
      const snapshot = meta.fill(instance, meta.table.columns, row)
      expect(meta.changes(instance, snapshot).join()).toBe('')
    }
    await Base.metadata.dropAll(client)
  })

  test('that is too long fails instead of being cut', async () => {
    const Base = declarativeBase()
    const Short = Base.entity('short', {
      id: serial().primaryKey(),
      name: varchar({ length: 3 }),
      codes: char({ length: 2 }).array(),
    })
    await Base.metadata.createAll(client)
    const { table } = metaOf(Short)
    const [name, codes] = [table.column('name'), table.column('codes')]
    for (const rows of [[['long']], [['long'], ['a']]]) {
      await expect(client.run(insertRows(table, [name], rows))).rejects.toMatchObject({ code: '22001' })
    }
    for (const rows of [[['{abc}']], [['{abc}'], ['{a}']]]) {
      await expect(client.run(insertRows(table, [codes], rows))).rejects.toMatchObject({ code: '22001' })
    }
    await Base.metadata.dropAll(client)
  })
})

test('sequences of the base are created before the tables that use them, and dropped after them', async () => {
  const Base = declarativeBase({
    sequences: { 'counted.numbers': sql`as integer start with 100`, 'odd name': sql`cycle` },
  })
  Base.entity(
    'rows',
    {
      id: integer()
        .primaryKey()
        .serverDefault(sql`nextval('counted.numbers')`),
    },
    { schema: 'counted' },
  )
  const { metadata } = Base
  // Twice: what is there is left alone.
  await metadata.createAll(client)
  await client.executeScript('insert into counted.rows default values')
  await metadata.createAll(client)
  expect(
    await client.rows({ text: 'insert into counted.rows default values returning id', values: [] }),
  ).toEqual([['101']])
  await metadata.dropAll(client)
  await metadata.dropAll(client)
  expect(
    await client.rows({
      text: "select to_regclass('counted.rows'), to_regclass('counted.numbers'), to_regclass('\"odd name\"')",
      values: [],
    }),
  ).toEqual([[null, null, null]])
  await metadata.createAll(client, { checkFirst: false })
  await metadata.dropAll(client, { checkFirst: false })
})

test.each([
  [['numbers'], /sequences takes an object/],
  [sql`numbers`, /sequences takes an object/],
  ['numbers', /sequences takes an object/],
  [{ '': sql`cycle` }, /Not a name for a sequence/],
  [{ '.numbers': sql`cycle` }, /Not a name for a schema/],
  [{ numbers: 'cycle' }, /The sequence numbers must be written with the sql tag/],
  [{ numbers: sql`start with ${1}` }, /cannot contain parameters/],
])('sequences that cannot be ones are refused: %o', (sequences, message) => {
  expect(() => declarativeBase({ sequences: sequences as never })).toThrow(message)
})
