/** One place for each row, and what is remembered of those who have left theirs. */
import { describe, expect, test } from 'vitest'
import { belongsTo, declarativeBase, integer, numeric } from '../../../src/index.js'
import { IdentityMap } from '../../../src/unit/identity-map.js'
import type { InstanceState } from '../../../src/unit/instance-state.js'
import { RespelledKeys } from '../../../src/unit/respelled-keys.js'
import { pending, persistent } from './states.js'

const Base = declarativeBase()
class Song extends Base.entity('songs', {
  id: integer().primaryKey(),
  albumId: integer('album_id').references('albums.id'),
}) {
  static readonly relations = { album: belongsTo(() => Album, 'albumId') }
}
class Album extends Base.entity('albums', { id: integer().primaryKey() }) {}
class Rate extends Base.entity('rates', { id: numeric({ precision: 6, scale: 2 }).primaryKey() }) {}
class Use extends Base.entity('uses', {
  id: integer().primaryKey(),
  rateId: numeric('rate_id', { precision: 6, scale: 2 }).references('rates.id'),
}) {}

const song = (id: number): InstanceState => persistent(new Song({ id, albumId: null }))

describe('places', () => {
  test('two objects for one row: the later one has it, and the earlier one is told', () => {
    const identities = new IdentityMap()
    const [first, second] = [song(1), song(1)]
    expect(identities.add(first)).toBeUndefined()
    expect(identities.add(first)).toBeUndefined()
    expect(identities.add(second)).toBe(first)
    expect([identities.has(first), identities.has(second)]).toEqual([false, true])
    // What has no place of its own takes no other's away.
    identities.remove(first)
    identities.leave(first)
    expect(identities.has(second)).toBe(true)
    identities.remove(second)
    expect([identities.has(second), identities.empty]).toEqual([false, true])
  })

  test('an object without a key has none, and is no obstacle', () => {
    const identities = new IdentityMap()
    const state = pending(new Song({ id: 1, albumId: null }))
    expect(identities.add(state)).toBeUndefined()
    expect([identities.has(state), identities.empty]).toEqual([false, true])
  })

  test('objects come table by table, in the order in which they came', () => {
    const identities = new IdentityMap()
    const all = [song(2), persistent(new Album({ id: 1 })), song(1)]
    for (const state of all) identities.add(state)
    expect(identities.states()).toEqual([all[0], all[2], all[1]])
    expect(identities.states('relations')).toEqual([all[0], all[2]])
    expect(identities.states('hooks')).toEqual([])
    identities.clear()
    expect(identities.states()).toEqual([])
  })

  test('only what holds a relation, or is deleted, may change relations', () => {
    const identities = new IdentityMap()
    const [plain, doomed, held] = [song(1), song(2), song(3)]
    for (const state of [plain, doomed, held, persistent(new Album({ id: 1 }))]) identities.add(state)
    doomed.markedDeleted = true
    held.instance['album'] = null
    expect(identities.related()).toEqual([doomed, held])
  })
})

describe('objects that were removed', () => {
  test('is found by what was read before, and by nothing later', () => {
    const identities = new IdentityMap()
    const state = song(1)
    identities.add(state)
    state.revision = 5
    identities.leave(state)
    const leftSince = (revision: number): unknown => identities.leftSince(revision, state.meta, 1)
    expect([leftSince(4), leftSince(5), leftSince(6)]).toEqual([state, undefined, undefined])
    identities.forgetLeft()
    expect(leftSince(4)).toBeUndefined()
  })

  test('is not found for what was only removed', () => {
    const identities = new IdentityMap()
    const state = song(1)
    identities.add(state)
    state.revision = 5
    identities.remove(state)
    expect(identities.leftSince(0, state.meta, 1)).toBeUndefined()
  })
})

describe('revisions', () => {
  test.each<[what: string, revision: number, undone: boolean]>([
    ['before the savepoint', 1, false],
    ['in the savepoint, from its beginning', 2, true],
    ['in the savepoint', 4, true],
    ['behind the rollback', 5, false],
  ])('what was read %s (%i) is undone: %s', (_what, revision, undone) => {
    const identities = new IdentityMap()
    identities.revision = 4
    identities.rolledBack(2)
    expect(identities.revision).toBe(5)
    expect(identities.isRolledBack(revision)).toBe(undone)
  })

  test('the rollback of a transaction undoes all that was read before, not only the last 32 rollbacks', () => {
    const identities = new IdentityMap()
    identities.rolledBack()
    expect([identities.isRolledBack(0), identities.isRolledBack(1)]).toEqual([true, false])
    for (let count = 0; count < 32; count++) identities.rolledBack(identities.revision)
    // By then it has been answered.
    expect(identities.isRolledBack(0)).toBe(false)
    expect(identities.isRolledBack(identities.revision - 1)).toBe(true)
  })
})

describe('keys that come back in another form', () => {
  test.each<[given: string, stored: string, foreign: string | null, leads: boolean]>([
    ['1', '1.00', '1', true],
    ['1', '1.00', '2', false],
    ['1', '1.00', null, false],
    ['1.00', '1.00', '1', false],
  ])('%s is stored as %s: a foreign key %s leads to it: %s', (given, stored, foreign, leads) => {
    const rate = persistent(new Rate({ id: given }))
    const use = persistent(new Use({ id: 1, rateId: foreign }))
    const [key] = rate.meta.table.primaryKey
    const column = use.meta.table.column('rateId')
    const keys = new RespelledKeys()
    keys.note(rate, key === undefined ? [] : [key], [stored])
    keys.noteReferences(() => [rate, use])
    expect(use.isSameKey(column, foreign, stored)).toBe(leads || foreign === stored)
    expect(use.asKey(column, foreign)).toBe(leads ? stored : foreign)
    // It says nothing about other values.
    expect(use.isSameKey(column, '7', stored)).toBe(false)
  })
})
