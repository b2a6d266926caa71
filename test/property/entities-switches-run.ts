/**
 * Runs programs on a session and on a model. The model knows objects by identity, and rows by key: a new object may take the key of a
 * deleted one, and what belonged to the deleted one does not belong to the new one.
 */
import { expect } from 'vitest'
import { select, sql, type AnyEntity, type Savepoint, type Session } from '../../src/index.js'
import { metaOf } from '../../src/schema/entity-meta.js'
import { ENTITIES, KEPT, KINDS, PARENTS, type Kind } from './entities-switches-schema.js'

export const STEPS = [
  'create',
  'delete',
  'replace',
  'keep',
  'merge',
  'move',
  'orphan',
  'flush',
  'enter',
  'undo',
  'release',
  'commit',
  'rollback',
] as const

/** Numbers choose among what there is. */
export interface Step {
  readonly step: (typeof STEPS)[number]
  readonly kind: number
  readonly id: number
  readonly parent: number
}

type Instance = Record<string, unknown>

interface Thing {
  readonly kind: Kind
  readonly id: number
}

interface Values {
  readonly name: string
  readonly parent: Thing | null
}

type World = ReadonlyMap<Thing, Values>

export class SwitchesRun {
  readonly #session: Session
  /** The stored rows of an entity, seen from outside. */
  readonly #rows: (kind: Kind) => Promise<Instance[]>
  #world: World = new Map()
  #committed: World = new Map()
  readonly #savepoints: { readonly scope: Savepoint; readonly world: World }[] = []
  /** New objects. */
  readonly #made = new Map<Thing, Instance>()
  /** What `delete` was called for, and what came back since, with the number of the call. */
  readonly #roots = new Map<Thing, number>()
  readonly #spared = new Map<Thing, number>()
  readonly #orphans = new Set<Thing>()
  /** Each child gets one other parent in a flush. */
  readonly #moved = new Set<Thing>()
  /** Pets of one owner are put into its array; other moves of pets would contradict it. */
  #hasArray = false
  #count = 0

  constructor(session: Session, rows: (kind: Kind) => Promise<Instance[]>) {
    this.#session = session
    this.#rows = rows
  }

  async program(steps: readonly Step[]): Promise<void> {
    for (const { step, kind, id, parent } of steps)
      await this.#step(step, KINDS[kind % KINDS.length] as Kind, 1 + (id % 3), parent)
    while (this.#savepoints.length > 0) await this.#leave(false)
    await this.#commit()
  }

  async #step(step: Step['step'], kind: Kind, id: number, parent: number): Promise<void> {
    const live = this.#live(kind, id)
    const isStored = live !== undefined && !this.#made.has(live)
    switch (step) {
      case 'create':
        return live === undefined ? this.#create(kind, id, parent) : undefined
      case 'delete':
        return isStored ? void (await this.#delete(live)) : undefined
      case 'replace':
        return isStored && (await this.#delete(live)) ? this.#create(kind, id, parent) : undefined
      case 'keep':
        return live === undefined ? this.#keep(this.#root(kind, id)) : undefined
      case 'merge':
        return live === undefined || isStored ? this.#merge(kind, id, live, parent) : undefined
      case 'move':
        return isStored ? this.#move(live, parent) : undefined
      case 'orphan':
        return this.#orphan(id, parent)
      case 'flush':
        return this.#flush()
      case 'enter':
        return this.#enter()
      case 'undo':
        return this.#leave(true)
      case 'release':
        return this.#leave(false)
      case 'commit':
        return this.#savepoints.length === 0 ? this.#commit() : undefined
      case 'rollback':
        return this.#savepoints.length === 0 ? this.#rollback() : undefined
    }
  }

  // Objects ----------------------------------------------------------------------------------------------------------

  async #create(kind: Kind, id: number, choice: number): Promise<void> {
    const parent = kind === 'pet' && this.#hasArray ? null : this.#target(kind, choice)
    const { instance, thing } = this.#make(kind, id, parent)
    if (parent !== null && choice % 2 === 0) instance['parent'] = await this.#instance(parent)
    else if (parent !== null) instance['parentId'] = parent.id
    this.#made.set(thing, instance)
    this.#session.add(instance)
  }

  #make(kind: Kind, id: number, parent: Thing | null): { instance: Instance; thing: Thing } {
    const name = `${kind} ${++this.#count}`
    const instance = new (ENTITIES[kind] as unknown as new (values: object) => Instance)({ id, name })
    const thing = { kind, id }
    this.#set(thing, { name, parent })
    return { instance, thing }
  }

  /** @returns whether it is deleted: what was given to it in the same flush would contradict that. */
  async #delete(thing: Thing): Promise<boolean> {
    const isGivenTo = [...this.#world].some(
      ([child, { parent }]) => parent === thing && (this.#moved.has(child) || this.#made.has(child)),
    )
    if (isGivenTo) return false
    this.#session.delete(await this.#instance(thing))
    this.#roots.set(thing, ++this.#count)
    this.#spared.delete(thing)
    return true
  }

  async #keep(thing: Thing | undefined): Promise<void> {
    if (thing === undefined) return
    this.#session.add(await this.#instance(thing))
    this.#spare(thing)
  }

  #spare(thing: Thing): void {
    if (this.#roots.size > 0) this.#spared.set(thing, ++this.#count)
    this.#roots.delete(thing)
  }

  async #merge(kind: Kind, id: number, live: Thing | undefined, choice: number): Promise<void> {
    const found = live ?? this.#root(kind, id) ?? this.#goingOne(kind, id)
    const name = `${kind} ${++this.#count}`
    const given = new (ENTITIES[kind] as unknown as new (values: object) => Instance)({ id, name })
    const merged = await this.#session.merge(given)
    const thing = found ?? { kind, id }
    if (found === undefined) this.#made.set(thing, merged)
    else {
      expect(merged).toBe(await this.#instance(found))
      this.#spare(found)
    }
    const isOrphan = this.#orphans.delete(thing)
    this.#set(thing, { name, parent: isOrphan ? null : (this.#world.get(thing)?.parent ?? null) })
    if (choice % 2 === 0 && found !== undefined) await this.#move(thing, choice)
  }

  async #move(child: Thing, choice: number): Promise<void> {
    const { kind } = child
    if (this.#moved.has(child) || (kind === 'pet' && this.#hasArray)) return
    const parent = this.#target(kind, choice)
    const before = this.#values(child).parent
    if (PARENTS[kind] === undefined || parent === before) return
    const isByKey = choice % 2 === 0 || parent === null
    // Setting a key to the same value is no change.
    if (isByKey && parent?.id === before?.id) return
    const instance = await this.#instance(child)
    if (isByKey) instance['parentId'] = parent === null ? null : parent.id
    else instance['parent'] = await this.#instance(parent)
    this.#moved.add(child)
    this.#set(child, { ...this.#values(child), parent })
  }

  /** Takes pets out of an owner; new pets get the keys of some. */
  async #orphan(id: number, choice: number): Promise<void> {
    await this.#flush()
    const owner = this.#live('owner', id)
    if (owner === undefined) return
    const instance = await this.#instance(owner)
    await this.#session.refresh(instance, { load: ['pets'] })
    const held = instance['pets'] as Instance[]
    instance['pets'] = held.flatMap((pet, index) => {
      const thing = this.#live('pet', pet['id'] as number) as Thing
      if ((choice + index) % 3 === 0) return [pet]
      this.#orphans.add(thing)
      if ((choice + index) % 3 === 1) return []
      const made = this.#make('pet', thing.id, owner)
      this.#made.set(made.thing, made.instance)
      return [made.instance]
    })
    this.#hasArray = true
  }

  // The model --------------------------------------------------------------------------------------------------------

  #values(thing: Thing): Values {
    return this.#world.get(thing) as Values
  }

  #set(thing: Thing, values: Values): void {
    this.#world = new Map(this.#world).set(thing, values)
  }

  /** What has a key and stays. */
  #live(kind: Kind, id: number): Thing | undefined {
    const going = this.#going()
    return [...this.#world.keys()].find((one) => one.kind === kind && one.id === id && !going.has(one))
  }

  #root(kind: Kind, id: number): Thing | undefined {
    return [...this.#roots.keys()].find((one) => one.kind === kind && one.id === id)
  }

  #goingOne(kind: Kind, id: number): Thing | undefined {
    return [...this.#going()].find((one) => one.kind === kind && one.id === id)
  }

  #target(kind: Kind, choice: number): Thing | null {
    const parent = PARENTS[kind]
    return (parent && this.#live(parent, 1 + (choice % 5))) ?? null
  }

  /** What the flush deletes. */
  #going(): Set<Thing> {
    const going = new Set([...this.#roots.keys(), ...this.#orphans])
    for (const [thing, { parent }] of this.#world) {
      const call = (parent !== null && this.#roots.get(parent)) || 0
      if (thing.kind === 'pet' && call > (this.#spared.get(thing) ?? 0)) going.add(thing)
    }
    return going
  }

  async #instance(thing: Thing): Promise<Instance> {
    const made = this.#made.get(thing)
    if (made !== undefined) return made
    const found: unknown = await this.#session.getOne(ENTITIES[thing.kind], thing.id)
    return found as Instance
  }

  // Ends -------------------------------------------------------------------------------------------------------------

  async #flush(): Promise<void> {
    await this.#prepare()
    await this.#session.flush()
    await this.#flushed()
  }

  /** A plain delete has to know the children that lose their owner. A row switch finds them. */
  async #prepare(): Promise<void> {
    for (const thing of this.#going()) {
      const { kind, id } = thing
      const relation = KEPT[kind]
      if (relation === undefined || this.#live(kind, id) !== undefined) continue
      await this.#session.getOne(ENTITIES[kind], id, { load: [relation] as never })
    }
  }

  async #flushed(): Promise<void> {
    const going = this.#going()
    const stays = [...this.#world].filter(([thing]) => !going.has(thing))
    this.#world = new Map(
      stays.map(([thing, { name, parent }]) => {
        const isLost = parent === null || going.has(parent)
        return [thing, { name, parent: isLost ? null : parent }]
      }),
    )
    this.#forget()
    const { new: pending, dirty, deleted } = this.#session
    expect({ pending, dirty, deleted }).toEqual({ pending: [], dirty: [], deleted: [] })
    for (const kind of KINDS) {
      const { sql: table } = metaOf(ENTITIES[kind] as AnyEntity).table
      const found = await this.#session.execute(sql`select * from ${sql.raw(table)}`)
      const rows = (found.all() as Instance[]).map(({ parent_id: parentId, ...row }) => ({
        ...row,
        parentId,
      }))
      expect(sorted(rows), kind).toEqual(this.#expected(kind))
      const objects = (await this.#session.scalars(select(ENTITIES[kind] as AnyEntity))) as Instance[]
      expect(sorted(objects.map(({ id, name, parentId }) => ({ id, name, parentId })))).toEqual(
        this.#expected(kind),
      )
    }
  }

  #expected(kind: Kind): Instance[] {
    const all = [...this.#world].filter(([thing]) => thing.kind === kind)
    return sorted(
      all.map(([{ id }, { name, parent }]) => ({
        id,
        name,
        parentId: kind === 'owner' ? undefined : (parent?.id ?? null),
      })),
    )
  }

  #forget(): void {
    for (const all of [this.#made, this.#roots, this.#spared, this.#orphans, this.#moved]) all.clear()
    this.#hasArray = false
  }

  async #enter(): Promise<void> {
    await this.#prepare()
    const scope = await this.#session.beginNested()
    await this.#flushed()
    this.#savepoints.push({ scope, world: this.#world })
  }

  async #leave(isUndone: boolean): Promise<void> {
    const savepoint = this.#savepoints.at(-1)
    if (savepoint === undefined) return
    if (!isUndone) {
      await this.#prepare()
      await savepoint.scope.commit()
      await this.#flushed()
    } else {
      await savepoint.scope.rollback()
      this.#world = savepoint.world
      this.#forget()
      await this.#flushed()
    }
    this.#savepoints.pop()
  }

  async #commit(): Promise<void> {
    await this.#prepare()
    await this.#session.commit()
    await this.#flushed()
    this.#committed = this.#world
    for (const kind of KINDS) {
      const rows = (await this.#rows(kind)).map(({ id, name, parentId }) => ({ id, name, parentId }))
      expect(sorted(rows), kind).toEqual(this.#expected(kind))
    }
    // What was read to compare is no longer in a transaction.
    await this.#session.commit()
  }

  async #rollback(): Promise<void> {
    await this.#session.rollback()
    this.#world = this.#committed
    this.#forget()
    await this.#flushed()
  }
}

function sorted(rows: readonly Instance[]): Instance[] {
  return [...rows].sort((a, b) => (a['id'] as number) - (b['id'] as number))
}
