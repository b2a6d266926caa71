/** `insert(Entity)`: rows in bulk, and what becomes of rows that are there already. */
import { describe, expect, test } from 'vitest'
import {
  asc,
  declarativeBase,
  gt,
  insert,
  integer,
  InvalidOptionError,
  InvalidStatementError,
  InvalidValueError,
  MappingError,
  select,
  serial,
  sql,
  text,
  timestamptz,
  UniqueViolationError,
  update,
  version,
  type EntityStatement,
} from '../../src/index.js'
import { textsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase({ naming: 'snake_case' })
class Item extends Base.entity(
  'upsert_items',
  {
    id: serial().primaryKey(),
    code: text().notNull().unique(),
    label: text(),
    sold: integer().notNull().default(0),
    addedAt: timestamptz()
      .notNull()
      .serverDefault(sql`now()`),
    touched: integer()
      .notNull()
      .default(0)
      .onUpdate(sql`7`),
    shout: text().generated(sql`upper(code)`),
    version: version(),
  },
  { indexes: [{ columns: ['label'], unique: true, where: sql`sold > 100`, name: 'upsert_items_label' }] },
) {}

const fixture = useEntities(Base)
const all = select(Item).orderBy(asc(Item.c.id))

describe('insert', () => {
  test('stores one row, and several in their order, with defaults', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.execute(insert(Item).values({ code: 'a' })))
    const made = await withSession((session) =>
      session.execute(
        insert(Item)
          .values([
            { code: 'c', sold: 3 },
            { code: 'b', label: 'B' },
          ])
          .returning(),
      ),
    )
    expect(made.rowCount).toBe(2)
    expect(made.all().map(({ code, sold, label, shout }) => [code, sold, label, shout])).toEqual([
      ['c', 3, null, 'C'],
      ['b', 0, 'B', 'B'],
    ])
    const rows = await withSession((session) => session.scalars(all))
    expect(rows.map(({ code }) => code)).toEqual(['a', 'c', 'b'])
    expect(rows.every(({ addedAt, version: at }) => addedAt instanceof Date && at === 1)).toBe(true)
  })

  test('takes many thousands of rows, and rows that give different columns', async () => {
    const { withSession } = fixture.factory()
    const many = Array.from({ length: 70_000 }, (_, index) => ({ code: `n${index}` }))
    await withSession((session) => session.execute(insert(Item).values(many)))
    const given = new Date('2020-01-01T00:00:00Z')
    const mixed = insert(Item)
      .values([{ code: 'x', addedAt: given }, { code: 'y' }])
      .returning('code', 'addedAt')
    const [first, second] = (await withSession((session) => session.execute(mixed))).all()
    expect(first).toEqual({ code: 'x', addedAt: given })
    expect(second?.addedAt.getTime()).toBeGreaterThan(given.getTime())
    const tooMany = many.map((row, index) => ({ ...row, ...(index === 0 ? { addedAt: given } : {}) }))
    expect(
      await errorOf(withSession((session) => session.execute(insert(Item).values(tooMany)))),
    ).toBeInstanceOf(InvalidStatementError)
  })

  test('takes new objects, and a row of nothing but defaults', async () => {
    const Plain = declarativeBase().entity('upsert_plain', { id: serial().primaryKey(), note: text() })
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      await session.execute('create temporary table upsert_plain (id serial primary key, note text)')
      await session.execute(insert(Plain).values({}))
      await session.execute(insert(Plain).values([{}, {}]))
      await session.execute(insert(Plain).values(new Plain({ note: 'n' })))
      expect(await session.scalar(select(Plain).count())).toBe(4)
    })
  })

  test('refuses what it cannot write, before anything is sent', () => {
    expect(() => insert(Item).values([])).toThrow(InvalidStatementError)
    expect(() => insert(Item).values({ code: 'a', lable: 'x' } as never)).toThrow(/no column 'lable'.*label/)
    expect(() => insert(Item).values({ code: 'a', shout: 'A' } as never)).toThrow(MappingError)
    expect(() => insert(Item).values({} as never)).not.toThrow()
    expect(() => insert(Item).values({ code: 7 } as never)).toThrow(InvalidValueError)
    expect(() => insert(Item).values('a' as never)).toThrow(InvalidStatementError)
    expect(() => insert(class {} as never)).toThrow(MappingError)
  })

  test('without onConflict fails for a row that is there', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.execute(insert(Item).values({ code: 'a' })))
    expect(
      await errorOf(withSession((session) => session.execute(insert(Item).values({ code: 'a' })))),
    ).toBeInstanceOf(UniqueViolationError)
  })
})

describe('onConflict', () => {
  test('doUpdate() takes over what was given, not what defaults filled in', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.execute(insert(Item).values({ code: 'a', label: 'old', sold: 5 })))
    const [stored] = await withSession((session) =>
      session.scalars(
        insert(Item).values({ code: 'a', label: 'new' }).onConflict('code').doUpdate().returning(),
      ),
    )
    expect(stored).toMatchObject({ id: 1, code: 'a', label: 'new', sold: 5, touched: 7, version: 2 })
    const again = new Item({ code: 'a', label: 'newer' })
    await withSession((session) => session.execute(insert(Item).values(again).onConflict('code').doUpdate()))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([
      { label: 'newer', sold: 5, version: 3 },
    ])
  })

  test('doUpdate takes names, values, SQL, and the row that was to be inserted', async () => {
    const { withSession } = fixture.factory()
    const run = (statement: EntityStatement<unknown>): Promise<unknown> =>
      withSession((session) => session.execute(statement))
    await run(insert(Item).values({ code: 'a', label: 'l', sold: 1 }))
    const upsert = insert(Item).values({ code: 'a', label: 'x', sold: 10 }).onConflict(['code'])
    await run(upsert.doUpdate(['sold']))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ label: 'l', sold: 10 }])
    await run(upsert.doUpdate({ label: 'fixed', sold: sql`${Item.c.sold} + 1` }))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ label: 'fixed', sold: 11 }])
    await run(upsert.doUpdate((excluded) => ({ sold: sql`${Item.c.sold} + ${excluded.sold}` })))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ label: 'fixed', sold: 21 }])
    await run(upsert.doUpdate(['label'], { where: gt(Item.c.sold, 1000) }))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ label: 'fixed', sold: 21 }])
  })

  test('doNothing() leaves rows alone, whatever they clash with', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.execute(insert(Item).values({ code: 'a', sold: 1 })))
    const rows = insert(Item).values([{ code: 'a', sold: 9 }, { code: 'b' }])
    const made = await withSession((session) =>
      session.scalars(rows.onConflict().doNothing().returning('code')),
    )
    expect(made).toEqual(['b'])
    await withSession((session) => session.execute(rows.onConflict('code').doNothing()))
    const named = rows.onConflict({ constraint: 'upsert_items_code_key' }).doNothing()
    await withSession((session) => session.execute(named))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ sold: 1 }, { code: 'b' }])
  })

  test('finds a partial unique index by its condition', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.execute(insert(Item).values({ code: 'a', label: 'l', sold: 200 })))
    const upsert = insert(Item)
      .values({ code: 'b', label: 'l', sold: 300 })
      .onConflict('label', { where: sql`${Item.c.sold} > 100` })
      .doUpdate(['sold'])
    await withSession((session) => session.execute(upsert))
    expect(await withSession((session) => session.scalars(all))).toMatchObject([{ code: 'a', sold: 300 }])
  })

  test('refreshes objects that the session holds, and leaves what they have changed', async () => {
    const { withSession } = fixture.factory({}, { autoflush: false })
    await withSession((session) =>
      session.execute(insert(Item).values([{ code: 'a', label: 'l' }, { code: 'b' }])),
    )
    await withSession(async (session) => {
      const [a, b] = (await session.scalars(all)) as [Item, Item]
      b.label = 'mine'
      const rows = insert(Item).values([
        { code: 'a', label: 'A' },
        { code: 'b', label: 'B' },
      ])
      const stored = await session.scalars(rows.onConflict('code').doUpdate().returning())
      expect(stored[0]).toBe(a)
      expect(stored[1]).toBe(b)
      expect([a.label, a.version, b.label]).toEqual(['A', 2, 'mine'])
      b.label = 'B'
    })
  })

  test('refuses what names nothing', () => {
    const start = insert(Item).values({ code: 'a' })
    expect(() => start.onConflict().doUpdate(['label'])).toThrow(InvalidStatementError)
    expect(() => start.onConflict('code').doUpdate()).toThrow(/changes nothing.*doNothing/)
    expect(() => start.onConflict([]).doNothing()).toThrow(InvalidStatementError)
    const listed = (...names: unknown[]) => start.onConflict(...(names as ['code']))
    expect(() => listed('code', 'label')).toThrow(
      new InvalidOptionError(
        'onConflict',
        "onConflict takes several columns in an array: onConflict(['code', 'label'])",
      ),
    )
    const changed = (...names: unknown[]) => start.onConflict('code').doUpdate(...(names as [['sold']]))
    expect(() => changed('sold', 'label')).toThrow(/doUpdate takes several columns in an array/)
    expect(() => start.onConflict('cod' as never)).toThrow(/no column 'cod'.*code/)
    expect(() => start.onConflict({ constrain: 'x' } as never)).toThrow(InvalidOptionError)
    expect(() => start.onConflict({ constraint: 'x' }, { where: sql`true` })).toThrow(InvalidStatementError)
    expect(() => start.onConflict(undefined, { where: sql`true` })).toThrow(InvalidStatementError)
    expect(() => start.onConflict('code', { were: sql`true` } as never)).toThrow(InvalidOptionError)
    expect(() => start.onConflict('code').doUpdate({ shout: 'x' } as never)).toThrow(MappingError)
    expect(() => start.onConflict('code').doUpdate({ sold: 'x' } as never)).toThrow(InvalidValueError)
    expect(() => start.onConflict('code').doUpdate(['x'] as never)).toThrow(MappingError)
    expect(() => start.onConflict('code').doUpdate(() => null as never)).toThrow(InvalidOptionError)
  })
})

test('a version that an upsert has raised is seen by others', async () => {
  const { withSession } = fixture.factory()
  await withSession((session) => session.execute(insert(Item).values({ code: 'a' })))
  const item = await withSession((session) => session.scalar(all))
  await withSession((session) =>
    session.execute(insert(Item).values({ code: 'a', sold: 1 }).onConflict('code').doUpdate()),
  )
  const late = withSession((session) => {
    session.add(item as Item)
    ;(item as Item).label = 'late'
  })
  expect(await errorOf(late)).toMatchObject({ code: 'STALE_DATA' })
  await withSession((session) => session.execute(update(Item).set({ sold: 2 })))
})

test.each<[string, unknown, RegExp]>([
  [
    'onConflict() without what follows it',
    insert(Item).values({ code: 'a' }).onConflict('code'),
    /INSERT into upsert_items does not say.*call doUpdate\(\) or doNothing\(\) after onConflict\(\)/,
  ],
  ['insert() without values', insert(Item), /insert\(Item\) has no rows yet: call values\(\)/],
])('says what is missing of %s, and sends nothing', async (_, statement, message) => {
  await using session = fixture.factory()()
  const unfinished = statement as EntityStatement<Item>
  const calls: (() => Promise<unknown>)[] = [
    () => session.execute(unfinished),
    () => session.scalars(unfinished),
    () => session.scalar(unfinished),
    async () => {
      const connection = await fixture.engine().connect()
      await connection.execute(unfinished).finally(() => connection.close())
    },
    async () => {
      for await (const row of session.stream(unfinished)) expect(row).toBe('not reached')
    },
  ]
  const texts = await textsOf(async () => {
    for (const call of calls) {
      const error = await errorOf(call())
      expect(error).toMatchObject({ code: 'INVALID_STATEMENT' })
      expect(error.message).toMatch(message)
    }
  })
  expect(new Set(texts)).toEqual(new Set(['(not a statement)']))
})
