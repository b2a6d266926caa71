/** Hostile names, values and amounts, through the whole life of objects. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  belongsTo,
  bigint,
  bigserial,
  boolean,
  build,
  bytea,
  char,
  createEngine,
  customType,
  date,
  declarativeBase,
  doublePrecision,
  enumType,
  eq,
  hasMany,
  inArray,
  integer,
  interval,
  json,
  jsonb,
  manyToMany,
  numeric,
  real,
  select,
  serial,
  smallint,
  sql,
  text,
  time,
  timestamp,
  timestamptz,
  uuid,
  varchar,
  version,
  type Column,
  type DeclarativeBase,
  type WithRelations,
} from '../../src/index.js'
import { byLength } from '../helpers/length.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase()

async function create(base: DeclarativeBase): Promise<void> {
  const engine = createEngine({ url: fixture.db.url })
  await engine.begin((connection) => base.metadata.createAll(connection))
  await engine.dispose()
}

const INJECTION = `'); drop table "victims"; --`
const STRINGS = [
  '',
  ' ',
  'NULL',
  'null',
  "it's",
  '"quoted"',
  '{a,b}',
  '{"',
  '\\',
  '\\x00',
  'a\\"b',
  'a,b',
  '$1',
  '${1}',
  '%s',
  'line\nline\r\n\ttab',
  'Ä ß 日本語 🎵 e\u0301 \u202e \ufeff \uffff',
  '\u0001\u007f',
  INJECTION,
  `"; drop table victims; --`,
  '$$; drop table victims; $$',
  'x'.repeat(100_000),
]

describe.each([
  ['a reserved word', 'select'],
  ['a quote', 'say "hi"'],
  ['an apostrophe', "o'clock"],
  ['a dot', 'a.b'],
  ['an injection', INJECTION],
  ['unicode', 'Ä 日本 🎵'],
  ['a parameter', '$1'],
  ['a backslash', '\\'],
  ['63 bytes', '🎵'.repeat(15) + 'abc'],
  ['a name of ours', 'source'],
  ['a name of ours', 'stored'],
  ['a name of ours', 'changed'],
])('names of tables, columns, enums and schemas with %s', (_what, name) => {
  test(`go through the whole life of an object: ${name}`, async () => {
    const Base = declarativeBase({ schema: name })
    const other = `${INJECTION} '`
    const kind = enumType(`${name.slice(0, 8)} kind`, [name, other], { schema: name })
    class Owner extends Base.entity(name, {
      [name]: serial().primaryKey(),
      mood: kind('the mood').notNull(),
      moods: kind().array(),
      version: version(),
      made: text()
        .notNull()
        .serverDefault(sql`'made'`),
    }) {
      static readonly relations = {
        children: hasMany(() => Child, 'parent'),
        friends: manyToMany(() => Child, 'friends'),
      }
    }
    class Child extends Base.entity('c' + name.slice(0, 4), {
      [`k${name.slice(0, 4)}`]: serial().primaryKey(),
      parent: integer().references(`${name}.${name}`),
    }) {
      static readonly relations = { owner: belongsTo(() => Owner, 'parent') }
    }
    Base.entity('friends', {
      owner: integer().primaryKey().references(`${name}.${name}`),
      child: integer()
        .primaryKey()
        .references(`${'c' + name.slice(0, 4)}.k${name.slice(0, 4)}`),
    })
    await create(Base)
    const factory = fixture.factory()

    const owners = [1, 2, 3].map((): WithRelations<typeof Owner> & { mood: string } => {
      const owner: WithRelations<typeof Owner> = new Owner({ mood: name, moods: [name, other] })
      owner.children = [new Child({}), new Child({})]
      owner.friends = owner.children
      return owner
    })
    await using session = factory()
    session.addAll(owners)
    await session.commit()
    expect(owners.map(({ made }) => made)).toEqual(['made', 'made', 'made'])
    for (const owner of owners) owner.mood = other
    await session.commit()
    expect(session.dirty).toEqual([])

    await factory.withSession(async (later) => {
      const found = await later.scalars(
        select(Owner).where(eq(Owner.c.mood, other)).load('children', 'friends'),
      )
      expect(found.map((owner) => [owner.moods, owner.children.length, owner.friends.length])).toEqual(
        owners.map(() => [[name, other], 2, 2]),
      )
      expect(later.dirty).toEqual([])
      for (const owner of found) {
        for (const child of owner.children) later.delete(child)
        later.delete(owner)
      }
    })
    await factory.withSession(async (later) => {
      expect(await later.scalars(select(Owner))).toEqual([])
      await Base.metadata.dropAll(later)
    })
  })
})

const Base = declarativeBase()

class Note extends Base.entity('notes', {
  id: serial().primaryKey(),
  text: text().unique(),
  texts: text().array(),
  document: jsonb(),
  written: json(),
}) {}

/** Its key is text. */
class Word extends Base.entity('words', {
  word: text().primaryKey(),
  language: text().primaryKey(),
  uses: integer().notNull().default(0),
}) {}

class Victim extends Base.entity('victims', { id: integer().primaryKey() }) {}

beforeAll(() => create(Base))
beforeEach(() => fixture.db.query('truncate notes, words, victims'))

describe('hostile texts', () => {
  test.each([
    ['one by one', 1],
    ['all at once', STRINGS.length],
  ])('are stored as they are, %s', async (_how, count) => {
    const factory = fixture.factory()
    const notes = STRINGS.map(
      (value) =>
        new Note({
          text: value,
          texts: [value, null as never, value],
          document: { [value]: value },
          written: value,
        }),
    )
    await using session = factory()
    for (let start = 0; start < notes.length; start += count) {
      session.addAll(notes.slice(start, start + count))
      await session.flush()
    }
    await session.commit()
    expect(session.dirty).toEqual([])
    await factory.withSession(async (other) => {
      const found = await other.scalars(select(Note).orderBy(Note.c.id))
      expect(found).toEqual(notes)
      expect(other.dirty).toEqual([])
      for (const value of STRINGS) {
        expect(
          (await other.scalars(select(Note).where(eq(Note.c.text, value)))).map((note) => note.text),
        ).toEqual([value])
      }
      expect(await other.scalars(select(Note).where(inArray(Note.c.text, STRINGS)))).toHaveLength(
        STRINGS.length,
      )
    })
    expect(await fixture.db.query('select from victims')).toEqual([])
  })

  test('are keys like any others', async () => {
    const factory = fixture.factory()
    const words = STRINGS.map((word) => new Word({ word: word.slice(0, 100), language: INJECTION }))
    await factory.withSession((session) => session.addAll(words))
    await factory.withSession(async (session) => {
      for (const { word, language } of words) {
        const found = await session.getOne(Word, { word, language })
        expect(found.word).toBe(word)
        found.uses++
      }
      expect(new Set(await session.scalars(select(Word))).size).toBe(words.length)
    })
    await factory.withSession(async (session) => {
      const found = await session.scalars(select(Word))
      expect(found.map(({ uses }) => uses)).toEqual(words.map(() => 1))
      for (const word of found) session.delete(word)
    })
    expect(await fixture.db.query('select from words')).toEqual([])
  })
})

describe('what PostgreSQL cannot hold', () => {
  const NUL = 'cannot hold a NUL character'
  const HALF = 'cannot hold half a character (a lone surrogate)'

  test.each<[string, ConstructorParameters<typeof Note>[0]]>([
    [`notes.text ${NUL}`, { text: 'secret\0' }],
    [`notes.texts ${NUL}`, { texts: ['a', 'secret\0'] }],
    [`notes.document ${NUL}`, { document: { 'secret\0': 1 } }],
    [`notes.text ${HALF}`, { text: 'secret\ud83c' }],
    [`notes.texts ${HALF}`, { texts: ['secret\udfb5'] }],
    [`notes.document ${HALF}`, { document: ['secret\ud83c'] }],
  ])('is refused before anything is sent, and can be mended: %s', async (message, values) => {
    const factory = fixture.factory()
    await using session = factory()
    const note = new Note(values)
    session.addAll([new Note({ text: 'fine' }), note])
    const refusal = { code: 'INVALID_VALUE', message: `${message} (a new Note)` }
    expect(await errorOf(session.flush())).toMatchObject(refusal)
    expect(await errorOf(session.commit())).toMatchObject(refusal)
    expect(factory.bind.stats().size).toBe(0)
    expect(session.new).toHaveLength(2)

    Object.assign(note, { text: 'mended', texts: null, document: null })
    await session.commit()
    expect(await fixture.db.query('select text from notes order by id')).toEqual([
      { text: 'fine' },
      { text: 'mended' },
    ])

    Object.assign(note, values)
    expect((await errorOf(session.commit())).message).toContain(message)
    await session.rollback()
    await session.refresh(note)
    expect(note.text).toBe('mended')
  })

  test('is refused in conditions and keys', async () => {
    const factory = fixture.factory()
    await using session = factory()
    expect(() => eq(Note.c.text, 'secret\0')).toThrow(NUL)
    expect(() => inArray(Note.c.text, ['secret\ud83c'])).toThrow(HALF)
    expect(await errorOf(session.get(Word, { word: 'secret\0', language: '' }))).toMatchObject({
      message: `words.word ${NUL}`,
    })
    expect(factory.bind.stats().size).toBe(0)
  })

  test('json keeps what jsonb cannot hold, as JSON writes it', async () => {
    const factory = fixture.factory()
    const written = { nul: '\0', half: '\ud83c' }
    await factory.withSession((session) => session.add(new Note({ written })))
    const [found] = await factory.withSession((session) => session.scalars(select(Note)))
    expect(found?.written).toEqual(written)
  })
})

describe('every type', () => {
  const Types = declarativeBase()
  const mood = enumType('mood', ['so, so', 'NULL', '"', 'ü{}\\'])
  const point = customType<{ x: number; y: number }>({
    type: 'point',
    decode(given) {
      const [x = 0, y = 0] = given.slice(1, -1).split(',').map(Number)
      return { x, y }
    },
    encode: ({ x, y }) => `(${String(x)},${String(y)})`,
  })
  /** PostgreSQL separates boxes in arrays by semicolons. */
  const box = customType<string>({ type: 'box', decode: String, encode: String })
  const matrix = customType<number[][]>({
    type: 'integer[]',
    decode: (given) => JSON.parse(given.replaceAll('{', '[').replaceAll('}', ']')) as number[][],
    encode: (value) => JSON.stringify(value).replaceAll('[', '{').replaceAll(']', '}'),
  })

  const CASES: Readonly<Record<string, readonly [Column<unknown>, readonly unknown[]]>> = {
    smallint: [smallint(), [-32768, 0, 32767]],
    integer: [integer(), [-2147483648, 0, 2147483647]],
    bigint: [bigint(), [-9223372036854775808n, 0n, 9223372036854775807n]],
    real: [real(), [0, -0, 1.5, 3.4028235e38, NaN, Infinity, -Infinity]],
    double: [
      doublePrecision(),
      [0, -0, 0.1 + 0.2, Number.MAX_VALUE, Number.MIN_VALUE, NaN, Infinity, -Infinity],
    ],
    numeric: [numeric(), ['0', '123456789012345678901234567890.000000000123', '-0.5', 'NaN']],
    boolean: [boolean(), [true, false]],
    text: [text(), STRINGS],
    varchar: [varchar({ length: 20 }), ['', 'x'.repeat(20), ' a ']],
    char: [char({ length: 3 }), ['a  ', 'abc', '   ']],
    uuid: [uuid(), ['00000000-0000-0000-0000-000000000000', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6']],
    json: [json(), [{ b: 1, a: [1, { c: 'ü"\\' }] }, [], {}, '', 'null', 0, false, 1e300, { '': null }]],
    jsonb: [jsonb(), [{ bb: 1, a: [1, { c: 'ü"\\' }] }, [], {}, '', 'null', 0, false, 1e300, { '': null }]],
    bytea: [bytea(), [Buffer.alloc(0), Buffer.from([0, 1, 255, 92, 39])]],
    date: [date(), ['2026-01-31', '0001-01-01', '4713-01-01 BC', 'infinity']],
    time: [time(), ['00:00:00', '13:45:00.123456', '24:00:00']],
    timestamp: [timestamp(), ['2026-01-31 13:45:00', '2026-01-31 13:45:00.123456', '-infinity']],
    timestamptz: [
      timestamptz(),
      [
        new Date(0),
        new Date('2026-01-31T12:00:00.123Z'),
        new Date('0001-01-01T00:00:00Z'),
        new Date('-000043-03-15T00:00:00Z'),
        new Date('+012026-01-31T12:00:00.001Z'),
        new Date(8.64e15),
      ],
    ],
    interval: [interval(), ['00:00:00', '1 year 2 mons 3 days 04:05:06.7', '-1 days']],
    mood: [mood(), ['so, so', 'NULL', '"', 'ü{}\\']],
    point: [point(), [{ x: 1, y: -2.5 }]],
    box: [box(), ['(1,1),(0,0)', '(3,3),(2,2)']],
    matrix: [
      matrix(),
      [
        [
          [1, 2],
          [3, 4],
        ],
        [[5]],
        [],
      ],
    ],
  }
  const ARRAYS = Object.entries(CASES).filter(([name]) => !['box', 'matrix'].includes(name))
  const columns: Record<string, Column<unknown>> = Object.fromEntries([
    ...Object.entries(CASES).map(([name, [column]]) => [name, column]),
    ...ARRAYS.map(([name, [column]]) => [`${name}s`, column.array()]),
  ])
  class All extends Types.entity('all_types', { id: bigserial().primaryKey(), ...columns }) {}
  type Values = Record<string, unknown>

  beforeAll(() => create(Types))

  /** The values of one row for each value of a column; the other columns are null. */
  function rows(): Values[] {
    const made = Object.entries(CASES).flatMap(([name, [, values]]) =>
      values.map((value) => ({ [name]: value })),
    )
    const arrays = ARRAYS.flatMap(([name, [, values]]) => [
      { [`${name}s`]: [] },
      { [`${name}s`]: [null, ...values, null] },
      { [`${name}s`]: [values[0]] },
    ])
    return structuredCloneWithBuffers([...made, ...arrays])
  }

  test.each([
    ['one by one', 1],
    ['all at once', Infinity],
  ])('is stored and read back unchanged, and nothing seems changed then, %s', async (_how, size) => {
    await fixture.db.query('truncate all_types')
    const factory = fixture.factory()
    const values = rows()
    const objects = values.map((row) => build(All, row as never)) as unknown as Values[]
    await using session = factory()
    if (size === 1) {
      for (const object of objects) {
        session.add(object)
        await session.flush()
      }
    } else session.addAll(objects)
    await session.flush()
    expect(session.dirty).toEqual([])
    await session.commit()
    expect(session.dirty).toEqual([])
    await factory.withSession(async (other) => {
      const found = (await other.scalars(select(All).orderBy(All.c.id))) as unknown as Values[]
      expect(other.dirty).toEqual([])
      for (const [index, row] of values.entries()) {
        const [name] = Object.keys(row) as [string]
        expect(found[index]?.[name], name).toEqual(row[name])
      }
      // The stored texts of both sessions mean the same.
      for (const object of found) other.expire(object)
      await other.scalars(select(All))
      expect(other.dirty).toEqual([])
    })
  })

  test('is changed to any other value and back to null, one by one and all at once', async () => {
    await fixture.db.query('truncate all_types')
    const factory = fixture.factory()
    const values = rows()
    await using session = factory()
    const objects = values.map(() => build(All, {})) as unknown as Values[]
    session.addAll(objects)
    await session.commit()
    for (const [index, object] of objects.entries()) Object.assign(object, values[index])
    await session.commit()
    expect(session.dirty).toEqual([])
    await session.execute(sql`select 1`)
    session.expireAll()
    await session.scalars(select(All))
    for (const [index, row] of values.entries()) expect(objects[index]).toMatchObject(row)
    for (const [index, object] of objects.entries()) {
      for (const name of Object.keys(values[index] as Values)) object[name] = null
      await session.flush()
    }
    await session.commit()
    const left = await fixture.db.query<{ count: string }>(
      'select count(*) from all_types t where num_nonnulls(t.*) > 1',
    )
    expect(left).toEqual([{ count: '0' }])
  })
})

describe('many', () => {
  test('values: a statement takes more than the 65,535 parameters of the protocol', async () => {
    const factory = fixture.factory()
    const victims = Array.from({ length: 70_000 }, (_, id) => new Victim({ id }))
    await factory.withSession((session) => session.addAll(victims))
    await factory.withSession(async (session) => {
      const ids = victims.map(({ id }) => id)
      expect(await session.scalars(select(Victim).where(inArray(Victim.c.id, ids)))).toHaveLength(70_000)
    })
  })

  class Counter extends Base.entity('counters', {
    id: bigserial().primaryKey(),
    key: text().notNull().unique(),
    nextId: bigint('next_id').references('counters.id').index(),
    count: integer().notNull(),
    tags: text().array(),
    version: version(),
  }) {
    static readonly relations = { next: belongsTo(() => Counter, 'nextId') }
  }

  test(
    'rows: as many as there are (100,000 in a long run) are inserted, changed and deleted by one flush each',
    { timeout: 120_000 },
    async () => {
      const factory = fixture.factory()
      const ROWS = byLength(20_000, 100_000)
      await using session = factory()
      const counters: WithRelations<typeof Counter>[] = []
      for (let count = 0; count < ROWS; count++) {
        const counter: WithRelations<typeof Counter> = new Counter({ key: String(count), count, tags: ['a'] })
        // Each refers to the one before it.
        if (count > 0) counter.next = counters[count - 1] as Counter
        counters.push(counter)
      }
      session.addAll(counters)
      await session.flush()
      expect(new Set(counters.map(({ id }) => id)).size).toBe(ROWS)
      for (const counter of counters) {
        counter.count++
        counter.tags?.push('b')
      }
      await session.flush()
      expect(await session.scalar('select sum(count)::text from counters')).toBe(
        String((ROWS * (ROWS + 1)) / 2),
      )
      expect(session.dirty).toEqual([])
      for (const counter of counters) session.delete(counter)
      // Unique keys that are freed and taken again.
      session.addAll(counters.map(({ key }) => new Counter({ key, count: 0 })))
      await session.commit()
      expect(await fixture.db.query('select count(*)::int, max(version) from counters')).toEqual([
        { count: ROWS, max: 1 },
      ])
    },
  )
})

/** Buffers stay Buffers. */
function structuredCloneWithBuffers<Value>(value: Value): Value {
  if (Buffer.isBuffer(value)) return Buffer.from(value) as Value
  if (value instanceof Date) return new Date(value) as Value
  if (Array.isArray(value)) return value.map(structuredCloneWithBuffers) as Value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, structuredCloneWithBuffers(one)]),
  ) as Value
}
