/** Rows that are deleted while another row takes their unique value and others move away from them; new rows of tables in a circle. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  declarativeBase,
  hasMany,
  integer,
  select,
  serial,
  text,
  version,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'

const Base = declarativeBase()
class Team extends Base.entity('teams', {
  id: integer().primaryKey(),
  slot: integer().unique(),
  version: version(),
}) {
  static readonly relations = { players: hasMany(() => Player, 'teamId') }
}
class Player extends Base.entity('players', {
  id: integer().primaryKey(),
  teamId: integer('team_id').notNull().references('teams.id'),
  no: integer().unique(),
  version: version(),
}) {
  static readonly relations = { team: belongsTo(() => Team, 'teamId') }
}
class Author extends Base.entity('authors', {
  id: serial().primaryKey(),
  name: text(),
  bookId: integer('book_id').references('books.id'),
}) {
  static readonly relations = { book: belongsTo(() => Book, 'bookId') }
}
class Book extends Base.entity('books', {
  id: serial().primaryKey(),
  name: text(),
  authorId: integer('author_id').references('authors.id'),
}) {
  static readonly relations = { author: belongsTo(() => Author, 'authorId') }
}

const fixture = useEntities(Base)

/** Teams 1 to 3 in slots 10 to 30; players 1 and 2 of teams 1 and 2, with numbers 1 and 2. */
async function stored() {
  await fixture.db.query('insert into teams values (1, 10, 1), (2, 20, 1), (3, 30, 1)')
  await fixture.db.query('insert into players values (1, 1, 1, 1), (2, 2, 2, 1)')
  return fixture.factory()
}
const teams = () => fixture.db.query('select id, slot from teams order by id')
const players = () => fixture.db.query('select id, team_id, no from players order by id')

describe('a row that must belong to something leaves a deleted one whose unique value is taken', () => {
  test('by a stored row', async () => {
    const { withSession } = await stored()
    await withSession(async (session) => {
      const [one, , three] = await session.scalars(select(Team).orderBy(Team.c.id))
      const player = await session.getOne(Player, 1)
      session.delete(one as Team)
      player.teamId = 2
      ;(three as Team).slot = 10
    })
    expect(await teams()).toEqual([
      { id: 2, slot: 20 },
      { id: 3, slot: 10 },
    ])
    expect(await players()).toMatchObject([{ team_id: 2 }, { team_id: 2 }])
  })

  test('by the new row that it moves to: the deleted row gives the value up first', async () => {
    const { withSession } = await stored()
    const player = await withSession(async (session) => {
      const moving = await session.getOne(Player, 1, { load: ['team'] })
      session.delete(await session.getOne(Team, 1))
      moving.team = new Team({ id: 9, slot: 10 })
      return moving
    })
    expect((await teams()).at(-1)).toEqual({ id: 9, slot: 10 })
    expect(await players()).toMatchObject([{ team_id: 9 }, { team_id: 2 }])
    expect(player.version).toBe(2)
  })

  test('while its own unique value moves along as well', async () => {
    const { withSession } = await stored()
    const player = await withSession(async (session) => {
      const [one, two] = await session.scalars(select(Team).orderBy(Team.c.id))
      const [moving, other] = (await session.scalars(select(Player).orderBy(Player.c.id))) as [Player, Player]
      session.delete(one as Team)
      ;(two as Team).slot = 10
      Object.assign(moving, { teamId: 2, no: 2 })
      other.no = 5
      await session.flush()
      moving.no = 7
      return moving
    })
    expect(await players()).toEqual([
      { id: 1, team_id: 2, no: 7 },
      { id: 2, team_id: 2, no: 5 },
    ])
    expect(await fixture.db.query('select version from players where id = 1')).toEqual([
      { version: player.version },
    ])
  })

  test('and several rows and teams at once', async () => {
    const { withSession } = await stored()
    await fixture.db.query('insert into players values (3, 1, 3, 1), (4, 3, 4, 1)')
    await withSession(async (session) => {
      const all = await session.scalars(select(Player).load('team').orderBy(Player.c.id))
      for (const team of await session.scalars(select(Team))) session.delete(team)
      const [ten, thirty] = [new Team({ id: 8, slot: 10 }), new Team({ id: 9, slot: 30 })]
      for (const [index, player] of all.entries()) player.team = index % 2 === 0 ? ten : thirty
    })
    expect(await teams()).toEqual([
      { id: 8, slot: 10 },
      { id: 9, slot: 30 },
    ])
    expect((await players()).map(({ team_id }) => team_id as number)).toEqual([8, 9, 8, 9])
  })
})

describe('new rows of tables that refer to each other', () => {
  test('are one statement for each table, however they were added in turns', async () => {
    const { withSession } = fixture.factory()
    const written = await statementsOf(() =>
      withSession((session) => {
        for (let index = 0; index < 20; index++) {
          const author = new Author({ name: `${index}` })
          session.addAll([author, build(Book, { name: `${index}`, author })])
        }
      }),
    )
    expect(written).toEqual(['insert into "authors"', 'insert into "books"'])
    const ordered = await fixture.db.query<{ name: string; author: string }>(
      'select b.name, a.name as author from books b join authors a on a.id = b.author_id order by b.id',
    )
    expect(ordered).toEqual(
      Array.from({ length: 20 }, (_, index) => ({ name: `${index}`, author: `${index}` })),
    )
  })

  test('of a chain are as many as it is long; rows that refer to each other are completed afterwards', async () => {
    const { withSession } = fixture.factory()
    const chain = await statementsOf(() =>
      withSession((session) => {
        const first = build(Book, { name: 'first', author: new Author({ name: 'a' }) })
        session.add(build(Author, { name: 'b', book: first }))
        session.add(build(Author, { name: 'c', book: first }))
      }),
    )
    expect(chain).toEqual(['insert into "authors"', 'insert into "books"', 'insert into "authors"'])
    const circles = await statementsOf(() =>
      withSession((session) => {
        for (let index = 0; index < 5; index++) {
          const author = new Author({})
          const book = build(Book, { author })
          Object.assign(author, { book })
          session.addAll([author, book])
        }
      }),
    )
    expect(circles.filter((text) => text.startsWith('insert'))).toEqual([
      'insert into "authors"',
      'insert into "books"',
    ])
  })
})
