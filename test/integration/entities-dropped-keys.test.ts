/** Foreign keys that hold the key of a new object which was taken out of the session before it was stored. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  InvalidValueError,
  serial,
  sql,
  text,
  type Session,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Shop extends Base.entity('dropped_shops', { id: integer().primaryKey() }) {
  static readonly relations = { shelves: hasMany(() => Shelf, 'shopId', { cascade: ['add', 'delete'] }) }
}
class Shelf extends Base.entity('dropped_shelves', {
  id: integer().primaryKey(),
  code: text().unique(),
  shopId: integer('shop_id').references('dropped_shops.id'),
}) {}
class Box extends Base.entity('dropped_boxes', {
  id: serial().primaryKey(),
  shelfId: integer('shelf_id').references('dropped_shelves.id'),
  shelfCode: text('shelf_code').references('dropped_shelves.code'),
  lateId: integer('late_id').references('dropped_shelves.id', { deferred: true }),
}) {
  static readonly relations = { shelf: belongsTo(() => Shelf, 'shelfId') }
}

const fixture = useEntities(Base)
const boxes = () => fixture.db.query('select id, shelf_id from dropped_boxes order by id')

/** Adds a new shelf and takes it out again. */
function droppedShelf(session: Session, id = 7): Shelf {
  const shelf = new Shelf({ id, code: 'a' })
  session.add(shelf)
  session.expunge(shelf)
  return shelf
}

describe('a foreign key to a new object that was expunged is refused before anything is written', () => {
  test.each(['a new object', 'a stored object', 'a unique column'] as const)('of %s', async (kind) => {
    await fixture.db.query('insert into dropped_boxes default values')
    await using session = fixture.factory()()
    const stored = await session.getOne(Box, 1)
    const shelf = droppedShelf(session)
    if (kind === 'a new object') session.add(new Box({ shelfId: shelf.id }))
    else if (kind === 'a stored object') stored.shelfId = shelf.id
    else stored.shelfCode = shelf.code
    let error: Error | undefined
    const sent = await statementsOf(async () => {
      error = await errorOf(session.flush())
    })
    expect(error).toBeInstanceOf(InvalidValueError)
    expect(error?.message).toMatch(
      /^Box\.shelf(Id|Code) of a (new|stored) Box.* is the key of a new Shelf, which is not stored/,
    )
    expect(error?.stack).toContain('entities-dropped-keys.test.ts')
    expect(sent).toEqual([])
    // The transaction has not failed.
    session.add(shelf)
    await session.commit()
    expect(await fixture.db.query('select id from dropped_shelves')).toEqual([{ id: 7 }])
  })

  test('or that was rolled back with a savepoint', async () => {
    await using session = fixture.factory()()
    const [shelf, other] = [new Shelf({ id: 7 }), new Shelf({ id: 8 })]
    const undone = session.beginNested(async () => {
      session.add(shelf)
      await session.flush()
      session.add(other)
      throw new Error('undo')
    })
    expect((await errorOf(undone)).message).toBe('undo')
    for (const { id } of [shelf, other]) {
      const box = new Box({ shelfId: id })
      session.add(box)
      expect((await errorOf(session.flush())).message).toContain(
        'is the key of a new Shelf, which is not stored',
      )
      session.expunge(box)
    }
    await session.rollback()
  })

  test('or that was dropped with its owner', async () => {
    await fixture.db.query('insert into dropped_shops values (1)')
    await using session = fixture.factory()()
    const shop = await session.getOne(Shop, 1, { load: ['shelves'] })
    const shelf = new Shelf({ id: 7 })
    shop.shelves.push(shelf)
    session.add(shop)
    session.add(new Box({ shelfId: shelf.id }))
    session.delete(shop)
    expect((await errorOf(session.flush())).message).toContain(
      'is the key of a new Shelf, which is not stored',
    )
    expect(session.inTransaction).toBe(true)
    await session.rollback()
  })
})

describe('a foreign key is accepted', () => {
  test('if the table holds a row with that key', async () => {
    await fixture.db.query("insert into dropped_shelves values (7, 'a')")
    const { withSession } = fixture.factory()
    await withSession((session) => {
      const shelf = droppedShelf(session)
      session.add(new Box({ shelfId: shelf.id, shelfCode: shelf.code }))
    })
    expect(await boxes()).toEqual([{ id: 1, shelf_id: 7 }])
  })

  test('if the object is added again, or another one has its key', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const shelf = droppedShelf(session)
      session.add(new Box({ shelfId: shelf.id }))
      session.add(shelf)
      const other = droppedShelf(session, 8)
      session.add(new Box({ shelfId: other.id }))
      session.add(new Shelf({ id: 8 }))
      await session.flush()
      session.add(new Box({ shelfId: droppedShelf(session, 8).id }))
    })
    expect(await boxes()).toMatchObject([{ shelf_id: 7 }, { shelf_id: 8 }, { shelf_id: 8 }])
  })

  test('if a relation sets it, or if it is checked at COMMIT', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const shelf = droppedShelf(session)
      const box = Object.assign(new Box({ lateId: shelf.id }), { shelf: new Shelf({ id: 1 }) })
      session.add(box)
      await session.flush()
      await session.execute(sql`insert into dropped_shelves values (7, 'a')`)
    })
    expect(await boxes()).toEqual([{ id: 1, shelf_id: 1 }])
  })

  test('in the next transaction as any other key', async () => {
    await using session = fixture.factory()()
    const shelf = droppedShelf(session)
    await session.execute('select 1')
    await session.rollback()
    session.add(new Box({ shelfId: shelf.id }))
    expect(await errorOf(session.flush())).toMatchObject({ sqlState: '23503' })
  })
})
