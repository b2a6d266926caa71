/** A deleted row whose key a new object takes, and the rows of other objects that belong to one of the two, or refer to it. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  isNull,
  manyToMany,
  select,
  serial,
  sql,
  text,
  UniqueViolationError,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Club extends Base.entity('switched_clubs', {
  id: integer().primaryKey(),
  code: text().unique(),
  name: text(),
}) {
  static readonly relations = {
    fans: hasMany(() => Fan, 'clubId'),
    pets: hasMany(() => Pet, 'clubId', { cascade: ['add', 'delete'] }),
    flags: hasMany(() => Flag, 'clubId'),
    grounds: hasMany(() => Ground, 'clubId', { cascade: ['add', 'delete', 'delete-orphan'] }),
    anthem: hasOne(() => Anthem, 'clubId', { cascade: ['add', 'delete', 'delete-orphan'] }),
  }
}
class Fan extends Base.entity('switched_fans', {
  id: serial().primaryKey(),
  clubId: integer('club_id').references('switched_clubs.id'),
  code: text().references('switched_clubs.code', { onUpdate: 'cascade' }),
}) {}
class Pet extends Base.entity('switched_pets', {
  id: serial().primaryKey(),
  clubId: integer('club_id').notNull().references('switched_clubs.id'),
}) {}
/** Cannot be without a club. */
class Flag extends Base.entity('switched_flags', {
  id: serial().primaryKey(),
  clubId: integer('club_id').notNull().references('switched_clubs.id'),
}) {}
/** Goes when it is taken out of its club. */
class Ground extends Base.entity('switched_grounds', {
  id: integer().primaryKey(),
  clubId: integer('club_id').references('switched_clubs.id'),
  name: text(),
}) {
  static readonly relations = { seats: hasMany(() => Seat, 'groundId') }
}
class Seat extends Base.entity(
  'switched_seats',
  {
    id: serial().primaryKey(),
    groundId: integer('ground_id').references('switched_grounds.id'),
    row: text(),
  },
  { filters: { shown: ({ row }) => isNull(row) } },
) {}
/** Has the key of its club. */
class Anthem extends Base.entity('switched_anthems', {
  clubId: integer('club_id').primaryKey().references('switched_clubs.id'),
  text: text(),
}) {
  static readonly relations = { verses: hasMany(() => Verse, 'anthemId') }
}
class Verse extends Base.entity('switched_verses', {
  id: serial().primaryKey(),
  anthemId: integer('anthem_id').references('switched_anthems.club_id'),
}) {}
class Tag extends Base.entity('switched_tags', { name: text().primaryKey() }) {
  static readonly relations = { clubs: manyToMany(() => Club, 'switched_links') }
}
Base.entity('switched_links', {
  clubId: integer('club_id').primaryKey().references('switched_clubs.id'),
  tag: text().primaryKey().references('switched_tags.name'),
})
class Node extends Base.entity('switched_nodes', {
  id: integer().primaryKey(),
  parentId: integer('parent_id').references('switched_nodes.id'),
  slot: integer().unique(),
  token: text().serverDefault(sql`'default'`),
  root: text().generated(sql`case when parent_id is null then 'root' end`),
}) {
  static readonly relations = { parent: belongsTo(() => Node, 'parentId') }
}

const fixture = useEntities(Base)

/** Clubs 1 and 2, each with a fan and a pet. */
async function stored() {
  await fixture.db.query(`
    insert into switched_clubs (id, code) values (1, 'a'), (2, 'b');
    insert into switched_fans (club_id) values (1), (2);
    insert into switched_pets (club_id) values (1), (2)`)
  return fixture.factory()
}

test.each([true, false])(
  'an object whose foreign key is set to the key of both belongs to the new one (relations loaded: %s)',
  async (isLoaded) => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const old = await session.getOne(Club, 1, { load: isLoaded ? ['fans', 'pets'] : [] })
      const [fan, pet] = [await session.getOne(Fan, 2), await session.getOne(Pet, 2)]
      session.delete(old)
      session.add(new Club({ id: 1, name: 'new' }))
      fan.clubId = 1
      pet.clubId = 1
    })
    // What belonged to the deleted object is deleted with it, as without the new one.
    expect(await fixture.db.query('select id, club_id from switched_pets')).toEqual([{ id: 2, club_id: 1 }])
    expect(await fixture.db.query('select club_id from switched_fans where id = 2')).toEqual([{ club_id: 1 }])
  },
)

test('the new object takes the place of the deleted one in a relation with a join table', async () => {
  const { withSession } = await stored()
  await fixture.db.query("insert into switched_tags values ('x'); insert into switched_links values (1, 'x')")
  await withSession(async (session) => {
    const tag: WithRelations<typeof Tag> = await session.getOne(Tag, 'x', { load: ['clubs'] })
    session.delete(await session.getOne(Club, 1))
    tag.clubs = [new Club({ id: 1, name: 'new' })]
  })
  expect(await fixture.db.query('select * from switched_links')).toEqual([{ club_id: 1, tag: 'x' }])
  expect(await fixture.db.query('select name from switched_clubs where id = 1')).toEqual([{ name: 'new' }])
})

test('objects that refer to a unique value of the deleted object follow it to that of the new one', async () => {
  const { withSession } = await stored()
  await fixture.db.query("update switched_fans set code = 'a' where id = 1")
  await withSession(async (session) => {
    const fan = await session.getOne(Fan, 1)
    session.delete(await session.getOne(Club, 1))
    session.add(new Club({ id: 1, code: 'c' }))
    await session.flush()
    expect([fan.code, session.dirty]).toEqual(['c', []])
  })
  expect(await fixture.db.query('select code from switched_fans where id = 1')).toEqual([{ code: 'c' }])
})

test('rows that are written in two steps together keep the values that each was given', async () => {
  await fixture.db.query(`
    insert into switched_nodes (id, parent_id, slot, token) values (11, null, 1, ''), (12, null, 2, '');
    insert into switched_nodes (id, parent_id, slot, token) values (1, 11, 5, 'one'), (2, 12, 6, 'two')`)
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    const deleted = await session.scalars(select(Node))
    for (const node of deleted) session.delete(node)
    const [one, two] = [new Node({ id: 1, slot: 1 }), new Node({ id: 2, slot: 2, token: 'given' })]
    session.addAll([one, two])
    await session.flush()
    expect([one.token, two.token]).toEqual(['one', 'given'])
    expect(session.dirty).toEqual([])
  })
  expect(await fixture.db.query('select id, token from switched_nodes order by id')).toEqual([
    { id: 1, token: 'one' },
    { id: 2, token: 'given' },
  ])
})

test('a generated column that becomes NULL is null in the object', async () => {
  await fixture.db.query('insert into switched_nodes (id, slot) values (1, 5), (3, 7)')
  const { withSession } = fixture.factory()
  await withSession(async (session) => {
    const node = await session.getOne(Node, 3)
    node.parentId = 1
    await session.flush()
    expect([node.root, session.dirty]).toEqual([null, []])
    session.delete(await session.getOne(Node, 1))
    // The row is written in two steps: the new parent takes its slot.
    const fresh = new Node({ id: 1, slot: 9, parentId: 50 })
    session.addAll([fresh, new Node({ id: 50, slot: 5 })])
    await session.flush()
    expect([fresh.root, session.dirty]).toEqual([null, []])
  })
  expect(await fixture.db.query('select id, root from switched_nodes order by id')).toEqual([
    { id: 1, root: null },
    { id: 3, root: null },
    { id: 50, root: 'root' },
  ])
})

describe.each([true, false])('children of a replaced object (relations loaded: %s)', (isLoaded) => {
  test('lose it as by any delete, unless they were given to the new one or cannot be without it', async () => {
    const { withSession } = await stored()
    await fixture.db.query(`
      insert into switched_fans (club_id) values (1), (1), (1);
      insert into switched_flags (club_id) values (1)`)
    const relations = ['fans', 'pets', 'flags', 'grounds', 'anthem'] as const
    await withSession(async (session) => {
      const old = await session.getOne(Club, 1, { load: isLoaded ? relations : [] })
      const given = await session.getOne(Fan, 4)
      session.delete(old)
      session.add(build(Club, { id: 1, fans: [given] }))
      await session.flush()
      expect(session.dirty).toEqual([])
    })
    expect(await fixture.db.query('select id, club_id from switched_fans order by id')).toEqual([
      { id: 1, club_id: null },
      { id: 2, club_id: 2 },
      { id: 3, club_id: null },
      { id: 4, club_id: 1 },
      { id: 5, club_id: null },
    ])
    expect(await fixture.db.query('select club_id from switched_pets')).toEqual([{ club_id: 2 }])
    expect(await fixture.db.query('select club_id from switched_flags')).toEqual([{ club_id: 1 }])
  })

  test('of an orphan that a new object replaces do so, too, filtered ones among them', async () => {
    await using session = (await stored())()
    await fixture.db.query(`
      insert into switched_grounds (id, club_id, name) values (1, 1, 'old'), (2, 1, 'kept');
      insert into switched_seats (ground_id, row) values (1, null), (1, 'hidden'), (2, null)`)
    const seats = () => fixture.db.query('select ground_id from switched_seats order by id')
    const club = await session.getOne(Club, 1, { load: isLoaded ? ['grounds.seats'] : [] })
    const kept = await session.getOne(Ground, 2)
    const fresh = new Ground({ id: 1, name: 'new' })
    const replace = async (): Promise<void> => {
      Object.assign(club, { grounds: [kept, fresh] })
      await session.flush()
    }
    const undo = await errorOf(
      session.beginNested(async () => {
        await replace()
        throw new Error('undo')
      }),
    )
    expect(undo.message).toBe('undo')
    await session.refresh(club, { load: isLoaded ? ['grounds.seats'] : [] })
    await session.refresh(kept)
    await replace()
    await session.commit()
    expect(await fixture.db.query('select id, club_id, name from switched_grounds order by id')).toEqual([
      { id: 1, club_id: 1, name: 'new' },
      { id: 2, club_id: 1, name: 'kept' },
    ])
    expect(await seats()).toEqual([{ ground_id: null }, { ground_id: null }, { ground_id: 2 }])
  })

  test('of an orphan with the key of its owner do so, too', async () => {
    const { withSession } = await stored()
    await fixture.db.query(`
      insert into switched_anthems values (1, 'old');
      insert into switched_verses (anthem_id) values (1)`)
    await withSession(async (session) => {
      const club = await session.getOne(Club, 1, { load: isLoaded ? ['anthem.verses'] : [] })
      Object.assign(club, { anthem: build(Anthem, { text: 'new' }) })
    })
    expect(await fixture.db.query('select * from switched_anthems')).toEqual([{ club_id: 1, text: 'new' }])
    expect(await fixture.db.query('select anthem_id from switched_verses')).toEqual([{ anthem_id: null }])
  })
})

test('an orphan that another session has given to another owner is not overwritten', async () => {
  await using session = (await stored())()
  await fixture.db.query("insert into switched_grounds (id, club_id, name) values (1, 1, 'old')")
  const club: WithRelations<typeof Club> = await session.getOne(Club, 1, { load: ['grounds'] })
  club.grounds = [new Ground({ id: 1, name: 'new' })]
  await fixture.db.query('update switched_grounds set club_id = 2')
  expect(await errorOf(session.commit())).toBeInstanceOf(UniqueViolationError)
  await session.rollback()
  expect(await fixture.db.query('select club_id, name from switched_grounds')).toEqual([
    { club_id: 2, name: 'old' },
  ])
})
