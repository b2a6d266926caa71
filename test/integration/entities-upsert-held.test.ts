/** Upserts of rows whose objects the session holds: `returning()` gives these objects, renewed. */
import { describe, expect, test } from 'vitest'
import {
  asc,
  declarativeBase,
  insert,
  integer,
  InvalidValueError,
  MappingError,
  NoResultError,
  select,
  serial,
  sql,
  StaleDataError,
  text,
  version,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Stock extends Base.entity('held_stock', {
  id: serial().primaryKey(),
  code: text().notNull().unique(),
  label: text(),
  sold: integer().notNull().default(0),
  version: version(),
}) {}

const fixture = useEntities(Base)
const prepared = async (options: { readonly autoflush?: boolean } = {}) => {
  await fixture.db.query(
    "insert into held_stock (code, label, sold, version) values ('a', 'old', 0, 1), ('b', 'old', 0, 1)",
  )
  return fixture.factory({}, options)
}
const stored = (): Promise<unknown[]> =>
  fixture.db.query('select code, label, sold, version from held_stock order by id')
const upsert = (...rows: { code: string; label?: string | null; sold?: number }[]) =>
  insert(Stock).values(rows).onConflict('code').doUpdate().returning()

describe.each([true, false])('an upsert, autoflush %s', (autoflush) => {
  test('renews the objects that the session holds, and gives new ones for new rows', async () => {
    const { withSession } = await prepared({ autoflush })
    await withSession(async (session) => {
      const held = await session.getOne(Stock, 1)
      const [first, second] = await session.scalars(
        upsert({ code: 'a', label: 'new' }, { code: 'c', label: 'new' }),
      )
      expect(first).toBe(held)
      expect(held).toMatchObject({ label: 'new', version: 2 })
      expect([second?.label, statusOf(second as Stock)]).toEqual(['new', 'persistent'])
      expect(await session.get(Stock, (second as Stock).id)).toBe(second)
      expect(session.dirty).toEqual([])
      // What is read back can be changed and written.
      held.label = 'newer'
    })
    expect(await stored()).toMatchObject([{ label: 'newer', version: 3 }, { label: 'old' }, { label: 'new' }])
  })

  test('leaves alone what was changed and not flushed; it is written over what the upsert has stored, or refused', async () => {
    const { withSession } = await prepared({ autoflush })
    const outcome = withSession(async (session) => {
      const held = await session.getOne(Stock, 1)
      held.label = 'mine'
      const [same] = await session.scalars(upsert({ code: 'a', label: 'theirs', sold: 5 }))
      expect(same).toBe(held)
      // With autoflush it was written before.
      expect(held).toMatchObject({ label: autoflush ? 'theirs' : 'mine', sold: 5 })
      await session.flush()
    })
    if (autoflush) {
      await outcome
      expect((await stored())[0]).toMatchObject({ label: 'theirs', sold: 5, version: 3 })
    } else {
      // The changes were made on the version before.
      expect(await errorOf(outcome)).toMatchObject({ code: 'STALE_DATA' })
      expect((await stored())[0]).toMatchObject({ label: 'old', version: 1 })
    }
  })

  test('in a savepoint that is rolled back, the object is what it was', async () => {
    const { withSession } = await prepared({ autoflush })
    await withSession(async (session) => {
      const held = await session.getOne(Stock, 1)
      let made: Stock | undefined
      const failed = session.beginNested(async () => {
        const [, second] = await session.scalars(upsert({ code: 'a', label: 'undone' }, { code: 'c' }))
        made = second
        expect(held.label).toBe('undone')
        throw new Error('failed')
      })
      await errorOf(failed)
      expect(() => held.label).toThrow(/has expired/)
      await session.refresh(held)
      expect(held).toMatchObject({ label: 'old', version: 1 })
      // Its row never was.
      expect(() => made?.label).toThrow(/has expired/)
      expect(await errorOf(session.refresh(made as Stock))).toBeInstanceOf(NoResultError)
      held.label = 'undone'
    })
    expect(await stored()).toMatchObject([{ label: 'undone', version: 2 }, { label: 'old' }])
  })

  test('of objects: these stay transient, and the rows are other objects', async () => {
    const { withSession } = await prepared({ autoflush })
    await withSession(async (session) => {
      const given = [new Stock({ code: 'a', label: 'given' }), new Stock({ code: 'c', label: 'given' })]
      const got = await session.scalars(insert(Stock).values(given).onConflict('code').doUpdate().returning())
      expect(got.map(({ code, label }) => [code, label])).toEqual([
        ['a', 'given'],
        ['c', 'given'],
      ])
      expect(given.map(statusOf)).toEqual(['transient', 'transient'])
      expect(given.map(({ id }) => id)).toEqual([undefined, undefined])
      expect(given.some((object) => got.includes(object))).toBe(false)
    })
    expect(await stored()).toMatchObject([{ label: 'given', version: 2 }, {}, { label: 'given', version: 1 }])
  })

  test('that does nothing gives only new rows, and renews nothing', async () => {
    const { withSession } = await prepared({ autoflush })
    await withSession(async (session) => {
      const held = await session.getOne(Stock, 1)
      const got = await session.scalars(
        insert(Stock)
          .values([{ code: 'a', label: 'x' }, { code: 'c' }, { code: 'c' }])
          .onConflict('code')
          .doNothing()
          .returning(),
      )
      expect(got.map(({ code }) => code)).toEqual(['c'])
      expect([held.label, statusOf(held)]).toEqual(['old', 'persistent'])
    })
    expect(await stored()).toHaveLength(3)
  })

  test('of several rows for one key is refused by PostgreSQL', async () => {
    const { withSession } = await prepared({ autoflush })
    const outcome = withSession(async (session) => {
      await session.getOne(Stock, 1)
      await session.scalars(upsert({ code: 'a', label: 'x' }, { code: 'a', label: 'y' }))
    })
    const error = await errorOf(outcome)
    expect(error).toMatchObject({ sqlState: '21000' })
    expect(error.message).toMatch(
      /a second time. Two of the given rows have the same values in the conflict target/,
    )
    await using session = fixture.factory()()
    const foreign = insert(Stock).values({ code: 'x' }).onConflict('label').doUpdate(['code'])
    expect((await errorOf(session.execute(foreign))).message).toMatch(
      /42P10|columns of one unique index or constraint/,
    )
    expect(await stored()).toMatchObject([{ label: 'old' }, { label: 'old' }])
  })

  test('beside objects that are new, deleted, or have expired', async () => {
    const { withSession } = await prepared({ autoflush })
    await withSession(async (session) => {
      const [gone, expired] = (await session.scalars(select(Stock).orderBy(asc(Stock.c.id)))) as [
        Stock,
        Stock,
      ]
      session.delete(gone)
      await session.flush()
      const added = new Stock({ code: 'c' })
      session.add(added)
      await session.flush()
      session.expire(expired)
      const got = await session.scalars(
        upsert({ code: 'a', label: 'again' }, { code: 'b', label: 'again' }, { code: 'c', label: 'again' }),
      )
      expect(got[0]).not.toBe(gone)
      expect(got.slice(1)).toEqual([expired, added])
      expect([got[0]?.label, expired.label, added.label]).toEqual(['again', 'again', 'again'])
      expect(statusOf(gone)).toBe('deleted')
    })
    expect(await stored()).toMatchObject([
      { code: 'b' },
      { code: 'c', version: 2 },
      { code: 'a', version: 1 },
    ])
  })
})

test('an upsert of a row that is marked deleted: the delete fails without autoflush, and the error says what to do', async () => {
  const { withSession } = await prepared({ autoflush: false })
  const removed = (isFlushed: boolean) =>
    withSession(async (session) => {
      session.delete(await session.getOne(Stock, 1))
      if (isFlushed) await session.flush()
      await session.execute(upsert({ code: 'a', label: 'new' }))
    })
  const error = await errorOf(removed(false))
  expect(error).toBeInstanceOf(StaleDataError)
  expect(error.message).toContain('With autoflush off, flush() changes and deletes of its rows before it')
  await removed(true)
  expect(await stored()).toMatchObject([{ code: 'b' }, { code: 'a', label: 'new', version: 1 }])
})

test('columns with SQL, and mistakes', async () => {
  const { withSession } = await prepared()
  await withSession(async (session) => {
    const held = await session.getOne(Stock, 1)
    const counted = insert(Stock)
      .values({ code: 'a', sold: 3 })
      .onConflict('code')
      .doUpdate((excluded) => ({ sold: sql`${Stock.c.sold} + ${excluded.sold}` }))
    await session.execute(counted)
    // Without returning() it keeps what it has.
    expect(held.sold).toBe(0)
    const [same] = await session.scalars(counted.returning())
    expect(same).toBe(held)
    expect(held.sold).toBe(6)
  })
  expect(() => insert(Stock).values(new Stock({ code: 1 as never }))).toThrow(InvalidValueError)
  expect(() => insert(Stock).values({ code: 'a', wrong: 1 } as never)).toThrow(MappingError)
})
