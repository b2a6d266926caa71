/** Whether entities and a database agree: each way in which they may not. */
import { beforeEach, expect, test } from 'vitest'
import {
  declarativeBase,
  enumType,
  integer,
  serial,
  sql,
  text,
  timestamptz,
  varchar,
} from '../../src/index.js'
import { checkEntities } from '../../src/integrations/introspect.js'
import { domainType } from '../../src/integrations/types.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
const mood = enumType('checked_mood', ['happy', 'sad', 'new'])
const small = domainType('checked_small', integer(), { checks: { small: sql`value > 0` } })

class Author extends Base.entity('checked_authors', {
  id: serial().primaryKey(),
  name: varchar({ length: 20 }).notNull().unique(),
  mood: mood().serverDefault(sql`'happy'`),
  rank: small(),
  at: timestamptz()
    .notNull()
    .serverDefault(sql`now()`),
}) {}

class Book extends Base.entity(
  'checked_books',
  {
    id: integer().identity('always').primaryKey(),
    authorId: integer('author_id').references('checked_authors.id', { onDelete: 'cascade' }).index(),
    title: text().notNull(),
    loud: text().generated(sql`upper(title)`),
  },
  { checks: { titled: sql`title <> ''` }, unique: [['authorId', 'title']] },
) {}

const fixture = useDatabase()
beforeEach(async () => {
  await fixture.db.query('drop schema public cascade; create schema public')
  await fixture.db.query(Base.metadata.ddl())
})

async function differencesAfter(change: string): Promise<readonly string[]> {
  await fixture.db.query(change)
  const { differences } = await checkEntities(fixture.engine(), Base)
  return differences.map(
    ({ kind, breaks, where, message }) =>
      `${kind} ${breaks} ${where.replace('public.checked_', '')}: ${message}`,
  )
}

test('a database that was made from the entities agrees with them', async () => {
  const report = await checkEntities(fixture.engine(), Base, { extraTables: true })
  expect(report).toEqual({ agrees: true, differences: [], tables: 2, sql: '' })
})

test.each<[string, string, readonly string[]]>([
  [
    'a table is missing',
    'drop table checked_books',
    ['missing reading books: the table is not in the database'],
  ],
  [
    'a column is missing',
    'alter table checked_authors drop column rank',
    [
      'missing reading authors: column rank (checked_small) is not in the database'.replace(
        'checked_small',
        'public.checked_small',
      ),
    ],
  ],
  [
    'a column too many',
    'alter table checked_authors add column more text',
    ['extra nothing authors: column more (text) is not in the entity'],
  ],
  [
    'a column too many that needs a value',
    'alter table checked_authors add column more text not null',
    ['extra writing authors: column more (text) is not in the entity, which cannot insert a row without it'],
  ],
  [
    'another length',
    'alter table checked_authors alter column name type varchar(10)',
    [
      'different writing authors: column name: the database has character varying(10), the entity character varying(20)',
    ],
  ],
  [
    'another type',
    'alter table checked_books alter column author_id type bigint',
    ['different reading books: column author_id: the database has bigint, the entity integer'],
  ],
  [
    'NULL allowed',
    'alter table checked_authors alter column name drop not null',
    ['different reading authors: column name: the database allows NULL, the entity does not'],
  ],
  [
    'NULL refused',
    'alter table checked_authors alter column rank set not null',
    ['different writing authors: column rank: the database refuses NULL, the entity does not'],
  ],
  [
    'no default',
    'alter table checked_authors alter column at drop default',
    ['different writing authors: column at: the database fills in nothing, the entity says now()'],
  ],
  [
    'another default',
    `alter table checked_authors alter column mood set default 'sad'`,
    [
      `different nothing authors: column mood: the database fills in 'sad'::public.checked_mood, the entity says 'happy'::public.checked_mood`,
    ],
  ],
  [
    'no key',
    'alter table checked_books drop constraint checked_books_pkey',
    ['missing writing books: primary key (id) is not in the database'],
  ],
  [
    'no unique constraint',
    'alter table checked_authors drop constraint checked_authors_name_key',
    ['missing nothing authors: unique constraint (name) is not in the database'],
  ],
  [
    'a unique index instead',
    'alter table checked_authors drop constraint checked_authors_name_key; create unique index on checked_authors (name)',
    ['extra writing authors: unique index checked_authors_name_idx USING btree (name) is not in the entity'],
  ],
  [
    'no check',
    'alter table checked_books drop constraint titled',
    [`missing nothing books: check (title <> ''::text) is not in the database`],
  ],
  [
    'no index',
    'drop index checked_books_author_id_idx',
    ['missing nothing books: index USING btree (author_id) is not in the database'],
  ],
  [
    'an index too many',
    'create index extra_idx on checked_books (title desc)',
    ['extra nothing books: index extra_idx USING btree (title DESC) is not in the entity'],
  ],
  [
    'no foreign key',
    'alter table checked_books drop constraint checked_books_author_id_fkey',
    ['missing nothing books: foreign key (author_id) to public.checked_authors is not in the database'],
  ],
  [
    'another rule of a foreign key',
    'alter table checked_books drop constraint checked_books_author_id_fkey, add foreign key (author_id) references checked_authors on delete set null',
    [
      'different writing books: foreign key (author_id): the database has on delete set null, on update no action, the entity on delete cascade, on update no action',
    ],
  ],
  [
    'another computed column',
    'alter table checked_books drop column loud, add column loud text',
    [
      'different writing books: column loud: the database fills in nothing, the entity says generated (upper(title)) stored',
    ],
  ],
  ['another name of a constraint', 'alter table checked_books rename constraint titled to other', []],
  ['another name of an index', 'alter index checked_books_author_id_idx rename to other', []],
  ['a table too many', 'create table checked_more (id int)', []],
])('%s', async (_name, change, expected) => {
  expect(await differencesAfter(change)).toEqual(expected)
})

test('a label that is missing, and one too many', async () => {
  await fixture.db.query('drop table checked_books, checked_authors; drop type checked_mood')
  await fixture.db.query(
    Base.metadata
      .ddl()
      .replace(`('happy', 'sad', 'new')`, `('happy', 'old', 'sad')`)
      .replace(/create domain[^;]*;/, ''),
  )
  const { differences, sql: script } = await checkEntities(fixture.engine(), Base)
  expect(differences.map(({ kind, breaks, message }) => `${kind} ${breaks}: ${message}`)).toEqual([
    "extra reading: label 'old' is not in the entities, whose types do not have it",
    "missing writing: label 'new' is not in the database",
  ])
  expect(script).toContain(`alter type "public"."checked_mood" add value 'new' after 'sad';\n`)
  expect(script).toContain(`-- create type "public"."checked_mood" as enum ('happy', 'sad', 'new');\n`)
  expect(script.split('\n').filter((line) => line !== '' && !line.startsWith('-- '))).toHaveLength(1)
})

test('another domain', async () => {
  const change =
    'alter domain checked_small drop constraint small; alter domain checked_small add check (value > 5)'
  expect(await differencesAfter(change)).toEqual([
    'different writing small: the database has integer check ((VALUE > 5)), the entities integer check ((VALUE > 0))',
  ])
})

test('what it proposes brings the database to the entities', async () => {
  await fixture.db.query(`
    drop table checked_books; alter table checked_authors drop column rank, alter column name type text, alter column name drop not null, alter column at drop default;
    alter table checked_authors drop constraint checked_authors_name_key`)
  const { sql: script, agrees } = await checkEntities(fixture.engine(), Base)
  expect(agrees).toBe(false)
  await fixture.db.query(script)
  expect((await checkEntities(fixture.engine(), Base)).differences).toEqual([])
})

test('it leaves nothing behind, and runs nothing of what it proposes', async () => {
  await fixture.db.query('drop table checked_books')
  await checkEntities(fixture.engine(), Base)
  const left = await fixture.db.query(`select nspname from pg_namespace where nspname like 'lifeguard%'`)
  expect(left).toEqual([])
  expect(await fixture.db.query(`select 1 from pg_class where relname = 'checked_books'`)).toEqual([])
})

test('an entity that PostgreSQL cannot create is a difference, not the end', async () => {
  const Odd = declarativeBase()
  Odd.entity('checked_authors', {
    id: serial().primaryKey(),
    name: text().serverDefault(sql`no_such_function()`),
  })
  Odd.entity('checked_books', { id: integer().identity('always').primaryKey() })
  const { differences } = await checkEntities(fixture.engine(), Odd)
  expect(differences.find(({ where }) => where === 'public.checked_authors')?.message).toMatch(
    /no_such_function/,
  )
  expect(differences.filter(({ where }) => where === 'public.checked_books').length).toBeGreaterThan(0)
})

test('what the server does not understand, or refuses to create, is a comment with the reason', async () => {
  const Later = declarativeBase()
  Later.entity('checked_authors', { id: serial().primaryKey() })
  Later.entity('checked_books', {
    id: integer().identity('always').primaryKey(),
    // As NOT ENFORCED is for PostgreSQL 17.
    authorId: integer('author_id').references('checked_authors.id', {
      definition: sql`not yet invented`,
    }),
  })
  Later.entity('checked_odd', {
    id: serial().primaryKey(),
    name: text().serverDefault(sql`no_such_function()`),
  })
  Later.entity('checked_near', { id: serial().primaryKey(), odd: integer().references('checked_odd.id') })
  const { sql: script, differences } = await checkEntities(fixture.engine(), Later)
  expect(script).toMatch(
    /^-- \(PostgreSQL \d+ does not understand this: syntax error .*\)\n-- alter table "public"."checked_books" add constraint .* not yet invented;$/m,
  )
  expect(script).toMatch(
    /^-- \(PostgreSQL refuses this: .*no_such_function.*\)\n-- create table "public"."checked_odd"/m,
  )
  expect(script).toMatch(
    /^-- \(when "public"."checked_odd" is there\)\n-- alter table "public"."checked_near" add foreign key/m,
  )
  expect(differences.find(({ where }) => where === 'public.checked_odd')).toMatchObject({
    kind: 'missing',
    message: expect.stringMatching(
      /not in the database, and PostgreSQL cannot create it: .*no_such/,
    ) as string,
  })
  // What is no comment runs.
  await fixture.engine().begin((connection) => connection.executeScript(script))
})

test('what is no base is refused', async () => {
  for (const wrong of [undefined, {}, Author, Book.prototype])
    expect(await errorOf(checkEntities(fixture.engine(), wrong as never))).toMatchObject({
      code: 'INVALID_OPTION',
    })
})

test('sequences that the base names: missing, different, or impossible', async () => {
  const Numbered = declarativeBase({
    sequences: {
      checked_numbers: sql`start with 100`,
      'public.checked_steps': sql`as integer increment by 5`,
      checked_wrong: sql`as text`,
    },
  })
  const engine = fixture.engine()
  await fixture.db.query('create sequence checked_steps increment by 5')
  const { differences, sql: script } = await checkEntities(engine, Numbered)
  expect(differences.map(({ kind, where, message }) => `${kind} ${where}: ${message}`)).toEqual([
    'missing public.checked_numbers: the sequence is not in the database',
    'different public.checked_steps: the database has a sequence as bigint increment by 5, the entities as integer increment by 5',
    expect.stringMatching(/^different public\.checked_wrong: it cannot be created: .*type/) as string,
  ])
  expect(script).toContain('create sequence "public"."checked_numbers" start with 100;')
  const left = await fixture.db.query(
    "select relname from pg_class where relkind = 'S' and relname like 'checked\\_%' order by 1",
  )
  expect(left).not.toContainEqual({ relname: 'checked_numbers' })
})
