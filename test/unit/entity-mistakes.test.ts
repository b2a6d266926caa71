/** What people write without types, or by habit, where entities are concerned, and are told at once what is wrong. */
import { expect, test } from 'vitest'
import {
  and,
  asc,
  belongsTo,
  between,
  createEngine,
  createSessionFactory,
  declarativeBase,
  deleteFrom,
  desc,
  eq,
  hasMany,
  hasOne,
  ilike,
  inArray,
  integer,
  InvalidOptionError,
  InvalidStatementError,
  isNull,
  like,
  manyToMany,
  MappingError,
  ne,
  numeric,
  not,
  or,
  select,
  serial,
  sql,
  text,
  update,
  type AnyEntity,
} from '../../src/index.js'

const Base = declarativeBase()

class Account extends Base.entity('accounts', {
  id: serial().primaryKey(),
  owner: text().notNull(),
  balance: numeric({ precision: 10, scale: 2 }),
  bankId: integer().references('banks.id'),
}) {
  static readonly relations = { bank: belongsTo((): AnyEntity => Bank, 'bankId') }
}

class Bank extends Base.entity('banks', { id: serial().primaryKey() }) {
  static readonly relations = { accounts: hasMany(() => Account, 'bankId') }
}

/** Opens nothing: whatever is tested fails before. */
const session = createSessionFactory({
  bind: createEngine({ url: 'postgres://nobody@localhost:1/nowhere' }),
})()

/** The error of a call. */
function failure(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('It did not fail')
}

class Stranger {}

test.each([
  ['several objects', [new Account({ owner: 'x' })], 'an array (of several objects: addAll() adds them)'],
  ['what is not awaited', Promise.resolve(1), 'a promise: an await is missing'],
  ['the class', Account, 'the class Account itself'],
  ['a function', () => 1, 'a function'],
  ['nothing', undefined, 'undefined'],
  ['null', null, 'null'],
  ['an id', 5, 'a number'],
  ['a copy', { ...new Account({ owner: 'x' }) }, 'a plain object (a copy by spread or JSON is not one'],
  ['an object without prototype', Object.create(null), 'a plain object (a copy by spread or JSON is not one'],
  ['something else', new Stranger(), 'an object of the class Stranger, which is no entity'],
])('add() of %s says so', (_what, given, message) => {
  const error = failure(() => session.add(given as never))
  expect(error).toBeInstanceOf(MappingError)
  expect(error.message).toContain(`Not an instance of an entity, but ${message}`)
})

test('addAll() of one object says so', () => {
  const error = failure(() => session.addAll(new Account({ owner: 'x' }) as never))
  expect(error).toBeInstanceOf(MappingError)
  expect(error.message).toBe('addAll takes an array of objects; one object is for add')
})

const columns = Account.c as unknown as Record<string, typeof Account.c.owner>

test.each([
  ['eq', () => eq(columns['ownr'] as never, 'x')],
  ['ne null', () => ne(columns['ownr'] as never, null)],
  ['between', () => between(columns['ownr'] as never, 'a', 'b')],
  ['between of SQL', () => between(columns['ownr'] as never, sql`1`, sql`2`)],
  ['inArray', () => inArray(columns['ownr'] as never, [])],
  ['like', () => like(columns['ownr'] as never, 'x')],
  ['ilike', () => ilike(columns['ownr'] as never, 'x')],
  ['isNull', () => isNull(columns['ownr'] as never)],
])('a misspelt column in a condition is named as the reason: %s', (_what, condition) => {
  const error = failure(condition)
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toBe(
    'A condition starts with a column of an entity (Song.c.title), not undefined: is its name misspelt?',
  )
})

test('a condition does not take the name of a column', () => {
  expect(failure(() => eq('owner' as never, 'x')).message).toBe(
    'A condition starts with a column of an entity (Song.c.title), not a string',
  )
})

test.each([
  ['orderBy', () => select(Account).orderBy('owner' as never)],
  ['asc', () => asc('owner' as never)],
  ['desc', () => desc('owner' as never)],
])('%s of a name would order nothing, and is refused', (_what, order) => {
  const error = failure(order)
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toBe(
    'An order is a column (Song.c.title), asc(), desc() or made with the sql tag, not a string',
  )
})

test('a misspelt relation leads to the one that was meant', () => {
  expect(failure(() => select(Bank).load('acounts' as never)).message).toBe(
    "banks has no relation 'acounts'; did you mean 'accounts'?",
  )
  expect(failure(() => select(Bank).load('accounts.bnak' as never)).message).toBe(
    "accounts has no relation 'bnak'; did you mean 'bank'?",
  )
  expect(failure(() => new Account({ owner: 'x', bnak: null } as never)).message).toBe(
    "accounts has no column or relation 'bnak'; did you mean 'bank'?",
  )
})

test('a number for a numeric column is told to be a string', () => {
  expect(failure(() => update(Account).set({ balance: 2.5 as never })).message).toBe(
    "accounts.balance takes a string ('2.5'), not a number, which would be rounded",
  )
})

test.each([
  ['delete', () => deleteFrom(Account).where(and()), 'accounts'],
  ['delete, nested', () => deleteFrom(Account).where(and(and()), and()), 'accounts'],
  ['update', () => update(Account).set({ owner: 'x' }).where(or(and())), 'accounts'],
])('a condition that came out empty does not match every row: %s', (_what, statement, table) => {
  const error = failure(() => statement().toEntityQuery())
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toBe(
    `The condition of a bulk statement on ${table} is an empty and(): leave where() out if every row is meant`,
  )
})

test.each([
  ['delete', () => deleteFrom(Account).where(), 'accounts'],
  [
    'delete with returning',
    () =>
      deleteFrom(Account)
        .where(...[])
        .returning('id'),
    'accounts',
  ],
  [
    'update',
    () =>
      update(Account)
        .where(...[])
        .set({ owner: 'x' }),
    'accounts',
  ],
  ['update, twice', () => update(Account).set({ owner: 'x' }).where().where(), 'accounts'],
])('an empty list of conditions does not match every row: %s', (_what, statement, table) => {
  const error = failure(() => statement().toEntityQuery())
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toBe(
    `The condition of a bulk statement on ${table} is an empty where(): leave where() out if every row is meant`,
  )
})

test.each([
  ['one of two lists was empty', () => or(and(), eq(Account.c.id, 1))],
  ['both were', () => or(and(...[]), and(...[]))],
  ['none of an empty list', () => not(or(...[]))],
  ['none of them, nested', () => and(not(or()))],
])('a condition that matches every row because of an empty list is refused: %s', (_what, condition) => {
  expect(() => deleteFrom(Account).where(condition()).toEntityQuery()).toThrow(InvalidStatementError)
  expect(() => update(Account).set({ owner: 'x' }).where(condition()).toEntityQuery()).toThrow(
    InvalidStatementError,
  )
  expect(select(Account).where(condition()).toEntityQuery().text).toContain(' where true')
})

test('no condition at all is refused at once', () => {
  for (const given of [undefined, null, {}, true, 'id = 1']) {
    expect(() => deleteFrom(Account).where(given as never)).toThrow(InvalidStatementError)
    expect(() => update(Account).where(given as never)).toThrow(InvalidStatementError)
    expect(() => select(Account).where(given as never)).toThrow(InvalidStatementError)
  }
})

test('an empty condition beside another one, in a query, or said on purpose, is fine', () => {
  const statements = [
    deleteFrom(Account).where(and(), eq(Account.c.id, 1)),
    deleteFrom(Account).where(sql`true`),
    deleteFrom(Account).where(or()),
    deleteFrom(Account).where().where(eq(Account.c.id, 1)),
    deleteFrom(Account),
    select(Account).where(and()),
  ]
  expect(statements.map((statement) => statement.toEntityQuery().text.replace(/^.* from/, 'from'))).toEqual([
    'from "accounts" where (true) and ("accounts"."id" = $1)',
    'from "accounts" where true',
    'from "accounts" where false',
    'from "accounts" where "accounts"."id" = $1',
    'from "accounts"',
    'from "accounts" where true',
  ])
})

test('a field of the class that hides a column is the reason for its missing value', async () => {
  class Hiding extends Account {
    override owner!: string
  }
  const rejection = async (instance: object): Promise<string> => {
    session.add(instance)
    try {
      await session.flush()
    } catch (error) {
      return (error as Error).message
    } finally {
      session.expunge(instance)
    }
    throw new Error('It did not fail')
  }
  expect(await rejection(new Hiding({ owner: 'x' }))).toBe(
    "accounts.owner is undefined; it needs a value, because the column is NOT NULL; a field of the class needs 'declare owner' (a new Hiding)",
  )
  expect(await rejection(new Account({} as never))).toBe(
    'accounts.owner is undefined; it needs a value, because the column is NOT NULL (a new Account)',
  )
})

test.each<[string, () => unknown, string]>([
  [
    'a misspelt option of belongsTo',
    () => belongsTo(() => Bank, 'bankId', { cascades: ['add'] } as never),
    "belongsTo has no option 'cascades'; did you mean 'cascade'?",
  ],
  [
    'an option of another relation',
    () => hasOne(() => Bank, 'id', { orderBy: () => asc(Bank.c.id) } as never),
    "hasOne has no option 'orderBy'",
  ],
  [
    'a misspelt option of hasMany',
    () => hasMany(() => Account, 'bankId', { orderby: () => asc(Account.c.id) } as never),
    "hasMany has no option 'orderby'; did you mean 'orderBy'?",
  ],
  [
    'a misspelt option of manyToMany',
    () => manyToMany(() => Bank, 'links', { others: ['bankId'] } as never),
    "manyToMany has no option 'others'; did you mean 'other'?",
  ],
  ['no options', () => hasMany(() => Account, 'bankId', null as never), 'the options of hasMany must be an'],
  [
    'a name where a list is expected',
    () => manyToMany(() => Bank, 'links', { own: 'bankId' as never }),
    "own takes names of properties in an array, not 'bankId'",
  ],
  [
    'a list of what are no names',
    () => manyToMany(() => Bank, 'links', { other: [1] as never }),
    'other takes names of properties in an array, not an array',
  ],
  [
    'an order that is no function',
    () => hasMany(() => Account, 'bankId', { orderBy: asc(Account.c.id) as never }),
    'orderBy of hasMany takes a function',
  ],
  [
    'a foreign key that is no name',
    () => belongsTo(() => Bank, Account.c.bankId as never),
    'the foreign key of belongsTo takes names of properties in an array',
  ],
  [
    'a join table that is no name',
    () => manyToMany(() => Bank, Bank as never),
    'the join table of manyToMany must be a string',
  ],
])('a relation refuses %s', (_what, declare, message) => {
  const error = failure(declare)
  expect(error).toBeInstanceOf(InvalidOptionError)
  expect(error.message).toContain(message)
})
