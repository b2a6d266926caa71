/** What triggers of the database change in rows that a flush writes: which of it objects see, and what happens to keys. */
import { beforeEach, expect, test } from 'vitest'
import { declarativeBase, hasMany, integer, select, serial, sql, text, version } from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const stamp = () =>
  text()
    .notNull()
    .serverDefault(sql`'-'`)

/** Its key is given by the program. */
class Given extends Base.entity('givens', { id: integer().primaryKey(), name: text(), stamp: stamp() }) {
  static readonly relations = { parts: hasMany(() => Part, 'givenId') }
}
class Part extends Base.entity('parts', {
  id: integer().primaryKey(),
  givenId: integer('given_id').references('givens.id'),
}) {}
/** The same, without a column that PostgreSQL fills in. */
class Plain extends Base.entity('plains', { id: integer().primaryKey(), name: text(), version: version() }) {}
/** Its key is made by the trigger. */
class Made extends Base.entity('mades', {
  id: integer()
    .primaryKey()
    .serverDefault(sql`-1`),
  name: text(),
}) {}
class Counted extends Base.entity('counteds', { id: serial().primaryKey(), name: text() }) {}

const fixture = useEntities(Base)

/** @param body What the trigger does before each row of a table. */
async function trigger(table: string, body: string, when = 'insert'): Promise<void> {
  await fixture.db.query(`
    create or replace function on_${table}() returns trigger language plpgsql as $$ begin ${body} return new; end $$;
    create or replace trigger on_${table} before ${when} on ${table} for each row execute function on_${table}()`)
}

beforeEach(async () => {
  for (const { sql: table, name } of Base.metadata.tables)
    await fixture.db.query(`drop trigger if exists on_${name} on ${table}`)
})

test('a new object has what a trigger sets in a column with serverDefault; after an update refresh() reads it', async () => {
  await trigger('givens', `new.stamp := tg_op || new.id;`, 'insert or update')
  await using session = fixture.factory()()
  const given = [1, 2].map((id) => new Given({ id, name: 'a' }))
  session.addAll(given)
  await session.flush()
  expect(given.map((one) => one.stamp)).toEqual(['INSERT1', 'INSERT2'])
  const [first] = given as [Given]
  first.name = 'b'
  await session.flush()
  expect(first.stamp).toBe('INSERT1')
  await session.refresh(first)
  expect([first.stamp, session.isModified(first)]).toEqual(['UPDATE1', false])
})

test('a key that a trigger makes is known, of one row; of several rows it is refused, and nothing is stored', async () => {
  await trigger('mades', `new.id := nextval('counteds_id_seq') + 100;`)
  await using session = fixture.factory()()
  const one = new Made({ name: 'a' })
  session.add(one)
  await session.commit()
  expect(await fixture.db.query('select id from mades')).toEqual([{ id: one.id }])
  one.name = 'b'
  await session.commit()
  expect(await fixture.db.query('select name from mades')).toEqual([{ name: 'b' }])
  session.addAll(['c', 'd'].map((name) => new Made({ name })))
  expect(await errorOf(session.commit())).toMatchObject({ code: 'STALE_DATA' })
  await session.rollback()
  expect(await session.scalars(select(Made).columns('name'))).toEqual(['b'])
})

test('a serial key that a trigger replaces is known, of one row', async () => {
  await trigger('counteds', 'new.id := 1000 - new.id;')
  await using session = fixture.factory()()
  const one = new Counted({ name: 'a' })
  session.add(one)
  await session.commit()
  expect(await session.scalars(select(Counted))).toEqual([one])
  expect(one.id).toBeGreaterThan(900)
})

test('a trigger must not change a key that the program gives: a later write of the object finds no row, and fails', async () => {
  await trigger('plains', 'new.id := new.id + 100;')
  for (const count of [1, 2]) {
    await fixture.db.query('truncate plains')
    await using session = fixture.factory()()
    const plain = Array.from({ length: count }, (_, at) => new Plain({ id: at + 1, name: 'a' }))
    session.addAll(plain)
    await session.commit()
    // Their rows have other keys, so they are other objects.
    expect(plain.map(({ id }) => id)).toEqual([1, 2].slice(0, count))
    expect((await session.scalars(select(Plain).orderBy(Plain.c.id))).map(({ id }) => id)).toEqual(
      [101, 102].slice(0, count),
    )
    for (const one of plain) one.name = 'b'
    const error = await errorOf(session.commit())
    expect(error).toMatchObject({ code: 'STALE_DATA' })
    expect(error.message).toContain(`found 0 of ${count} rows of plains`)
    await session.rollback()
    expect(await errorOf(session.refresh(plain[0] as Plain))).toMatchObject({ code: 'NO_RESULT' })
    expect(await fixture.db.query('select distinct name from plains')).toEqual([{ name: 'a' }])
  }
})

test('where rows are returned, a trigger that changes their given keys is found at once', async () => {
  await trigger('givens', 'new.id := new.id + 100;')
  await using session = fixture.factory()()
  session.addAll([1, 2].map((id) => new Given({ id })))
  const error = await errorOf(session.commit())
  expect(error).toMatchObject({ code: 'STALE_DATA' })
  expect(error.message).toContain('a trigger or a rule kept the others out, or changed their keys')
  await session.rollback()
  expect(await fixture.db.query('select from givens')).toEqual([])
})
