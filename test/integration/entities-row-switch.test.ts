/** A row that is deleted while a new object takes its primary key: it is changed if other rows may refer to it. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  ForeignKeyViolationError,
  hasMany,
  integer,
  numeric,
  serial,
  sql,
  text,
  uuid,
  version,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Team extends Base.entity('switch_teams', {
  id: integer().primaryKey(),
  name: text().notNull(),
  slot: integer().unique(),
  token: uuid().serverDefault(sql`gen_random_uuid()`),
  shout: text().generated(sql`upper(name)`),
  note: text(),
  version: version(),
}) {
  static readonly relations = { players: hasMany(() => Player, 'teamId') }
}
class Player extends Base.entity('switch_players', {
  id: serial().primaryKey(),
  teamId: integer('team_id').notNull().references('switch_teams.id'),
  slot: integer().references('switch_teams.slot'),
}) {
  static readonly relations = { team: belongsTo(() => Team, 'teamId') }
}
/** Only its key. */
class Word extends Base.entity('switch_words', { word: text().primaryKey() }) {}
Base.entity('switch_uses', { word: text().primaryKey().references('switch_words.word') })
/** Rows that refer to it follow it. */
class Album extends Base.entity('switch_albums', { id: integer().primaryKey(), name: text() }) {}
Base.entity('switch_songs', {
  id: serial().primaryKey(),
  albumId: integer('album_id').references('switch_albums.id', { onDelete: 'cascade' }),
})
Base.entity('switch_covers', { albumId: integer('album_id').primaryKey().references('switch_albums.id') })
/** Nothing refers to it. */
class Page extends Base.entity('switch_pages', { id: integer().primaryKey(), version: version() }) {}
class Price extends Base.entity('switch_prices', { id: numeric({ precision: 6, scale: 2 }).primaryKey() }) {}
Base.entity('switch_tags', {
  id: numeric({ precision: 6, scale: 2 }).primaryKey().references('switch_prices.id'),
})

const fixture = useEntities(Base)
const teams = () =>
  fixture.db.query('select id, name, slot, shout, note, version from switch_teams order by id')

/** Teams 1 and 2 in slots 10 and 20; player 1 of team 1. */
async function stored() {
  await fixture.db.query(`
    insert into switch_teams (id, name, slot, note, version) values (1, 'one', 10, 'x', 4), (2, 'two', 20, 'y', 1);
    insert into switch_players (team_id) values (1)`)
  return fixture.factory()
}

describe('a row that others refer to', () => {
  test('is changed to the new object, with one statement', async () => {
    const { withSession } = await stored()
    const [{ token }] = (await fixture.db.query('select token from switch_teams where id = 1')) as [
      { token: string },
    ]
    let fresh: Team | undefined
    const sent = await statementsOf(() =>
      withSession(async (session) => {
        const old = await session.getOne(Team, 1)
        session.delete(old)
        fresh = new Team({ id: 1, name: 'new', slot: 10 })
        session.add(fresh)
        await session.flush()
        expect([old, fresh].map(statusOf)).toEqual(['deleted', 'persistent'])
        expect(await session.get(Team, 1)).toBe(fresh)
        fresh.note = 'later'
      }),
    )
    expect(sent).toEqual(['update "switch_teams"', 'update "switch_teams"'])
    // What the new object leaves to PostgreSQL stays; its version goes on.
    expect(fresh).toMatchObject({ token, shout: 'NEW', version: 6 })
    expect(await teams()).toMatchObject([
      { id: 1, name: 'new', slot: 10, shout: 'NEW', note: 'later', version: 6 },
      { id: 2, name: 'two' },
    ])
    expect(await fixture.db.query('select team_id from switch_players')).toEqual([{ team_id: 1 }])
  })

  test('comes back with a rollback, of a savepoint as well, and the new object is as it was given', async () => {
    await using session = (await stored())()
    const old = await session.getOne(Team, 1)
    const fresh = new Team({ id: 1, name: 'new' })
    const work = async (): Promise<void> => {
      session.delete(old)
      session.add(fresh)
      await session.flush()
      throw new Error('undo')
    }
    await session.beginNested(work).catch(() => undefined)
    expect([old, fresh].map(statusOf)).toEqual(['persistent', 'transient'])
    expect({ ...fresh }).toEqual({ ...new Team({ id: 1, name: 'new' }) })
    await work().catch(() => undefined)
    await session.rollback()
    expect([old, fresh].map(statusOf)).toEqual(['persistent', 'transient'])
    expect(await session.get(Team, 1)).toBe(old)
    await session.refresh(old)
    expect(old).toMatchObject({ name: 'one', version: 4 })
    await work().catch(() => undefined)
    await session.commit()
    expect([old, fresh].map(statusOf)).toEqual(['detached', 'persistent'])
    expect(await teams()).toMatchObject([{ name: 'new', note: null, version: 5 }, { name: 'two' }])
  })

  test('gives its unique value to another row, and takes that of a row which goes', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [one, two] = [await session.getOne(Team, 1), await session.getOne(Team, 2)]
      session.delete(one)
      session.add(new Team({ id: 1, name: 'new', slot: 30 }))
      two.slot = 10
      await session.flush()
      session.delete(two)
      session.delete(await session.getOne(Team, 1))
      session.add(new Team({ id: 1, name: 'newer', slot: 10 }))
    })
    expect(await teams()).toMatchObject([{ id: 1, name: 'newer', slot: 10 }])
  })

  test('goes to an object that new rows and moved rows belong to', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const player: WithRelations<typeof Player> = await session.getOne(Player, 1)
      session.delete(await session.getOne(Team, 1, { load: ['players'] }))
      const team = new Team({ id: 1, name: 'new' })
      player.team = team
      session.add(Object.assign(new Player({}), { team }))
    })
    expect(await fixture.db.query('select id, team_id from switch_players order by id')).toEqual([
      { id: 1, team_id: 1 },
      { id: 2, team_id: 1 },
    ])
  })

  test('is refused if another transaction has changed it', async () => {
    await using session = (await stored())()
    session.delete(await session.getOne(Team, 1))
    session.add(new Team({ id: 1, name: 'new' }))
    await fixture.db.query('update switch_teams set version = 9')
    expect(await errorOf(session.commit())).toMatchObject({ code: 'STALE_DATA' })
  })

  test('and consists of its key stays', async () => {
    await fixture.db.query("insert into switch_words values ('pop'); insert into switch_uses values ('pop')")
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.delete(await session.getOne(Word, 'pop'))
      session.add(new Word({ word: 'pop' }))
    })
    expect(await fixture.db.query('select word from switch_words')).toEqual([{ word: 'pop' }])
  })
})

describe('a row is deleted and inserted', () => {
  test('if a foreign key says what happens to the rows that refer to it', async () => {
    await fixture.db.query(
      "insert into switch_albums values (1, 'old'); insert into switch_songs (album_id) values (1)",
    )
    const { withSession } = fixture.factory()
    const replace = () =>
      withSession(async (session) => {
        session.delete(await session.getOne(Album, 1))
        session.add(new Album({ id: 1, name: 'new' }))
      })
    await replace()
    expect(await fixture.db.query('select * from switch_songs')).toEqual([])
    // Another foreign key keeps the row: PostgreSQL's error says what to do.
    await fixture.db.query('insert into switch_covers values (1)')
    const error = await errorOf(replace())
    expect(error).toBeInstanceOf(ForeignKeyViolationError)
    expect(error.message).toContain('change the stored object instead, for example by merge()')
  })

  test('if rows exchange their unique values', async () => {
    const { withSession } = await stored()
    await fixture.db.query('delete from switch_players')
    await withSession(async (session) => {
      const [one, two] = [await session.getOne(Team, 1), await session.getOne(Team, 2)]
      session.delete(one)
      session.delete(two)
      session.addAll([new Team({ id: 1, name: 'i', slot: 20 }), new Team({ id: 2, name: 'ii', slot: 10 })])
    })
    expect(await teams()).toMatchObject([
      { id: 1, name: 'i', slot: 20, version: 1 },
      { id: 2, name: 'ii', slot: 10 },
    ])
    await withSession(async (session) => {
      const [one, two] = [await session.getOne(Team, 1), await session.getOne(Team, 2)]
      session.delete(one)
      two.slot = 20
      session.add(new Team({ id: 1, name: 'I', slot: 10 }))
    })
    expect(await teams()).toMatchObject([
      { id: 1, name: 'I', slot: 10 },
      { id: 2, name: 'ii', slot: 20 },
    ])
  })

  test('if nothing refers to it', async () => {
    await fixture.db.query('insert into switch_pages values (1, 7)')
    const { withSession } = fixture.factory()
    await withSession(async (session) => {
      session.delete(await session.getOne(Page, 1))
      session.add(new Page({ id: 1 }))
    })
    expect(await fixture.db.query('select version from switch_pages')).toEqual([{ version: 1 }])
  })

  test('if its key is written differently, which PostgreSQL refuses while rows refer to it', async () => {
    await fixture.db.query('insert into switch_prices values (1); insert into switch_tags values (1)')
    await using session = fixture.factory()()
    session.delete(await session.getOne(Price, '1'))
    session.add(new Price({ id: '1' }))
    expect((await errorOf(session.flush())).message).toContain('change the stored object instead')
  })
})

describe('a key that rows refer to changes', () => {
  test('only if the foreign key has ON UPDATE or is deferred: the error says so', async () => {
    await using session = (await stored())()
    const team = await session.getOne(Team, 1, { load: ['players'] })
    team.id = 9
    const error = await errorOf(session.commit())
    expect(error).toBeInstanceOf(ForeignKeyViolationError)
    expect(error.message).toContain(
      "declare it with onUpdate: 'cascade', or make it DEFERRABLE INITIALLY DEFERRED",
    )
    await session.rollback()
    // An error of another foreign key has no such hint.
    const player = await session.getOne(Player, 1)
    player.teamId = 99
    expect((await errorOf(session.flush())).message).not.toContain('onUpdate')
    await session.rollback()
    await fixture.db.query(
      'alter table switch_players alter constraint switch_players_team_id_fkey deferrable initially deferred',
    )
    try {
      await session.refresh(team, { load: ['players'] })
      team.id = 9
      await session.commit()
      expect(await fixture.db.query('select team_id from switch_players')).toEqual([{ team_id: 9 }])
    } finally {
      await fixture.db.query(
        'alter table switch_players alter constraint switch_players_team_id_fkey not deferrable',
      )
    }
  })
})
