/** What people write who know SQLAlchemy or node-postgres, and are told at once what to write here. */
import { expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  InvalidOptionError,
  InvalidStatementError,
  withSession,
} from '../../src/index.js'

/** Opens nothing: whatever is tested fails before. */
const engine = createEngine({ url: 'postgres://nobody@localhost:1/nowhere' })
const sessionFactory = createSessionFactory({ bind: engine })

/** Calls it as JavaScript would, types or no types. */
function call(target: unknown, ...given: unknown[]): unknown {
  return (target as (...given: unknown[]) => unknown)(...given)
}

test('the url alone is no options, and is not shown', () => {
  const error = failure(() => call(createEngine, 'postgres://me:secret@localhost/db'))
  expect(error).toBeInstanceOf(InvalidOptionError)
  expect(error.message).toBe('createEngine takes an object: createEngine({ url })')
})

test('the engine alone is no options of a factory', () => {
  expect(failure(() => call(createSessionFactory, engine)).message).toBe(
    'createSessionFactory takes an object: createSessionFactory({ bind: engine })',
  )
})

test('an engine is no session factory', async () => {
  const error = await rejection(call(withSession, engine, () => 1))
  expect(error).toBeInstanceOf(InvalidOptionError)
  expect(error.message).toBe(
    'withSession takes a session factory (made by createSessionFactory) and a function',
  )
})

test.each([
  ['connectionString', 'url'],
  ['max', 'poolSize and maxOverflow'],
  ['min', 'minIdle'],
  ['connectionTimeoutMillis', 'poolTimeoutMillis'],
  ['ssl', 'connectArgs.sslmode, or connectArgs.ssl'],
  ['application_name', 'connectArgs.serverSettings.application_name'],
  ['statement_timeout', 'statementTimeoutMillis'],
])("node-postgres's %s is %s here", (name, here) => {
  expect(failure(() => call(createEngine, { [name]: 1 })).message).toBe(
    `createEngine has no option '${name}'; here it is ${here}`,
  )
})

test.each([
  ['pool_size', 'poolSize'],
  ['max_overflow', 'maxOverflow'],
  ['pool_pre_ping', 'poolPrePing'],
  ['pool_recycle', 'poolRecycleMillis'],
  ['pool_timeout', 'poolTimeoutMillis'],
  ['connect_args', 'connectArgs'],
])("SQLAlchemy's %s leads to %s", (name, here) => {
  expect(failure(() => call(createEngine, { [name]: 1 })).message).toContain(here)
})

test('a value that must be one of a few names all of them', () => {
  expect(failure(() => call(createEngine, { isolationLevel: 'serializable' })).message).toBe(
    "isolationLevel must be one of 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE', 'READ UNCOMMITTED', " +
      "not 'serializable'; did you mean 'SERIALIZABLE'?",
  )
})

test.each([
  ['a single value', 5, 'number'],
  ['values by name', { id: 5 }, 'an object with the keys id'],
  ['a misspelt option', { timeoutMilis: 5 }, 'an object with the keys timeoutMilis'],
])('%s in place of the values is refused', async (_name, given, kind) => {
  const session = sessionFactory()
  const error = await rejection(call(session.execute.bind(session), 'select $1', given))
  await session.close()
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(error.message).toBe(
    `After the statement come its values (an array) or options ({ signal, timeoutMillis }), not ${kind}`,
  )
})

test('a misspelt option of a stream is refused', () => {
  const session = sessionFactory()
  expect(failure(() => call(session.stream.bind(session), 'select 1', { batch: 5 })).message).toContain(
    'options ({ signal, timeoutMillis, batchSize }), not an object with the keys batch',
  )
})

async function rejection(outcome: unknown): Promise<Error> {
  try {
    await outcome
  } catch (error) {
    return error as Error
  }
  throw new Error('It did not fail')
}

function failure(work: () => unknown): Error {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  throw new Error('It did not fail')
}
