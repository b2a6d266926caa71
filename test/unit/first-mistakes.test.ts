/** What people write who know SQLAlchemy or node-postgres, and are told at once what to write here. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  hasMany,
  integer,
  InvalidOptionError,
  InvalidStatementError,
  Result,
  ResultStream,
  select,
  serial,
  sql,
  text,
  timestamptz,
  withSession,
  type Session,
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

test('a relation that is found wrong when it is first used names the line that used it', () => {
  const Base = declarativeBase()
  class Kid extends Base.entity('kids', { id: serial().primaryKey(), pId: integer() }) {}
  class Parent extends Base.entity('parents', { id: serial().primaryKey() }) {
    static readonly relations = { kids: hasMany(() => Kid, 'parentId' as never) }
  }
  const { message, stack } = failure(() => select(Parent).load('kids' as never))
  expect(message).toContain("kids has no column 'parentId'; it has id, pId")
  expect(stack?.split('\n').find((line) => line.includes('.ts:'))).toContain('first-mistakes.test')
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

test('values by name are told how to write values', async () => {
  const session = sessionFactory()
  const error = await rejection(
    call(session.execute.bind(session), 'select * from users where id = :id', { id: 5 }),
  )
  await session.close()
  expect(error.message).toContain('an object with the keys id. There are no named parameters: write sql`')
})

test('a misspelt option of a stream is refused', () => {
  const session = sessionFactory()
  expect(failure(() => call(session.stream.bind(session), 'select 1', { batch: 5 })).message).toContain(
    'options ({ signal, timeoutMillis, batchSize }), not an object with the keys batch',
  )
})

describe('a mistake is told with what to write instead', () => {
  const Base = declarativeBase()
  class User extends Base.entity('users', { id: serial().primaryKey(), email: text() }) {
    static readonly relations = { posts: hasMany(() => Post, 'userId') }
  }
  class Post extends Base.entity('posts', { id: serial().primaryKey(), userId: integer() }) {}

  test.each<[string, (session: Session) => unknown, string]>([
    ['an entity as statement', (session) => call(session.execute.bind(session), User), 'select(User)'],
    ['no statement', (session) => call(session.execute.bind(session), undefined), 'or a return missing?'],
    [
      'a class in the sql tag',
      (session) => session.execute(sql`select * from ${User}`),
      'select(User); the name of a table is sql.identifier',
    ],
    [
      'delete by class and key',
      (session) => call(session.delete.bind(session), User, 1),
      'deleteFrom(User).where(...)',
    ],
    [
      'delete of a copy',
      (session) => session.delete(new User({ id: 1 })),
      'made with new and has no stored row',
    ],
    [
      'a relation of a new object',
      () => (new User({}) as unknown as { posts: unknown[] }).posts.push(new Post({})),
      'build(User, { posts: ... })',
    ],
    ['no condition', () => call(select(User).where.bind(select(User)), undefined), 'Leave where() out'],
    [
      'another condition',
      () => call(select(User).where.bind(select(User)), 'id = 1'),
      'with the sql tag, not a string',
    ],
    ['retry as a number', () => call(sessionFactory.withSession, () => 1, { retry: 3 }), '{ attempts: 3 }'],
    [
      'one timeout',
      () => call(sessionFactory.withSession, () => 1, { timeoutMillis: 100 }),
      'statementTimeoutMillis (of each statement), poolTimeoutMillis',
    ],
    ['engine for bind', () => call(createSessionFactory, { engine }), 'here it is bind'],
    ['no idle time', () => createEngine({ idleTimeoutMillis: 0 }), 'of at least 1 or -1 (never), not 0'],
    [
      'createAll of the engine',
      () => call(Base.metadata.createAll.bind(Base.metadata), engine),
      'engine.begin(',
    ],
    [
      'load that is no array',
      (session) => call(session.get.bind(session), User, 1, { load: 'posts' }),
      "load must be an array of relations: ['posts']",
    ],
    [
      'a duration as an option of a retry',
      () => call(sessionFactory.withSession, () => 1, { retry: { times: 3 } }),
      'it has attempts',
    ],
    [
      'a promise for the block',
      () => call(sessionFactory.withSession, Promise.resolve()),
      'without calling it',
    ],
    ['a misspelt event', () => call(engine.on.bind(engine), 'leek', () => 1), "Did you mean 'leak'?"],
    [
      'an unknown event',
      () => call(engine.on.bind(engine), 'error', () => 1),
      'The events are connect, firstConnect',
    ],
    [
      'a variable without a value',
      () => createEngine({ url: `${String(undefined)}` }),
      "url is the text 'undefined'",
    ],
    [
      'a setting among the arguments of connect',
      () => call(createEngine, { connectArgs: { applicationName: 'a' } }),
      'here it is serverSettings.application_name',
    ],
    [
      'references to a class',
      () => call(integer().references.bind(integer()), User),
      "references('albums.id')",
    ],
    [
      'a default in the database as text',
      () => call(text().serverDefault.bind(text()), 'now()'),
      'serverDefault(sql`now()`)',
    ],
    ['a generated column as text', () => call(text().generated.bind(text()), 'a'), 'generated(sql`'],
    [
      'a default of another type',
      () => timestamptz().default(5 as never),
      'The default of this column is wrong: it takes a Date',
    ],
    [
      'options of a column',
      () => Base.entity('wrong', { id: call(text, { nullable: false }) as ReturnType<typeof text> }),
      "by methods: text('title').notNull()",
    ],
    ['a relation to the class itself', () => call(hasMany, Post, 'userId'), 'hasMany(() => Post, ...)'],
  ])('%s', async (_name, mistake, advice) => {
    const session = sessionFactory()
    const error = await rejection((async () => mistake(session))())
    await session.close()
    expect(error.message).toContain(advice)
    expect(error).toHaveProperty('code')
    expect(error.stack).toContain('first-mistakes.test')
  })
})

describe('what people expect of a result', () => {
  const result = new Result({ command: 'SELECT', rowCount: 1, fields: [], rows: [{ a: 1 }] })

  test.each(['rows', 'length', '0', 'map', 'filter', 'find', 'forEach'])('%s names what there is', (name) => {
    const error = failure(() => (result as unknown as Record<string, unknown>)[name])
    expect(error.message).toMatch(/^A result has no '.*': \w+\(\)/)
  })

  test('does not disturb what looks at results', () => {
    expect(JSON.stringify(result)).toContain('"command":"SELECT"')
    expect(inspect(result)).toContain('SELECT')
    expect([...result]).toEqual([{ a: 1 }])
    expect({ ...result }).toMatchObject({ rowCount: 1 })
  })
})

describe('what people expect of a stream', () => {
  const stream = new ResultStream<object>({ next: () => Promise.resolve([]), close: () => undefined })

  test.each(['rows', 'all', 'first', 'one', 'scalars'])('%s names what there is', (name) => {
    const error = failure(() => (stream as unknown as Record<string, unknown>)[name])
    expect(error.message).toContain(`A stream has no '${name}': a stream is read by for await`)
  })

  test('a loop without await names the await', () => {
    const error = failure(() => [...(stream as unknown as Iterable<unknown>)])
    expect(error.message).toContain('An await is missing: a stream is read by for await')
  })

  test('does not disturb what looks at streams', () => {
    expect(inspect(stream)).toContain('ResultStream')
    expect(Object.keys(stream)).toEqual([])
  })
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

test('the options before the function are told to follow it', async () => {
  const error = await rejection(call(sessionFactory.withSession, { readOnly: true }, () => 1))
  expect(error.message).toBe(
    'withSession takes a function, not an object; its options follow the function: withSession(fn, options)',
  )
})

test('what stands in place of options is answered with their names', async () => {
  await expect(async () => call(engine.dispose.bind(engine), 1000)).rejects.toThrow(
    'the options of dispose must be an object, not 1000: { timeoutMillis }',
  )
})

test.each([
  ['username', 'user'],
  ['connectionUrl', 'url'],
  ['logging', 'echo'],
])('the option %s of other libraries is named as it is here', (given, own) => {
  expect(() => createEngine({ [given]: 'x' })).toThrow(`has no option '${given}'; here it is ${own}`)
})
