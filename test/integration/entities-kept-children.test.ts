/** Children of a deleted parent that are to stay: kept by `add`, given to the deleted parent, of other relations of it. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  InvalidValueError,
  MappingError,
  serial,
  integer,
  type Cascade,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const DELETE: readonly Cascade[] = ['add', 'delete']

const Base = declarativeBase()
class Desk extends Base.entity('desks', { id: serial().primaryKey() }) {
  static readonly relations = {
    drawers: hasMany(() => Drawer, 'deskId', { cascade: DELETE }),
    plain: hasMany(() => Plain, 'deskId', { cascade: DELETE }),
    lamps: hasMany(() => Lamp, 'deskId', { cascade: DELETE }),
    // Its column stands where that of the others stands.
    chairs: hasMany(() => Chair, 'deskId'),
    pens: hasMany(() => Pen, 'deskId', { cascade: [...DELETE, 'delete-orphan'] }),
  }
}
const desk = { desk: belongsTo(() => Desk, 'deskId') }
class Drawer extends Base.entity('drawers', {
  id: serial().primaryKey(),
  deskId: integer('desk_id').references('desks.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = { ...desk, spoons: hasMany(() => Spoon, 'drawerId', { cascade: DELETE }) }
}
class Spoon extends Base.entity('spoons', {
  id: serial().primaryKey(),
  drawerId: integer('drawer_id').references('drawers.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = { drawer: belongsTo(() => Drawer, 'drawerId') }
}
class Plain extends Base.entity('plains', {
  id: serial().primaryKey(),
  deskId: integer('desk_id').references('desks.id'),
}) {
  static readonly relations = desk
}
class Lamp extends Base.entity('lamps', {
  id: serial().primaryKey(),
  deskId: integer('desk_id').notNull().references('desks.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = desk
}
class Chair extends Base.entity('chairs', {
  id: serial().primaryKey(),
  deskId: integer('desk_id').references('desks.id', { onDelete: 'cascade' }),
}) {
  static readonly relations = desk
}
class Pen extends Base.entity('pens', {
  id: serial().primaryKey(),
  deskId: integer('desk_id').references('desks.id'),
}) {
  static readonly relations = desk
}

class Bench extends Base.entity('benches', { id: serial().primaryKey() }) {
  static readonly relations = { seats: hasMany(() => Seat, 'benchId') }
}
class Seat extends Base.entity('seats', {
  id: serial().primaryKey(),
  benchId: integer('bench_id').references('benches.id'),
}) {
  static readonly relations = { bench: belongsTo(() => Bench, 'benchId') }
}

const fixture = useEntities(Base)
const rows = (table: string) => fixture.db.query(`select id, desk_id from ${table} order by id`)

/** Desks 1 and 2; one child of each kind, at desk 1. */
async function stored() {
  await fixture.db.query('insert into desks default values; insert into desks default values')
  for (const table of ['drawers', 'plains', 'lamps', 'chairs', 'pens'])
    await fixture.db.query(`insert into ${table} (desk_id) values (1)`)
  return fixture.factory()
}

describe('a child that add() keeps after its parent was deleted', () => {
  test.each([
    ['drawers', 'loaded', Drawer],
    ['drawers', 'not loaded', Drawer],
    ['plain', 'loaded', Plain],
    ['plain', 'not loaded', Plain],
  ] as const)('belongs to nothing (%s, %s)', async (relation, how, Child) => {
    const { withSession } = await stored()
    await fixture.db.query('delete from chairs; delete from lamps; delete from pens')
    const child = await withSession(async (session) => {
      const parent = await session.getOne(Desk, 1, { load: how === 'loaded' ? [relation] : [] })
      const kept: Drawer | Plain = await session.getOne(Child, 1)
      session.delete(parent)
      session.add(kept)
      return kept
    })
    expect(await rows(relation === 'plain' ? 'plains' : relation)).toEqual([{ id: 1, desk_id: null }])
    expect(child.deskId).toBe(null)
  })

  test('is refused before anything is sent where it must have a parent, unless it gets another one', async () => {
    const session = (await stored())()
    await using _ = session
    const [one, two] = [await session.getOne(Desk, 1), await session.getOne(Desk, 2)]
    const lamp = await session.getOne(Lamp, 1, { load: ['desk'] })
    session.delete(one)
    session.add(lamp)
    expect(await errorOf(session.flush())).toBeInstanceOf(MappingError)
    lamp.desk = two
    await session.commit()
    expect(await rows('lamps')).toEqual([{ id: 1, desk_id: 2 }])
  })

  test.each([false, true])('is an orphan all the same (another one is deleted: %s)', async (isDeleting) => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [one, two] = [await session.getOne(Desk, 1, { load: ['pens'] }), await session.getOne(Desk, 2)]
      const pen = one.pens[0] as Pen
      one.pens = []
      if (isDeleting) session.delete(two)
      session.add(pen)
    })
    expect(await rows('pens')).toEqual([])
  })
})

describe('a child that was taken out of its parent before this was deleted', () => {
  test.each(['drawers', 'chairs'] as const)(
    'belongs to nothing, although ON DELETE CASCADE would delete it (%s)',
    async (relation) => {
      const { withSession } = await stored()
      await fixture.db.query('delete from lamps; delete from plains; delete from pens')
      await withSession(async (session) => {
        const one = await session.getOne(Desk, 1, { load: [relation] })
        one[relation] = []
        session.delete(one)
      })
      expect(await rows(relation)).toEqual([{ id: 1, desk_id: null }])
    },
  )

  test('also if the parent is deleted with its own parent', async () => {
    const { withSession } = await stored()
    await fixture.db.query('insert into spoons (drawer_id) values (1); delete from lamps')
    await withSession(async (session) => {
      const [one, drawer] = [
        await session.getOne(Desk, 1),
        await session.getOne(Drawer, 1, { load: ['spoons'] }),
      ]
      drawer.spoons = []
      session.delete(one)
    })
    expect(await rows('drawers')).toEqual([])
    expect(await fixture.db.query('select * from spoons')).toEqual([{ id: 1, drawer_id: null }])
  })
})

describe('a new object that belongs to a new one of a deleted parent', () => {
  const added = async (isAddedLast: boolean) => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const one = await session.getOne(Desk, 1)
      const drawer = build(Drawer, { desk: one })
      const spoon = build(Spoon, { drawer })
      session.addAll([drawer, spoon])
      session.delete(one)
      if (isAddedLast) {
        drawer.desk = null
        session.add(drawer)
      }
    })
    return [
      await fixture.db.query('select desk_id from drawers'),
      await fixture.db.query('select id from spoons'),
    ]
  }

  test('is not stored either', async () => {
    expect(await added(false)).toEqual([[], []])
  })

  test('is stored if that was added again without the parent', async () => {
    expect(await added(true)).toEqual([[{ desk_id: null }], [{ id: 1 }]])
  })
})

test('a stored child that was given to a new object of a deleted parent is refused, and nothing is undone', async () => {
  const session = (await stored())()
  await using _ = session
  const [one, two] = [await session.getOne(Desk, 1), await session.getOne(Desk, 2)]
  await fixture.db.query('insert into spoons (drawer_id) values (1); delete from lamps')
  const spoon = await session.getOne(Spoon, 1, { load: ['drawer'] })
  const drawer = build(Drawer, { desk: one })
  spoon.drawer = drawer
  session.add(drawer)
  session.delete(one)
  const error = await errorOf(session.flush())
  expect(error).toBeInstanceOf(InvalidValueError)
  expect(error.message).toMatch(
    /^Spoon\.drawer of a stored Spoon, id 1 holds a new Drawer, which is not stored/,
  )
  expect(session.deleted).toContain(one)
  drawer.desk = two
  await session.commit()
  expect(await rows('drawers')).toEqual([{ id: 2, desk_id: 2 }])
})

test('a new child that is added after its parent was deleted is stored, without it', async () => {
  const { withSession } = await stored()
  await fixture.db.query('delete from chairs; delete from lamps; delete from pens')
  await withSession(async (session) => {
    const one = await session.getOne(Desk, 1, { load: ['plain'] })
    session.delete(one)
    const child = new Plain({})
    one.plain.push(child)
    session.add(child)
  })
  expect(await rows('plains')).toEqual([{ id: 2, desk_id: null }])
})

describe('add() keeps a child', () => {
  test('from the deletes before it, and not from one after it', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [one, two] = [await session.getOne(Desk, 1), await session.getOne(Desk, 2)]
      const drawer = await session.getOne(Drawer, 1)
      session.delete(two)
      session.add(drawer)
      session.delete(one)
    })
    expect([await rows('drawers'), await fixture.db.query('select * from desks')]).toEqual([[], []])
  })

  test('for this transaction only', async () => {
    const session = (await stored())()
    await using _ = session
    const [one, pen] = [await session.getOne(Desk, 1), await session.getOne(Pen, 1)]
    session.delete(one)
    session.add(pen)
    await session.rollback()
    await session.refresh(one)
    await session.refresh(pen)
    session.delete(one)
    await session.commit()
    expect(await rows('pens')).toEqual([])
  })
})

describe('a deleted parent', () => {
  test('takes along a child that was loaded by itself, where ON DELETE CASCADE deletes its row, too', async () => {
    const { withSession } = await stored()
    const drawer = await withSession(async (session) => {
      const child = await session.getOne(Drawer, 1)
      session.delete(await session.getOne(Desk, 1))
      await session.flush()
      expect(statusOf(child)).toBe('deleted')
      return child
    })
    expect([statusOf(drawer), await rows('drawers')]).toEqual(['detached', []])
  })

  test('but not one that another session has moved meanwhile, nor what belongs to that', async () => {
    const { withSession } = await stored()
    await fixture.db.query('insert into spoons (drawer_id) values (1)')
    await withSession(async (session) => {
      const [one, drawer] = [await session.getOne(Desk, 1), await session.getOne(Drawer, 1)]
      const spoon = await session.getOne(Spoon, 1)
      session.delete(one)
      await fixture.db.query('update drawers set desk_id = 2')
      await session.flush()
      expect([statusOf(drawer), statusOf(spoon)]).toEqual(['persistent', 'persistent'])
    })
    expect(await rows('drawers')).toEqual([{ id: 1, desk_id: 2 }])
    expect(await fixture.db.query('select * from spoons')).toHaveLength(1)
  })

  test('lets go of children that its loaded array does not hold yet', async () => {
    const { withSession } = await stored()
    await fixture.db.query('insert into benches default values; insert into seats (bench_id) values (null)')
    await withSession(async (session) => {
      const one = await session.getOne(Bench, 1, { load: ['seats'] })
      const seat = await session.getOne(Seat, 1, { load: ['bench'] })
      seat.bench = one
      await session.flush()
      expect(one.seats).toEqual([])
      session.delete(one)
    })
    expect(await fixture.db.query('select bench_id from seats')).toEqual([{ bench_id: null }])
  })
})

describe('a child that is given to a deleted parent', () => {
  test.each(['relation', 'key', 'new'])(
    'would be lost with it by ON DELETE CASCADE: refused before anything is sent (%s)',
    async (how) => {
      const session = (await stored())()
      await using _ = session
      const [one, two] = [await session.getOne(Desk, 1), await session.getOne(Desk, 2)]
      const chair = await session.getOne(Chair, 1, { load: ['desk'] })
      session.delete(two)
      if (how === 'relation') chair.desk = two
      else if (how === 'key') chair.deskId = 2
      else session.add(new Chair({ deskId: 2 }))
      const error = await errorOf(session.flush())
      expect(error).toBeInstanceOf(InvalidValueError)
      expect(error.message).toMatch(/ON DELETE CASCADE/)
      chair.deskId = 1
      if (how === 'relation') chair.desk = one
      if (how !== 'new') await session.commit()
      expect(await rows('chairs')).toEqual([{ id: 1, desk_id: 1 }])
    },
  )

  test('stays if a new row takes the key of the deleted one', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const chair = await session.getOne(Chair, 1, { load: ['desk'] })
      session.delete(await session.getOne(Desk, 2))
      const other = new Desk({ id: 2 })
      session.add(other)
      chair.desk = other
    })
    expect(await rows('chairs')).toEqual([{ id: 1, desk_id: 2 }])
  })
})

test('a relation with the cascade takes no child of another relation whose column has the same place', async () => {
  const { withSession } = await stored()
  await fixture.db.query(
    'update chairs set desk_id = null; alter table chairs drop constraint chairs_desk_id_fkey',
  )
  await withSession(async (session) => {
    const [one, chair] = [await session.getOne(Desk, 1, { load: ['chairs'] }), await session.getOne(Chair, 1)]
    session.delete(one)
    one.chairs.push(chair)
    await session.flush()
    expect(statusOf(chair)).toBe('persistent')
  })
  expect(await rows('chairs')).toEqual([{ id: 1, desk_id: null }])
})
