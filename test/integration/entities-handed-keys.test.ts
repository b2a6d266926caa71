/** Keys that come through two relations: they are handed on whatever the order of add, and as they are after the flush. */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  integer,
  serial,
  uuid,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'

const Base = declarativeBase()
class Order extends Base.entity('orders', { id: uuid().primaryKey().default(randomUUID) }) {
  static readonly relations = { lines: hasMany(() => Line, 'orderId') }
}
class Line extends Base.entity('lines', {
  orderId: uuid('order_id').primaryKey().references('orders.id'),
  no: integer().primaryKey(),
}) {
  static readonly relations = {
    order: belongsTo(() => Order, 'orderId'),
    allocations: hasMany(() => Allocation, ['orderId', 'no']),
  }
}
class Allocation extends Base.entity(
  'allocations',
  { orderId: uuid('order_id').primaryKey(), no: integer().primaryKey(), warehouse: integer().primaryKey() },
  { foreignKeys: [{ columns: ['orderId', 'no'], references: ['lines.order_id', 'lines.no'] }] },
) {
  static readonly relations = { line: belongsTo(() => Line, ['orderId', 'no']) }
}

/** The same, with keys that PostgreSQL makes. */
class Root extends Base.entity('roots', { id: serial().primaryKey() }) {}
class Middle extends Base.entity('middles', {
  rootId: integer('root_id').primaryKey().references('roots.id'),
  id: serial().primaryKey(),
}) {
  static readonly relations = { root: belongsTo(() => Root, 'rootId') }
}
class Leaf extends Base.entity(
  'leaves',
  {
    rootId: integer('root_id').primaryKey(),
    middleId: integer('middle_id').primaryKey(),
    no: integer().primaryKey(),
  },
  { foreignKeys: [{ columns: ['rootId', 'middleId'], references: ['middles.root_id', 'middles.id'] }] },
) {
  static readonly relations = { middle: belongsTo(() => Middle, ['rootId', 'middleId']) }
}

/** Each refers to the code of the one before, which is checked at COMMIT; nothing follows by itself. */
class First extends Base.entity('firsts', { id: integer().primaryKey(), code: integer().unique() }) {
  static readonly relations = { seconds: hasMany(() => Second, 'code') }
}
class Second extends Base.entity('seconds', {
  id: integer().primaryKey(),
  code: integer().unique().references('firsts.code', { deferred: true }),
}) {
  static readonly relations = { first: belongsTo(() => First, 'code'), thirds: hasMany(() => Third, 'code') }
}
class Third extends Base.entity('thirds', {
  id: integer().primaryKey(),
  code: integer().references('seconds.code', { deferred: true }),
}) {
  static readonly relations = { second: belongsTo(() => Second, 'code') }
}

const fixture = useEntities(Base)
const query = (statement: string) => fixture.db.query(statement)

describe('the order of add does not matter', () => {
  const items = ['order', 'line', 'other line', 'allocation', 'other allocation'] as const

  test('for keys that are known, whatever else comes with them', async () => {
    const { withSession } = fixture.factory()
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...items], { minLength: 1 }),
        fc.boolean(),
        async (added, byOwner) => {
          const order = new Order({})
          const lines = [1, 2].map((no) => new Line({ no }) as WithRelations<typeof Line>)
          const allocations = lines.map(
            () => new Allocation({ warehouse: 1 }) as WithRelations<typeof Allocation>,
          )
          if (byOwner) {
            Object.assign(order, { lines })
            for (const [at, line] of lines.entries()) line.allocations = [allocations[at] as Allocation]
          } else {
            for (const line of lines) line.order = order
            for (const [at, allocation] of allocations.entries()) allocation.line = lines[at] as Line
          }
          const [line, other] = lines as [Line, Line]
          const [allocation, second] = allocations as [Allocation, Allocation]
          const byName = { order, line, 'other line': other, allocation, 'other allocation': second }
          await withSession((session) =>
            session.addAll([...added.map((name) => byName[name]), ...(byOwner ? [order] : allocations)]),
          )
          expect(
            await query(`select no, warehouse from allocations where order_id = '${order.id}' order by no`),
          ).toEqual([
            { no: 1, warehouse: 1 },
            { no: 2, warehouse: 1 },
          ])
          expect(allocations.map(({ orderId, no }) => [orderId, no])).toEqual([
            [order.id, 1],
            [order.id, 2],
          ])
        },
      ),
      { numRuns: 40 },
    )
  })

  test('for keys that PostgreSQL makes', async () => {
    const { withSession } = fixture.factory()
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([0, 1, 2]), async (added) => {
        const root = new Root({})
        const middle = build(Middle, { root })
        const leaf = build(Leaf, { no: 1, middle })
        await withSession((session) =>
          session.addAll([...added.map((at) => [root, middle, leaf][at] as object), leaf]),
        )
        expect([leaf.rootId, leaf.middleId]).toEqual([root.id, middle.id])
        expect(await query(`select root_id, middle_id from leaves where root_id = ${root.id}`)).toEqual([
          { root_id: root.id, middle_id: middle.id },
        ])
      }),
      { numRuns: 12 },
    )
  })
})

describe('a key that changes in the flush', () => {
  const stored = async () => {
    await query(
      'insert into firsts values (1, 10), (2, 20), (3, 30), (4, 40); insert into seconds values (1, 10), (2, 30); insert into thirds values (1, 10)',
    )
    const session = fixture.factory({}, { autoflush: false })()
    // The one that gets the key is loaded first.
    const third = (await session.getOne(Third, 1)) as WithRelations<typeof Third>
    const second = (await session.getOne(Second, 1)) as WithRelations<typeof Second>
    const first = await session.getOne(First, 2)
    return { session, first, second, third }
  }
  const codes = async () => [
    ...(await query('select code from seconds where id = 1')),
    ...(await query('select code from thirds')),
  ]

  test('is handed on new, where both relations are assigned', async () => {
    const { session, first, second, third } = await stored()
    third.second = second
    second.first = first
    await session.commit()
    expect(await codes()).toEqual([{ code: 20 }, { code: 20 }])
    expect([second.code, third.code]).toEqual([20, 20])
  })

  test.each(['belongsTo', 'hasMany'])('is handed on to what leads to it already: %s', async (side) => {
    const { session, first, second, third } = await stored()
    if (side === 'belongsTo') await session.refresh(third, { load: ['second'] })
    else await session.refresh(second, { load: ['thirds'] })
    second.first = first
    await session.commit()
    expect(await codes()).toEqual([{ code: 20 }, { code: 20 }])
    expect(third.code).toBe(20)
    second.code = 40
    await session.commit()
    expect(await codes()).toEqual([{ code: 40 }, { code: 40 }])
  })

  test('is not handed on to a foreign key that was set itself, to another owner, or to none', async () => {
    for (const [change, code] of [
      [(third: WithRelations<typeof Third>) => (third.code = 30), 30],
      [(third: WithRelations<typeof Third>) => (third.second = null), null],
    ] as const) {
      await query('truncate firsts, seconds, thirds')
      const { session, first, second, third } = await stored()
      await session.refresh(third, { load: ['second'] })
      second.first = first
      change(third)
      await session.commit()
      expect(await codes()).toEqual([{ code: 20 }, { code }])
    }
  })
})
