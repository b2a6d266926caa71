/** Whatever flushes store inside savepoints: a rollback gives back what was there before, a release keeps it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { declarativeBase, integer } from '../../../src/index.js'
import { FlushApplier } from '../../../src/unit/flush/apply.js'
import { planFlush } from '../../../src/unit/flush/plan.js'
import { IdentityMap } from '../../../src/unit/identity-map.js'
import { stateOf, type InstanceState } from '../../../src/unit/instance-state.js'
import { Journal } from '../../../src/unit/journal.js'
import { persistent, SESSION } from './states.js'

class Item extends declarativeBase().entity('items', {
  id: integer().primaryKey(),
  value: integer(),
}) {}

/** What is known of an object, and whether it has its place. */
type Known = readonly [
  status: string,
  row: string,
  identity: unknown,
  hasPlace: boolean,
  markedDeleted: boolean,
]

class Program {
  readonly identities: IdentityMap = new IdentityMap()
  readonly journal: Journal = new Journal()
  readonly #effects = new FlushApplier(this.identities, this.journal, SESSION, () => this.identities.states())
  readonly states: InstanceState[] = []
  /** What was known when each savepoint began, the transaction first. */
  readonly #before: Map<InstanceState, Known>[]
  #ids = 3

  constructor() {
    for (const id of [1, 2, 3]) {
      const state = persistent(new Item({ id, value: 0 }))
      this.states.push(state)
      this.identities.add(state)
    }
    this.#before = [this.#known()]
  }

  add(givenId = ++this.#ids): void {
    const state = stateOf(new Item({ id: givenId, value: 0 }))
    this.states.push(state)
    this.journal.added(state)
    state.become('pending', SESSION)
  }

  set(state: InstanceState, property: 'id' | 'value'): void {
    state.instance[property] = ++this.#ids
  }

  /** Deletes an object, and may give its key to a new one. */
  delete(state: InstanceState, isReplaced: boolean): void {
    state.markedDeleted = true
    this.journal.markedDeleted(state)
    if (isReplaced) this.add(state.snapshot?.[0] as number)
  }

  flush(): void {
    const tracked = this.persistent
    const inserted = this.states.filter(({ status }) => status === 'pending')
    const deleted = tracked.filter(({ markedDeleted }) => markedDeleted)
    this.#effects.applied(
      planFlush({ inserted, tracked, deleted, guards: new Map(), verified: new Set(), links: [] }),
    )
  }

  get persistent(): InstanceState[] {
    return this.states.filter(({ status }) => status === 'persistent')
  }

  enter(): void {
    this.flush()
    this.journal.enter(this.identities.revision)
    this.#before.push(this.#known())
  }

  release(depth: number): void {
    this.flush()
    const known = this.#known()
    this.journal.release(depth)
    expect([...this.#known()]).toEqual([...known])
    this.#before.length = depth + 1
  }

  rollback(depth: number): void {
    const before = this.#before[depth + 1] ?? new Map<InstanceState, Known>()
    const changed = new Set(this.persistent.filter((state) => before.get(state)?.[1] !== rowOf(state)))
    const unknown = this.journal.rollback(depth, this.identities, SESSION)
    for (const state of this.states) {
      expect(knownOf(state, this.identities)).toEqual(
        before.get(state) ?? ['transient', 'null', undefined, false, false],
      )
      // What is not as it was has to be read again.
      if (state.status === 'persistent' && changed.has(state)) expect(unknown.has(state)).toBe(true)
      if (state.status !== 'persistent') expect(unknown.has(state)).toBe(false)
      // As a session would: it is expired, and loaded again.
      const { snapshot } = state
      if (snapshot !== undefined) Object.assign(state.instance, { id: snapshot[0], value: snapshot[1] })
    }
    this.states.splice(0, Infinity, ...this.states.filter((state) => before.has(state)))
    this.#before.length = Math.max(1, depth + 1)
  }

  #known(): Map<InstanceState, Known> {
    return new Map(this.states.map((state) => [state, knownOf(state, this.identities)]))
  }
}

function rowOf({ snapshot }: InstanceState): string {
  return JSON.stringify(snapshot ?? null)
}

function knownOf(state: InstanceState, identities: IdentityMap): Known {
  return [state.status, rowOf(state), state.identity, identities.has(state), state.markedDeleted]
}

const steps = fc.array(
  fc.record({
    what: fc.constantFrom(
      'add',
      'add',
      'value',
      'id',
      'delete',
      'replace',
      'flush',
      'enter',
      'release',
      'rollback',
    ),
    which: fc.nat(7),
  }),
  { maxLength: 40 },
)

test('a rollback is the inverse of all that was flushed since, whatever was released in between', () => {
  fc.assert(
    fc.property(steps, fc.boolean(), (several, isReleased) => {
      const program = new Program()
      for (const { what, which } of several) {
        const { journal, persistent } = program
        const candidates = persistent.filter(({ markedDeleted }) => !markedDeleted)
        const chosen = candidates[which % candidates.length]
        const depth = journal.depth === 0 ? -1 : which % journal.depth
        if (what === 'add') program.add()
        else if (what === 'flush') program.flush()
        else if (what === 'enter') program.enter()
        else if (what === 'release' && depth >= 0) program.release(depth)
        else if (what === 'rollback' && depth >= 0) program.rollback(depth)
        else if (chosen === undefined) continue
        else if (what === 'value' || what === 'id') program.set(chosen, what)
        else if (what === 'delete' || what === 'replace') program.delete(chosen, what === 'replace')
      }
      if (isReleased) program.release(0)
      program.rollback(-1)
      expect([program.identities.states().length, program.journal.empty]).toEqual([3, true])
    }),
  )
})
