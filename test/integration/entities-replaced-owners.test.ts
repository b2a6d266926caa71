/** A deleted object whose key a new one takes, if foreign keys say what PostgreSQL does to the rows that refer to the deleted row. */
import { beforeEach, describe, expect, test } from 'vitest'
import { belongsTo, declarativeBase, integer, InvalidValueError } from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const key = { tenantId: integer('tenant_id').primaryKey(), id: integer().primaryKey() }

class Shelf extends Base.entity('replaced_shelves', { id: integer().primaryKey() }) {}
const shelf = belongsTo(() => Shelf, 'shelfId')
class Book extends Base.entity('replaced_books', {
  id: integer().primaryKey(),
  shelfId: integer('shelf_id').references('replaced_shelves.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = { shelf }
}
class Jar extends Base.entity('replaced_jars', {
  id: integer().primaryKey(),
  shelfId: integer('shelf_id').references('replaced_shelves.id', { onDelete: 'set null' }),
}) {
  static readonly relations = { shelf }
}
class Room extends Base.entity('replaced_rooms', key) {}
class Chair extends Base.entity(
  'replaced_chairs',
  { ...key, roomId: integer('room_id').notNull() },
  {
    foreignKeys: [
      {
        columns: ['tenantId', 'roomId'],
        references: ['replaced_rooms.tenant_id', 'replaced_rooms.id'],
        onDelete: 'cascade',
      },
    ],
  },
) {}

const fixture = useEntities(Base)

beforeEach(async () => {
  await fixture.db.query(`
    truncate replaced_shelves, replaced_rooms cascade;
    insert into replaced_shelves values (2);
    insert into replaced_books values (3, 2);
    insert into replaced_jars values (3, 2);
    insert into replaced_rooms values (1, 2), (1, 3);
    insert into replaced_chairs values (1, 3, 2)`)
})

describe.each([
  ['ON DELETE CASCADE', Book, 'replaced_books'],
  ['ON DELETE SET NULL', Jar, 'replaced_jars'],
] as const)('%s', (rule, Thing, table) => {
  test('an object that is given to the new one is refused before anything is sent', async () => {
    const { withSession } = fixture.factory()
    const refused = errorOf(
      withSession(async (session) => {
        const thing = await session.getOne(Thing, 3, { load: ['shelf'] })
        session.delete(thing.shelf as Shelf)
        const next = new Shelf({ id: 2 })
        session.add(next)
        thing.shelf = next
      }),
    )
    expect(await refused).toBeInstanceOf(InvalidValueError)
    expect((await refused).message).toContain(`${rule} applies to what refers to its row`)
    expect(await fixture.db.query(`select * from ${table}`)).toEqual([{ id: 3, shelf_id: 2 }])
  })

  test('an object that is given to nothing is left to PostgreSQL', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      await session.getOne(Thing, 3)
      session.delete(await session.getOne(Shelf, 2))
      session.add(new Shelf({ id: 2 }))
    })
    expect(await fixture.db.query(`select * from ${table}`)).toEqual(
      rule === 'ON DELETE CASCADE' ? [] : [{ id: 3, shelf_id: null }],
    )
  })
})

test('an object that moves away by one column of its foreign key is written before the delete', async () => {
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    const chair = await session.getOne(Chair, { tenantId: 1, id: 3 })
    session.delete(await session.getOne(Room, { tenantId: 1, id: 2 }))
    chair.roomId = 3
    session.add(new Room({ tenantId: 1, id: 2 }))
  })
  expect(await fixture.db.query('select * from replaced_chairs')).toEqual([
    { tenant_id: 1, id: 3, room_id: 3 },
  ])
})
