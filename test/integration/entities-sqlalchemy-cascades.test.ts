/** SQLAlchemy's tests of cascades and of the unit of work (test_cascade, test_unitofworkv2, test_unitofwork), re-expressed. */
import { describe, expect, test } from 'vitest'
import {
  asc,
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  jsonb,
  jsonNull,
  manyToMany,
  select,
  serial,
  text,
} from '../../src/index.js'
import { statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class User extends Base.entity('users', { id: serial().primaryKey(), name: text().notNull().unique() }) {
  static readonly relations = {
    orders: hasMany(() => Order, 'userId', { cascade: ['add', 'delete'], orderBy: () => asc(Order.c.id) }),
    drafts: hasMany(() => Order, 'writerId', { cascade: [] }),
    badge: hasOne(() => Badge, 'userId', { cascade: ['add', 'delete', 'delete-orphan'] }),
    groups: manyToMany(() => Group, 'members', {
      cascade: ['add', 'delete'],
      orderBy: () => asc(Group.c.id),
    }),
  }
}
class Order extends Base.entity('orders', {
  id: serial().primaryKey(),
  text: text(),
  userId: integer('user_id').references('users.id'),
  writerId: integer('writer_id').references('users.id'),
}) {
  static readonly relations = {
    user: belongsTo(() => User, 'userId'),
    writer: belongsTo(() => User, 'writerId', { cascade: ['add', 'delete'] }),
  }
}
class Badge extends Base.entity('badges', {
  userId: integer('user_id').primaryKey().references('users.id'),
  data: jsonb(),
}) {}
class Group extends Base.entity('groups', { id: serial().primaryKey(), name: text() }) {
  static readonly relations = { users: manyToMany(() => User, 'members') }
}
Base.entity('members', {
  userId: integer('user_id').primaryKey().references('users.id'),
  groupId: integer('group_id').primaryKey().references('groups.id'),
})
class Node extends Base.entity('nodes', {
  id: serial().primaryKey(),
  parentId: integer('parent_id').references('nodes.id'),
  favoriteId: integer('favorite_id').references('nodes.id'),
}) {
  static readonly relations = {
    parent: belongsTo(() => Node, 'parentId'),
    children: hasMany(() => Node, 'parentId', { cascade: ['add', 'delete'] }),
    favorite: belongsTo(() => Node, 'favoriteId'),
  }
}
class Part extends Base.entity('parts', {
  a: integer().primaryKey(),
  b: integer().primaryKey(),
  data: text(),
}) {}

const fixture = useEntities(Base)
const all = (table: string) => fixture.db.query(`select * from ${table} order by 1`)
const user = (name: string, more: object = {}): User => build(User, { name, ...more })

describe('cascades', () => {
  test('add() takes along what is put into a collection of a pending object (test_save_update_sends_pending)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => {
      const one = user('one', { orders: [] })
      session.add(one)
      ;(one as unknown as { orders: Order[] }).orders.push(new Order({}))
    })
    expect(await all('orders')).toMatchObject([{ id: 1, user_id: 1 }])
  })

  test('a pending object that is taken out of a collection is stored without an owner (test_remove_pending_from_collection)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.add(user('one'))
      await session.flush()
      const one = await session.getOne(User, 1, { load: ['orders'] })
      const order = new Order({})
      one.orders.push(order)
      session.add(order)
      one.orders.length = 0
    })
    expect(await all('orders')).toMatchObject([{ id: 1, user_id: null }])
  })

  test('the target of a belongsTo goes with the object that held it last, and takes what is its own along (M2OCascadeDelete)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.add(build(Order, { writer: user('writer', { badge: new Badge({ userId: 0 }) }) }))
      await session.flush()
      session.delete(await session.getOne(Order, 1, { load: ['writer'] }))
    })
    expect([await all('orders'), await all('users'), await all('badges')]).toEqual([[], [], []])
  })

  test('and one that was assigned since: the new one goes, the old one stays (test_cascade_deletes_plusorphans)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.addAll([build(Order, { writer: user('old') }), user('new')])
      await session.flush()
      const order = await session.getOne(Order, 1, { load: ['writer'] })
      order.writer = await session.getOne(User, 2)
      session.delete(order)
    })
    expect(await all('users')).toMatchObject([{ name: 'old' }])
  })

  test('the members of a manyToMany with the cascade go, with their other links (M2MCascade.test_delete_cascade)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [a, b] = [new Group({ name: 'a' }), new Group({ name: 'b' })]
      session.addAll([user('one', { groups: [a, b] }), user('two', { groups: [b] })])
      await session.flush()
      session.delete(await session.getOne(User, 1))
    })
    expect([await all('groups'), await all('members'), await all('users')]).toMatchObject([
      [],
      [],
      [{ name: 'two' }],
    ])
  })

  test('a member that was taken out of it before stays (test_delete_orphan of a collection without it)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.add(user('one', { groups: [new Group({ name: 'a' }), new Group({ name: 'b' })] }))
      await session.flush()
      const one = await session.getOne(User, 1, { load: ['groups'] })
      one.groups.shift()
      session.delete(one)
    })
    expect([await all('groups'), await all('members')]).toMatchObject([[{ name: 'a' }], []])
  })

  test('without the cascade add, an object that was not added is refused, and named (NoSaveCascadeFlushTest)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const one = user('one', { drafts: [new Order({})] })
    session.add(one)
    const error = await errorOf(session.flush())
    expect(error.message).toContain('User.drafts holds a Order that was not added')
    session.addAll((one as unknown as { drafts: Order[] }).drafts)
    await session.commit()
    expect(await all('orders')).toMatchObject([{ writer_id: 1 }])
  })

  test('a hasOne that is replaced deletes the old one and takes its key (test_o2o, row switch)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.add(user('one', { badge: new Badge({ userId: 0, data: 1 }) }))
      await session.flush()
      const one = await session.getOne(User, 1, { load: ['badge'] })
      one.badge = new Badge({ userId: 0, data: 2 })
    })
    expect(await all('badges')).toEqual([{ user_id: 1, data: 2 }])
  })

  test('one object in two collections of one owner goes once (test_cascade_to_m2o_and_o2m)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const order = new Order({})
      session.add(user('one', { orders: [order], drafts: [order] }))
      await session.flush()
      session.delete(await session.getOne(User, 1, { load: ['orders', 'drafts'] }))
    })
    expect([await all('orders'), await all('users')]).toEqual([[], []])
  })
})

describe('the unit of work', () => {
  test('a row that is deleted and one that is added with its key: one row in the end (RowSwitchTest)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(user('one', { orders: [new Order({ text: 'old' })] })))
    await withSession(async (session) => {
      session.delete(await session.getOne(User, 1, { load: ['orders'] }))
      session.add(build(User, { id: 1, name: 'one', orders: [new Order({ text: 'new' })] }))
    })
    expect([await all('users'), await all('orders')]).toMatchObject([
      [{ id: 1, name: 'one' }],
      [{ text: 'new', user_id: 1 }],
    ])
  })

  test('and a manyToMany of such a row (RowSwitchTest.test_manytomany)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(user('one', { groups: [new Group({ name: 'a' })] })))
    await withSession(async (session) => {
      session.delete(await session.getOne(User, 1, { load: ['groups'] }))
      session.add(build(User, { id: 1, name: 'one', groups: [new Group({ name: 'b' })] }))
    })
    expect([await all('groups'), await all('members')]).toMatchObject([
      [{ name: 'b' }],
      [{ user_id: 1, group_id: 2 }],
    ])
  })

  test('two objects that are each the favorite of the other, and of themselves (SingleCycleTest, test_bi_cycle)', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [a, b, c] = [new Node({}), new Node({}), new Node({})]
      Object.assign(a, { favorite: b, parent: null })
      Object.assign(b, { favorite: a, parent: a })
      Object.assign(c, { favorite: c, parent: b })
      session.addAll([c, b, a])
      await session.flush()
      expect([a.favoriteId, b.favoriteId, c.favoriteId]).toEqual([b.id, a.id, c.id])
    })
    await withSession(async (session) => {
      for (const node of await session.scalars(select(Node))) session.delete(node)
    })
    expect(await all('nodes')).toEqual([])
  })

  test('a tree that is turned round in one flush (test_children_move)', async () => {
    const { withSession } = fixture.factory()
    await fixture.db.query('insert into nodes (parent_id) values (null), (1), (2)')
    await withSession(async (session) => {
      const [a, b, c] = await session.scalars(select(Node).load('parent', 'children').orderBy(Node.c.id))
      a!.parent = b!
      b!.parent = c!
      c!.parent = null
    })
    expect(await all('nodes')).toMatchObject([{ parent_id: 2 }, { parent_id: 3 }, { parent_id: null }])
  })

  test('to set what is there already writes nothing (test_no_change, test_many_to_one_no_change)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.add(user('one', { orders: [new Order({})] })))
    const written = await statementsOf(() =>
      withSession(async (session) => {
        const order = await session.getOne(Order, 1, { load: ['user'] })
        const one = order.user as User
        order.user = null
        order.user = one
        order.userId = 1
        one.name = String('one')
        expect(session.isModified(order)).toBe(false)
      }),
    )
    expect(written).toEqual([])
  })

  test('None and JSON null are two values, also where the column is not given (NullEvaluatingTest)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => {
      session.addAll(['a', 'b', 'c'].map((name) => user(name)))
    })
    await withSession((session) => {
      session.add(new Badge({ userId: 1 }))
      session.add(new Badge({ userId: 2, data: null }))
      session.add(new Badge({ userId: 3, data: jsonNull }))
    })
    expect(await fixture.db.query('select user_id, data::text from badges order by 1')).toEqual([
      { user_id: 1, data: null },
      { user_id: 2, data: null },
      { user_id: 3, data: 'null' },
    ])
  })

  test('a key with a part that is missing is refused before anything is sent (PartialNullPKTest)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const part = new Part({ a: 1, b: 2 })
    ;(part as { b: unknown }).b = null
    session.add(part)
    const error = await errorOf(session.flush())
    expect(error).toMatchObject({ code: 'INVALID_VALUE' })
    part.b = 3
    await session.commit()
    expect(await all('parts')).toEqual([{ a: 1, b: 3, data: null }])
  })

  test('a part of a key changes, and the object is found by the new one only (test_pk_mutate)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const part = new Part({ a: 1, b: 2 })
    session.add(part)
    await session.flush()
    part.b = 5
    await session.flush()
    expect(await session.get(Part, { a: 1, b: 5 })).toBe(part)
    expect(await session.get(Part, { a: 1, b: 2 })).toBe(null)
    await session.rollback()
    expect(statusOf(part)).toBe('transient')
    expect(part).toMatchObject({ a: 1, b: 5 })
  })

  test('an object whose key another takes in the same flush (test_unique_conflict, key moves along)', async () => {
    const { withSession } = fixture.factory()
    await fixture.db.query('insert into parts values (1, 1, $$x$$), (1, 2, $$y$$)')
    await withSession(async (session) => {
      const [x, y] = await session.scalars(select(Part).orderBy(Part.c.b))
      y!.b = 3
      x!.b = 2
      await session.flush()
      expect(await session.get(Part, { a: 1, b: 2 })).toBe(x)
      expect(await session.get(Part, { a: 1, b: 3 })).toBe(y)
    })
    expect(await fixture.db.query('select b, data from parts order by b')).toEqual([
      { b: 2, data: 'x' },
      { b: 3, data: 'y' },
    ])
  })

  test('an object that is added, deleted and added again in one transaction (test_readd_delete)', async () => {
    const session = fixture.factory()()
    await using _ = session
    const one = user('one')
    session.add(one)
    await session.flush()
    session.delete(one)
    session.add(one)
    await session.flush()
    expect(statusOf(one)).toBe('persistent')
    session.delete(one)
    await session.flush()
    expect((await errorOf(Promise.resolve().then(() => session.add(one)))).message).toMatch(/was deleted/)
    await session.rollback()
    expect(statusOf(one)).toBe('transient')
    session.add(one)
    await session.commit()
    expect(await all('users')).toMatchObject([{ name: 'one' }])
  })
})
