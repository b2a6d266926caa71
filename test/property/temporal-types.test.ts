/** Columns whose values are objects of Temporal, against PostgreSQL and a polyfill. `FC_RUNS` sets the number of tables that are tried. */
import * as fc from 'fast-check'
import { Temporal } from 'temporal-polyfill'
import { expect, expectTypeOf, test } from 'vitest'
import { createSessionFactory, declarativeBase, eq, gt, integer, select, serial } from '../../src/index.js'
import { temporalTypes } from '../../src/integrations/types.js'
import { byLength } from '../helpers/length.js'
import { errorOf, useDatabase } from '../integration/session-support.js'

const RUNS = Number(process.env['FC_RUNS'] ?? byLength(20, 60))
const { timestamptz, timestamp, date, time, interval } = temporalTypes(Temporal)
const Base = declarativeBase()
class Visit extends Base.entity('visits', {
  id: serial().primaryKey(),
  count: integer(),
  instant: timestamptz(),
  moment: timestamp('moment', { precision: 3 }),
  day: date(),
  clock: time(),
  span: interval(),
  instants: timestamptz().array({ nulls: true }),
  spans: interval().array(),
}) {}
class Slot extends Base.entity('slots', { at: timestamptz().primaryKey(), day: date().notNull() }) {}

const fixture = useDatabase(
  `create table visits (id serial primary key, count int, instant timestamptz, moment timestamp(3), day date, clock time, span interval,
     instants timestamptz[], spans interval[]);
   create table slots (at timestamptz primary key, day date not null);`,
)

// From 4713 BC on, and as late as Temporal goes, in the zones of a server.
const year = fc.oneof(fc.integer({ min: 1000, max: 3000 }), fc.integer({ min: 1, max: 270_000 }))
const bc = fc.constantFrom('', '', '', ' BC')
const two = (max: number): fc.Arbitrary<string> =>
  fc.integer({ min: 1, max }).map((number) => String(number).padStart(2, '0'))
const clock = fc
  .tuple(two(23), two(59), two(59), fc.constantFrom('', '.5', '.000001', '.123456', '.999999'))
  .map(([hour, minute, second, fraction]) => `${hour}:${minute}:${second}${fraction}`)
const day = fc
  .tuple(year, two(12), two(28), bc)
  .map(
    ([y, m, d, before]) =>
      [`${String(before === '' ? y : (y % 4000) + 1).padStart(4, '0')}-${m}-${d}`, before] as const,
  )
const moment = fc.tuple(day, clock).map(([[date, before], time]) => `${date} ${time}${before}`)
const span = fc
  .tuple(fc.constantFrom(1, -1), fc.nat(5000), fc.nat(400), fc.integer({ min: 0, max: 2 ** 52 }))
  .map(
    ([sign, months, days, micros]) =>
      `${sign * months} mons ${sign * days} days ${sign * micros} microseconds`,
  )
const rowOf = fc.record({
  instant: fc.option(moment),
  moment: fc.option(moment),
  day: fc.option(day.map(([date, before]) => `${date}${before}`)),
  clock: fc.option(clock),
  span: fc.option(span),
  instants: fc.option(fc.array(fc.option(moment), { maxLength: 2 })),
  spans: fc.option(fc.array(span, { maxLength: 2 })),
})

test.each(['UTC', 'Europe/Amsterdam', 'Asia/Kolkata'])(
  'with the time zone %s: what is loaded is not modified, and stored anew it is the same',
  { timeout: 240_000 },
  async (zone) => {
    const { db } = fixture
    const engine = fixture.engine({ settings: { timezone: zone } })
    const { withSession } = createSessionFactory({ bind: engine })
    const stored = (): Promise<unknown[]> =>
      db.query(
        'select instant::text, moment::text, day::text, clock::text, span::text, instants::text, spans::text from visits order by id',
      )
    await fc.assert(
      fc.asyncProperty(fc.array(rowOf, { minLength: 1, maxLength: 3 }), async (rows) => {
        await db.query('truncate visits restart identity')
        for (const row of rows)
          await db.query(
            'insert into visits (instant, moment, day, clock, span, instants, spans) values ($1, $2, $3, $4, $5, $6, $7)',
            [row.instant, row.moment, row.day, row.clock, row.span, row.instants, row.spans],
          )
        const before = await stored()
        const found = await withSession(async (session) => {
          const all = await session.scalars(select(Visit).orderBy(Visit.c.id))
          // The same values again are no change.
          for (const one of all) one.instant = one.instant && Temporal.Instant.from(one.instant.toString())
          expect(session.dirty).toEqual([])
          return all
        })
        expect(await stored()).toEqual(before)
        await db.query('truncate visits restart identity')
        await withSession((session) => {
          session.addAll(found.map(({ id: _, ...values }) => new Visit(values)))
        })
        expect(await stored()).toEqual(before)
      }),
      { numRuns: Math.ceil(RUNS / 3) },
    )
  },
)

test('the values are those of the class, in conditions and as keys as well', async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  const at = Temporal.Instant.from('2026-01-31T10:00:00.123456789Z')
  await withSession((session) => {
    session.add(new Visit({ instant: at, span: Temporal.Duration.from({ minutes: 90, nanoseconds: 999 }) }))
    session.add(new Slot({ at, day: Temporal.PlainDate.from('2026-01-31') }))
  })
  await withSession(async (session) => {
    const visit = (await session.scalars(select(Visit).where(eq(Visit.c.instant, at)))).at(-1)
    expectTypeOf(visit?.instant).toEqualTypeOf<Temporal.Instant | null | undefined>()
    expectTypeOf(visit?.span).toEqualTypeOf<Temporal.Duration | null | undefined>()
    // Nanoseconds are truncated, minutes are hours.
    expect(String(visit?.instant)).toBe('2026-01-31T10:00:00.123456Z')
    expect(String(visit?.span)).toBe('PT1H30M')
    const [slot] = await session.scalars(
      select(Slot).where(gt(Slot.c.day, Temporal.PlainDate.from('2026-01-30'))),
    )
    expect(await session.get(Slot, Temporal.Instant.from('2026-01-31T11:00:00.123456+01:00'))).toBe(slot)
  })
})

test('an equal value of another spelling is no change', async () => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  const id = await withSession(async (session) => {
    const visit = new Visit({
      span: Temporal.Duration.from('P12M'),
      moment: Temporal.PlainDateTime.from('2026-01-31T10:00'),
    })
    session.add(visit)
    await session.flush()
    return visit.id
  })
  await withSession(async (session) => {
    const visit = await session.getOne(Visit, id)
    expect(String(visit.span)).toBe('P1Y')
    visit.span = Temporal.Duration.from('P12M')
    visit.moment = Temporal.PlainDateTime.from('2026-01-31T10:00:00.000')
    expect(session.dirty).toEqual([])
    visit.span = Temporal.Duration.from('P365D')
    expect(session.dirty).toEqual([visit])
  })
})

test.each([
  ['instant', 'infinity', 'infinity'],
  ['day', '-infinity', 'infinity'],
  ['day', '300000-01-01', 'cannot express'],
  ['clock', '24:00:00', 'cannot express'],
  ['span', '1 day -01:00:00', 'mixed signs'],
])('%s %s is refused when it is read', async (column, value, reason) => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  const [row] = await fixture.db.query<{ id: number }>(
    `insert into visits (${column}) values ($1) returning id`,
    [value],
  )
  const error = await errorOf(withSession((session) => session.get(Visit, row?.id ?? 0)))
  expect(error).toMatchObject({ code: 'INVALID_VALUE' })
  expect(error.message).toContain(`visits.${column}`)
  expect(error.message).toContain(reason)
  expect(error.message).not.toContain(value === 'infinity' ? 'nothing' : value)
})

test.each([
  ['a Date', new Date()],
  ['a text', '2026-01-31T10:00:00Z'],
  ['another class', Temporal.PlainDate.from('2026-01-31')],
])('%s instead of an instant is refused before anything is sent', async (_, value) => {
  const { withSession } = createSessionFactory({ bind: fixture.engine() })
  const error = await errorOf(
    withSession((session) => {
      session.add(new Visit({ instant: value as unknown as Temporal.Instant }))
    }),
  )
  expect(error).toMatchObject({ code: 'INVALID_VALUE' })
  expect(error.message).toContain('takes a Temporal.Instant')
})

test('the server must write the styles that it has by default', async () => {
  await fixture.db.query("insert into visits (span, day) values ('1 day', '2026-01-31')")
  for (const [settings, reason] of [
    [{ intervalstyle: 'iso_8601' }, 'IntervalStyle'],
    [{ datestyle: 'German' }, 'DateStyle'],
  ] as const) {
    const { withSession } = createSessionFactory({ bind: fixture.engine({ settings }) })
    const error = await errorOf(
      withSession(async (session) => {
        await session.scalars(select(Visit))
      }),
    )
    expect(error.message).toContain(reason)
  }
})

test('without Temporal the error says where it comes from', () => {
  expect(() => temporalTypes(undefined as never)).toThrow(/Node has from version 26 on.*temporal-polyfill/)
})
