/** What the journal knows of a transaction beside the inverse of its flushes: COMMIT on its way, what was filled in, loads. */
import { describe, expect, test } from 'vitest'
import { declarativeBase, integer, numeric, version } from '../../../src/index.js'
import { IdentityMap } from '../../../src/unit/identity-map.js'
import type { InstanceState } from '../../../src/unit/instance-state.js'
import { Journal, noteRelation } from '../../../src/unit/journal.js'
import { pending, persistent, SESSION } from './states.js'

const Base = declarativeBase()
class Item extends Base.entity('items', {
  id: integer().primaryKey(),
  amount: numeric({ precision: 6, scale: 2 }),
  version: version(),
}) {}

const itemOf = (id: number): Item => new Item({ id, amount: '1' })

/** A new object whose row was inserted. */
function inserted(journal: Journal, identities: IdentityMap, id: number): InstanceState {
  const state = persistent(itemOf(id))
  journal.inserted(state)
  identities.add(state)
  return state
}

/** An object with a row, whose row was changed. */
function updated(journal: Journal, state: InstanceState): void {
  const before = state.snapshot ?? []
  journal.updated(state, before)
  state.snapshot = [before[0], '9', before[2]]
}

describe('COMMIT on its way', () => {
  type End = 'committed' | 'failed' | 'rolled back, then failed'

  test.each<[end: End, status: string]>([
    ['committed', 'persistent'],
    // The rollback that is to come undoes it.
    ['failed', 'persistent'],
    ['rolled back, then failed', 'transient'],
  ])('%s: what was inserted before it is %s', (end, status) => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const [before, stored] = [inserted(journal, identities, 1), persistent(itemOf(3))]
    identities.add(stored)
    updated(journal, stored)
    const sealed = journal.seal()
    expect(journal.empty).toBe(true)
    const behind = inserted(journal, identities, 2)
    expect([journal.hasStored(before), journal.hasStored(behind)]).toEqual([false, true])
    if (end === 'committed') {
      expect(journal.committed(sealed)).toEqual([])
      journal.rollback(-1, identities, SESSION)
    } else if (end === 'failed') {
      expect(journal.failed(sealed, identities, SESSION).size).toBe(0)
    } else {
      expect(journal.rollback(-1, identities, SESSION).size).toBe(0)
      expect(behind.status).toBe('transient')
      expect([...journal.failed(sealed, identities, SESSION)]).toEqual([stored])
    }
    expect([before.status, identities.has(before)]).toEqual([status, status === 'persistent'])
    if (end !== 'failed') return
    // Both belong to the transaction that has failed.
    expect([...journal.rollback(-1, identities, SESSION)]).toEqual([stored])
    expect([before.status, behind.status]).toEqual(['transient', 'transient'])
  })

  test('tells whose rows are gone when it is there, except of those that have stayed', () => {
    const journal = new Journal()
    const [gone, stayed] = [persistent(itemOf(1)), persistent(itemOf(2))]
    journal.deleted(gone)
    journal.deleted(stayed)
    const sealed = journal.seal()
    journal.stayed(stayed)
    expect(journal.committed(sealed)).toEqual([gone])
  })
})

describe('what PostgreSQL has filled in', () => {
  test('is taken back from new objects with their insertion; what they were given comes back', () => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const state = inserted(journal, identities, 1)
    const { columns } = state.meta.table
    const [id, amount] = columns.filter(({ property }) => property !== 'version')
    if (id === undefined || amount === undefined || state.snapshot === undefined)
      throw new Error('no columns')
    // The amount was given as 1; the id was not.
    state.snapshot[id.index] = undefined
    journal.filled([state], [id, amount])
    Object.assign(state.instance, { id: 7, amount: '1.00', version: 3 })
    state.snapshot = [7, '1.00', 3]
    journal.rollback(-1, identities, SESSION)
    const { status, snapshot, identity } = state
    expect([status, snapshot, identity]).toEqual(['transient', undefined, undefined])
    expect(state.instance).toMatchObject({ id: undefined, amount: '1', version: 1 })
  })

  test('belongs to the savepoint that has inserted it, also if the answer comes later, or after COMMIT', () => {
    for (const isSealed of [false, true]) {
      const [journal, identities] = [new Journal(), new IdentityMap()]
      const state = inserted(journal, identities, 1)
      const id = state.meta.table.column('id')
      const sealed = isSealed ? journal.seal() : undefined
      journal.enter(1)
      if (state.snapshot !== undefined) state.snapshot[id.index] = undefined
      journal.filled([state], [id])
      state.instance['id'] = 7
      journal.rollback(0, identities, SESSION)
      expect(state.instance['id']).toBe(7)
      if (sealed !== undefined) journal.failed(sealed, identities, SESSION)
      journal.rollback(-1, identities, SESSION)
      expect(state.instance['id']).toBeUndefined()
    }
  })

  test('is taken back from a new object that was not inserted yet, and stays with what is committed', () => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const [added, committed] = [pending(itemOf(1)), persistent(itemOf(2))]
    const id = added.meta.table.column('id')
    for (const state of [added, committed]) journal.filled([state], [id])
    journal.added(added)
    journal.rollback(-1, identities, SESSION)
    expect([added.instance['id'], committed.instance['id']]).toEqual([undefined, 2])
    expect(added.status).toBe('transient')
  })
})

describe('what was added although it has a row', () => {
  test('is what it was then, with the values that it had', () => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const state = persistent(itemOf(1), 'detached')
    state.instance['amount'] = '5'
    const snapshot = [...(state.snapshot ?? [])]
    journal.attached(state)
    state.become('persistent', SESSION)
    identities.add(state)
    updated(journal, state)
    state.instance['amount'] = '6'
    expect(journal.rollback(-1, identities, SESSION).size).toBe(0)
    expect([state.status, state.snapshot]).toEqual(['detached', snapshot])
    expect([state.instance['amount'], identities.has(state)]).toEqual(['5', false])
  })

  test('is left alone where another session has it by now', () => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const all = [inserted(journal, identities, 1), persistent(itemOf(2)), persistent(itemOf(3), 'detached')]
    const [, stored, detached] = all as [InstanceState, InstanceState, InstanceState]
    updated(journal, stored)
    journal.attached(detached)
    for (const state of all) state.become('persistent', { closed: false, hidesValues: false })
    const before = all.map(({ status, snapshot }) => [status, snapshot])
    expect(journal.rollback(-1, identities, SESSION).size).toBe(0)
    expect(all.map(({ status, snapshot }) => [status, snapshot])).toEqual(before)
  })
})

describe('what has lost its place', () => {
  test.each<[isDetached: boolean, status: 'persistent' | 'detached', comesBack: boolean]>([
    [true, 'detached', true],
    [false, 'persistent', true],
    // It was expunged since.
    [false, 'detached', false],
  ])('detached: %s, then %s: it comes back: %s', (isDetached, status, comesBack) => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const state = persistent(itemOf(1))
    identities.add(state)
    journal.departed(state, { isDetached })
    identities.leave(state)
    state.become(status, status === 'persistent' ? SESSION : undefined)
    const other = persistent(itemOf(1))
    identities.add(other)
    expect(journal.rollback(-1, identities, SESSION).has(state)).toBe(comesBack)
    expect(identities.has(state)).toBe(comesBack)
    expect([state.status, other.status]).toEqual(
      comesBack ? ['persistent', 'detached'] : ['detached', 'persistent'],
    )
  })
})

describe('savepoints', () => {
  test('say when they began, and what was loaded in them', () => {
    const journal = new Journal()
    expect([journal.depth, journal.since(0), journal.loads(0)]).toEqual([0, undefined, undefined])
    journal.enter(3)
    journal.enter(5)
    expect([journal.depth, journal.since(0), journal.since(1), journal.since(2)]).toEqual([
      2,
      3,
      5,
      undefined,
    ])
    // Queued before the savepoints, in the first, in the second.
    expect(journal.loads(2)).toBeUndefined()
    expect(journal.loads(3)).toBe(journal.loads(4))
    expect(journal.loads(5)).toBe(journal.loads(9))
    expect(journal.loads(4)).not.toBe(journal.loads(5))
    journal.release(1)
    expect([journal.depth, journal.loads(5)]).toEqual([1, journal.loads(3)])
  })

  test('undo what was loaded in them, also in those that were released into them', () => {
    const [journal, identities] = [new Journal(), new IdentityMap()]
    const [outer, inner, away] = [persistent(itemOf(1)), persistent(itemOf(2)), persistent(itemOf(3))]
    for (const state of [outer, inner]) identities.add(state)
    journal.enter(0)
    journal.loads(0)?.loaded.add(outer)
    journal.enter(1)
    for (const state of [inner, away]) journal.loads(1)?.loaded.add(state)
    const frame = journal.loads(1)
    if (frame === undefined) throw new Error('no frame')
    noteRelation(frame, inner, 'parts')
    noteRelation(frame, inner, 'owner')
    expect([...(frame.relations.get(inner) ?? [])]).toEqual(['parts', 'owner'])
    journal.release(1)
    expect([...(journal.loads(1)?.relations.get(inner) ?? [])]).toEqual(['parts', 'owner'])
    frame.relations.clear()
    journal.loads(1)?.relations.clear()
    expect([...journal.rollback(0, identities, SESSION)]).toEqual([outer, inner])
  })
})
