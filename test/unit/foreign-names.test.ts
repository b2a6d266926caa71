/** Methods of other libraries: a call names what to call here, and nothing else sees them. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  Engine,
  IllegalStateError,
  InvalidOptionError,
  integer,
  select,
  serial,
  Session,
  sql,
  text,
} from '../../src/index.js'
import * as names from '../../src/internal/foreign-names.js'

/** This engine opens no connection, because each call under test fails first. */
const engine = createEngine({ url: 'postgres://app@localhost:1/songs' })
const sessionFactory = createSessionFactory({ bind: engine })
const session = sessionFactory()
const Base = declarativeBase()
class Song extends Base.entity('songs', { id: serial().primaryKey(), title: text() }) {}

type Method = (...given: unknown[]) => unknown

test.each<[string, object, PropertyDescriptorMap, string, string]>([
  [
    'session, as of a connection',
    session,
    names.OF_EXECUTOR,
    'query',
    'execute(text, values) runs a statement',
  ],
  ['session', session, names.OF_SESSION, 'save', 'add(object) stores a new object'],
  [
    'engine',
    engine,
    names.OF_ENGINE,
    'query',
    'sessions run statements, as in sessionFactory.withSession((session) => session.execute(...))',
  ],
  ['factory', sessionFactory, names.OF_FACTORY, 'transaction', 'withSession(fn) runs a transaction'],
  ['class of an entity', Song, names.OF_ENTITY_CLASS, 'find', 'session.get(Entity, id) returns'],
  ['object', new Song({}), names.OF_OBJECT, 'save', 'session.add(object) stores a new object'],
  [
    'base',
    Base,
    names.OF_BASE,
    'createAll',
    'engine.begin((connection) => Base.metadata.createAll(connection)',
  ],
  [
    'query',
    select(Song),
    names.OF_SELECT,
    'all',
    'sessions run statements: session.scalars(select(...)) returns objects',
  ],
  ['column', text(), names.OF_COLUMN, 'nullable', 'a column is nullable unless notNull() is called'],
])('%s', (_kind, target, methods, name, advice) => {
  expect(() => (target as Record<string, Method>)[name]?.()).toThrow(`There is no ${name}() here: ${advice}`)
  for (const name of Object.keys(methods))
    expect(() => (target as Record<string, Method>)[name]?.(), name).toThrow(IllegalStateError)
  for (const kept of ['then', 'dispose', 'withSession', 'begin']) expect(methods).not.toHaveProperty(kept)
  for (const name in target) expect(methods).not.toHaveProperty(name)
})

test('a method of this library is never replaced', () => {
  expect(() => names.addForeignNames({ save: () => 1 }, names.OF_OBJECT)).toThrow(/: save$/)
  expect(select(Song).from(sql`select * from songs`)).toBeInstanceOf(select(Song).constructor)
})

test('the stack begins with the line of the caller', () => {
  try {
    ;(session as unknown as { query: Method }).query('select 1')
    expect.unreachable()
  } catch (error) {
    const [frame] = (error as Error).stack?.match(/^\s+at .*/m) ?? []
    expect(frame).toContain('foreign-names.test')
  }
})

describe('an application may use the names', () => {
  test('for columns, methods and properties of its entities', () => {
    class Draft extends Base.entity('drafts', { id: serial().primaryKey(), save: integer() }) {
      static find(): string {
        return 'found'
      }
      delete(): string {
        return 'deleted'
      }
    }
    const draft = new Draft({ save: 1 })
    expect([draft.save, draft.delete(), Draft.find()]).toEqual([1, 'deleted', 'found'])
    const song = Object.assign(new Song({ title: 'a' }), { save: true })
    expect(song.save).toBe(true)
    expect(inspect(new Song({ title: 'a' }))).toBe("Song { id: undefined, title: 'a' }")
  })

  test('for methods of its sessions', () => {
    class Own extends Session {
      find(): string {
        return 'found'
      }
    }
    expect(createSessionFactory({ bind: engine, sessionClass: Own })().find()).toBe('found')
  })
})

test.each<[string, () => unknown, string]>([
  ['an engine', () => new Engine({ url: 'postgres://localhost/a' } as never), 'but by createEngine({ url })'],
  ['an engine of nothing', () => new Engine(undefined as never), 'but by createEngine({ url })'],
  [
    'a session',
    () => new Session({ bind: engine } as never),
    'but by createSessionFactory({ bind: engine })',
  ],
  [
    'a session of nothing',
    () => new Session(undefined as never),
    'but by createSessionFactory({ bind: engine })',
  ],
])('%s is not made with new', (_what, make, advice) => {
  expect(make).toThrow(InvalidOptionError)
  expect(make).toThrow(`is not made with new, ${advice}`)
})
