/** What is known of one object: its status, its values, what has changed about it. */
import { describe, expect, test } from 'vitest'
import { declarativeBase, integer, jsonb, MappingError, text, timestamptz, uuid } from '../../../src/index.js'
import {
  type InstanceState,
  kindOfStranger,
  knownState,
  stateIfInstance,
  stateOf,
} from '../../../src/unit/instance-state.js'
import { pending, persistent } from './states.js'

class Doc extends declarativeBase().entity('docs', {
  id: integer().primaryKey(),
  title: text(),
  body: text().deferred(),
  tags: jsonb<string[]>(),
  at: timestamptz(),
}) {}
class Person extends declarativeBase().entity('people', { name: text().primaryKey() }) {}
class Token extends declarativeBase().entity('tokens', {
  id: uuid().primaryKey(),
  no: integer().primaryKey(),
}) {}

const AT = new Date('2026-01-02T03:04:05.678Z')

function doc(): { instance: Doc; state: InstanceState } {
  const instance = new Doc({ id: 1, title: 'a', body: 'b', tags: ['x'], at: AT })
  return { instance, state: persistent(instance) }
}

const changed = (state: InstanceState): string[] => state.changes.map(({ property }) => property)

describe('status', () => {
  test.each<[given: Parameters<InstanceState['become']>[0], afterwards: string]>([
    ['pending', 'transient'],
    ['transient', 'transient'],
    ['persistent', 'detached'],
    ['deleted', 'detached'],
    ['detached', 'detached'],
  ])('%s is %s once its session was closed', (given, afterwards) => {
    const { state } = doc()
    const session = { closed: false, hidesValues: false }
    state.become(given, session)
    expect([state.status, state.attachment]).toEqual([given, session])
    session.closed = true
    expect([state.status, state.attachment]).toEqual([afterwards, undefined])
  })

  test('nothing of it shows on the object', () => {
    const { instance, state } = doc()
    expect(Reflect.ownKeys(instance)).toEqual(['id', 'title', 'body', 'tags', 'at'])
    expect(knownState(instance)).toBe(state)
    expect([knownState({}), knownState({ ...instance })]).toEqual([undefined, undefined])
    expect(stateOf(instance)).toBe(state)
  })
})

describe('changes', () => {
  test.each<[what: string, change: (instance: Doc) => void, columns: string[]]>([
    ['nothing', () => undefined, []],
    ['the same value', (instance) => (instance.title = 'a'), []],
    ['another value', (instance) => (instance.title = 'b'), ['title']],
    ['NULL', (instance) => (instance.title = null), ['title']],
    ['back and forth', (instance) => ([instance.title, instance.title] = ['b', 'a']), []],
    ['in place', (instance) => instance.tags?.push('y'), ['tags']],
    ['an equal object', (instance) => (instance.tags = ['x']), []],
    ['an equal date', (instance) => (instance.at = new Date(AT)), []],
    ['a date in place', (instance) => instance.at?.setMilliseconds(0), ['at']],
    [
      'several, in the order of the table',
      (i) => ([i.at, i.id, i.title] = [null, 2, 'c']),
      ['id', 'title', 'at'],
    ],
  ])('%s', (_what, change, columns) => {
    const { instance, state } = doc()
    change(instance)
    expect(changed(state)).toEqual(columns)
  })

  test('a new object has none: it is new as a whole', () => {
    expect(changed(stateOf(new Doc({ id: 1, title: 'a', body: null, tags: null, at: null })))).toEqual([])
  })

  test.each<[expired: 'all' | 'title', set: (instance: Doc) => void, columns: string[]]>([
    ['all', () => undefined, []],
    // What is stored is not known, so what was set counts as changed.
    ['all', (instance) => (instance.title = 'a'), ['title']],
    ['title', (instance) => (instance.title = 'a'), ['title']],
    ['title', (instance) => (instance.id = 1), []],
    ['title', (instance) => (instance.id = 2), ['id']],
  ])('with %s expired', (expired, set, columns) => {
    const { instance, state } = doc()
    const title = state.meta.table.column('title')
    const gone = expired === 'all' ? state.meta.table.columns : [title]
    state.meta.expire(instance, gone)
    state.expired = expired === 'all' ? 'all' : new Set([title])
    set(instance)
    expect(changed(state)).toEqual(columns)
    expect(state.expiredColumns.filter((column) => columns.includes(column.property))).toEqual([])
  })

  test('a deferred column that was not loaded has not changed; one that was set has', () => {
    const { instance, state } = doc()
    const body = state.meta.table.column('body')
    state.meta.defer(instance, body)
    if (state.snapshot !== undefined) state.snapshot[body.index] = undefined
    expect([changed(state), state.value(body)]).toEqual([[], undefined])
    instance.body = 'c'
    expect([changed(state), state.value(body)]).toEqual([['body'], 'c'])
  })
})

describe('values', () => {
  test('an expired one is the one that was loaded last, unless it was set since', () => {
    const { instance, state } = doc()
    const [title, at] = [state.meta.table.column('title'), state.meta.table.column('at')]
    state.meta.expire(instance)
    state.expired = 'all'
    expect([state.value(title), state.value(at)]).toEqual(['a', AT])
    instance.title = 'b'
    expect(state.value(title)).toBe('b')
  })

  test('the key is the stored one, whatever the object says by now', () => {
    const { instance, state } = doc()
    instance.id = 5
    expect([state.key, state.value(state.meta.table.column('id'))]).toEqual([['1'], 5])
  })
})

describe('for messages', () => {
  test.each<[what: string, shown: string]>([
    [String(doc().state), 'a stored Doc, id 1'],
    [String(pending(new Doc({ id: 7, title: null, body: null, tags: null, at: null }))), 'a new Doc, id 7'],
    // Without an open session it is not known whether its engine hides values (`hideParameters`).
    [String(stateOf(new Doc({ id: 7, title: null, body: null, tags: null, at: null }))), 'a new Doc'],
    [
      String(persistent(new Doc({ id: 7, title: null, body: null, tags: null, at: null }), 'detached')),
      'a stored Doc',
    ],
    // A key that is a text may say something about a person.
    [String(persistent(new Person({ name: 'Ada' }))), 'a stored Person'],
    [
      String(persistent(new Token({ id: '2f1e7c3a-0000-4000-8000-000000000001', no: 2 }))),
      'a stored Token, id 2f1e7c3a-0000-4000-8000-000000000001, no 2',
    ],
  ])('%s', (what, shown) => {
    expect(what).toBe(shown)
  })

  test('what is no instance of an entity is refused by its kind', () => {
    for (const stranger of [{}, [], null, 5, 'x', Doc, new Date(), Promise.resolve()]) {
      if (typeof stranger !== 'function') expect(stateIfInstance(stranger)).toBeUndefined()
      expect(() => stateOf(stranger)).toThrow(MappingError)
      expect(() => stateOf(stranger)).toThrow(kindOfStranger(stranger))
    }
  })
})

test('a foreign key is equal to a key as far as is known, and only for the value that it was noted for', () => {
  const { state } = doc()
  const column = state.meta.table.column('title')
  expect(state.isSameKey(column, '1', '1.00')).toBe(false)
  state.noteSpelling(column, '1', '1.00')
  expect([state.isSameKey(column, '1', '1.00'), state.isSameKey(column, '1', '1')]).toEqual([true, true])
  expect([state.isSameKey(column, '2', '1.00'), state.asKey(column, '2'), state.asKey(column, '1')]).toEqual([
    false,
    '2',
    '1.00',
  ])
})
