/** `delete-orphan`, by SQLAlchemy's tests of it (test_cascade, test_hasparent): what is taken out of its owner is deleted. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  MappingError,
  serial,
  text,
  type Cascade,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const ALL: readonly Cascade[] = ['add', 'delete', 'delete-orphan']

const Base = declarativeBase()
class User extends Base.entity('users', { id: serial().primaryKey() }) {
  static readonly relations = {
    orders: hasMany(() => Order, 'userId', { cascade: ALL }),
    notes: hasMany(() => Note, 'userId', { cascade: ALL }),
    address: hasOne(() => Address, 'userId', { cascade: ALL }),
  }
}
class Agent extends Base.entity('agents', { id: serial().primaryKey() }) {
  static readonly relations = { notes: hasMany(() => Note, 'agentId', { cascade: ALL }) }
}
class Order extends Base.entity('orders', {
  id: serial().primaryKey(),
  userId: integer('user_id').notNull().references('users.id'),
}) {
  static readonly relations = {
    user: belongsTo(() => User, 'userId'),
    items: hasMany(() => Item, 'orderId', { cascade: ALL }),
  }
}
class Item extends Base.entity('items', {
  id: serial().primaryKey(),
  orderId: integer('order_id').notNull().references('orders.id'),
}) {}
class Note extends Base.entity('notes', {
  id: serial().primaryKey(),
  body: text(),
  userId: integer('user_id').references('users.id'),
  agentId: integer('agent_id').references('agents.id'),
}) {
  static readonly relations = { user: belongsTo(() => User, 'userId') }
}
class Address extends Base.entity('addresses', {
  id: serial().primaryKey(),
  userId: integer('user_id').references('users.id'),
}) {}
class Node extends Base.entity('nodes', {
  id: serial().primaryKey(),
  parentId: integer('parent_id').references('nodes.id'),
}) {
  static readonly relations = { children: hasMany(() => Node, 'parentId', { cascade: ALL }) }
}

const fixture = useEntities(Base)
const ids = async (table: string) =>
  (await fixture.db.query<{ id: number }>(`select id from ${table} order by id`)).map(({ id }) => id)

const order = (...items: Item[]) => build(Order, { userId: 0, items })
const item = () => new Item({ orderId: 0 })

/** User 1 with orders 1 (items 1 and 2) and 2, note 1 and address 1; user 2 with nothing. */
async function stored() {
  const factory = fixture.factory()
  await factory.withSession(async (session) => {
    const user = build(User, { orders: [], notes: [new Note({})], address: new Address({}) })
    session.addAll([user, new User({})])
    await session.flush()
    const users = await session.getOne(User, 1, { load: ['orders'] })
    users.orders.push(order(item(), item()), order())
  })
  return factory
}

describe('an object that is taken out of a relation with delete-orphan', () => {
  test('is deleted, with what belongs to it: by the array, another array, or null (test_list_assignment_replace, test_collection_orphans)', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const user = await session.getOne(User, 1, { load: ['orders', 'address'] })
      const [first] = user.orders
      user.orders.shift()
      expect(session.deleted).toEqual([first])
      user.address = new Address({})
    })
    expect([await ids('orders'), await ids('items'), await ids('addresses')]).toEqual([[2], [], [2]])
    await withSession(async (session) => {
      const user: User & { orders?: Order[]; address?: Address | null } = await session.getOne(User, 1)
      user.orders = [order()]
      user.address = null
    })
    expect([await ids('orders'), await ids('addresses')]).toEqual([[3], []])
  })

  test('is deleted although its foreign key takes NULL, and by its own side of the relation', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const note: Note & { user?: User | null } = await session.getOne(Note, 1)
      note.user = null
    })
    expect(await ids('notes')).toEqual([])
  })

  test('is kept when it is given to another owner, in any order and by any side (test_o2m_delorphan_delete_old)', async () => {
    const { withSession } = await stored()
    for (const [from, to, way] of [
      [1, 2, 'arrays'],
      [2, 1, 'arrays'],
      [1, 2, 'relation'],
      [2, 1, 'key'],
    ] as const) {
      await withSession(async (session) => {
        const old = await session.getOne(User, from, { load: ['notes'] })
        const other = await session.getOne(User, to, { load: ['notes'] })
        const [note] = old.notes as [Note & { user?: User }]
        old.notes.splice(0, 1)
        if (way === 'arrays') other.notes.push(note)
        else if (way === 'relation') note.user = other
        else note.userId = to
      })
      expect(await fixture.db.query('select id, user_id from notes')).toEqual([{ id: 1, user_id: to }])
    }
    await withSession(async (session) => {
      const old = await session.getOne(User, 1, { load: ['notes', 'address'] })
      const other: User & { address?: Address | null } = await session.getOne(User, 2, { load: ['notes'] })
      ;(other as typeof old).notes.push(old.notes.pop() as Note)
      other.address = old.address
      old.address = null
      session.delete(await session.getOne(User, 1, { load: ['orders'] }))
    })
    expect([await ids('users'), await ids('notes'), await ids('addresses')]).toEqual([[2], [1], [1]])
  })

  test('is deleted with its owner as well (test_cascade_delete_plusorphans)', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const user = await session.getOne(User, 1, { load: ['orders', 'notes'] })
      user.orders.pop()
      user.notes.pop()
      session.delete(user)
    })
    for (const table of ['orders', 'items', 'notes', 'addresses']) expect(await ids(table)).toEqual([])
  })

  test('is deleted down to the last of a tree (test_self_referential_delete)', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => {
      const third = build(Node, { children: [new Node({})] })
      session.add(build(Node, { children: [new Node({}), third] }))
    })
    expect(await ids('nodes')).toHaveLength(4)
    await withSession(async (session) => {
      const [root] = await fixture.db.query<{ id: number }>('select id from nodes where parent_id is null')
      const node = await session.getOne(Node, root?.id as number, { load: ['children.children'] })
      node.children.splice(
        node.children.findIndex(({ children }) => children.length > 0),
        1,
      )
    })
    expect(await ids('nodes')).toHaveLength(2)
  })

  test('is deleted when either of two owners has removed it (test_double_parent_expunge_o2m_current)', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      session.add(build(Agent, { notes: [await session.getOne(Note, 1)] }))
    })
    await withSession(async (session) => {
      ;(await session.getOne(Agent, 1, { load: ['notes'] })).notes.pop()
    })
    expect(await ids('notes')).toEqual([])
  })

  test('stays where another session has given it to another owner meanwhile', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const user = await session.getOne(User, 1, { load: ['notes'] })
      await fixture.db.query('update notes set user_id = 2')
      user.notes.pop()
    })
    expect(await ids('notes')).toEqual([1])
  })

  test('comes back with a rollback, and then is no orphan (test_hasparent: the latest owner counts)', async () => {
    const factory = await stored()
    await using session = factory()
    const user = await session.getOne(User, 1, { load: ['notes'] })
    const [note] = user.notes as [Note]
    user.notes.pop()
    await session.flush()
    expect(statusOf(note)).toBe('deleted')
    await session.rollback()
    expect(statusOf(note)).toBe('persistent')
    session.expunge(user)
    const again = await session.getOne(User, 1, { load: ['notes'] })
    expect(again.notes).toEqual([note])
    await session.commit()
    expect(await ids('notes')).toEqual([1])
    again.notes.pop()
    await session.commit()
    expect(await ids('notes')).toEqual([])
  })
})

describe('a new object', () => {
  test('that is taken out again is not stored, nor what belongs to it (PendingOrphanTest)', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const user = await session.getOne(User, 2, { load: ['orders', 'notes', 'address'] })
      const [lost, kept] = [order(item()), order()]
      user.orders.push(lost, kept)
      user.notes.push(new Note({ body: 'lost' }))
      user.address = new Address({})
      session.add(user)
      expect(session.new).toHaveLength(5)
      user.orders.shift()
      user.notes.pop()
      user.address = null
      expect(session.new).toEqual([kept])
      expect([lost, kept].map(statusOf)).toEqual(['transient', 'pending'])
    })
    expect([await ids('orders'), await ids('items'), await ids('notes')]).toEqual([[1, 2, 3], [1, 2], [1]])
  })

  test('that was in no owner is stored where its foreign key allows it (test_pending_standalone_orphan)', async () => {
    const { withSession } = await stored()
    await withSession((session) => session.addAll([new Note({}), new Order({ userId: 2 })]))
    expect([await ids('notes'), await ids('orders')]).toEqual([
      [1, 2],
      [1, 2, 3],
    ])
    const alone = withSession((session) => session.add(new Order({ userId: null as never })))
    expect((await errorOf(alone)).message).toContain('orders.user_id is null')
  })

  test('of a relation without delete-orphan stays (test_nonorphans_ok)', async () => {
    const Plain = declarativeBase()
    const Child: ReturnType<typeof plain> = plain()
    function plain() {
      return class extends Plain.entity('notes', {
        id: serial().primaryKey(),
        userId: integer('user_id').references('users.id'),
      }) {}
    }
    class Owner extends Plain.entity('users', { id: serial().primaryKey() }) {
      static readonly relations = { notes: hasMany(() => Child, 'userId', { cascade: ['add', 'delete'] }) }
    }
    await fixture.factory().withSession((session) => {
      const owner = build(Owner, { notes: [new Child({})] })
      session.add(owner)
      ;(owner as { notes: unknown[] }).notes.pop()
    })
    expect(await fixture.db.query('select id, user_id from notes')).toEqual([{ id: 1, user_id: null }])
  })
})

describe('a relation with a cascade that cannot be', () => {
  const relation = (cascade: readonly string[], make: typeof hasMany | typeof belongsTo) => {
    const Wrong = declarativeBase()
    class Owner extends Wrong.entity('owners', {
      id: serial().primaryKey(),
      otherId: integer('other_id').references('owners.id'),
    }) {
      static readonly relations: object = {
        others: (make as typeof hasMany)(() => Owner, 'otherId', { cascade: cascade as Cascade[] }),
      }
    }
    const { withSession } = fixture.factory()
    return errorOf(withSession((session) => session.add(Object.assign(new Owner({}), { others: [] }))))
  }

  test.each([
    [
      ['add', 'remove'],
      hasMany,
      "has the cascade remove; it takes a list of 'add', 'delete' and 'delete-orphan'",
    ],
    [['add', 'delete-orphan'], hasMany, 'must delete with the owner, too'],
    [['add', 'delete', 'delete-orphan'], belongsTo, "'delete-orphan' is for hasMany and hasOne"],
  ] as const)('%j is refused', async (cascade, make, message) => {
    const error = await relation(cascade, make)
    expect(error).toBeInstanceOf(MappingError)
    expect(error.message).toContain(message)
  })
})
