/** Loaded objects whose rows PostgreSQL deletes or changes by ON DELETE, because the flush deletes rows that they refer to. */
import { describe, expect, test } from 'vitest'
import {
  ExpiredAttributeError,
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  StaleDataError,
  text,
} from '../../src/index.js'
import { statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Shop extends Base.entity('shops', { id: integer().primaryKey() }) {}
class Order extends Base.entity('orders', {
  id: integer().primaryKey(),
  note: text(),
  shopId: integer('shop_id').references('shops.id', { onDelete: 'cascade' }),
}) {}
class Line extends Base.entity('lines', {
  id: integer().primaryKey(),
  orderId: integer('order_id').notNull().references('orders.id', { onDelete: 'cascade' }),
}) {}
class Visit extends Base.entity('visits', {
  id: integer().primaryKey(),
  shopId: integer('shop_id').references('shops.id', { onDelete: 'set null' }),
}) {
  static readonly relations = { shop: belongsTo(() => Shop, 'shopId') }
}
class Rating extends Base.entity('ratings', {
  id: integer().primaryKey(),
  shopId: integer('shop_id').references('shops.id', { onDelete: 'set default' }),
}) {}
class Group extends Base.entity('groups', { id: integer().primaryKey() }) {
  static readonly relations = { members: hasMany(() => Member, 'groupId', { cascade: ['add', 'delete'] }) }
}
class Member extends Base.entity('members', {
  id: integer().primaryKey(),
  groupId: integer('group_id').references('groups.id'),
}) {}
class Badge extends Base.entity('badges', {
  id: integer().primaryKey(),
  memberId: integer('member_id').references('members.id', { onDelete: 'set null' }),
}) {}

const fixture = useEntities(Base)

/** Shop 1 with an order, its line, a visit and a rating; shop 2; a session in which they are loaded. */
async function loaded() {
  await fixture.db.query(`
    insert into shops values (1), (2); insert into orders values (1, 'first', 1); insert into lines values (1, 1);
    insert into visits values (1, 1); insert into ratings values (1, 1)`)
  const session = fixture.factory({}, { autoflush: false })()
  const shop = await session.getOne(Shop, 1)
  const order = await session.getOne(Order, 1)
  const line = await session.getOne(Line, 1)
  return { session, shop, order, line }
}

describe('the object of a row that ON DELETE CASCADE deletes', () => {
  test.each(['in the transaction', 'after it'])(
    'is not returned by get() %s, down a chain of rows',
    async (when) => {
      const { session, shop, order, line } = await loaded()
      await using _ = session
      session.delete(shop)
      await (when === 'after it' ? session.commit() : session.flush())
      expect([await session.get(Order, 1), await session.get(Line, 1)]).toEqual([null, null])
      expect([statusOf(order), order.note]).toEqual(['detached', 'first'])
      expect(session.contains(line)).toBe(false)
    },
  )

  test('keeps its values, and is back after a rollback, also of a savepoint', async () => {
    const { session, shop, order } = await loaded()
    await using _ = session
    await errorOf(
      session.beginNested(async () => {
        session.delete(shop)
        await session.flush()
        expect(await session.get(Order, 1)).toBe(null)
        throw new Error('undo')
      }),
    )
    expect(await session.get(Order, 1)).toBe(order)
    session.delete(shop)
    await session.flush()
    expect(order.note).toBe('first')
    await session.rollback()
    expect(await session.get(Order, 1)).toBe(order)
  })

  test('cannot be changed: the flush fails, also if get() has not found the row', async () => {
    const { session, shop, order } = await loaded()
    await using _ = session
    session.delete(shop)
    await session.flush()
    order.note = 'changed'
    expect(await session.get(Order, 1)).toBe(null)
    const error = await errorOf(session.flush())
    expect(error).toBeInstanceOf(StaleDataError)
    expect(error.message).toContain(
      'The row of a stored Order, id 1 is gone: PostgreSQL has deleted it with a row',
    )
    session.expunge(order)
    await session.commit()
  })

  test('makes room for a merged object, and for a new one', async () => {
    const { session, shop } = await loaded()
    await using _ = session
    session.delete(shop)
    await session.flush()
    await session.merge(new Order({ id: 1, note: 'merged', shopId: 2 }))
    session.add(new Line({ id: 1, orderId: 1 }))
    await session.commit()
    expect(await fixture.db.query('select note, shop_id from orders')).toEqual([
      { note: 'merged', shop_id: 2 },
    ])
    expect(await fixture.db.query('select * from lines')).toEqual([{ id: 1, order_id: 1 }])
  })

  test('is found, without another query, where another session has moved its row meanwhile', async () => {
    const { session, shop, order } = await loaded()
    await using _ = session
    await fixture.db.query('update orders set shop_id = 2')
    session.delete(shop)
    await session.flush()
    expect(await session.get(Order, 1)).toBe(order)
    expect(await statementsOf(() => session.get(Order, 1))).toEqual([])
  })
})

describe('the foreign key of an object', () => {
  test('is NULL where ON DELETE SET NULL sets it, so that it can be given to a new owner with the same key', async () => {
    const { session, shop } = await loaded()
    await using _ = session
    const visit = await session.getOne(Visit, 1, { load: ['shop'] })
    session.delete(shop)
    await session.flush()
    expect([visit.shopId, Object.hasOwn(visit, 'shop')]).toEqual([null, false])
    visit.shop = new Shop({ id: 1 })
    await session.commit()
    expect(await fixture.db.query('select * from visits')).toEqual([{ id: 1, shop_id: 1 }])
  })

  test('is back after a rollback', async () => {
    const { session, shop } = await loaded()
    await using _ = session
    const visit = await session.getOne(Visit, 1)
    await errorOf(
      session.beginNested(async () => {
        session.delete(shop)
        await session.flush()
        throw new Error('undo')
      }),
    )
    await session.refresh(visit)
    expect([visit.shopId, session.isModified(visit)]).toEqual([1, false])
  })

  test('expires where ON DELETE SET DEFAULT sets it', async () => {
    const { session, shop } = await loaded()
    await using _ = session
    const rating = await session.getOne(Rating, 1)
    session.delete(shop)
    await session.flush()
    expect(() => rating.shopId).toThrow(ExpiredAttributeError)
    expect((await session.getOne(Rating, 1)).shopId).toBe(null)
  })

  test('expires where the owner was to be deleted with its own owner, and stays because another session has moved it', async () => {
    await fixture.db.query(`
      insert into groups values (1), (2); insert into members values (1, 1); insert into badges values (1, 1)`)
    await using session = fixture.factory({}, { autoflush: false })()
    const group = await session.getOne(Group, 1, { load: ['members'] })
    const badge = await session.getOne(Badge, 1)
    await fixture.db.query('update members set group_id = 2')
    session.delete(group)
    await session.commit()
    expect(() => badge.memberId).toThrow(ExpiredAttributeError)
    await session.refresh(badge)
    expect(badge.memberId).toBe(1)
    expect(await fixture.db.query('select * from members')).toEqual([{ id: 1, group_id: 2 }])
  })
})
