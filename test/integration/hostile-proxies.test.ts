/** A revoked Proxy inside of what a public call is given: an error of this library, never a raw TypeError. */
import { expect, test } from 'vitest'
import {
  belongsTo,
  build,
  createEngine,
  createSessionFactory,
  declarativeBase,
  eq,
  hasMany,
  inArray,
  insert,
  integer,
  isRetryable,
  jsonb,
  LifeguardError,
  select,
  sql,
  text,
  timestamptz,
  update,
  type Session,
} from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class User extends Base.entity('users', {
  id: integer().primaryKey(),
  name: text(),
  doc: jsonb(),
  at: timestamptz(),
  tags: text().array(),
}) {
  static readonly relations = { posts: hasMany(() => Post, 'userId') }
}
class Post extends Base.entity('posts', {
  id: integer().primaryKey(),
  userId: integer().references('users.id'),
}) {
  static readonly relations = { user: belongsTo(() => User, 'userId') }
}

const fixture = useDatabase(
  'create table users (id int primary key, name text, doc jsonb, at timestamptz, tags text[])',
)

function revoked(target: object): never {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy as never
}

async function flushed(session: Session, object: object): Promise<void> {
  session.add(object)
  await session.flush()
}

const user = (values: object): User =>
  Object.assign(new User({ id: 1, name: null, doc: null, at: null, tags: null }), values)

type Call = (session: Session, value: never) => unknown

const CALLS: [what: string, call: Call][] = [
  ['a parameter', (session, value) => session.execute('select $1', [value])],
  ['a value of an array parameter', (session, value) => session.execute('select $1', [['a', value]])],
  ['a part of a document', (session, value) => session.execute('select $1', [{ a: { b: value } }])],
  ['the values of a statement', (session, value) => session.execute({ text: 'select $1', values: value })],
  ['a value of the tag', (session, value) => session.execute(sql`select ${value}`)],
  ['a signal', (session, value) => session.execute('select 1', [], { signal: value })],
  ['a timeout', (session, value) => session.execute('select 1', [], { timeoutMillis: value })],
  ['a text of a new object', (session, value) => flushed(session, user({ name: value }))],
  ['a document of a new object', (session, value) => flushed(session, user({ doc: value }))],
  ['inside of a document', (session, value) => flushed(session, user({ doc: { a: [value] } }))],
  ['an instant of a new object', (session, value) => flushed(session, user({ at: value }))],
  ['an array of a new object', (session, value) => flushed(session, user({ tags: value }))],
  ['a relation to many', (session, value) => flushed(session, user({ posts: value }))],
  ['an element of a relation', (session, value) => flushed(session, user({ posts: [value] }))],
  [
    'a relation to one',
    (session, value) => flushed(session, Object.assign(new Post({ id: 1, userId: null }), { user: value })),
  ],
  ['a key', (session, value) => session.get(User, value)],
  ['a property of a key', (session, value) => session.get(User, { id: value } as never)],
  ['relations to load', (session, value) => session.get(User, 1, { load: value })],
  ['filters to turn off', (session, value) => session.get(User, 1, { withoutFilters: value })],
  ['a list of values', (session, value) => session.execute(select(User).where(inArray(User.c.id, [value])))],
  ['a condition', (session, value) => session.execute(select(User).where(eq(User.c.doc, value)))],
  ['a row to insert', (session, value) => session.execute(insert(User).values([value]))],
  ['a value of a row to insert', (session, value) => session.execute(insert(User).values({ id: value }))],
  [
    'a value to set',
    (session, value) => session.execute(update(User).set({ name: value }).where(eq(User.c.id, 1))),
  ],
  ['the values of an object', (_session, value) => new User(value)],
  ['values to build of', (_session, value) => build(User, value)],
  ['the columns of an entity', (_session, value) => declarativeBase().entity('other', value)],
  ['a column of an entity', (_session, value) => declarativeBase().entity('other', { id: value })],
  ['options of connecting', (_session, value) => createEngine({ connectArgs: value })],
  ['TLS', (_session, value) => createEngine({ connectArgs: { ssl: value } })],
  ['settings of the server', (_session, value) => createEngine({ connectArgs: { serverSettings: value } })],
  ['the engine of a factory', (_session, value) => createSessionFactory({ bind: value })],
  ['info of a factory', (_session, value) => createSessionFactory({ bind: fixture.engine(), info: value })],
  [
    'settings of a transaction',
    (_session, value) => fixture.factory().withSession(() => 1, { settings: value }),
  ],
]

test.each(CALLS)('%s', async (_what, call) => {
  for (const value of [revoked({}), revoked([]), revoked(() => undefined)]) {
    const { withSession } = fixture.factory()
    const error = await errorOf(withSession(async (session) => void (await call(session, value))))
    expect(error).toBeInstanceOf(LifeguardError)
  }
})

test('as the reason of invalidate(), and as what a block throws', async () => {
  const connection = await fixture.engine().connect()
  await connection.invalidate(revoked({}))
  const connected = await fixture.engine().connect()
  await connected.invalidate(Object.create(null))
  expect(isRetryable(revoked({}))).toBe(false)
  const thrown: object = revoked({})
  const { withSession } = fixture.factory()
  const caught = await withSession(() => {
    throw thrown as Error
  }).then(
    () => 'fulfilled',
    (error: unknown) => (error === thrown ? 'as it was thrown' : error),
  )
  expect(caught).toBe('as it was thrown')
  expect((await errorOf(withSession((session) => session.execute(thrown as never)))).message).toContain(
    'a revoked Proxy',
  )
})
