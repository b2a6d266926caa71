/**
 * Moves children between parents and deletes parents, on a session and on a model of whom a child belongs to now. In one
 * flush each child is moved in one way only: by its own relation (as often as the program likes), by its key, or by collections.
 */
import { expect } from 'vitest'
import { select, type AnyEntity, type Session, type SessionFactory } from '../../src/index.js'
import { stateOf } from '../../src/unit/instance-state.js'
import { FamiliesModel, keyOf, nameOf, type Instance, type Thing } from './entities-families-model.js'
import {
  ENTITIES,
  isOfTenant,
  KINDS,
  LINKS,
  linksOf,
  TENANTS,
  type Kind,
  type Link,
} from './entities-families-schema.js'

export type StepKind =
  'grow' | 'give' | 'change' | 'delete' | 'load' | 'query' | 'expire' | 'flush' | 'commit' | 'rollback'

/** Numbers choose among what there is. */
export interface Step {
  readonly kind: StepKind
  readonly a: number
  readonly b: number
  readonly c: number
}

/** Looks at the rows from outside. */
export type Rows = (kind: Kind) => Promise<Record<string, unknown>[]>

export class FamiliesRun {
  readonly #session: Session
  readonly #rows: Rows
  readonly #model = new FamiliesModel()
  #count = 0

  constructor(sessions: SessionFactory, rows: Rows) {
    this.#session = sessions()
    this.#rows = rows
  }

  async program(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#step(step)
    await this.#commit()
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #step({ kind, a, b, c }: Step): Promise<void> {
    switch (kind) {
      case 'grow':
        return this.#grow(a, b, c)
      case 'give':
        return this.#give(a, b, c)
      case 'change':
        return this.#change(pick([...this.#model.world.keys()], a))
      case 'delete':
        return this.#delete(a)
      case 'load':
        return this.#load(pick(this.#model.stored(), a))
      case 'query':
        return this.#query(pick(KINDS, a) as Kind)
      case 'expire':
        return this.#expire(pick(this.#model.stored(), a))
      case 'flush':
        return this.#flush()
      case 'commit':
        return this.#commit()
      case 'rollback':
        return this.#rollback()
    }
  }

  // Objects come -----------------------------------------------------------------------------------------------------

  /** New parents with new children, added in any order, each child by its own relation or by that of its parent. */
  #grow(a: number, b: number, c: number): void {
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
  #put(parent: Thing, { other, many }: Link, child: Thing): boolean {
    if (other === undefined) return false
    const { instance } = parent
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

  #change(thing: Thing | undefined): void {
    if (thing === undefined || this.#model.roots.has(thing)) return
    const label = `${thing.kind} changed ${++this.#count}`
    thing.instance['label'] = label
    this.#model.world = new Map(this.#model.world).set(thing, { ...this.#model.values(thing), label })
  }

  /** Gives a child to another parent, or to none. */
  async #give(a: number, b: number, c: number): Promise<void> {
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
    const how = pick(['relation', 'key', 'collection', 'relation'] as const, b + c)
    const said = this.#model.saidOf(child, link)
    if (how === 'relation') {
      if (said === 'other') return
      child.instance[link.relation] = target === null ? null : target.instance
      this.#model.say(child, link, 'relation')
    } else if (said !== undefined) return
    else if (how === 'key') {
      if (isNew || (target !== null && !this.#model.flushed.has(target))) return
      // Only a relation makes an orphan.
      if (target === null && link.orphans === true) return
      child.instance[link.key] = target === null ? null : keyOf(target)
      this.#model.say(child, link, 'other')
    } else if (!(await this.#moveByCollections(link, child, target))) return
    this.#model.set(child, { [link.relation]: target })
  }

  async #moveByCollections(link: Link, child: Thing, target: Thing | null): Promise<boolean> {
    if (link.other === undefined || link.many !== true) return false
    const from = this.#model.values(child).parents[link.relation] as Thing | null
    if (from === target) return false
    const [given, taken] = [await this.#collection(target, link), await this.#collection(from, link)]
    if (target !== null && (given === undefined || given.includes(child.instance))) return false
    const isHeld = taken?.includes(child.instance) === true
    // A child that is only taken out has to be in.
    if (target === null && !isHeld) return false
    if (isHeld) taken.splice(taken.indexOf(child.instance), 1)
    given?.push(child.instance)
    this.#model.say(child, link, 'other')
    return true
  }

  async #collection(owner: Thing | null, link: Link): Promise<Instance[] | undefined> {
    if (owner === null || !this.#model.mayHold(owner)) return undefined
    const name = link.other as string
    if (!Object.hasOwn(owner.instance, name)) {
      if (this.#model.flushed.has(owner)) await this.#load(owner)
      else owner.instance[name] = []
    }
    return owner.instance[name] as Instance[]
  }

  #delete(a: number): void {
    const thing = pick(
      this.#model.stored().filter(({ kind }) => kind !== 'category'),
      a,
    )
    if (thing === undefined || this.#model.roots.has(thing)) return
    this.#session.delete(thing.instance)
    this.#model.roots.add(thing)
  }

  // Loading ----------------------------------------------------------------------------------------------------------

  async #load(thing: Thing | undefined): Promise<void> {
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

  async #query(kind: Kind): Promise<void> {
    const found = (await this.#session.execute(select(ENTITIES[kind] as AnyEntity))).scalars()
    const expected = [...this.#model.flushed.keys()].filter((thing) => thing.kind === kind)
    expect(new Set(found)).toEqual(new Set(expected.map(({ instance }) => instance)))
  }

  /** Behind a flush, so that nothing is lost. */
  async #expire(thing: Thing | undefined): Promise<void> {
    await this.#flush()
    if (thing !== undefined && this.#model.world.has(thing)) this.#session.expire(thing.instance)
  }

  // Ends -------------------------------------------------------------------------------------------------------------

  async #flush(): Promise<void> {
    const came = this.#session.new as Instance[]
    await this.#session.flush()
    this.#model.settle()
    this.#compareOrder(came)
    this.#compare()
  }

  async #commit(): Promise<void> {
    const came = this.#session.new as Instance[]
    await this.#session.commit()
    this.#model.settle()
    this.#model.commit()
    this.#compareOrder(came)
    this.#compare()
    for (const thing of this.#model.gone)
      expect(stateOf(thing.instance).status, nameOf(thing)).toBe('detached')
    for (const kind of KINDS) {
      const expected = this.#model.things(kind).map((thing) => this.#model.row(thing))
      expect(sorted(await this.#rows(kind)), kind).toEqual(sorted(expected))
    }
  }

  async #rollback(): Promise<void> {
    await this.#session.rollback()
    for (const thing of this.#model.world.keys())
      if (!this.#model.committed.has(thing))
        expect(stateOf(thing.instance).status, nameOf(thing)).toBe('transient')
    this.#model.rollback()
    this.#compare()
  }

  /** Rows are inserted in the order in which their objects came. */
  #compareOrder(came: readonly Instance[]): void {
    for (const kind of KINDS.filter((one) => !isOfTenant(one))) {
      const ids = came.flatMap((instance) =>
        instance.constructor === ENTITIES[kind] && stateOf(instance).status === 'persistent'
          ? [stateOf(instance).snapshot?.[0] as number]
          : [],
      )
      expect(ids, `the order of add: ${kind}`).toEqual([...ids].sort((a, b) => a - b))
    }
  }

  #compare(): void {
    const { new: pending, dirty, deleted } = this.#session
    expect({ pending, dirty, deleted }).toEqual({ pending: [], dirty: [], deleted: [] })
    for (const thing of this.#model.world.keys()) {
      const { status, meta, instance } = stateOf(thing.instance)
      expect(status, nameOf(thing)).toBe('persistent')
      for (const [name, value] of Object.entries(this.#model.row(thing))) {
        if (meta.isExpired(instance, meta.table.column(name))) continue
        expect({ [name]: instance[name] }, nameOf(thing)).toEqual({ [name]: value })
      }
    }
    for (const thing of this.#model.gone)
      expect(['deleted', 'detached'], nameOf(thing)).toContain(stateOf(thing.instance).status)
  }
}

function pick<Item>(items: readonly Item[], number: number): Item | undefined {
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

function sorted(rows: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  const id = (row: Record<string, unknown>): string => `${String(row['tenantId'])} ${String(row['id'])}`
  return [...rows].sort((one, other) => (id(one) < id(other) ? -1 : 1))
}
