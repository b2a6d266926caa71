/** What a flush writes after it has waited for rows that another transaction changed or deleted meanwhile. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  select,
  sql,
  text,
  version,
  type Session,
} from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { textsOf, useEntities } from './entities-support.js'

const Base = declarativeBase()
class Plain extends Base.entity('plains', {
  id: integer().primaryKey(),
  amount: integer().notNull().default(0),
  name: text(),
}) {}
class Counted extends Base.entity('counteds', {
  id: integer().primaryKey(),
  amount: integer().notNull().default(0),
  name: text(),
  version: version(),
}) {}
class Owner extends Base.entity('owners', { id: integer().primaryKey() }) {
  static readonly relations = { parts: hasMany(() => Part, 'ownerId', { cascade: ['add', 'delete'] }) }
}
class Part extends Base.entity('parts', {
  id: integer().primaryKey(),
  ownerId: integer('owner_id').references('owners.id'),
}) {
  static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
}
const fixture = useEntities(Base)

beforeEach(() =>
  fixture.db.query(
    `insert into plains select g, 0 from generate_series(1, 5) g; insert into counteds (id, amount, version) select g, 0, 1 from generate_series(1, 5) g;
     insert into owners values (1), (2); insert into parts select g, 1 from generate_series(1, 5) g`,
  ),
)

/** Runs a block whose flush has to wait for another transaction, which commits then. */
async function whileOther(change: string, block: (session: Session) => Promise<unknown>): Promise<unknown> {
  await using other = await fixture.engine().connect()
  await other.execute(sql.raw(change))
  const done = fixture.factory().withSession(block)
  const outcome = done.then(
    () => 'stored',
    (error: unknown) => error,
  )
  await waitUntil(async () => {
    const [waiting] = await fixture.db.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return waiting !== undefined
  })
  await other.commit()
  return await outcome
}

const addToAll =
  (Entity: typeof Plain | typeof Counted) =>
  async (session: Session): Promise<void> => {
    for (const row of await session.scalars(select(Entity))) row.amount += 1
  }

test('rows that were changed meanwhile are found, and other columns keep the new values', async () => {
  expect(await whileOther(`update plains set name = 'other' where id in (2, 4)`, addToAll(Plain))).toBe(
    'stored',
  )
  const rows = await fixture.db.query<{ line: string }>(
    `select id || ' ' || amount || coalesce(name, '') as line from plains order by id`,
  )
  expect(rows.map(({ line }) => line)).toEqual(['1 1', '2 1other', '3 1', '4 1other', '5 1'])
})

describe('nothing is stored', () => {
  test.each<[string, string, typeof Plain | typeof Counted]>([
    ['a version was raised', `update counteds set amount = 9, version = version + 1 where id = 3`, Counted],
    ['a row was deleted', 'delete from plains where id = 3', Plain],
    ['a row with a version was deleted', 'delete from counteds where id = 3', Counted],
    ['a row has another key', 'update plains set id = 33 where id = 3', Plain],
  ])('if %s', async (_, change, Entity) => {
    expect(await whileOther(change, addToAll(Entity))).toMatchObject({ code: 'STALE_DATA' })
    const { table } = Entity.c.id
    expect(await fixture.db.query(`select from ${table} where amount = 1`)).toEqual([])
  })
})

test('deletes leave what another transaction has moved to another owner', async () => {
  const outcome = await whileOther('update parts set owner_id = 2 where id in (2, 4)', async (session) =>
    session.delete(await session.getOne(Owner, 1, { load: ['parts'] })),
  )
  expect(outcome).toBe('stored')
  expect(await fixture.db.query('select id from parts order by id')).toEqual([{ id: 2 }, { id: 4 }])
  const two = await whileOther('update counteds set version = 2 where id = 5', async (session) => {
    for (const row of await session.scalars(select(Counted))) session.delete(row)
  })
  expect(two).toMatchObject({ code: 'STALE_DATA' })
})

test('the lock is part of the only statement of a table, and costs no statement', async () => {
  const { withSession } = fixture.factory()
  const texts = await textsOf(() => withSession(addToAll(Plain)))
  expect(texts.filter((statement) => statement.includes('for no key update'))).toEqual([
    expect.stringContaining('update "plains" set'),
  ])
  const more = await textsOf(() =>
    withSession(async (session) => {
      for (const row of await session.scalars(select(Plain))) {
        if (row.id % 2 === 0) row.amount += 1
        else row.name = 'x'
      }
    }),
  )
  // Two statements change the table, so all of their rows are locked before the first.
  expect(
    more.map((statement) => /^select count|update "plains"|for no key update/.exec(statement)?.[0]),
  ).toEqual([undefined, 'select count', 'update "plains"', 'update "plains"'])
})
