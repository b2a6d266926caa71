/** Keys that are equal for PostgreSQL and written differently: a relation finds what is there. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  char,
  customType,
  declarativeBase,
  doublePrecision,
  hasMany,
  hasOne,
  integer,
  interval,
  manyToMany,
  numeric,
  text,
  type Column,
  type WithRelations,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

/** Compared without regard to case, as citext is. */
const caseless = customType<string>({
  type: 'text collate spelling_caseless',
  castType: 'text',
  decode: String,
  encode: String,
})

/** A type of keys, and one that refers to it; a key, and the same written differently. */
const CASES: Readonly<Record<string, readonly [Column<unknown>, Column<unknown>, string, string]>> = {
  'a collation': [caseless(), caseless(), 'abc', 'ABC'],
  'the scale of numeric': [numeric(), numeric(), '1.00', '1'],
  interval: [interval(), interval(), '1 day', '24:00:00'],
  'minus zero': [doublePrecision(), doublePrecision(), '0', '-0'],
  'the padding of char': [char({ length: 5 }), char({ length: 8 }), 'ab', 'ab'],
}

const kinds = Object.entries(CASES).map(([name, [key, reference, one, other]], at) => {
  const Base = declarativeBase()
  class Owner extends Base.entity(`owners_${at}`, { id: key.primaryKey(), label: text() }) {
    static readonly relations = {
      members: hasMany(() => Member, 'ownerId', { cascade: ['add', 'delete'] }),
      only: hasOne(() => Member, 'ownerId'),
      tagged: manyToMany(() => Member, `links_${at}`),
    }
  }
  class Member extends Base.entity(`members_${at}`, {
    id: integer().primaryKey(),
    ownerId: reference.references(`owners_${at}.id`),
  }) {
    static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
  }
  Base.entity(`links_${at}`, {
    ownerId: reference.primaryKey().references(`owners_${at}.id`),
    memberId: integer().primaryKey().references(`members_${at}.id`),
  })
  return { name, at, key, Base, Owner, Member, one, other }
})

const Nothing = declarativeBase()
Nothing.entity('nothing', { id: integer().primaryKey() })
const fixture = useEntities(Nothing)

describe.each(kinds)('keys that differ by $name', ({ at, key, Base, Owner, Member, one, other }) => {
  const prepared = async () => {
    const { db } = fixture
    await db.query(
      "create collation if not exists spelling_caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    )
    await db.query(`drop table if exists links_${at}, members_${at}, owners_${at}`)
    await db.query(Base.metadata.ddl())
    await db.query(`insert into owners_${at} values ('${one}')`)
    await db.query(`insert into members_${at} values (1, '${other}'), (2, null), (3, '${one}')`)
    await db.query(`insert into links_${at} values ('${other}', 2)`)
    return fixture.factory()
  }
  const ids = (members: readonly { readonly id: number }[]): number[] => members.map(({ id }) => id).sort()

  test('lead from either side to what is there', async () => {
    await using session = (await prepared())()
    const members = await Promise.all([1, 2, 3].map((id) => session.getOne(Member, id, { load: ['owner'] })))
    const [owner] = members.map((member) => member.owner)
    expect(owner).toBeInstanceOf(Owner)
    expect(members.map((member) => member.owner)).toEqual([owner, null, owner])
    const again = await session.get(
      Owner,
      key.definition.type.ddl === 'double precision' ? Number(other) : other,
      { load: ['members', 'tagged'] },
    )
    expect(again).toBe(owner)
    expect([ids(again?.members ?? []), ids(again?.tagged ?? [])]).toEqual([[1, 3], [2]])
    expect(session.dirty).toEqual([])
  })

  test('are removed, moved and deleted with their owner', async () => {
    const factory = await prepared()
    await factory.withSession(async (session) => {
      const member = await session.getOne(Member, 1, { load: ['owner.members'] })
      const owner = member.owner as unknown as { members: { id: number }[] }
      owner.members.splice(
        owner.members.findIndex(({ id }) => id === 1),
        1,
      )
    })
    expect(
      await fixture.db.query(`select id from members_${at} where "ownerId" is null order by id`),
    ).toEqual([{ id: 1 }, { id: 2 }])
    await fixture.db.query(
      `update members_${at} set "ownerId" = '${other}' where id = 1; delete from links_${at}`,
    )
    await factory.withSession(async (session) => {
      session.delete((await session.getOne(Member, 1, { load: ['owner.members'] })).owner as object)
    })
    expect(await fixture.db.query(`select id from members_${at}`)).toEqual([{ id: 2 }])
  })
})

describe.each(kinds)('an unflushed foreign key in another form: $name', (kind) => {
  const { at, Base, Owner, Member, one, other, key } = kind
  const isNumber = key.definition.type.ddl === 'double precision'
  const given = isNumber ? Number(other) : other
  const prepared = async () => {
    const { db } = fixture
    await db.query(
      "create collation if not exists spelling_caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    )
    await db.query(`drop table if exists links_${at}, members_${at}, owners_${at}`)
    await db.query(Base.metadata.ddl())
    await db.query(
      `insert into owners_${at} values ('${one}'); insert into members_${at} values (1, null), (2, null)`,
    )
    return fixture.factory()
  }

  test.each([true, false])('goes with the deleted owner (its relation is loaded: %s)', async (isLoaded) => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const owner = await session.getOne(Owner, isNumber ? Number(one) : one, {
        load: isLoaded ? ['members'] : [],
      })
      const member = await session.getOne(Member, 1)
      Object.assign(member, { ownerId: given })
      session.delete(owner)
    })
    expect(await fixture.db.query(`select id from members_${at}`)).toEqual([{ id: 2 }])
  })

  test('lets go of the deleted owner of a relation without the cascade', async () => {
    const { withSession } = await prepared()
    await withSession(async (session) => {
      const owner = await session.getOne(Owner, isNumber ? Number(one) : one, { load: ['only'] })
      const member = await session.getOne(Member, 1)
      Object.assign(member, { ownerId: given })
      session.delete(owner)
    })
    expect(await fixture.db.query(`select id from owners_${at}`)).toEqual([])
  })
})

test('a foreign key that was changed and not flushed is no other spelling of the one that its row holds', async () => {
  const Base = declarativeBase()
  class Owner extends Base.entity('moving_owners', { id: text().primaryKey() }) {
    static readonly relations = { members: hasMany(() => Member, 'ownerId') }
  }
  class Member extends Base.entity('moving_members', {
    id: integer().primaryKey(),
    ownerId: text('owner_id').references('moving_owners.id'),
  }) {
    static readonly relations = { owner: belongsTo(() => Owner, 'ownerId') }
  }
  await fixture.db.query('drop table if exists moving_members, moving_owners')
  await fixture.db.query(Base.metadata.ddl())
  await fixture.db.query(`
    insert into moving_owners values ('one'), ('two');
    insert into moving_members values (1, 'one'), (2, 'one')`)
  await using session = fixture.factory({}, { autoflush: false })()
  const one: WithRelations<typeof Owner> = await session.getOne(Owner, 'one')
  const moved = await session.getOne(Member, 1)
  const changed = await session.getOne(Member, 2)
  moved.ownerId = 'two'
  // Another connection changes the row, which the session has loaded before.
  await fixture.db.query(`update moving_members set owner_id = 'two' where id = 2`)
  changed.ownerId = 'two'
  const { members } = await session.getOne(Owner, 'one', { load: ['members'] })
  expect(members).toEqual([moved])
  members.splice(0)
  await session.commit()
  expect(await fixture.db.query('select owner_id from moving_members order by id')).toEqual([
    { owner_id: 'two' },
    { owner_id: 'two' },
  ])
  const two = await session.getOne(Owner, 'two', { load: ['members'] })
  expect([one.members, two.members.map(({ id }) => id)]).toEqual([[], [1, 2]])
})

test('a new object whose key is declared as a type that is stored as it is, and is not, is not refreshed as another', async () => {
  const Base = declarativeBase()
  class Padded extends Base.entity('padded', { id: text().primaryKey() }) {}
  await fixture.db.query('drop table if exists padded; create table padded (id char(5) primary key)')
  await using session = fixture.factory()()
  const padded = new Padded({ id: 'a' })
  session.add(padded)
  await session.flush()
  expect((await errorOf(session.refresh(padded))).message).toContain(
    'declare the column with the type that it has in the database',
  )
})
