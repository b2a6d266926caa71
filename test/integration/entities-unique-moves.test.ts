/** Unique values that move from row to row in one flush, and rows that are inserted in the order of add. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  build,
  char,
  declarativeBase,
  hasMany,
  hasOne,
  integer,
  numeric,
  select,
  serial,
  sql,
  text,
  UniqueViolationError,
  version,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'

const Base = declarativeBase()
class Track extends Base.entity(
  'tracks',
  {
    id: serial().primaryKey(),
    album: integer().notNull(),
    pos: integer().notNull(),
    title: text(),
    count: version(),
  },
  { unique: [['album', 'pos']] },
) {}
/** A list whose rows know the next one. */
class Node extends Base.entity('nodes', {
  id: serial().primaryKey(),
  name: text(),
  nextId: integer('next_id').unique().references('nodes.id'),
  count: version(),
}) {
  static readonly relations = { next: belongsTo(() => Node, 'nextId') }
}
class Person extends Base.entity('people', { id: integer().primaryKey() }) {
  static readonly relations = { desk: hasOne(() => Desk, 'personId') }
}
class Desk extends Base.entity('desks', {
  id: integer().primaryKey(),
  personId: integer('person_id').unique().references('people.id'),
}) {}
/** Some rows give what PostgreSQL fills in for others. */
class Entry extends Base.entity('entries', {
  id: serial().primaryKey(),
  kind: text()
    .notNull()
    .serverDefault(sql`'debit'`),
  note: text().serverDefault(sql`'none'`),
  parentId: integer('parent_id').references('entries.id'),
}) {
  static readonly relations = {
    parent: belongsTo(() => Entry, 'parentId'),
    parts: hasMany(() => Entry, 'parentId'),
  }
}

const fixture = useEntities(Base)
const query = (statement: string) => fixture.db.query(statement)

type Move = number | 'gone'

/** Rows at the positions 0, 1, ...: where each of them goes, and where new ones come. No two end at one position. */
const moves = fc
  .record({
    count: fc.integer({ min: 1, max: 14 }),
    seed: fc.array(fc.nat(), { minLength: 14, maxLength: 14 }),
    spare: fc.nat(4),
  })
  .chain(({ count, seed, spare }) =>
    fc.record({
      to: fc
        .shuffledSubarray(
          Array.from({ length: count + spare }, (_, pos) => pos),
          { minLength: count, maxLength: count },
        )
        // Most rows stay, or move by one.
        .map((places) => places.map((place, index) => ((seed[index] ?? 0) % 3 === 0 ? 'gone' : place))),
      shift: fc.constantFrom(0, 1, -1),
      added: fc.nat(3),
      places: fc.constant(count + spare),
    }),
  )

function circleOf(to: readonly Move[]): boolean {
  return to.some((_, start) => {
    let at: Move | undefined = to[start]
    for (let steps = 0; typeof at === 'number' && at !== start && steps <= to.length; steps++) at = to[at]
    return at === start && to[start] !== start
  })
}

describe('positions of a list', () => {
  test('are permuted along rows, freed and taken in any direction; only circles are refused, and say so', async () => {
    const { withSession } = fixture.factory()
    let circles = 0
    await fc.assert(
      fc.asyncProperty(moves, async ({ to: permuted, shift, added, places }) => {
        // A shift of all rows, or a permutation.
        const to = permuted.map((move, index): Move =>
          move === 'gone' || shift === 0 ? move : index + shift,
        )
        await query(
          `truncate tracks; insert into tracks (id, album, pos, count) select 1 + g, 1, g, 1 from generate_series(0, ${to.length - 1}) g; analyze tracks`,
        )
        const taken = new Set(to.filter((move) => move !== 'gone'))
        const free = Array.from({ length: places + 2 }, (_, pos) => pos)
          .filter((pos) => !taken.has(pos))
          .slice(0, added)
        const stored = withSession(async (session) => {
          const tracks = await session.scalars(select(Track).orderBy(sql`${Track.c.id} * 7919 % 13`))
          for (const pos of free) session.add(new Track({ album: 1, pos, title: 'new', id: 100 + pos }))
          for (const track of tracks) {
            const move = to[track.pos]
            if (move === 'gone') session.delete(track)
            else track.pos = move as number
          }
        })
        if (circleOf(to)) {
          circles++
          const error = await stored.then(
            () => undefined,
            (reason: unknown) => reason,
          )
          expect(error).toBeInstanceOf(UniqueViolationError)
          expect((error as Error).message).toContain('take unique values from each other in a cycle')
          return
        }
        await stored
        const expected = [
          ...to.flatMap((move, index) =>
            move === 'gone' ? [] : [[index + 1, move, move === index ? 1 : 2]],
          ),
          ...free.map((pos) => [100 + pos, pos, 1]),
        ]
        const rows = await query('select id, pos, count from tracks order by id')
        expect(rows.map((row) => Object.values(row))).toEqual(expected.sort(([a = 0], [b = 0]) => a - b))
      }),
      // A circle, in case that the random ones have none.
      { numRuns: 60, examples: [[{ to: [1, 0], shift: 0, added: 0, places: 2 }]] },
    )
    expect(circles).toBeGreaterThan(0)
  })

  test('of many lists that move up at once take as many statements as the longest chain', async () => {
    await query(
      `insert into tracks (album, pos, count) select a, p, 1 from generate_series(1, 30) a, generate_series(1, 12) p; analyze tracks`,
    )
    const { withSession } = fixture.factory()
    const sent = await statementsOf(() =>
      withSession(async (session) => {
        for (const track of await session.scalars(select(Track))) {
          if (track.pos === 1) session.delete(track)
          else track.pos--
        }
      }),
    )
    expect(sent.filter((statement) => statement.startsWith('update'))).toHaveLength(11)
    expect(await query('select count(*)::integer as count, max(pos) from tracks')).toEqual([
      { count: 330, max: 11 },
    ])
  })
})

describe('a value that moves from one row to another', () => {
  test('is that of a new row that the first one refers to', async () => {
    await using session = fixture.factory()()
    const [first, last] = ['first', 'last'].map(
      (name) => new Node({ name }) as WithRelations<typeof Node>,
    ) as [WithRelations<typeof Node>, WithRelations<typeof Node>]
    first.next = last
    session.add(first)
    await session.commit()
    const between = build(Node, { name: 'between', next: last })
    first.next = between
    first.name = 'FIRST'
    await session.commit()
    const stored = await query('select name, next_id, count from nodes order by id')
    expect(stored).toEqual(
      [
        { name: 'FIRST', next_id: between.id, count: 3 },
        { name: 'last', next_id: null, count: 1 },
        { name: 'between', next_id: last.id, count: 1 },
      ].sort(
        (a, b) =>
          stored.findIndex(({ name }) => name === a.name) - stored.findIndex(({ name }) => name === b.name),
      ),
    )
    expect([first.count, between.count]).toEqual([3, 1])
    first.name = 'again'
    await session.commit()
  })

  test('is a partner, handed on from one to the next, in both directions', async () => {
    await query(
      'insert into people select generate_series(1, 20); insert into desks select g, g from generate_series(1, 19) g; analyze desks',
    )
    const { withSession } = fixture.factory()
    for (const by of [1, -1]) {
      await withSession(async (session) => {
        for (const desk of await session.scalars(select(Desk))) desk.personId = (desk.personId ?? 0) + by
      })
      expect(await query('select min(id - person_id), max(id - person_id) from desks')).toEqual([
        { min: by === 1 ? -1 : 0, max: by === 1 ? -1 : 0 },
      ])
    }
  })

  test('is a primary key', async () => {
    await query('insert into people select generate_series(1, 15); analyze people')
    const { withSession } = fixture.factory()
    for (const by of [1, -1]) {
      await withSession(async (session) => {
        for (const person of await session.scalars(select(Person))) person.id += by
      })
    }
    expect(await query('select min(id), max(id), count(*)::integer from people')).toEqual([
      { min: 1, max: 15, count: 15 },
    ])
  })
})

describe('new rows have keys in the order of add', () => {
  const entry = fc.record({
    kind: fc.option(fc.constant('credit'), { nil: undefined }),
    note: fc.option(fc.constant('n'), { nil: undefined }),
    parent: fc.option(fc.nat(9), { nil: undefined }),
  })

  test('for any columns in the rows, and any references between them', async () => {
    const { withSession } = fixture.factory()
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { minLength: 1, maxLength: 10 }),
        fc.boolean(),
        async (given, refers) => {
          const entries = given.map(
            ({ kind, note }) => new Entry({ kind, note }) as WithRelations<typeof Entry>,
          )
          if (refers) {
            for (const [index, { parent }] of given.entries()) {
              if (parent !== undefined)
                (entries[index] as WithRelations<typeof Entry>).parent = entries[
                  parent % entries.length
                ] as Entry
            }
          }
          let added: object[] = []
          await withSession((session) => {
            session.addAll(entries)
            // What is added with another one comes right after it.
            added = session.new
          })
          const ids = (added as Entry[]).map(({ id }) => id)
          expect(ids).toEqual([...ids].sort((a, b) => a - b))
          expect(entries.map(({ kind, note }) => [kind, note])).toEqual(
            given.map(({ kind, note }) => [kind ?? 'debit', note ?? 'none']),
          )
          const stored = await query(
            `select id, kind, note, parent_id from entries where id >= ${ids[0]} order by id`,
          )
          expect(stored).toEqual(
            (added as Entry[]).map(({ id, kind, note, parentId }) => ({
              id,
              kind,
              note,
              parent_id: parentId,
            })),
          )
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('values that are equal and written differently', () => {
  const Spelled = declarativeBase()
  class Place extends Spelled.entity(
    'spelled_places',
    {
      id: serial().primaryKey(),
      pos: numeric({ precision: 10, scale: 2 }).notNull().unique(),
      seat: char({ length: 4 }).unique(),
      hidden: integer(),
    },
    { indexes: [{ columns: ['hidden'], unique: true, where: sql`hidden < 10` }] },
  ) {}
  const prepared = async () => {
    await fixture.db.query('drop table if exists spelled_places')
    await fixture.db.query(Spelled.metadata.ddl())
    return fixture.factory()
  }

  test('move along rows, in either direction, and free a place by a delete', async () => {
    const { withSession } = await prepared()
    await withSession((session) =>
      session.addAll([1, 2, 3, 4].map((n) => new Place({ pos: String(n), seat: `s${n}` }))),
    )
    const move = (by: number) =>
      withSession(async (session) => {
        for (const place of await session.scalars(select(Place))) {
          // Not as it is stored: 2 for 2.00, without blanks.
          const n = Number(place.pos) + by
          Object.assign(place, { pos: String(n), seat: `s${n}` })
        }
      })
    await move(1)
    await move(-2)
    await withSession(async (session) => {
      const [first, second] = await session.scalars(select(Place).orderBy(Place.c.pos))
      session.delete(first as Place)
      Object.assign(second as Place, { pos: '-0', seat: 's0' })
      session.add(new Place({ pos: '01', seat: 's1' }))
    })
    const places = await withSession((session) => session.scalars(select(Place).orderBy(Place.c.pos)))
    expect(places.map(({ pos, seat }) => [pos, seat])).toEqual([
      ['0.00', 's0  '],
      ['1.00', 's1  '],
      ['2.00', 's2  '],
      ['3.00', 's3  '],
    ])
  })

  test('a partial unique index counts as one of all rows, and refuses nothing that PostgreSQL takes', async () => {
    const { withSession } = await prepared()
    await withSession((session) =>
      session.addAll([20, 30, 5].map((hidden) => new Place({ pos: String(hidden), hidden }))),
    )
    await withSession(async (session) => {
      const [one, other, last] = (await session.scalars(select(Place).orderBy(Place.c.id))) as [
        Place,
        Place,
        Place,
      ]
      // A circle, of rows that are not in the index.
      ;[one.hidden, other.hidden] = [other.hidden, one.hidden]
      last.hidden = 6
    })
    const places = await withSession((session) => session.scalars(select(Place).orderBy(Place.c.id)))
    expect(places.map(({ hidden }) => hidden)).toEqual([30, 20, 6])
  })
})
