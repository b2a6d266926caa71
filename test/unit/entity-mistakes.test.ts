/** What people write without types, or by habit, where entities are concerned, and are told at once what is wrong. */
import { expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  integer,
  MappingError,
  serial,
  text,
} from '../../src/index.js'

class Account extends declarativeBase().entity('accounts', {
  id: serial().primaryKey(),
  owner: text().notNull(),
  age: integer(),
}) {}

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
