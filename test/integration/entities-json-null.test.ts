/** JSON's null and SQL's NULL: two values, whichever way they go. */
import { beforeEach, describe, expect, test } from 'vitest'
import {
  customType,
  declarativeBase,
  eq,
  integer,
  json,
  jsonb,
  jsonNull,
  select,
  sql,
  update,
  version,
  type JsonNull,
  type Session,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

type Body = { readonly list: (number | null)[] } | JsonNull

const Base = declarativeBase()
/** As one would write it by hand: reads the document null as null. */
const document = customType<unknown>({ type: 'jsonb', decode: JSON.parse, encode: JSON.stringify })
/** Tells the two apart. */
const exact = customType<unknown>({
  type: 'jsonb',
  decode: (text) => (JSON.parse(text) as unknown) ?? jsonNull,
  encode: JSON.stringify,
})

class Doc extends Base.entity('docs', {
  id: integer().primaryKey(),
  body: jsonb<Body>(),
  plain: json<Body>(),
  list: jsonb<Body>().array(),
  custom: document(),
  exact: exact(),
  filled: jsonb<Body>()
    .notNull()
    .serverDefault(sql`'null'`),
  version: version(),
}) {}

class Strict extends Base.entity('stricts', {
  id: integer().primaryKey(),
  body: jsonb<Body>().notNull().default(jsonNull),
}) {}

const fixture = useEntities(Base)
const NULLS = `insert into docs (id, body, plain, list, custom, exact, version) values (1, 'null', 'null', '{"null",NULL}', 'null', 'null', 1)`

/** The row as PostgreSQL shows it. */
async function shown(table = 'docs'): Promise<string> {
  const [row] = await fixture.db.query<{ row: string }>(`select ${table}::text as row from ${table}`)
  return row?.row ?? 'none'
}

describe("JSON's null", () => {
  test('is loaded as jsonNull, SQL NULL as null, and to load them is no change', async () => {
    await fixture.db.query(NULLS)
    await using session = fixture.factory()()
    const doc = await session.getOne(Doc, 1)
    expect(doc).toMatchObject({
      body: jsonNull,
      plain: jsonNull,
      list: [jsonNull, null],
      custom: null,
      filled: jsonNull,
    })
    expect([doc.body === jsonNull, doc.exact === jsonNull]).toEqual([true, true])
    expect([session.isModified(doc), session.dirty]).toEqual([false, []])
    expect(JSON.parse(JSON.stringify(doc))).toMatchObject({ body: null, list: [null, null] })
    await session.refresh(doc)
    expect(session.isModified(doc)).toBe(false)
    await session.commit()
    expect(await shown()).toBe('(1,null,null,"{""null"",NULL}",null,null,null,1)')
    await fixture.db.query(
      'update docs set body = null, plain = null, list = null, custom = null, exact = null',
    )
    await session.refresh(doc)
    expect(doc).toMatchObject({ body: null, plain: null, list: null, custom: null, exact: null })
  })

  test('is stored as jsonNull, in new and in changed rows, and each of the two can follow the other', async () => {
    await using session = fixture.factory()()
    const doc = new Doc({
      id: 1,
      body: jsonNull,
      plain: null,
      list: [null as never, jsonNull],
      custom: jsonNull,
      exact: jsonNull,
    })
    session.add(doc)
    await session.flush()
    expect([doc.filled, session.isModified(doc)]).toEqual([jsonNull, false])
    await session.commit()
    expect(await shown()).toBe('(1,null,,"{NULL,""null""}",null,null,null,1)')
    doc.body = null
    doc.plain = jsonNull
    doc.exact = null
    expect(session.isModified(doc)).toBe(true)
    await session.commit()
    expect(await shown()).toBe('(1,,null,"{NULL,""null""}",null,,null,2)')
    doc.body = jsonNull
    doc.plain = { list: [null] }
    await session.commit()
    doc.plain = jsonNull
    await session.commit()
    expect(await shown()).toBe('(1,null,null,"{NULL,""null""}",null,,null,4)')
    doc.body = jsonNull
    expect(session.isModified(doc)).toBe(false)
  })

  test('has a place where there must be a value', async () => {
    const { withSession } = fixture.factory()
    await withSession((session) => session.addAll([new Strict({ id: 1 })]))
    expect(await shown('stricts')).toBe('(1,null)')
    await withSession(
      async (session) => {
        const strict = await session.getOne(Strict, 1)
        expect(strict.body).toBe(jsonNull)
      },
      { readOnly: true },
    )
    const refused = withSession(async (session) => {
      const strict = await session.getOne(Strict, 1)
      strict.body = null as never
    })
    expect((await errorOf(refused)).message).toContain('stricts.body is null; it needs a value')
  })

  test('is told from NULL by statements, too: conditions, bulk updates, what they return, merge', async () => {
    await fixture.db.query(NULLS)
    await fixture.db.query('insert into docs (id, version) values (2, 1)')
    await using session = fixture.factory()()
    const ids = (body: Body | null) => session.scalars(select(Doc).where(eq(Doc.c.body, body)).columns('id'))
    expect([await ids(jsonNull), await ids(null)]).toEqual([[1], [2]])
    expect(await session.scalars(select(Doc).orderBy(Doc.c.id).columns('body'))).toEqual([jsonNull, null])
    const changed = await session.scalars(
      update(Doc).set({ body: jsonNull }).where(eq(Doc.c.id, 2)).returning(),
    )
    expect([changed[0]?.body, session.dirty]).toEqual([jsonNull, []])
    expect(await session.scalars(update(Doc).set({ body: null }).returning('body'))).toEqual([null, null])
    const merged = await session.merge(new Doc({ id: 3, body: jsonNull, list: [jsonNull] }))
    expect([merged.body, merged.list?.[0]]).toEqual([jsonNull, jsonNull])
    expect(merged.body).toBe(jsonNull)
    await session.commit()
    expect(await fixture.db.query('select body::text as body from docs where id = 3')).toEqual([
      { body: 'null' },
    ])
  })

  test('that a custom type reads as null stays what it is, until another value is stored', async () => {
    await fixture.db.query(NULLS)
    await using session = fixture.factory()()
    const doc = await session.getOne(Doc, 1)
    doc.body = null
    await session.commit()
    expect(await shown()).toBe('(1,,null,"{""null"",NULL}",null,null,null,2)')
    doc.custom = { a: 1 }
    await session.flush()
    doc.custom = null
    await session.commit()
    expect(await shown()).toBe('(1,,null,"{""null"",NULL}",,null,null,4)')
  })
})

describe('a custom type that reads texts as null', () => {
  /** An empty text is none, for the program. */
  const name = customType<string | null>({
    type: 'text',
    decode: (text) => (text === '' ? null : text),
    encode: (value) => value ?? '',
  })
  const Names = declarativeBase()
  class Person extends Names.entity('persons', {
    id: integer().primaryKey(),
    name: name(),
    strict: name().notNull(),
    names: name().array({ nulls: true }),
    grid: name().array({ nulls: true, dimensions: 2 }),
    late: name().deferred(),
    note: integer(),
    version: version(),
  }) {}
  const names = useEntities(Names)
  const stored = async () =>
    (await names.db.query<{ row: string }>('select persons::text as row from persons'))[0]?.row
  const person = (session: Session) => session.getOne(Person, 1, { undefer: ['late'] })

  beforeEach(async () => {
    await names.db.query(
      `insert into persons values (1, '', '', '{"",NULL,a,""}', '{{"",NULL},{a,""}}', '', 1, 1)`,
    )
  })

  test('is no change by being read, detached, added, merged, or beside another change', async () => {
    const { withSession } = names.factory()
    const read = await withSession(person)
    expect(read).toEqual({
      id: 1,
      name: null,
      strict: null,
      names: [null, null, 'a', null],
      grid: [
        [null, null],
        ['a', null],
      ],
      late: null,
      note: 1,
      version: 1,
    })
    expect(JSON.parse(JSON.stringify(read))).toEqual({ ...read })
    await withSession(
      async (session) => {
        session.add(read)
        await session.flush()
        await session.refresh(read)
        await session.scalars(select(Person).populateExisting().undefer('late'))
        expect(session.dirty).toEqual([])
      },
      { readOnly: true },
    )
    await withSession(
      async (session) => {
        const held = await person(session)
        expect([await session.merge(read), session.dirty]).toEqual([held, []])
      },
      { readOnly: true },
    )
    await withSession(async (session) => {
      await person(session)
      const merged = await session.merge(read)
      merged.note = 2
    })
    expect(await stored()).toBe(`(1,"","","{"""",NULL,a,""""}","{{"""",NULL},{a,""""}}","",2,2)`)
  })

  test('is stored as NULL once null is assigned, and a rollback takes that back', async () => {
    await using session = names.factory()()
    const held = await person(session)
    held.name = null
    held.late = null
    expect([session.isModified(held), held.name]).toEqual([true, null])
    await session.flush()
    expect(session.isModified(held)).toBe(false)
    await session.rollback()
    await session.refresh(held)
    expect(session.isModified(held)).toBe(false)
    held.name = null
    held.late = null
    await session.commit()
    expect(await stored()).toBe(`(1,,"","{"""",NULL,a,""""}","{{"""",NULL},{a,""""}}",,1,2)`)
    held.strict = null as never
    expect((await errorOf(session.commit())).message).toContain('persons.strict is null')
  })

  test('is given back as it was to a detached object whose attempt fails', async () => {
    const { withSession } = names.factory()
    const read = await withSession(person)
    let attempts = 0
    await withSession(
      async (session) => {
        session.add(read)
        read.note = 7
        if (attempts++ > 0) return
        read.name = null
        await session.execute(sql`do $$ begin raise serialization_failure; end $$`)
      },
      { retry: { attempts: 2 } },
    )
    expect(await stored()).toBe(`(1,"","","{"""",NULL,a,""""}","{{"""",NULL},{a,""""}}","",7,2)`)
  })

  test('is merged as what is stored, over another value and into a new row', async () => {
    const { withSession } = names.factory()
    const read = await withSession(person)
    await names.db.query(`update persons set name = 'other', version = 1`)
    await withSession(async (session) => void (await session.merge(read)))
    expect(await stored()).toMatch(/^\(1,"","",/)
    await names.db.query('delete from persons')
    await withSession(async (session) => {
      const merged = await session.merge(read)
      await session.flush()
      expect(session.isModified(merged)).toBe(false)
    })
    expect(await stored()).toMatch(/^\(1,"","",/)
  })

  const EDITS: [string, (list: (string | null)[]) => unknown, string][] = [
    ['an assigned element', (list) => (list[2] = 'b'), '{"",NULL,b,""}'],
    ['push', (list) => list.push('b', null), '{"",NULL,a,"","b",NULL}'],
    ['unshift', (list) => list.unshift('b'), '{b,"",NULL,a,""}'],
    ['two ends', (list) => list.splice(0, 4, 'x', ...list, 'y'), '{x,"",NULL,a,"",y}'],
    ['removal', (list) => list.splice(2, 1), '{"",NULL,""}'],
    ['reversal', (list) => list.reverse(), '{"",a,NULL,""}'],
    ['the rest gone', (list) => list.splice(0, 4, 'x'), '{x}'],
    ['all gone', (list) => list.splice(0), '{}'],
  ]
  test.each(EDITS)('keeps its elements in an array: %s', async (_, edit, expected) => {
    const { withSession } = names.factory()
    for (const note of [1, 2]) {
      await withSession(async (session) => {
        const held = await person(session)
        if (note === 1 && held.names !== null) edit(held.names)
        held.note = note
      })
    }
    const [row] = await names.db.query<{ names: string }>('select names::text from persons')
    expect(row?.names.replaceAll('"b"', 'b')).toBe(expected.replaceAll('"b"', 'b'))
  })

  test('keeps its elements in nested arrays, and over two flushes of one object', async () => {
    await using session = names.factory()()
    const held = await person(session)
    const [first, second] = held.grid as [string[], string[]]
    second[0] = 'b'
    if (held.names !== null) held.names[2] = 'b'
    await session.flush()
    first.push('x')
    second.push('y')
    held.names?.push('c')
    await session.commit()
    expect(await stored()).toBe(`(1,"","","{"""",NULL,b,"""",c}","{{"""",NULL,x},{b,"""",y}}","",1,3)`)
    held.grid = [[1 as never]]
    expect(await errorOf(session.commit())).toMatchObject({ code: 'INVALID_VALUE' })
  })
})

describe('a custom type that reads what it cannot write', () => {
  /** PostgreSQL's `infinity` is read as an invalid Date, which no Date can be written as. */
  const day = customType<Date>({
    type: 'date',
    decode: (text) => new Date(text),
    encode: (value) => value.toISOString().slice(0, 10),
  })
  const Days = declarativeBase()
  class Holiday extends Days.entity('holidays', { id: integer().primaryKey(), day: day() }) {}
  const days = useEntities(Days)

  test('is no change by being read, in a read-only block as well', async () => {
    await days.db.query("insert into holidays values (1, 'infinity')")
    const { withSession } = days.factory()
    for (const readOnly of [true, false]) {
      await withSession(
        async (session) => {
          const holiday = await session.getOne(Holiday, 1)
          expect(session.isModified(holiday)).toBe(false)
        },
        { readOnly },
      )
    }
    expect(await days.db.query('select day::text from holidays')).toEqual([{ day: 'infinity' }])
  })

  test('is a change when another value is set, and refused where that cannot be written', async () => {
    await days.db.query("insert into holidays values (2, 'infinity'), (3, '2030-01-01')")
    const { withSession } = days.factory()
    await withSession(async (session) => {
      const holiday = await session.getOne(Holiday, 2)
      holiday.day = new Date('2031-02-03')
    })
    expect(await days.db.query('select day::text from holidays where id = 2')).toEqual([
      { day: '2031-02-03' },
    ])
    const error = await errorOf(
      withSession(async (session) => {
        const holiday = await session.getOne(Holiday, 3)
        holiday.day = new Date(Number.NaN)
      }),
    )
    expect(error).toMatchObject({ code: 'INVALID_VALUE' })
  })
})
