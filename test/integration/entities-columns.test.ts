/** Which columns a flush writes, and which it takes from PostgreSQL. */
import { randomUUID } from 'node:crypto'
import { tracingChannel } from 'node:diagnostics_channel'
import { describe, expect, test } from 'vitest'
import {
  customType,
  declarativeBase,
  doublePrecision,
  integer,
  jsonb,
  real,
  select,
  sql,
  text,
  timestamptz,
  uuid,
} from '../../src/index.js'
import { statementsOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()

let clock = 0
class Wide extends Base.entity('wides', {
  id: uuid()
    .primaryKey()
    .serverDefault(sql`gen_random_uuid()`),
  name: text().notNull(),
  shout: text().generated(sql`upper(name)`),
  tags: text().array(),
  data: jsonb<{ list: number[] }>(),
  at: timestamptz(),
  state: text()
    .notNull()
    .serverDefault(sql`'new'`),
  touched: integer().onUpdate(() => ++clock),
  revision: integer()
    .notNull()
    .serverDefault(sql`0`)
    .onUpdate(sql`wides.revision + 1`),
}) {}

class Reading extends Base.entity('readings', {
  at: timestamptz()
    .primaryKey()
    .serverDefault(sql`now()`),
  value: integer(),
}) {}

class Slope extends Base.entity('slopes', {
  id: integer().primaryKey(),
  double: doublePrecision(),
  single: real(),
  whole: integer(),
}) {}

const ticket = customType<{ readonly number: string }>({
  type: 'integer',
  decode: (digits) => ({ number: digits.padStart(5, '0') }),
  encode: ({ number }) => String(Number(number)),
})

class Ticket extends Base.entity('tickets', { id: ticket().primaryKey(), before: ticket() }) {}

const fixture = useEntities(Base)
const query = (statement: string) => fixture.db.query(statement)

describe('columns', () => {
  const stored = async () => {
    const session = fixture.factory()()
    const wide = new Wide({ name: 'x', tags: ['a', 'b,"c'], data: { list: [1] }, at: new Date(0) })
    session.add(wide)
    await session.commit()
    return { session, wide }
  }

  test('take what PostgreSQL computes: keys, defaults, generated columns, changes', async () => {
    const { session, wide } = await stored()
    await using _ = session
    expect(wide).toMatchObject({ shout: 'X', state: 'new', revision: 0, touched: null })
    expect(wide.id).toMatch(/^[0-9a-f-]{36}$/)
    wide.name = 'y'
    const touched = clock
    await session.flush()
    expect(wide).toMatchObject({ shout: 'Y', revision: 1, touched: touched + 1 })
    await session.flush()
    expect(clock).toBe(touched + 1)
  })

  test('are changed in place where they are documents, dates or lists, and only then written', async () => {
    const { session, wide } = await stored()
    await using _ = session
    expect(session.isModified(wide)).toBe(false)
    for (const change of [
      () => wide.data?.list.push(2),
      () => wide.at?.setFullYear(2000),
      () => wide.tags?.push('d'),
    ]) {
      change()
      expect([session.isModified(wide), session.dirty]).toEqual([true, [wide]])
      await session.flush()
      expect(session.isModified(wide)).toBe(false)
    }
    await session.commit()
    const [row] = await query('select data, at, tags, revision from wides')
    expect(row).toEqual({ data: { list: [1, 2] }, at: wide.at, tags: ['a', 'b,"c', 'd'], revision: 3 })
    wide.data = { list: [1, 2] }
    wide.at = new Date(wide.at as Date)
    expect(session.dirty).toEqual([])
  })

  test('that PostgreSQL computes cannot be changed', async () => {
    const { session, wide } = await stored()
    await using _ = session
    wide.shout = 'Z'
    expect((await errorOf(session.flush())).message).toContain('wides.shout is computed by PostgreSQL')
    wide.shout = 'X'
    await session.commit()
  })

  test('that did not change are not written: changes of other transactions stay', async () => {
    const { session, wide } = await stored()
    await using _ = session
    await query("update wides set state = 'seen'")
    wide.name = 'y'
    await session.commit()
    expect(await query('select name, state from wides')).toEqual([{ name: 'y', state: 'seen' }])
  })

  test('that were set while PostgreSQL filled them in, and flushed, stay as they were set', async () => {
    await using session = fixture.factory()()
    const wide = new Wide({ id: randomUUID(), name: 'x' })
    session.add(wide)
    const inserted = session.flush()
    wide.state = 'seen'
    await Promise.all([inserted, session.flush()])
    expect([wide.state, wide.revision]).toEqual(['seen', 1])
    wide.name = 'y'
    const updated = session.flush()
    wide.revision = 40
    await Promise.all([updated, session.flush()])
    expect([wide.shout, wide.revision]).toEqual(['Y', 40])
    expect(await session.scalar('select revision from wides')).toBe(40)
  })

  test('are grouped by what changed: many rows are one statement', async () => {
    const factory = fixture.factory()
    await using session = factory()
    const wides = Array.from({ length: 30 }, (_, index) => new Wide({ name: `${index}` }))
    session.addAll(wides)
    await session.flush()
    for (const [index, wide] of wides.entries()) {
      if (index % 3 === 0) wide.name = `new ${index}`
      else if (index % 3 === 1) wide.state = `state ${index}`
    }
    const statements = await statementsOf(() => session.commit())
    expect(statements).toEqual(['update "wides"', 'update "wides"'])
    expect(wides.map(({ shout, revision }) => [shout, revision])).toEqual(
      wides.map(({ name }, index) => [name.toUpperCase(), index % 3 === 2 ? 0 : 1]),
    )
    const rows = await query('select id, name, state from wides')
    const byId = new Map(rows.map((row) => [row['id'], row]))
    for (const { id, name, state } of wides) expect(byId.get(id)).toEqual({ id, name, state })
  })
})

test('rows whose keys differ by microseconds are different objects', async () => {
  await query(
    `insert into readings values ('2026-01-01 00:00:00.123456Z', 1), ('2026-01-01 00:00:00.123457Z', 2)`,
  )
  await using session = fixture.factory()()
  const readings = await session.scalars(select(Reading).orderBy(Reading.c.at))
  expect(readings.map(({ value }) => value)).toEqual([1, 2])
  for (const reading of readings) reading.value = (reading.value ?? 0) * 10
  const late = new Reading({ value: 3 })
  session.add(late)
  await session.commit()
  expect(await session.scalars(select(Reading).orderBy(Reading.c.at))).toEqual([...readings, late])
  expect(await query('select value from readings order by at')).toEqual([
    { value: 10 },
    { value: 20 },
    { value: 3 },
  ])
})

test('0 that became -0, and back, is written where PostgreSQL keeps them apart', async () => {
  await query('insert into slopes values (1, 0, 0, 0)')
  await using session = fixture.factory()()
  const slope = await session.getOne(Slope, 1)
  const stored = () => query('select double::text, single::text, whole from slopes')
  slope.whole = -0
  expect(session.dirty).toEqual([])
  slope.double = slope.single = -0
  await session.commit()
  expect(await stored()).toEqual([{ double: '-0', single: '-0', whole: 0 }])
  expect(session.dirty).toEqual([])
  await session.refresh(slope)
  expect(slope).toMatchObject({ double: -0, single: -0 })
  expect(session.dirty).toEqual([])
  slope.double = slope.single = 0
  await session.commit()
  expect(await stored()).toEqual([{ double: '0', single: '0', whole: 0 }])
})

test('types of your own read the texts of integers', async () => {
  await query('insert into tickets values (7, null), (8, -7)')
  await using session = fixture.factory()()
  const tickets = await session.scalars(select(Ticket).orderBy(Ticket.c.id))
  const [first, second] = tickets
  expect(tickets).toEqual([
    { id: { number: '00007' }, before: null },
    { id: { number: '00008' }, before: { number: '000-7' } },
  ])
  expect(await session.get(Ticket, { number: '7' })).toBe(first)
  expect(await session.scalars(select(Ticket).orderBy(Ticket.c.id))).toEqual([first, second])
  expect(session.dirty).toEqual([])
})

test('lifeguard:flush tells how many objects were written, and that a flush failed', async () => {
  const seen: unknown[] = []
  const channel = tracingChannel<unknown, { inserted: number; updated: number; deleted: number }>(
    'lifeguard:flush',
  )
  const none = () => undefined
  const subscriber = {
    start: ({ inserted, updated, deleted }: { inserted: number; updated: number; deleted: number }) =>
      void seen.push([inserted, updated, deleted]),
    end: none,
    asyncStart: none,
    asyncEnd: () => void seen.push('end'),
    error: ({ error }: { error: unknown }) => void seen.push((error as Error).constructor.name),
  }
  await using session = fixture.factory()()
  channel.subscribe(subscriber)
  try {
    const [a, b] = ['a', 'b'].map((name) => new Wide({ name })) as [Wide, Wide]
    session.addAll([a, b])
    await session.flush()
    a.name = 'c'
    session.delete(b)
    session.addAll([new Wide({ name: 'd' }), new Wide({ name: 'e' })])
    await session.commit()
    await session.commit()
    session.add(new Wide({ id: a.id, name: 'd' }))
    await errorOf(session.flush())
  } finally {
    channel.unsubscribe(subscriber)
  }
  expect(seen).toEqual([[2, 0, 0], 'end', [2, 1, 1], 'end', [1, 0, 0], 'UniqueViolationError', 'end'])
})
