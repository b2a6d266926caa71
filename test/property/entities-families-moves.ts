/**
 * The moves of a program. In one flush each child is moved in one way only: by its own relation (as often as the program likes), by
 * its key, or by the relations of its parents. Nothing is given to what is deleted where nothing deletes it with that.
 */
import { expect } from 'vitest'
import type { AnyEntity, Session } from '../../src/index.js'
import { keyOf, nameOf, type FamiliesModel, type Instance, type Thing } from './entities-families-model.js'
import {
  ENTITIES,
  isOfTenant,
  LINKS,
  linksOf,
  TENANTS,
  type Kind,
  type Link,
} from './entities-families-schema.js'

export class FamilyMoves {
  readonly #session: Session
  readonly #model: FamiliesModel
  #count = 0

  constructor(session: Session, model: FamiliesModel) {
    this.#session = session
    this.#model = model
  }

  // Objects come -----------------------------------------------------------------------------------------------------

  /** New parents with new children, added in any order, each child by its own relation or by that of its parent. */
  grow(a: number, b: number, c: number): void {
    const link = pick(LINKS, a) as Link
    const parents = [this.#make(link.parent, b), this.#make(link.parent, b)] as const
    const made: Thing[] = [...parents]
    const existing = this.#model.things(link.parent).filter((thing) => this.#model.mayHold(thing))
    for (let index = 0; index < 3; index++) {
      const child = this.#make(link.child, b)
      const targets = [...parents, ...existing].filter(({ tenant }) => tenant === child.tenant)
      const parent = pick(targets, c + index) as Thing
      const isPut = (c + index) % 2 === 0 && this.#put(parent, link, child)
      if (!isPut) child.instance[link.relation] = parent.instance
      this.#model.set(child, { [link.relation]: parent })
      this.#model.say(child, link, isPut ? 'other' : 'relation')
      made.push(child)
    }
    const order = permuted(made, b * 31 + c)
    if (c % 3 === 0) this.#session.addAll(order.map(({ instance }) => instance))
    else for (const { instance } of order) this.#session.add(instance)
  }

  /** Puts a child into a parent that is new, or whose relation is loaded. */
  #put(parent: Thing, link: Link, child: Thing): boolean {
    const { other, many } = link
    if (other === undefined) return false
    const { instance } = parent
    if (many !== true && this.#childrenOf(parent, link).length > 0) return false
    if (Object.hasOwn(instance, other)) {
      if (many !== true) return false
      const held = instance[other] as Instance[]
      if (!held.includes(child.instance)) held.push(child.instance)
    } else if (this.#model.flushed.has(parent)) return false
    else instance[other] = many === true ? [child.instance] : child.instance
    return true
  }

  #make(kind: Kind, b: number): Thing {
    const number = ++this.#count
    const tenant = isOfTenant(kind) ? (pick(TENANTS, b) as number) : undefined
    const label = `${kind} ${number}`
    const key = tenant === undefined ? {} : { tenantId: tenant, id: number }
    const instance = new (ENTITIES[kind] as unknown as new (values: object) => Instance)({ ...key, label })
    const thing = { kind, number, tenant, instance }
    const parents: Record<string, Thing | null> = {}
    for (const { relation } of linksOf(kind)) parents[relation] = null
    this.#model.world = new Map(this.#model.world).set(thing, { label, parents })
    return thing
  }

  // Objects change ---------------------------------------------------------------------------------------------------

  change(thing: Thing | undefined): void {
    if (thing === undefined || this.#model.roots.has(thing)) return
    const label = `${thing.kind} changed ${++this.#count}`
    thing.instance['label'] = label
    this.#model.world = new Map(this.#model.world).set(thing, { ...this.#model.values(thing), label })
  }

  /** Gives a child to another parent, or to none. */
  async give(a: number, b: number, c: number): Promise<void> {
    const link = pick(LINKS, a) as Link
    const child = pick(
      this.#model.things(link.child).filter((thing) => !this.#model.roots.has(thing)),
      b,
    )
    if (child === undefined) return
    const isNew = !this.#model.flushed.has(child)
    const targets: (Thing | null)[] = this.#model
      .things(link.parent)
      .filter((parent) => parent.tenant === child.tenant && !(isNew && !this.#model.mayHold(parent)))
    // A new object that belongs to nothing any more is an orphan or not by how it came.
    if (!(isNew && link.orphans === true)) targets.push(null)
    const target = pick(targets, c)
    if (target === undefined) return
    const how = pick(['relation', 'key', 'owner', 'relation', 'owner'] as const, b + c)
    const said = this.#model.saidOf(child, link)
    const give = (how: 'relation' | 'other'): boolean =>
      this.#model.attempt(() => {
        this.#model.set(child, { [link.relation]: target })
        this.#model.say(child, link, how)
      })
    if (how === 'relation') {
      if (said === 'other' || !give('relation')) return
      child.instance[link.relation] = target === null ? null : target.instance
    } else if (said !== undefined) return
    else if (how === 'key') {
      if (isNew || (target !== null && !this.#model.flushed.has(target))) return
      // Only a relation makes an orphan.
      if ((target === null && link.orphans === true) || !give('other')) return
      child.instance[link.key] = target === null ? null : keyOf(target)
    } else if (link.other === undefined) return
    else if (link.many === true) await this.#moveByCollections(link, child, target, give)
    else if (!isNew) this.#moveByOwner(link, child, target)
  }

  /** Assigns the only child of a parent. */
  #moveByOwner(link: Link, child: Thing, target: Thing | null): void {
    const from = this.#model.values(child).parents[link.relation] as Thing | null
    const owner = target ?? from
    if (owner === null || from === target || !this.#model.mayHold(owner)) return
    const { instance } = owner
    const name = link.other as string
    const held = this.#childrenOf(owner, link)
    const [before] = held
    if (held.length > 1 || (before !== undefined && this.#model.saidOf(before, link) !== undefined)) return
    // What it holds has to be what it knows.
    const known = before?.instance ?? null
    if (Object.hasOwn(instance, name) && instance[name] !== known) return
    const isSet = this.#model.attempt(() => {
      for (const [one, parent] of [[before, null] as const, [child, target] as const]) {
        if (one === undefined) continue
        this.#model.set(one, { [link.relation]: parent })
        this.#model.say(one, link, 'other')
      }
    })
    if (isSet) instance[name] = target === null ? null : child.instance
  }

  /** The children of a parent, now and as they were flushed. */
  #childrenOf(parent: Thing, { child, relation }: Link): Thing[] {
    const { world, flushed } = this.#model
    return this.#model
      .things(child)
      .filter(
        (thing) =>
          world.get(thing)?.parents[relation] === parent || flushed.get(thing)?.parents[relation] === parent,
      )
  }

  /** Assigns an array to a collection that is not loaded: what is not in it is taken out. */
  assign(a: number, b: number, c: number): void {
    const link = pick(
      LINKS.filter(({ many }) => many === true),
      a,
    ) as Link
    const owner = pick(
      this.#model.things(link.parent).filter((thing) => this.#model.mayHold(thing)),
      b,
    )
    const name = link.other as string
    if (owner === undefined || Object.hasOwn(owner.instance, name) || !this.#model.flushed.has(owner)) return
    const array: Thing[] = []
    const isSet = this.#model.attempt(() => {
      for (const [index, child] of this.#model.things(link.child).entries()) {
        if (child.tenant !== owner.tenant || this.#model.roots.has(child)) continue
        const isMine = this.#model.values(child).parents[link.relation] === owner
        if (this.#model.saidOf(child, link) !== undefined) {
          // A change of its own, which the array must not contradict.
          if (isMine) array.push(child)
          continue
        }
        const isIn = (c + index) % 3 === 0 || (isMine && (c + index) % 3 === 1)
        if (isIn) array.push(child)
        if (isIn === isMine) continue
        this.#model.set(child, { [link.relation]: isIn ? owner : null })
        this.#model.say(child, link, 'other')
      }
    })
    if (isSet) owner.instance[name] = array.map(({ instance }) => instance)
  }

  async #moveByCollections(
    link: Link,
    child: Thing,
    target: Thing | null,
    give: (how: 'other') => boolean,
  ): Promise<void> {
    const from = this.#model.values(child).parents[link.relation] as Thing | null
    if (from === target) return
    const [given, taken] = [await this.#collection(target, link), await this.#collection(from, link)]
    if (target !== null && (given === undefined || given.includes(child.instance))) return
    const isHeld = taken?.includes(child.instance) === true
    // A child that is only taken out has to be in.
    if ((target === null && !isHeld) || !give('other')) return
    if (isHeld) taken.splice(taken.indexOf(child.instance), 1)
    given?.push(child.instance)
  }

  async #collection(owner: Thing | null, link: Link): Promise<Instance[] | undefined> {
    if (owner === null || !this.#model.mayHold(owner)) return undefined
    const name = link.other as string
    if (!Object.hasOwn(owner.instance, name)) {
      if (this.#model.flushed.has(owner)) await this.load(owner)
      else owner.instance[name] = []
    }
    return owner.instance[name] as Instance[]
  }

  async delete(a: number): Promise<void> {
    const thing = pick(
      this.#model.stored().filter(({ kind }) => kind !== 'category'),
      a,
    )
    if (thing === undefined || this.#model.roots.has(thing)) return
    // PostgreSQL refuses to delete it while rows that are not loaded refer to it.
    if (LINKS.some(({ parent, deletes }) => parent === thing.kind && deletes !== true)) await this.load(thing)
    if (this.#model.attempt(() => this.#model.delete(thing))) this.#session.delete(thing.instance)
  }

  /** Adds it although it is to be deleted. */
  keep(thing: Thing | undefined): void {
    const model = this.#model
    if (thing === undefined || model.roots.size === 0) return
    // What was put into its relations since the last flush would come back with it.
    const brings = [...model.roots.keys()].some((root) =>
      linksOf(thing.kind)
        .map(({ relation }) => model.values(thing).parents[relation])
        .concat(
          linksOf(root.kind).map(({ relation }) =>
            model.values(root).parents[relation] === thing ? root : null,
          ),
        )
        .includes(root),
    )
    if (brings) return
    if (model.attempt(() => model.keep(thing))) this.#session.add(thing.instance)
  }

  // Loading ----------------------------------------------------------------------------------------------------------

  async load(thing: Thing | undefined): Promise<void> {
    if (thing === undefined) return
    const { kind, instance } = thing
    const names = LINKS.flatMap(({ parent, other }) =>
      parent === kind && other !== undefined ? [other] : [],
    )
    const entity: AnyEntity = ENTITIES[kind]
    const key = isOfTenant(kind) ? { tenantId: thing.tenant, id: keyOf(thing) } : keyOf(thing)
    const found = await this.#session.get(entity, key, { load: names as never[] })
    expect(found, `the session gives ${nameOf(thing)}`).toBe(instance)
  }
}

export function pick<Item>(items: readonly Item[], number: number): Item | undefined {
  return items[number % Math.max(1, items.length)]
}

/** An order that a number chooses. */
function permuted<Item>(items: readonly Item[], number: number): Item[] {
  const rest = [...items]
  const order: Item[] = []
  for (let left = number; rest.length > 0; left = Math.floor(left / 2) + rest.length)
    order.push(...rest.splice(left % rest.length, 1))
  return order
}
