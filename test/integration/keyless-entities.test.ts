/** Tables that are declared otherwise than the session needs them: without a key, with a key that is no constraint, identity columns. */
import { expect, test } from 'vitest'
import {
  belongsTo,
  bigint,
  build,
  declarativeBase,
  deleteFrom,
  eq,
  hasMany,
  insert,
  integer,
  isNull,
  MappingError,
  select,
  serial,
  sql,
  text,
  update,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()

class Account extends Base.entity('keyless_accounts', {
  id: bigint().identity('always').primaryKey(),
  name: text().notNull(),
}) {}

class Entry extends Base.entity(
  'keyless_log',
  { message: text(), accountId: bigint('account_id').references('keyless_accounts.id') },
  { keyless: true },
) {
  static readonly relations = { account: belongsTo(() => Account, 'accountId') }
}

class Country extends Base.entity('keyless_countries', {
  code: text().primaryKey({ constraint: false }).unique(),
  name: text().notNull(),
}) {}

class Member extends Base.entity('keyless_members', {
  id: integer().identity().primaryKey(),
  accountId: bigint('account_id').notNull().references('keyless_accounts.id', { deferrable: true }),
}) {
  static readonly relations = { account: belongsTo(() => Account, 'accountId') }
}

const fixture = useEntities(Base)

const log = (rows: unknown): Promise<unknown> =>
  fixture.db.query('insert into keyless_log (message) select unnest($1::text[])', [rows])

test('each row of a keyless table is an object of its own, and to load it writes nothing', async () => {
  const { withSession } = fixture.factory()
  await log(['a', 'a', null])
  await withSession(async (session) => {
    const found = await session.scalars(select(Entry))
    expect(found.map(({ message }) => message)).toEqual(['a', 'a', null])
    expect(new Set(found).size).toBe(3)
    expect(session.dirty).toEqual([])
  })
})

test('statements write a keyless table', async () => {
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    await session.execute(insert(Entry).values([{ message: 'a' }, { message: null }]))
    await session.execute(update(Entry).set({ message: 'b' }).where(isNull(Entry.c.message)))
    await session.execute(deleteFrom(Entry).where(eq(Entry.c.message, 'a')))
  })
  expect(await fixture.db.query('select message from keyless_log')).toEqual([{ message: 'b' }])
})

test('what a session does by the key is refused for a keyless table', async () => {
  const { withSession } = fixture.factory()
  await log(['a'])
  const refused = {
    code: 'INVALID_MAPPING',
    message: expect.stringContaining('keyless_log is declared as keyless') as string,
  }
  const add = withSession((session) => session.add(new Entry({ message: 'b' })))
  expect(await errorOf(add)).toMatchObject(refused)
  const get = withSession((session) => session.get(Entry, undefined as never))
  expect(await errorOf(get)).toMatchObject(refused)
  const [one] = await withSession((session) => session.scalars(select(Entry)))
  const again = one as Entry
  expect(await errorOf(withSession((session) => session.merge(again)))).toMatchObject(refused)
  expect(await errorOf(withSession((session) => session.delete(again)))).toMatchObject(refused)
  for (const change of ['refresh', 'change'] as const) {
    const work = withSession(async (session) => {
      const [loaded] = await session.scalars(select(Entry))
      if (change === 'refresh') await session.refresh(loaded as Entry)
      else (loaded as Entry).message = 'c'
    })
    expect(await errorOf(work), change).toMatchObject(refused)
  }
  expect(await fixture.db.query('select message from keyless_log')).toEqual([{ message: 'a' }])
})

test('a keyless table has relations to others, and no relation leads to it', async () => {
  const { withSession } = fixture.factory()
  const account = new Account({ name: 'x' })
  await withSession((session) => session.add(account))
  await withSession((session) =>
    session.execute(insert(Entry).values({ message: 'a', accountId: account.id })),
  )
  await withSession(async (session) => {
    const [loaded] = await session.scalars(select(Entry).load('account'))
    expect(loaded?.account?.name).toBe('x')
  })
  class Odd extends Base.entity('keyless_view', { id: serial().primaryKey() }, { view: true }) {
    static readonly relations = { entries: hasMany(() => Entry, 'accountId') }
  }
  await expect(withSession((session) => session.scalars(select(Odd).load('entries')))).rejects.toThrow(
    /which is keyless/,
  )
})

test('a key without a constraint names rows, and CREATE TABLE has none', async () => {
  const { withSession } = fixture.factory()
  expect(Base.metadata.ddl()).toContain(
    'create table "keyless_countries" (\n  "code" text not null unique,\n  "name" text not null\n)',
  )
  await withSession((session) => session.add(new Country({ code: 'de', name: 'x' })))
  await withSession(async (session) => {
    ;(await session.getOne(Country, 'de')).name = 'Germany'
  })
  expect(await fixture.db.query('select * from keyless_countries')).toEqual([{ code: 'de', name: 'Germany' }])
})

test('keys of identity columns are made by PostgreSQL, also where others need them first', async () => {
  const { withSession } = fixture.factory()
  await withSession((session) => {
    for (const name of ['a', 'b']) {
      const account = new Account({ name })
      session.addAll([build(Member, { account }), build(Member, { account })])
    }
  })
  const rows = await fixture.db.query(
    'select m.id, a.name from keyless_members m join keyless_accounts a on a.id = m.account_id order by 1',
  )
  expect(rows).toEqual(['a', 'a', 'b', 'b'].map((name, index) => ({ id: index + 1, name })))
  expect(() => new Account({ id: 7n, name: 'x' } as never)).toThrow(MappingError)
  await withSession((session) => session.add(new Member({ id: 100, accountId: 1n })))
})

test('an entity without a key says how to declare it', () => {
  expect(() => declarativeBase().entity('t', { a: text() })).toThrow(/declare it with \{ keyless: true \}/)
  expect(() => declarativeBase().entity('t', { a: text().primaryKey() }, { keyless: true })).toThrow(
    /has a primary key/,
  )
  expect(() => text().identity()).toThrow('identity() is for smallint, integer and bigint, not for text')
})

test('what CREATE TABLE may say besides is said', async () => {
  const Other = declarativeBase()
  Other.entity(
    'keyless_said',
    { id: serial().primaryKey(), during: text(), twice: integer().generated(sql`id * 2`) },
    {
      constraints: { "odd 'one'": sql`exclude using btree (during with =) deferrable` },
      indexes: [
        {
          name: 'odd',
          columns: ['during'],
          definition: sql`using btree (during desc nulls last) include (id)`,
        },
      ],
    },
  )
  Other.entity('keyless_parts', { at: integer().primaryKey() }, { partitionBy: sql`range (at)` })
  await fixture.db.query(Other.metadata.ddl())
  const kinds = await fixture.db.query<{ kind: string }>(
    `select relkind::text as kind from pg_class where relname in ('keyless_parts', 'odd', 'odd ''one''') order by relname`,
  )
  expect(kinds.map(({ kind }) => kind)).toEqual(['p', 'i', 'i'])
  await fixture.db.query('drop table keyless_said, keyless_parts')
})
