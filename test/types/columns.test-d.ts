/** The type of every column, and what its modifiers make of it. */
import { describe, expectTypeOf, test } from 'vitest'
import {
  asc,
  belongsTo,
  between,
  bigint,
  bigserial,
  boolean,
  bytea,
  char,
  customType,
  date,
  declarativeBase,
  deleteFrom,
  doublePrecision,
  enumType,
  gte,
  hasOne,
  ilike,
  integer,
  interval,
  isNull,
  json,
  jsonb,
  jsonNull,
  lt,
  lte,
  manyToMany,
  ne,
  numeric,
  real,
  serial,
  smallint,
  sql,
  text,
  time,
  timestamp,
  timestamptz,
  update,
  uuid,
  varchar,
  version,
} from '../../src/index.js'
import type {
  AnyEntity,
  BulkDelete,
  BulkUpdate,
  Column,
  ColumnFlag,
  Columns,
  Condition,
  CustomTypeOptions,
  DeclarativeBaseOptions,
  EntityClass,
  ForeignKeyOptions,
  HasOne,
  JsonNull,
  LengthOptions,
  ManyToManyOptions,
  NumericOptions,
  PrecisionOptions,
  ReferenceAction,
  RelationOptions,
  SqlFragment,
} from '../../src/index.js'

describe('types', () => {
  test('of numbers', () => {
    expectTypeOf(serial()).toEqualTypeOf<Column<number, 'default'>>()
    expectTypeOf(bigserial()).toEqualTypeOf<Column<bigint, 'default'>>()
    expectTypeOf(smallint()).toEqualTypeOf<Column<number | null>>()
    expectTypeOf(integer('name')).toEqualTypeOf<Column<number | null>>()
    expectTypeOf(bigint()).toEqualTypeOf<Column<bigint | null>>()
    expectTypeOf(real()).toEqualTypeOf<Column<number | null>>()
    expectTypeOf(doublePrecision()).toEqualTypeOf<Column<number | null>>()
    expectTypeOf(numeric({ precision: 10, scale: 2 })).toEqualTypeOf<Column<string | null>>()
    expectTypeOf<NumericOptions['scale']>().toEqualTypeOf<number | undefined>()
    expectTypeOf(version()).toEqualTypeOf<Column<number, 'default'>>()
    // @ts-expect-error no such option
    numeric({ digits: 10 })
  })

  test('of texts, bytes and truth', () => {
    expectTypeOf(text()).toEqualTypeOf<Column<string | null>>()
    expectTypeOf(text<'draft' | 'live'>()).toEqualTypeOf<Column<'draft' | 'live' | null>>()
    expectTypeOf(varchar('name', { length: 80 })).toEqualTypeOf<Column<string | null>>()
    expectTypeOf(char({ length: 2 })).toEqualTypeOf<Column<string | null>>()
    expectTypeOf<LengthOptions>().toEqualTypeOf<{ readonly length?: number | undefined }>()
    expectTypeOf(uuid()).toEqualTypeOf<Column<string | null>>()
    expectTypeOf(bytea()).toEqualTypeOf<Column<Buffer | null>>()
    expectTypeOf(boolean()).toEqualTypeOf<Column<boolean | null>>()
    expectTypeOf(enumType('mood', ['happy', 'sad'])()).toEqualTypeOf<Column<'happy' | 'sad' | null>>()
  })

  test('of time', () => {
    expectTypeOf(timestamptz()).toEqualTypeOf<Column<Date | null>>()
    for (const make of [date, time, timestamp, interval])
      expectTypeOf(make()).toEqualTypeOf<Column<string | null>>()
    expectTypeOf(time({ precision: 3 })).toEqualTypeOf<Column<string | null>>()
    expectTypeOf<PrecisionOptions>().toEqualTypeOf<{ readonly precision?: number | undefined }>()
  })

  test('of documents, arrays and your own', () => {
    expectTypeOf(json()).toEqualTypeOf<Column<unknown>>()
    expectTypeOf(jsonb<{ theme: string }>()).toEqualTypeOf<Column<{ theme: string } | null>>()
    expectTypeOf(jsonb<number | JsonNull>().notNull().default(jsonNull)).toEqualTypeOf<
      Column<number | JsonNull, 'default'>
    >()
    expectTypeOf(jsonNull).toEqualTypeOf<JsonNull>()
    expectTypeOf(integer().array()).toEqualTypeOf<Column<number[] | null>>()
    expectTypeOf(text().notNull().array()).toEqualTypeOf<Column<string[]>>()
    const options: CustomTypeOptions<URL> = {
      type: 'text',
      decode: (given) => new URL(given),
      encode: (url) => url.href,
    }
    expectTypeOf(customType(options)()).toEqualTypeOf<Column<URL | null>>()
  })
})

describe('modifiers', () => {
  test('take NULL away, and say what may be left out', () => {
    expectTypeOf(text().notNull()).toEqualTypeOf<Column<string>>()
    expectTypeOf(uuid().primaryKey()).toEqualTypeOf<Column<string, 'key'>>()
    expectTypeOf(uuid().primaryKey().default('x')).toEqualTypeOf<Column<string, 'key' | 'default'>>()
    expectTypeOf(integer().default(0)).toEqualTypeOf<Column<number | null, 'default'>>()
    expectTypeOf(timestamptz().serverDefault(sql`now()`)).toEqualTypeOf<Column<Date | null, 'default'>>()
    expectTypeOf(integer().generated(sql`1`)).toEqualTypeOf<Column<number | null, 'generated'>>()
    expectTypeOf<ColumnFlag>().toEqualTypeOf<'key' | 'default' | 'generated' | 'reference' | 'deferred'>()
    expectTypeOf(text().deferred().notNull()).toEqualTypeOf<Column<string, 'deferred'>>()
    expectTypeOf(
      text()
        .unique()
        .index()
        .check(sql`true`),
    ).toEqualTypeOf<Column<string | null>>()
    expectTypeOf(uuid().references('a.id', { onDelete: 'set null' })).toEqualTypeOf<
      Column<string | null, 'reference'>
    >()
    expectTypeOf<'set default'>().toExtend<ReferenceAction>()
    // @ts-expect-error SQL is written with the tag
    timestamptz().serverDefault('now()')
    // @ts-expect-error a default function of another type
    integer().default(() => 'x')
  })
})

describe('entities', () => {
  const Base = declarativeBase({ schema: 'music' } satisfies DeclarativeBaseOptions)
  const columns = { id: serial().primaryKey(), name: text() }
  const Plain = Base.entity('plain', columns)

  test('are classes with columns', () => {
    expectTypeOf(Plain).toEqualTypeOf<EntityClass<typeof columns>>()
    expectTypeOf(Plain).toExtend<AnyEntity>()
    expectTypeOf(columns).toExtend<Columns>()
    expectTypeOf(update(Plain)).toEqualTypeOf<BulkUpdate<typeof Plain>>()
    expectTypeOf(deleteFrom(Plain)).toEqualTypeOf<BulkDelete<typeof Plain>>()
    // @ts-expect-error not a column
    Base.entity('other', { id: 'serial' })
  })

  test('have options', () => {
    expectTypeOf(hasOne(() => Plain, 'id')).toEqualTypeOf<HasOne<typeof Plain>>()
    expectTypeOf<RelationOptions['cascade']>().toEqualTypeOf<
      readonly ('add' | 'delete' | 'delete-orphan')[] | undefined
    >()
    expectTypeOf<ManyToManyOptions['own']>().toEqualTypeOf<readonly string[] | undefined>()
    expectTypeOf<ForeignKeyOptions<'a' | 'b'>['columns']>().toEqualTypeOf<readonly ('a' | 'b')[]>()
    // @ts-expect-error no such cascade
    belongsTo(() => Plain, 'id', { cascade: ['update'] })
    // @ts-expect-error no such option
    manyToMany(() => Plain, 'links', { orderby: () => asc(Plain.c.id) })
    // @ts-expect-error not a column of the other entity
    hasOne(() => Plain, 'title')
  })

  test('have columns for conditions', () => {
    for (const compare of [gte, lt, lte, ne]) expectTypeOf(compare(Plain.c.id, 1)).toEqualTypeOf<Condition>()
    expectTypeOf(between(Plain.c.id, 1, sql`2`)).toEqualTypeOf<Condition>()
    expectTypeOf(ilike(Plain.c.name, 'x%')).toEqualTypeOf<Condition>()
    expectTypeOf(isNull(Plain.c.name)).toEqualTypeOf<Condition>()
    expectTypeOf(asc(Plain.c.name, { nulls: 'first' })).toEqualTypeOf<SqlFragment<unknown>>()
    // @ts-expect-error wrong type
    between(Plain.c.id, 1, '2')
    // @ts-expect-error nothing is less than null
    lt(Plain.c.name, null)
    // @ts-expect-error no text
    ilike(Plain.c.id, '1%')
  })
})
