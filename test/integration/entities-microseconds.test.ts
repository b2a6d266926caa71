/** Relations by instants: PostgreSQL tells microseconds apart, and a Date does not. */
import { describe, expect, test } from 'vitest'
import {
  InvalidValueError,
  belongsTo,
  declarativeBase,
  hasMany,
  inArray,
  integer,
  manyToMany,
  select,
  text,
  timestamptz,
  type Session,
  type WithRelations,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Reading extends Base.entity('readings', { at: timestamptz().primaryKey(), name: text() }) {
  static readonly relations = {
    notes: hasMany(() => Note, 'readAt'),
    tags: manyToMany(() => Tag, 'reading_tags'),
  }
}
class Note extends Base.entity('notes', {
  id: integer().primaryKey(),
  readAt: timestamptz('read_at').references('readings.at', { onUpdate: 'cascade' }),
}) {
  static readonly relations = { reading: belongsTo(() => Reading, 'readAt') }
}
class Tag extends Base.entity('tags', { name: text().primaryKey() }) {
  static readonly relations = { readings: manyToMany(() => Reading, 'reading_tags') }
}
Base.entity('reading_tags', {
  at: timestamptz().primaryKey().references('readings.at'),
  tag: text().primaryKey().references('tags.name'),
})
// Keys of which the instant is a part, and such as are no primary keys.
class Slot extends Base.entity(
  'slots',
  { id: integer().primaryKey(), room: integer(), starts: timestamptz(), ends: timestamptz().unique() },
  { unique: [['room', 'starts']] },
) {
  static readonly relations = {
    bookings: hasMany(() => Booking, ['room', 'starts']),
    ending: hasMany(() => Booking, 'ends'),
  }
}
class Booking extends Base.entity(
  'bookings',
  {
    id: integer().primaryKey(),
    room: integer(),
    starts: timestamptz(),
    ends: timestamptz().references('slots.ends'),
  },
  { foreignKeys: [{ columns: ['room', 'starts'], references: ['slots.room', 'slots.starts'] }] },
) {
  static readonly relations = {
    slot: belongsTo(() => Slot, ['room', 'starts']),
    last: belongsTo(() => Slot, 'ends'),
  }
}

const fixture = useEntities(Base)
const query = (statement: string) => fixture.db.query(statement)
const at = (fraction: string) => `2026-01-01 00:00:00.${fraction}Z`

/** Readings that differ by microseconds only, one of them by none, each with two notes and a tag of its own. */
async function stored(): Promise<Session> {
  for (const [index, fraction] of ['123', '123456', '123457'].entries()) {
    const [name, first] = [fraction, index * 2 + 1]
    await query(`
      insert into readings values ('${at(fraction)}', '${name}');
      insert into notes values (${first}, '${at(fraction)}'), (${first + 1}, '${at(fraction)}');
      insert into tags values ('${name}');
      insert into reading_tags values ('${at(fraction)}', '${name}');
      insert into slots values (${first}, 1, '${at(fraction)}', '${at(fraction)}');
      insert into bookings values (${first}, 1, '${at(fraction)}', '${at(fraction)}')`)
  }
  return fixture.factory()()
}

type Full = Reading & { notes: Note[]; tags: Tag[] }
const ids = (notes: readonly { readonly id: number }[]) => notes.map(({ id }) => id)
const storedNotes = async () =>
  (
    await query('select n.id, r.name from notes n left join readings r on r.at = n.read_at order by n.id')
  ).map((row) => row['name'])
const storedTags = async () =>
  (
    await query('select r.name, t.tag from reading_tags t join readings r using (at) order by r.at, t.tag')
  ).map((row) => `${String(row['name'])} ${String(row['tag'])}`)
const readingsOf = async (session: Session, ...load: ('notes' | 'tags')[]) =>
  (await session.scalars(
    select(Reading)
      .orderBy(Reading.c.at)
      .load(...load),
  )) as Full[]

describe('a relation by instants that differ by microseconds', () => {
  test('gives each object its own', async () => {
    await using session = await stored()
    const readings = await readingsOf(session, 'notes', 'tags')
    expect(readings.map(({ notes }) => ids(notes))).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ])
    expect(readings.map(({ tags }) => tags.map(({ name }) => name))).toEqual([
      ['123'],
      ['123456'],
      ['123457'],
    ])
    const tags = await session.scalars(select(Tag).orderBy(Tag.c.name).load('readings'))
    expect(tags.map((tag) => tag.readings)).toEqual(readings.map((reading) => [reading]))
    expect(session.dirty).toEqual([])
  })

  test.each([[[]], [['123']], [['123456']], [['123', '123456', '123457']]])(
    'leads back to the right one, also where others are here: %s',
    async (here) => {
      await using session = await stored()
      const present = await session.scalars(select(Reading).where(inArray(Reading.c.name, here)))
      expect(present.length).toBe(here.length)
      const notes = await session.scalars(select(Note).orderBy(Note.c.id).load('reading'))
      expect(notes.map(({ reading }) => reading?.name)).toEqual([
        '123',
        '123',
        '123456',
        '123456',
        '123457',
        '123457',
      ])
    },
  )

  test('goes by unique columns, one or several, as well', async () => {
    await using session = await stored()
    const slots = await session.scalars(select(Slot).orderBy(Slot.c.id).load('bookings', 'ending'))
    expect(slots.map(({ bookings, ending }) => [ids(bookings), ids(ending)])).toEqual([
      [[1], [1]],
      [[3], [3]],
      [[5], [5]],
    ])
    await using other = fixture.factory()()
    const bookings = await other.scalars(select(Booking).orderBy(Booking.c.id).load('slot', 'last'))
    expect(bookings.map(({ slot, last }) => [slot?.id, last?.id])).toEqual([
      [1, 1],
      [3, 3],
      [5, 5],
    ])
  })

  test('removes only its own members and rows of the join table', async () => {
    await using session = await stored()
    const [, second, third] = (await readingsOf(session, 'notes', 'tags')) as [Full, Full, Full]
    second.notes.splice(0, 1)
    second.tags.splice(0, 1)
    third.tags.push(await session.getOne(Tag, '123'))
    await session.commit()
    expect(await storedNotes()).toEqual(['123', '123', null, '123456', '123457', '123457'])
    expect(await storedTags()).toEqual(['123 123', '123457 123', '123457 123457'])
    for (const note of third.notes) session.delete(note)
    session.delete(third)
    await session.commit()
    expect(await storedTags()).toEqual(['123 123'])
  })

  test('hands a changed key on to its own members', async () => {
    await using session = await stored()
    const readings = await readingsOf(session, 'notes')
    await query('delete from reading_tags')
    const moved = new Date(0)
    ;(readings[1] as Reading).at = moved
    await session.commit()
    const notes = await session.scalars(select(Note).orderBy(Note.c.id))
    expect(notes.filter(({ readAt }) => readAt?.getTime() === 0).map(({ id }) => id)).toEqual([3, 4])
    expect(session.dirty).toEqual([])
    expect(await storedNotes()).toEqual(['123', '123', '123456', '123456', '123457', '123457'])
  })
})

describe('a foreign key that would have to take over microseconds', () => {
  const REFUSAL =
    'notes.read_at cannot follow readings.at: a Date does not hold the microseconds by which their values differ'

  test('is refused, of a new object and of one that moves, in both directions', async () => {
    await using session = await stored()
    const [exact, second] = await readingsOf(session)
    const notes = (await session.scalars(select(Note).orderBy(Note.c.id))) as WithRelations<typeof Note>[]
    const [first, , third] = notes
    const ways: [WithRelations<typeof Note>, Reading | undefined][] = [
      [new Note({ id: 7 }), second],
      [first as WithRelations<typeof Note>, second],
      [third as WithRelations<typeof Note>, exact],
    ]
    for (const [note, reading] of ways) {
      note.reading = reading ?? null
      session.add(note)
      const before = note.readAt
      expect(
        await statementsOf(async () => {
          const error = await errorOf(session.flush())
          expect(error).toBeInstanceOf(InvalidValueError)
          expect(error.message).toBe(REFUSAL)
        }),
      ).toEqual([])
      expect(note.readAt).toBe(before)
      session.expunge(note)
    }
    expect(await storedNotes()).toEqual(['123', '123', '123456', '123456', '123457', '123457'])
  })

  test('is not refused where it has them already, or there are none', async () => {
    await using session = await stored()
    const [exact, second] = await readingsOf(session)
    const third = (await session.getOne(Note, 3)) as WithRelations<typeof Note>
    third.reading = second as Reading
    const added = new Note({ id: 7 }) as WithRelations<typeof Note>
    added.reading = exact as Reading
    session.add(added)
    expect(await statementsOf(() => session.commit())).toEqual(['insert into "notes"'])
    expect(await storedNotes()).toEqual(['123', '123', '123456', '123456', '123457', '123457', '123'])
  })
})
