/** Filters of entities: conditions that hold for every query, until a query turns them off. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  asc,
  belongsTo,
  boolean,
  declarativeBase,
  deleteFrom,
  eq,
  hasMany,
  integer,
  InvalidOptionError,
  InvalidStatementError,
  isNull,
  manyToMany,
  MappingError,
  select,
  serial,
  sql,
  text,
  timestamptz,
  update,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const tenant = new AsyncLocalStorage<number>()
const Base = declarativeBase({ naming: 'snake_case' })
class Room extends Base.entity('filter_rooms', { id: serial().primaryKey(), name: text().notNull() }) {
  static readonly relations = {
    chairs: hasMany(() => Chair, 'roomId', { cascade: ['add', 'delete'] }),
    tags: manyToMany(() => Tag, 'filter_links'),
  }
}
class Chair extends Base.entity(
  'filter_chairs',
  {
    id: serial().primaryKey(),
    name: text().notNull(),
    tenantId: integer().notNull().default(1),
    deletedAt: timestamptz(),
    roomId: integer().references('filter_rooms.id'),
  },
  {
    filters: {
      live: (c) => isNull(c.deletedAt),
      tenant: (c) => sql`${c.tenantId} = ${tenant.getStore() ?? 1}`,
    },
  },
) {
  static readonly relations = { room: belongsTo(() => Room, 'roomId') }
}
class Tag extends Base.entity(
  'filter_tags',
  { id: serial().primaryKey(), hidden: integer().notNull().default(0) },
  { filters: { shown: (c) => eq(c.hidden, 0) } },
) {}
Base.entity('filter_links', {
  roomId: integer().primaryKey().references('filter_rooms.id'),
  tagId: integer().primaryKey().references('filter_tags.id'),
})
class Parcel extends Base.entity('filter_parcels', { id: serial().primaryKey() }) {
  static readonly relations = {
    labels: manyToMany(() => Tag, 'filter_labels', { cascade: ['add', 'delete'] }),
  }
}
Base.entity(
  'filter_labels',
  {
    parcelId: integer().primaryKey().references('filter_parcels.id'),
    tagId: integer().primaryKey().references('filter_tags.id'),
    torn: integer().notNull().default(0),
  },
  { filters: { whole: (c) => eq(c.torn, 0) } },
)

const fixture = useEntities(Base)
const all = select(Chair).orderBy(asc(Chair.c.id))
const names = (chairs: readonly { name: string }[]): string[] => chairs.map(({ name }) => name)

beforeEach(async () => {
  await fixture.db.query("insert into filter_rooms (name) values ('hall')")
  await fixture.db.query(
    "insert into filter_chairs (name, tenant_id, deleted_at, room_id) values ('a', 1, null, 1), ('gone', 1, now(), 1), ('other', 2, null, 1), ('b', 1, null, null)",
  )
  await fixture.db.query('insert into filter_tags (hidden) values (0), (1)')
  await fixture.db.query('insert into filter_links values (1, 1), (1, 2)')
})

describe('a filter', () => {
  test('holds for select, columns, counts, exists, and statements of the user that give entities', async () => {
    await using session = fixture.factory()()
    expect(names(await session.scalars(all))).toEqual(['a', 'b'])
    expect(await session.scalars(all.columns('name'))).toEqual(['a', 'b'])
    expect(await session.scalar(select(Chair).count())).toBe(2)
    expect(await session.scalar(select(Chair).where(eq(Chair.c.name, 'gone')).exists())).toBe(false)
    const withGone = select(Room).where(select(Chair).where(eq(Chair.c.name, 'gone')).exists())
    expect(await session.scalars(withGone)).toEqual([])
    expect(names(await session.scalars(all.from(sql`select * from filter_chairs where id < 4`)))).toEqual([
      'a',
    ])
    expect(names(await session.scalars(all.limit(1).offset(1)))).toEqual(['b'])
    const streamed: string[] = []
    for await (const chair of session.stream(all)) streamed.push(chair.name)
    expect(streamed).toEqual(['a', 'b'])
  })

  test('is asked for each statement anew', async () => {
    const { withSession } = fixture.factory()
    const read = (): Promise<Chair[]> => withSession((session) => session.scalars(all))
    expect(names(await tenant.run(2, read))).toEqual(['other'])
    expect(names(await read())).toEqual(['a', 'b'])
    // Also in what was put together once, and is kept.
    const count = select(Chair).count()
    const anyOther = select(Chair).where(eq(Chair.c.name, 'other')).exists()
    const rooms = select(Room).where(anyOther)
    const written = sql<{ found: boolean }>`select ${anyOther} as found`
    const seen = (): Promise<unknown> =>
      withSession(async (session) => [
        await session.scalar(count),
        await session.scalar(anyOther),
        (await session.scalars(rooms)).length,
        await session.scalar(written),
      ])
    expect(await seen()).toEqual([2, false, 0, false])
    expect(await tenant.run(2, seen)).toEqual([1, true, 1, true])
    expect(await seen()).toEqual([2, false, 0, false])
  })

  test('holds for get, unless the object is held; not for refresh', async () => {
    await using session = fixture.factory()()
    expect(await session.get(Chair, 2)).toBeNull()
    expect(await session.get(Chair, 2, { forUpdate: true })).toBeNull()
    const gone = await session.getOne(Chair, 2, { withoutFilters: ['live'] })
    expect(gone.name).toBe('gone')
    expect(await session.get(Chair, 2)).toBe(gone)
    await session.refresh(gone)
    expect(gone.name).toBe('gone')
    expect(await session.get(Chair, 3, { withoutFilters: true })).toMatchObject({ name: 'other' })
  })

  test('holds for what relations load', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const room = await session.getOne(Room, 1, { load: ['chairs', 'tags'] })
      expect(names(room.chairs)).toEqual(['a'])
      expect(room.tags.map(({ id }) => id)).toEqual([1])
    })
    await withSession(async (session) => {
      const [room] = await session.scalars(
        select(Room).withoutFilters('live', 'shown').load('chairs', 'tags'),
      )
      expect(room && names(room.chairs)).toEqual(['a', 'gone'])
      expect(room?.tags.map(({ id }) => id)).toEqual([1, 2])
      await session.refresh(room as Room, { load: ['chairs'], withoutFilters: true })
      expect(room && names(room.chairs)).toEqual(['a', 'gone', 'other'])
    })
  })

  test('holds for bulk statements', async () => {
    const { withSession } = fixture.factory()
    const renamed = await withSession((session) => session.execute(update(Chair).set({ name: 'x' })))
    expect(renamed.rowCount).toBe(2)
    const deleted = await withSession((session) =>
      session.scalars(deleteFrom(Chair).withoutFilters('live').returning('id')),
    )
    expect(deleted.sort()).toEqual([1, 2, 4])
    const everywhere = await withSession((session) =>
      session.execute(update(Chair).set({ name: 'y' }).withoutFilters()),
    )
    expect(everywhere.rowCount).toBe(1)
  })

  test('does not remove the rows that it hides from a relation', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const room = await session.getOne(Room, 1, { load: ['chairs'] })
      room.chairs.pop()
    })
    await withSession(async (session) => {
      const room = await session.getOne(Room, 1)
      session.add(Object.assign(room, { chairs: [await session.getOne(Chair, 4)] }))
    })
    const rooms = 'select name, room_id from filter_chairs order by id'
    expect((await fixture.db.query(rooms)).map((row) => Object.values(row))).toEqual([
      ['a', null],
      ['gone', 1],
      ['other', 1],
      ['b', 1],
    ])
  })

  test('does not keep rows from being deleted with their owner', async () => {
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const [room] = await session.scalars(select(Room).withoutFilters().load('tags'))
      ;(room as Room & { tags: object[] }).tags.length = 0
      session.delete(room as Room)
    })
    expect(await fixture.db.query('select name from filter_chairs')).toMatchObject([{ name: 'b' }])
  })
})

test.each([true, false])(
  'a delete takes along the rows that a filter hides (relation loaded: %s)',
  async (isLoaded) => {
    await fixture.db.query('delete from filter_links')
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const room = await session.getOne(Room, 1, { load: isLoaded ? ['chairs'] : [] })
      if (isLoaded) expect(room).toMatchObject({ chairs: [{ name: 'a' }] })
      session.delete(room)
    })
    expect(await fixture.db.query('select name from filter_chairs')).toEqual([{ name: 'b' }])
  },
)

test.each(['not loaded', 'loaded', 'changed'] as const)(
  'a delete takes along the rows of a join table that a filter hides (relation %s)',
  async (relation) => {
    await fixture.db.query('delete from filter_links')
    await fixture.db.query('insert into filter_tags (hidden) values (0), (0)')
    await fixture.db.query('insert into filter_parcels default values')
    // 1 is shown, 2 is hidden by its own filter, 3 by that of the join table, 4 belongs to nothing.
    await fixture.db.query('insert into filter_labels values (1, 1, 0), (1, 2, 0), (1, 3, 1)')
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      const parcel = await session.getOne(Parcel, 1, { load: relation === 'not loaded' ? [] : ['labels'] })
      if (relation !== 'not loaded') expect(parcel).toMatchObject({ labels: [{ id: 1 }] })
      // What was taken out before stays.
      if (relation === 'changed') Object.assign(parcel, { labels: [] })
      session.delete(parcel)
    })
    const rest = relation === 'changed' ? [{ id: 1 }, { id: 4 }] : [{ id: 4 }]
    expect(await fixture.db.query('select id from filter_tags order by id')).toEqual(rest)
    expect(await fixture.db.query('select * from filter_labels')).toEqual([])
  },
)

test('a relation to an object that a filter hides is null, and the flush leaves its foreign key as it is', async () => {
  const Hiding = declarativeBase()
  class Owner extends Hiding.entity(
    'hidden_owners',
    { id: serial().primaryKey(), isGone: boolean().notNull().default(false) },
    { filters: { live: (c) => eq(c.isGone, false) } },
  ) {
    static readonly relations = {
      pets: hasMany(() => Pet, 'ownerId', { cascade: ['add', 'delete', 'delete-orphan'] }),
    }
  }
  class Pet extends Hiding.entity('hidden_pets', {
    id: serial().primaryKey(),
    name: text(),
    ownerId: integer().notNull().references('hidden_owners.id'),
  }) {
    static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
  }
  await fixture.db.query(`${Hiding.metadata.ddl()};
    insert into hidden_owners ("isGone") values (true), (false); insert into hidden_pets (name, "ownerId") values ('a', 1)`)
  const { withSession } = fixture.factory()
  const load = { load: ['owner'] } as const
  const sent = await statementsOf(() =>
    withSession(async (session) => {
      const pet = await session.getOne(Pet, 1, load)
      expect([pet.owner, pet.ownerId, session.isModified(pet)]).toEqual([null, 1, false])
      // It was null: this is no change.
      Object.assign(pet, { owner: null })
      expect(session.dirty).toEqual([])
    }),
  )
  expect(sent).toEqual([])
  await withSession(async (session) => {
    const pet = await session.getOne(Pet, 1, load)
    pet.name = 'b'
  })
  expect(await fixture.db.query('select * from hidden_pets')).toEqual([{ id: 1, name: 'b', ownerId: 1 }])
  await withSession(async (session) => {
    const pet = await session.getOne(Pet, 1, load)
    pet.owner = await session.getOne(Owner, 2)
  })
  expect(await fixture.db.query('select "ownerId" from hidden_pets')).toEqual([{ ownerId: 2 }])
})

describe('mistakes', () => {
  test('names that no entity has', async () => {
    expect(() => select(Chair).withoutFilters('liv')).toThrow(/filter 'liv'.*live/)
    expect(() => update(Chair).withoutFilters('liv')).toThrow(MappingError)
    expect(() => deleteFrom(Chair).withoutFilters('liv')).toThrow(MappingError)
    await using session = fixture.factory()()
    expect(await errorOf(session.get(Chair, 1, { withoutFilters: ['liv'] }))).toBeInstanceOf(MappingError)
    expect(await errorOf(session.get(Chair, 1, { withoutFilters: 'live' as never }))).toBeInstanceOf(
      InvalidOptionError,
    )
  })

  test('filters that are none, or give none', async () => {
    const entity = (filters: unknown): unknown =>
      declarativeBase().entity('t', { id: integer().primaryKey() }, { filters } as never)
    expect(() => entity([])).toThrow(MappingError)
    expect(() => entity({ live: true })).toThrow(/filter 'live'/)
    const Careless = declarativeBase().entity(
      'filter_rooms',
      { id: integer().primaryKey() },
      { filters: { open: () => undefined as never } },
    )
    const Throwing = declarativeBase().entity(
      'filter_rooms',
      { id: integer().primaryKey() },
      {
        filters: {
          open: () => {
            throw new RangeError('no tenant')
          },
        },
      },
    )
    await using session = fixture.factory()()
    expect(await errorOf(session.execute(select(Careless)))).toBeInstanceOf(InvalidStatementError)
    expect(await errorOf(session.get(Careless, 1))).toBeInstanceOf(InvalidStatementError)
    expect(await errorOf(session.execute(select(Throwing)))).toBeInstanceOf(RangeError)
    expect(await session.scalar('select 1')).toBe(1)
  })
})
