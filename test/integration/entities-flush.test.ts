/** What a flush writes, in which order, and what it gives back. */
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  integer,
  serial,
  text,
  uuid,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()

class Category extends Base.entity('categories', {
  id: serial().primaryKey(),
  name: text().notNull().unique(),
  parentId: integer('parent_id').references('categories.id'),
}) {
  static readonly relations = {
    parent: belongsTo(() => Category, 'parentId'),
    children: hasMany(() => Category, 'parentId'),
  }
}

/** Team and player refer to each other, one by a key that is not the primary one; the team can wait for its captain. */
class Team extends Base.entity('teams', {
  id: uuid().primaryKey().default(randomUUID),
  captainId: uuid('captain_id').references('players.key'),
}) {
  static readonly relations = { captain: belongsTo(() => Player, 'captainId') }
}
class Player extends Base.entity('players', {
  id: serial().primaryKey(),
  key: uuid().notNull().unique().default(randomUUID),
  teamId: uuid('team_id').notNull().references('teams.id'),
}) {
  static readonly relations = { team: belongsTo(() => Team, 'teamId') }
}

/** Two that need each other always, checked at COMMIT. */
class Left extends Base.entity('lefts', {
  id: integer().primaryKey(),
  rightId: integer('right_id').notNull().references('rights.id', { deferred: true }),
}) {
  static readonly relations = { right: belongsTo(() => Right, 'rightId') }
}
class Right extends Base.entity('rights', {
  id: integer().primaryKey(),
  leftId: integer('left_id').notNull().references('lefts.id', { deferred: true }),
}) {
  static readonly relations = { left: belongsTo(() => Left, 'leftId') }
}

class Seat extends Base.entity(
  'seats',
  {
    row: integer().primaryKey(),
    place: text().primaryKey(),
    guest: text(),
    hall: text().notNull().default('main'),
  },
  { unique: [['hall', 'guest']] },
) {}

class Visit extends Base.entity(
  'visits',
  { id: serial().primaryKey(), row: integer(), place: text() },
  { foreignKeys: [{ columns: ['row', 'place'], references: ['seats.row', 'seats.place'] }] },
) {
  static readonly relations = { seat: belongsTo(() => Seat, ['row', 'place']) }
}

const fixture = useEntities(Base)
const query = (statement: string) => fixture.db.query(statement)

describe('rows', () => {
  test('are inserted in the order of add, and take what PostgreSQL makes of them', async () => {
    await using session = fixture.factory()()
    const names = ['c', 'a', 'b', 'z', 'y']
    const categories = names.map((name) => new Category({ name }))
    session.addAll(categories)
    await session.commit()
    expect(categories.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5])
    expect((await query('select name from categories order by id')).map(({ name }) => name)).toEqual(names)
  })

  test('of a tree come from the root to the leaves, whatever the order of add, and leave the other way', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const nodes = Array.from({ length: 20 }, (_, index) => new Category({ name: `${index}` }))
    for (const [index, node] of nodes.entries()) {
      if (index > 0)
        (node as WithRelations<typeof Category>).parent = nodes[Math.floor((index - 1) / 2)] as Category
    }
    session.addAll(nodes.toReversed())
    // As some need their keys beforehand, all get them.
    expect(await statementsOf(() => session.commit())).toEqual(['insert into "categories"'])
    expect(nodes.map(({ parentId }) => nodes.findIndex(({ id }) => id === parentId))).toEqual(
      nodes.map((_, index) => (index === 0 ? -1 : Math.floor((index - 1) / 2))),
    )
    for (const node of nodes) session.delete(node)
    expect(await statementsOf(() => session.commit())).toEqual(['delete from "categories"'])
    expect(await query('select * from categories')).toEqual([])
  })

  test('that refer to themselves and to each other in a circle are one statement', async () => {
    await using session = fixture.factory()()
    const [self, a, b] = ['self', 'a', 'b'].map((name) => new Category({ name })) as [
      WithRelations<typeof Category>,
      WithRelations<typeof Category>,
      WithRelations<typeof Category>,
    ]
    self.parent = self
    a.parent = b
    b.parent = a
    session.addAll([self, a, b])
    await session.commit()
    expect([self.parentId, a.parentId, b.parentId]).toEqual([self.id, b.id, a.id])
    for (const category of [a, self, b]) session.delete(category)
    await session.commit()
    expect(await query('select * from categories')).toEqual([])
  })

  test('of tables that refer to each other are inserted with NULL first, and set to NULL before they are deleted', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const team: WithRelations<typeof Team> = new Team()
    const player: WithRelations<typeof Player> = new Player({ teamId: team.id })
    team.captain = player
    session.add(team)
    expect(await statementsOf(() => session.commit())).toEqual([
      'insert into "teams"',
      'insert into "players"',
      'update "teams"',
    ])
    expect(await query('select captain_id from teams')).toEqual([{ captain_id: player.key }])
    session.delete(player)
    session.delete(team)
    expect(await statementsOf(() => session.commit())).toEqual([
      'update "teams"',
      'delete from "players"',
      'delete from "teams"',
    ])
    expect(await query('select * from players')).toEqual([])
  })

  test('that must refer to each other are stored in any order where that is checked at COMMIT', async () => {
    await using session = fixture.factory()()
    session.addAll([new Left({ id: 1, rightId: 2 }), new Right({ id: 2, leftId: 1 })])
    await session.commit()
    session.add(new Left({ id: 3, rightId: 99 }))
    await session.flush()
    const error = await errorOf(session.commit())
    expect(error['constraint']).toBe('lefts_right_id_fkey')
    await session.rollback()
    expect(session.inTransaction).toBe(false)
    for (const entity of [Left, Right]) session.delete(await session.getOne(entity, entity === Left ? 1 : 2))
    await session.commit()
    expect(await query('select * from lefts')).toEqual([])
  })
})

describe('unique keys', () => {
  test('that a deleted row frees can be taken by a new one and by a changed one', async () => {
    await using session = fixture.factory()()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Category({ name })) as [Category, Category, Category]
    const seat = new Seat({ row: 1, place: 'a', guest: 'Ann' })
    session.addAll([a, b, c, seat])
    await session.commit()
    for (const gone of [a, b, seat]) session.delete(gone)
    c.name = 'a'
    session.addAll([
      new Category({ name: 'b' }),
      new Seat({ row: 1, place: 'a', guest: 'Bob' }),
      new Seat({ row: 2, place: 'a', guest: 'Ann' }),
    ])
    await session.commit()
    expect(await query('select name from categories order by name')).toEqual([{ name: 'a' }, { name: 'b' }])
    expect(await query('select row, guest from seats order by row')).toEqual([
      { row: 1, guest: 'Bob' },
      { row: 2, guest: 'Ann' },
    ])
  })

  test('are freed with the rows that refer to them', async () => {
    await using session = fixture.factory()()
    const parent: WithRelations<typeof Category> = new Category({ name: 'parent' })
    const child: WithRelations<typeof Category> = new Category({ name: 'child' })
    const kept: WithRelations<typeof Category> = new Category({ name: 'kept' })
    child.parent = parent
    kept.parent = parent
    session.addAll([kept, child])
    await session.commit()
    session.delete(parent)
    session.delete(child)
    kept.parent = null
    session.add(new Category({ name: 'parent' }))
    await session.commit()
    expect(await query('select name, parent_id from categories order by name')).toEqual([
      { name: 'kept', parent_id: null },
      { name: 'parent', parent_id: null },
    ])
  })

  test('that two changed rows swap are refused by PostgreSQL, as it checks each row', async () => {
    await using session = fixture.factory()()
    const [a, b] = ['a', 'b'].map((name) => new Category({ name })) as [Category, Category]
    session.addAll([a, b])
    await session.commit()
    a.name = 'b'
    b.name = 'a'
    const error = await errorOf(session.commit())
    expect(error['constraint']).toBe('categories_name_key')
    expect(error.message).toContain('rows of this flush take unique values from each other in a cycle')
    expect(error.stack).toContain(error.message)
    await session.rollback()
    await session.refresh(a)
    expect(a.name).toBe('a')
  })
})

describe('primary keys', () => {
  test('may be composite, changed, and taken over from one that is deleted', async () => {
    await using session = fixture.factory()()
    const [one, two] = [new Seat({ row: 1, place: 'a' }), new Seat({ row: 2, place: "b'" })]
    session.addAll([one, two])
    await session.commit()
    one.place = 'c'
    one.guest = 'Ann'
    await session.flush()
    expect(await session.get(Seat, { row: 1, place: 'a' })).toBeNull()
    expect(await session.get(Seat, { row: 1, place: 'c' })).toBe(one)
    session.delete(two)
    one.row = 2
    one.place = "b'"
    await session.commit()
    expect(await session.get(Seat, { row: 2, place: "b'" })).toBe(one)
    expect(await query('select row, place, guest from seats')).toEqual([
      { row: 2, place: "b'", guest: 'Ann' },
    ])
  })

  test('that were changed are as before after a rollback', async () => {
    await using session = fixture.factory()()
    const seat = new Seat({ row: 1, place: 'a' })
    session.add(seat)
    await session.commit()
    seat.row = 9
    await session.flush()
    await session.rollback()
    expect(await session.get(Seat, { row: 1, place: 'a' })).toBe(seat)
    expect(seat.row).toBe(1)
    expect(await session.get(Seat, { row: 9, place: 'a' })).toBeNull()
  })

  test('of several columns are set through a relation', async () => {
    await using session = fixture.factory()()
    const visit: WithRelations<typeof Visit> = new Visit()
    visit.seat = new Seat({ row: 3, place: 'x' })
    session.add(visit)
    await session.commit()
    expect([visit.row, visit.place]).toEqual([3, 'x'])
    visit.seat = null
    await session.commit()
    expect(await query('select row, place from visits')).toEqual([{ row: null, place: null }])
  })
})
