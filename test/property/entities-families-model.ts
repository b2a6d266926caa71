/** Whom each child belongs to now: what a flush deletes follows from that alone. */
import { expect } from 'vitest'
import { stateOf } from '../../src/unit/instance-state.js'
import { linksOf, type Kind, type Link } from './entities-families-schema.js'

export type Instance = Record<string, unknown>
type Parents = Readonly<Record<string, Thing | null>>

export interface Thing {
  readonly kind: Kind
  readonly number: number
  readonly tenant: number | undefined
  readonly instance: Instance
}

export interface Values {
  readonly label: string
  readonly parents: Parents
}

type World = ReadonlyMap<Thing, Values>

export class FamiliesModel {
  /** What the objects say. */
  world: World = new Map()
  /** What was flushed. */
  flushed: World = new Map()
  /** What is stored for others to see. */
  committed: World = new Map()
  /** What `delete` was called for, and when. */
  roots: ReadonlyMap<Thing, number> = new Map()
  /** What `add` has kept, and when. */
  spared: ReadonlyMap<Thing, number> = new Map()
  #calls = 0
  /** What was deleted. */
  gone: Set<Thing> = new Set()
  /** What is gone for good. */
  #buried: ReadonlySet<Thing> = new Set()
  /** How children were moved since the last flush. */
  #said: ReadonlyMap<string, 'relation' | 'other'> = new Map()

  commit(): void {
    this.committed = this.world
    this.#buried = new Set(this.gone)
  }

  rollback(): void {
    this.gone = new Set(this.#buried)
    this.world = this.flushed = this.committed
    this.#forget()
  }

  #forget(): void {
    this.roots = this.spared = this.#said = new Map()
  }

  delete(thing: Thing): void {
    this.roots = new Map(this.roots).set(thing, ++this.#calls)
    this.spared = without(this.spared, thing)
  }

  /** `add` after `delete`. */
  keep(thing: Thing): void {
    if (this.roots.size > 0) this.spared = new Map(this.spared).set(thing, ++this.#calls)
    this.roots = without(this.roots, thing)
  }

  /** Makes a change that the next flush can carry out; otherwise nothing is changed. */
  attempt(change: () => void): boolean {
    const { world, roots, spared } = this
    const said = this.#said
    change()
    if (!this.#isRefused()) return true
    Object.assign(this, { world, roots, spared })
    this.#said = said
    return false
  }

  /** Whether something that stays was given to what is deleted, or cannot be without it. */
  #isRefused(): boolean {
    const going = this.going()
    return [...this.world].some(([thing, { parents }]) =>
      linksOf(thing.kind).some(
        (link) =>
          !going.has(thing) &&
          going.has(parents[link.relation] as Thing) &&
          (link.required === true || link.other === undefined || this.saidOf(thing, link) !== undefined),
      ),
    )
  }

  /** What the flush would delete, each with the latest call that reaches it: what was kept since an earlier one stays. */
  going(): Map<Thing, number> {
    const going = new Map(this.roots)
    for (const [thing, { parents }] of this.world) {
      const before = this.flushed.get(thing)?.parents
      for (const { relation, orphans } of linksOf(thing.kind))
        if (orphans === true && parents[relation] === null && (before?.[relation] ?? null) !== null)
          going.set(thing, Infinity)
    }
    for (let isDone = false; !isDone;) {
      isDone = true
      for (const [thing, { parents }] of this.world) {
        for (const { relation, deletes } of linksOf(thing.kind)) {
          const call = deletes === true ? going.get(parents[relation] as Thing) : undefined
          if (call === undefined || call <= (going.get(thing) ?? this.spared.get(thing) ?? 0)) continue
          going.set(thing, call)
          isDone = false
        }
      }
    }
    return going
  }

  /** What the flush has deleted: whom a child belongs to now decides. */
  settle(): void {
    const going = this.going()
    const world = new Map(this.world)
    for (const thing of going.keys()) {
      world.delete(thing)
      // A new one that belongs to what is deleted was never stored.
      if (this.flushed.has(thing)) this.gone.add(thing)
      else expect(stateOf(thing.instance).status, nameOf(thing)).toBe('transient')
    }
    for (const [thing, values] of world) {
      const parents = Object.entries(values.parents).map(([name, parent]) => [
        name,
        parent !== null && going.has(parent) ? null : parent,
      ])
      world.set(thing, { ...values, parents: Object.fromEntries(parents) as Parents })
    }
    this.world = this.flushed = world
    this.#forget()
  }

  /** The row that a thing should have, by property. */
  row(thing: Thing): Record<string, unknown> {
    const { label, parents } = this.values(thing)
    const row: Record<string, unknown> = { id: keyOf(thing), label }
    if (thing.tenant !== undefined) row['tenantId'] = thing.tenant
    for (const { relation, key } of linksOf(thing.kind)) {
      const parent = parents[relation] ?? null
      row[key] = parent === null ? null : keyOf(parent)
    }
    return row
  }

  things(kind: Kind): Thing[] {
    return [...this.world.keys()].filter((thing) => thing.kind === kind)
  }

  stored(): Thing[] {
    return [...this.world.keys()].filter((thing) => this.flushed.has(thing))
  }

  values(thing: Thing): Values {
    return this.world.get(thing) as Values
  }

  set(thing: Thing, parents: Parents): void {
    const values = this.values(thing)
    this.world = new Map(this.world).set(thing, { ...values, parents: { ...values.parents, ...parents } })
  }

  /** It is not deleted, nor is anything that it belongs to. */
  mayHold(thing: Thing): boolean {
    if (this.roots.has(thing)) return false
    return Object.values(this.values(thing).parents).every(
      (parent) => parent === null || this.mayHold(parent),
    )
  }

  say(child: Thing, link: Link, how: 'relation' | 'other'): void {
    this.#said = new Map(this.#said).set(`${nameOf(child)} ${link.relation}`, how)
  }

  saidOf(child: Thing, link: Link): 'relation' | 'other' | undefined {
    return this.#said.get(`${nameOf(child)} ${link.relation}`)
  }
}

function without(calls: ReadonlyMap<Thing, number>, thing: Thing): ReadonlyMap<Thing, number> {
  return new Map([...calls].filter(([one]) => one !== thing))
}

export function nameOf({ kind, number }: Thing): string {
  return `${kind} ${number}`
}

export function keyOf({ instance }: Thing): number {
  const state = stateOf(instance)
  return state.value(state.meta.table.column('id')) as number
}
