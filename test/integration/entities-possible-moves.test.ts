/**
 * Unique values that move from row to row in one flush, where only PostgreSQL knows which rows a key holds or which values are equal:
 * partial indexes, indexes over SQL, texts without regard to case. They are ordered as far as nothing certain speaks against it.
 */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  asc,
  customType,
  declarativeBase,
  integer,
  select,
  sql,
  text,
  UniqueViolationError,
  type Session,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
/** Live rows have places of their own. */
class Entry extends Base.entity(
  'entries',
  { id: integer().primaryKey(), place: integer().notNull(), goneAt: text('gone_at'), note: text() },
  { indexes: [{ columns: ['place'], unique: true, where: sql`gone_at is null` }] },
) {}
/** Names differ by more than case. */
class Person extends Base.entity(
  'people',
  { id: integer().primaryKey(), name: text().notNull() },
  { indexes: [{ columns: [sql`lower(name)`], unique: true }] },
) {}
/** As citext. */
const caseless = customType<string>({
  type: 'text collate moves_caseless',
  castType: 'text',
  decode: String,
  encode: String,
})
class Term extends Base.entity('words', {
  id: integer().primaryKey(),
  word: caseless().notNull().unique(),
}) {}

const Nothing = declarativeBase()
Nothing.entity('nothing', { id: integer().primaryKey() })
const fixture = useEntities(Nothing)
const COUNT = 12
beforeEach(async () => {
  await fixture.db.query(`
    create collation if not exists moves_caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    drop table if exists entries, people, words`)
  await fixture.db.query(Base.metadata.ddl())
  await fixture.db.query(`
    insert into entries select i, i, null, null from generate_series(1, ${COUNT}) i;
    insert into people select i, 'name ' || i from generate_series(1, ${COUNT}) i;
    insert into words select i, 'word ' || i from generate_series(1, ${COUNT}) i;
    analyze entries, people, words`)
})

const flush = (work: (session: Session) => Promise<void>) => fixture.factory().withSession(work)
const entries = (session: Session) => session.scalars(select(Entry).orderBy(asc(Entry.c.id)))
const places = async () =>
  (await fixture.db.query('select place from entries where gone_at is null order by id')).map(
    ({ place }) => place as number,
  )

describe('a partial index', () => {
  test.each([1, -1])('whose values move along the rows by %s', async (by) => {
    await flush(async (session) => {
      for (const entry of await entries(session)) entry.place += by
    })
    expect(await places()).toEqual(Array.from({ length: COUNT }, (_, at) => at + 1 + by))
  })

  test('whose place is freed by a row that leaves the index, and keeps its value', async () => {
    for (const [gone, taking] of [
      [1, 2],
      [12, 11],
    ] as const) {
      await flush(async (session) => {
        // Loaded first, so that it comes first where nothing else decides.
        const other = await session.getOne(Entry, taking)
        const one = await session.getOne(Entry, gone)
        other.place = one.place
        one.goneAt = 'now'
      })
    }
    expect(await places()).toEqual([1, 3, 4, 5, 6, 7, 8, 9, 10, 12])
  })

  test('whose place a deleted row leaves to a new one', async () => {
    await flush(async (session) => {
      session.delete(await session.getOne(Entry, 3))
      session.add(new Entry({ id: 20, place: 3 }))
    })
    expect(await places()).toHaveLength(COUNT)
  })

  test('does not hold rows that swap values outside of it, nor rows whose other columns change', async () => {
    await fixture.db.query("update entries set gone_at = 'now' where id in (1, 2)")
    await flush(async (session) => {
      const [one, two, three] = await entries(session)
      if (one === undefined || two === undefined || three === undefined) throw new Error('no rows')
      ;[one.place, two.place] = [2, 1]
      three.note = 'changed'
    })
    expect(await fixture.db.query('select place, note from entries where id < 4 order by id')).toEqual([
      { place: 2, note: null },
      { place: 1, note: null },
      { place: 3, note: 'changed' },
    ])
  })

  test('gives way to a key that is certain', async () => {
    await flush(async (session) => {
      const [one, two] = [await session.getOne(Entry, 1), await session.getOne(Entry, 2)]
      // By the places 2 would be first, were 1 still in the index; by the keys 1 is.
      Object.assign(one, { id: 30, place: 2, goneAt: 'now' })
      Object.assign(two, { id: 1, place: 40 })
    })
    expect(
      await fixture.db.query('select id, place from entries where id in (1, 2, 30) order by id'),
    ).toEqual([
      { id: 1, place: 40 },
      { id: 30, place: 2 },
    ])
  })

  test('of which two live rows swap values is refused, and the error says why', async () => {
    const error = await errorOf(
      flush(async (session) => {
        const [one, two] = await entries(session)
        if (one === undefined || two === undefined) throw new Error('no rows')
        ;[one.place, two.place] = [2, 1]
      }),
    )
    expect(error).toBeInstanceOf(UniqueViolationError)
    expect(error.message).toContain('take unique values from each other in a cycle')
  })
})

describe('values that differ in case only', () => {
  test.each([1, -1])('move along an index over SQL by %s', async (by) => {
    await flush(async (session) => {
      for (const person of await session.scalars(select(Person))) person.name = `NAME ${person.id + by}`
    })
    expect(await fixture.db.query('select count(*)::int from people where name = upper(name)')).toEqual([
      { count: COUNT },
    ])
  })

  test('are freed by a deleted row', async () => {
    await flush(async (session) => {
      session.delete(await session.getOne(Person, 4))
      session.add(new Person({ id: 20, name: 'Name 4' }))
    })
    expect(await fixture.db.query("select id from people where lower(name) = 'name 4'")).toEqual([{ id: 20 }])
  })

  test('take the name that their own row had', async () => {
    await flush(async (session) => {
      ;(await session.getOne(Person, 4)).name = 'NAME 4'
    })
    expect(await fixture.db.query('select name from people where id = 4')).toEqual([{ name: 'NAME 4' }])
  })
})

describe('a type that does not tell case apart', () => {
  test.each([1, -1])('has its values moved along by %s', async (by) => {
    await flush(async (session) => {
      for (const term of await session.scalars(select(Term))) term.word = `WORD ${term.id + by}`
    })
    expect(
      await fixture.db.query('select count(*)::int from words where word collate "C" like \'WORD%\''),
    ).toEqual([{ count: COUNT }])
  })
})
