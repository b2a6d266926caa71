/**
 * Runs programs that do not await what they call. Nothing is predicted: what the promises have said, what the objects say
 * and what is stored have to agree when everything has settled.
 * Nothing goes on beside a nested block, though: what that takes along is not defined.
 */
import { expect } from 'vitest'
import { select, type Session, type SessionFactory } from '../../src/index.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { stateOf } from '../../src/unit/instance-state.js'
import { Person, Tag, Team } from './entities-schema.js'

export type ActionKind =
  | 'add'
  | 'add again'
  | 'change'
  | 'refer'
  | 'collect'
  | 'delete'
  | 'flush'
  | 'query'
  | 'get'
  | 'refresh'
  | 'statement'
  | 'break'
  | 'commit'
  | 'rollback'

/** How far a program lets the others get before it goes on. */
export type Pause = 'none' | 'microtask' | 'turn' | 'this'

export interface Action {
  readonly kind: ActionKind
  readonly a: number
  readonly b: number
  readonly pause: Pause
}

export interface Nested {
  readonly kind: 'nested'
  readonly steps: readonly Step[]
  readonly throws: boolean
  readonly pause: Pause
}

export type Step = Action | Nested

type Thing = Person | Team | Tag

/** The rows that are stored, seen from outside. */
export interface Stored {
  readonly people: readonly Record<string, unknown>[]
  readonly teams: readonly Record<string, unknown>[]
  readonly tags: readonly Record<string, unknown>[]
  readonly links: readonly (readonly [number, string])[]
  /** Keys that have ever been committed. */
  readonly ever: ReadonlySet<string>
}

interface Relations {
  boss?: unknown
  team?: unknown
  lead?: unknown
  tags?: unknown
}

class Undo extends Error {}

const KINDS = [Person, Team, Tag] as const

/** What stays the same about an object from its start to its end. */
function markOf(thing: Thing): string {
  if (thing instanceof Person) return stateOf(thing).value(metaOf(Person).table.column('email')) as string
  if (thing instanceof Team) return stateOf(thing).value(metaOf(Team).table.column('id')) as string
  return stateOf(thing).value(metaOf(Tag).table.column('name')) as string
}

export class OverlapRun {
  readonly #session: Session
  readonly #things: Thing[] = []
  readonly #marks = new Map<Thing, string>()
  readonly #calls: Promise<unknown>[] = []
  /** Objects that a commit that has resolved had to store. */
  readonly #promised = new Set<string>()
  /** How many nested blocks and rollbacks have not settled. */
  #open = 0
  #made = 0
  #hasNested = false

  constructor(sessions: SessionFactory) {
    this.#session = sessions()
  }

  async program(steps: readonly Step[]): Promise<void> {
    await this.#steps(steps)
    await this.settled()
    try {
      await this.#session.commit()
    } catch {
      await this.#session.rollback()
    }
  }

  /** Waits for everything that was called, also by what was waited for. */
  async settled(): Promise<void> {
    for (let seen = -1; seen < this.#calls.length;) {
      seen = this.#calls.length
      await Promise.allSettled(this.#calls)
    }
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #steps(steps: readonly Step[]): Promise<void> {
    const calls: Promise<unknown>[] = []
    for (const step of steps) {
      // What is added, changed or flushed beside an open block belongs to that or not, as it happens.
      if (step.kind === 'nested') await Promise.allSettled(calls)
      let call: Promise<unknown> | undefined
      try {
        call = step.kind === 'nested' ? this.#nested(step) : this.#act(step)
      } catch {
        // It is refused, and says why.
      }
      if (call !== undefined) {
        call.catch(() => undefined)
        this.#calls.push(call)
        calls.push(call)
      }
      if (step.pause === 'microtask') await Promise.resolve()
      if (step.pause === 'turn') await new Promise((resolve) => setImmediate(resolve))
      if (step.pause === 'this' || step.kind === 'nested') await call?.catch(() => undefined)
    }
  }

  #nested({ steps, throws }: Nested): Promise<void> {
    this.#hasNested = true
    return this.#opening(
      this.#session.beginNested(async () => {
        await this.#steps(steps)
        if (throws) throw new Undo()
      }),
    )
  }

  #opening<Value>(call: Promise<Value>): Promise<Value> {
    this.#open++
    const closed = (): number => this.#open--
    call.then(closed, closed)
    return call
  }

  #act({ kind, a, b }: Action): Promise<unknown> | undefined {
    const session = this.#session
    const thing = this.#things[a % Math.max(1, this.#things.length)]
    const other = this.#things[b % Math.max(1, this.#things.length)]
    switch (kind) {
      case 'add':
        return void this.#add(a, other)
      case 'add again':
        return void (thing && session.add(thing))
      case 'change':
        if (thing instanceof Tag) thing.label = this.#text()
        else if (thing !== undefined) thing.name = this.#text()
        return undefined
      case 'refer':
        if (thing instanceof Person && other instanceof Person) relationsOf(thing).boss = other
        if (thing instanceof Person && other instanceof Team) relationsOf(thing).team = other
        if (thing instanceof Team && other instanceof Person) relationsOf(thing).lead = other
        if (thing instanceof Person && other instanceof Tag) relationsOf(thing).boss = null
        return undefined
      case 'collect':
        if (thing instanceof Person && other instanceof Tag) relationsOf(thing).tags = [other]
        return undefined
      case 'delete':
        return void (thing && session.delete(thing))
      case 'flush':
        return session.flush()
      case 'query':
        return session.execute(select(KINDS[a % 3] as typeof Person))
      case 'get':
        return (
          thing &&
          session.get(thing.constructor as typeof Tag, keyOf(thing) as string, { forUpdate: b % 2 === 0 })
        )
      case 'refresh':
        return (
          thing &&
          session.refresh(thing, thing instanceof Person && b % 2 === 0 ? { load: ['boss', 'tags'] } : {})
        )
      case 'statement':
        return session.execute('select 1')
      case 'break':
        return session.execute('select 1/0')
      case 'commit':
        return this.#commit()
      case 'rollback':
        return this.#opening(session.rollback())
    }
  }

  async #commit(): Promise<void> {
    const promised =
      this.#open > 0 ? [] : this.#session.new.map((thing) => this.#marks.get(thing as Thing) as string)
    await this.#session.commit()
    for (const mark of promised) this.#promised.add(mark)
  }

  #text(): string {
    return `text ${++this.#made}`
  }

  #add(a: number, other: Thing | undefined): void {
    const text = this.#text()
    let thing: Thing
    if (a % 3 === 0) {
      thing = new Person({ name: text, email: text, notes: { list: [] }, seen: new Date(0) })
      if (other instanceof Person) relationsOf(thing).boss = other
      if (other instanceof Team) relationsOf(thing).team = other
    } else if (a % 3 === 1) {
      thing = new Team({ name: text })
      if (other instanceof Person) relationsOf(thing).lead = other
    } else thing = new Tag({ name: text, label: text })
    this.#things.push(thing)
    this.#marks.set(thing, markOf(thing))
    this.#session.add(thing)
  }

  async compare(stored: Stored): Promise<void> {
    for (const mark of this.#promised)
      expect(stored.ever, 'a commit has resolved, so it was stored').toContain(mark)
    const session = this.#session
    expect([session.new, session.dirty, session.deleted].map(({ length }) => length)).toEqual([0, 0, 0])
    const check = (): void => {
      for (const [index, thing] of this.#things.entries())
        this.#compareThing(`object ${index}`, thing, stored)
    }
    check()
    session.expireAll()
    const found: Thing[] = []
    for (const kind of KINDS) found.push(...(await session.execute(select(kind as typeof Person))).scalars())
    check()
    const persistent = this.#things.filter((thing) => stateOf(thing).status === 'persistent')
    expect(new Set(found).size).toBe(found.length)
    for (const thing of persistent)
      expect(found.includes(thing), 'the session gives the object that it follows').toBe(true)
  }

  #compareThing(what: string, thing: Thing, { people, teams, tags, links }: Stored): void {
    const mark = this.#marks.get(thing)
    const state = stateOf(thing)
    const row =
      thing instanceof Person
        ? people.find(({ email }) => email === mark)
        : thing instanceof Team
          ? teams.find(({ id }) => id === mark)
          : tags.find(({ name }) => name === mark)
    const { status, meta } = state
    expect(`${what} ${status}: ${row === undefined ? 'no row' : 'stored'}`).toBe(
      `${what} ${status}: ${status === 'persistent' ? 'stored' : 'no row'}`,
    )
    expect(['transient', 'persistent', 'detached'], what).toContain(status)
    // Beside a savepoint, one may have got its key before the savepoint, and its row in it.
    if (status === 'transient' && thing instanceof Person && !this.#hasNested)
      expect(thing.id, what).toBeUndefined()
    if (row === undefined || status !== 'persistent') return
    for (const column of meta.table.columns) {
      if (meta.isExpired(state.instance, column)) continue
      expect({ [column.property]: state.instance[column.property] }, what).toEqual({
        [column.property]: row[column.property],
      })
    }
    if (thing instanceof Person && Object.hasOwn(thing, 'tags')) {
      const held = (relationsOf(thing).tags as Thing[]).filter(isStored).map((tag) => this.#marks.get(tag))
      expect(new Set(held), what).toEqual(
        new Set(links.flatMap(([id, name]) => (id === row['id'] ? [name] : []))),
      )
    }
    if (thing instanceof Person && Object.hasOwn(thing, 'boss')) {
      const boss = relationsOf(thing).boss as Thing | null
      const bossRow = boss === null ? undefined : people.find(({ email }) => email === this.#marks.get(boss))
      expect(bossRow?.['id'] ?? null, `${what}: boss`).toBe(row['bossId'])
    }
  }
}

/** The relations of an object. */
function relationsOf(thing: Thing): Relations {
  return thing as Relations
}

/** Deleted objects stay in the collections of others. */
function isStored(thing: Thing): boolean {
  return stateOf(thing).status === 'persistent'
}

function keyOf(thing: Thing): unknown {
  return thing instanceof Tag ? thing.name : thing.id
}
