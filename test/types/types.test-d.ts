/** The types of `lifeguard/types`, and of the modifiers that came with them. */
import { expectTypeOf, test } from 'vitest'
import {
  bigint,
  declarativeBase,
  doublePrecision,
  integer,
  serial,
  text,
  type ArrayOptions,
  type Insert,
  type KeyOf,
  type Row,
} from '../../src/index.js'
import {
  adjacentTo,
  bit,
  compositeType,
  contains,
  distance,
  domainType,
  hstore,
  int4range,
  int8multirange,
  path,
  range,
  rangeType,
  tstzrange,
  vector,
  type Box,
  type Bounds,
  type Circle,
  type CompositeValue,
  type Path,
  type Range,
} from '../../src/integrations/types.js'

const Base = declarativeBase()
const fields = { street: text(), zip: text().notNull() }
const address = compositeType('address', fields)
const positive = domainType('positive', integer())
const speeds = rangeType('speeds', doublePrecision())

class Thing extends Base.entity('things', {
  id: bigint().identity('always').primaryKey(),
  serial: integer().identity(),
  home: address(),
  qty: positive().notNull(),
  during: tstzrange(),
  ids: int8multirange().notNull(),
  speed: speeds.range(),
  tags: text().array({ nulls: true }).notNull(),
  board: integer().array({ dimensions: 2 }),
  cube: integer().array({ dimensions: 3, nulls: true }),
  plain: text().notNull().array(),
  flags: bit({ length: 4 }),
  way: path(),
  store: hstore(),
  near: vector({ dimensions: 2 }),
}) {}

test('values', () => {
  type Values = Row<typeof Thing>
  expectTypeOf<Values['home']>().toEqualTypeOf<{ street: string | null; zip: string } | null>()
  expectTypeOf<Values['home']>().toEqualTypeOf<CompositeValue<typeof fields> | null>()
  expectTypeOf<Values['qty']>().toEqualTypeOf<number>()
  expectTypeOf<Values['during']>().toEqualTypeOf<Range<Date> | null>()
  expectTypeOf<Values['ids']>().toEqualTypeOf<readonly Range<bigint>[]>()
  expectTypeOf<Values['speed']>().toEqualTypeOf<Range<number> | null>()
  expectTypeOf<Values['tags']>().toEqualTypeOf<(string | null)[]>()
  expectTypeOf<Values['board']>().toEqualTypeOf<number[][] | null>()
  expectTypeOf<Values['cube']>().toEqualTypeOf<(number | null)[][][] | null>()
  expectTypeOf<Values['plain']>().toEqualTypeOf<string[]>()
  expectTypeOf<Values['way']>().toEqualTypeOf<Path | null>()
  expectTypeOf<Values['store']>().toEqualTypeOf<Record<string, string | null> | null>()
  expectTypeOf<Range<number>['bounds']>().toEqualTypeOf<Bounds | undefined>()
  expectTypeOf<Box['high']>().toEqualTypeOf<Circle['center']>()
  expectTypeOf<ArrayOptions['nulls']>().toEqualTypeOf<boolean | undefined>()
})

test('an identity column may be left out, and cannot be given where it always is one', () => {
  expectTypeOf<Insert<typeof Thing>>().not.toHaveProperty('id')
  expectTypeOf<KeyOf<typeof Thing>>().toEqualTypeOf<bigint>()
  new Thing({ qty: 1, ids: [], tags: [], plain: [] })
  new Thing({ qty: 1, ids: [], tags: [], plain: [], serial: 2 })
})

test('conditions take values of the column, and of what it contains', () => {
  contains(Thing.c.during, new Date())
  contains(Thing.c.during, range(new Date(), null))
  contains(Thing.c.ids, 5n)
  contains(Thing.c.tags, ['a', null])
  adjacentTo(Thing.c.during, range(null, new Date()))
  distance(Thing.c.near, [1, 2], 'cosine')
  // @ts-expect-error a number is no instant
  contains(Thing.c.during, 5)
  // @ts-expect-error the elements are strings
  contains(Thing.c.tags, [1])
  expectTypeOf(int4range().notNull()['$value']).toEqualTypeOf<Range<number>>()
  expectTypeOf(serial().primaryKey({ constraint: false })['$value']).toEqualTypeOf<number>()
})
