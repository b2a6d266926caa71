/** Runs the steps of a program on a session and on its model alike, and compares what comes of it. */
import { inspect } from 'node:util'
import { expect } from 'vitest'
import { select, type Session, type SessionFactory } from '../../src/index.js'
import { Model, nameOf, referenceBehind, type Thing, type World } from './entities-model.js'
import { COLLECTIONS, KINDS, Person, SHAPES, Team, type Kind, type Reference } from './entities-schema.js'

/** What the steps of a program do. */
export type ActionKind =
  | 'add'
  | 'add again'
  | 'change'
  | 'change in place'
  | 'change unique'
  | 'change key'
  | 'refer'
  | 'collect'
  | 'delete'
  | 'flush'
  | 'query'
  | 'refresh'
  | 'expire'
  | 'break'
  | 'commit'
  | 'break commit'
  | 'rollback'
  | 'new session'

/** Numbers choose among what there is at that moment; where there is nothing to choose from, nothing is done. */
export interface Action {
  readonly kind: ActionKind
  readonly a: number
  readonly b: number
  readonly c: number
  readonly flag: boolean
}

/** A savepoint. */
export interface Nested {
  readonly kind: 'nested'
  readonly steps: readonly Step[]
  readonly throws: boolean
}

export type Step = Action | Nested

/** Looks at the database from outside. */
export interface Observer {
  /** The rows of an entity, by property. */
  rows(kind: Kind): Promise<Record<string, unknown>[]>
  /** Keys of people and tags. */
  links(): Promise<unknown[][]>
}

type Instance = Record<string, unknown>

/** Undoes a savepoint. */
class Undo extends Error {}

const TEXTS = ['a', 'b', 'c', 'ü "\'\\ {,} NULL']

export class Run {
  readonly #sessions: SessionFactory
  readonly #observer: Observer
  readonly #model = new Model()
  #session: Session
  readonly #instances = new Map<Thing, Instance>()
  readonly #things = new Map<Instance, Thing>()
  /** Objects of an earlier session that this one was given and has not committed yet. */
  readonly #takenAlong = new Set<Instance>()
  #depth = 0

  constructor(sessions: SessionFactory, observer: Observer) {
    this.#sessions = sessions
    this.#observer = observer
    this.#session = sessions()
  }

  async program(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#step(step)
    await this.#commit()
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  async #step(step: Step): Promise<void> {
    if (step.kind === 'nested') return this.#nested(step)
    const model = this.#model
    const { a, b, c, flag } = step
    switch (step.kind) {
      case 'add':
        return this.#add(pick(KINDS, a) as Kind, b, c, flag)
      case 'add again':
        return this.#addAgain(pick([...model.transient], a), b)
      case 'change':
        return this.#change(pick(model.things(), a), b)
      case 'change in place':
        return this.#changeInPlace(pick(model.things('person'), a), b, flag)
      case 'change unique':
        return this.#changeUnique(pick(model.things('person'), a), b)
      case 'change key':
        return this.#changeKey(pick(model.things('place'), a), b)
      case 'refer':
        return this.#refer(a, b, c, flag)
      case 'collect':
        return this.#collect(a, b, c, flag)
      case 'delete':
        return this.#delete(pick(model.things(), a), flag)
      case 'flush':
        return this.#flush()
      case 'query':
        return this.#query(pick(KINDS, a) as Kind)
      case 'refresh':
        return this.#refresh(pick(model.things(), a))
      case 'expire':
        return this.#expire(pick(model.things(), a), flag)
      case 'break':
        return this.#break()
      case 'commit':
        return this.#commit()
      case 'break commit':
        return this.#breakCommit(pick(model.things('hen'), a))
      case 'rollback':
        return this.#rollback()
      case 'new session':
        return this.#newSession(flag)
    }
  }

  async #nested({ steps, throws }: Nested): Promise<void> {
    let before: World | undefined
    this.#depth++
    try {
      await this.#session.beginNested(async () => {
        this.#flushed()
        before = this.#model.flushed
        for (const step of steps) await this.#step(step)
        if (throws) throw new Undo()
      })
      this.#flushed()
    } catch (error) {
      if (!(error instanceof Undo) || before === undefined) throw error
      this.#restored(before)
    } finally {
      this.#depth--
    }
  }

  // Objects come and go -----------------------------------------------------------------------------------------------

  #add(kind: Kind, b: number, c: number, refers: boolean): void {
    const model = this.#model
    if (kind === 'hen' || kind === 'egg') return this.#addCircle(textOf(b))
    const columns = this.#newColumns(kind, b, c)
    if (columns === undefined) return
    const thing = model.create(kind)
    const references: Record<string, Thing | null> = {}
    const relations: Instance = {}
    for (const [name, { to }] of Object.entries(SHAPES[kind].references)) {
      const target = refers ? pick(this.#held(to), b + c) : undefined
      references[name] = target ?? null
      if (target === undefined) continue
      relations[name] = this.#instances.get(target)
      model.touch(thing, name, 'relation')
    }
    const values = structuredClone(columns)
    this.#session.add(this.#make(thing, { ...columns, ...relations }))
    model.put(thing, { columns: values, references, tags: new Set() })
  }

  #newColumns(kind: Kind, b: number, c: number): Record<string, unknown> | undefined {
    const label = textOf(b)
    const model = this.#model
    switch (kind) {
      case 'person': {
        const email = c % 2 === 0 ? textOf(c / 2) : null
        if (email !== null && !model.isFree('person', { email })) return undefined
        return { name: label, email, notes: { list: [b] }, seen: new Date(Date.UTC(2020, 0, 1 + b)) }
      }
      case 'team':
        return { id: new Team({ name: '' }).id, name: label }
      case 'tag':
        return model.isFree('tag', { name: textOf(c) }) ? { name: textOf(c), label } : undefined
      case 'place': {
        const key = { city: textOf(c), number: b % 3 }
        return model.isFree('place', key) ? { ...key, label } : undefined
      }
      default:
        return { label }
    }
  }

  #addCircle(label: string): void {
    const model = this.#model
    const [hen, egg] = [model.create('hen'), model.create('egg')]
    const laying = this.#make(hen, { label })
    laying['egg'] = this.#make(egg, { label, hen: laying })
    this.#session.add(laying)
    model.put(hen, { columns: { label }, references: { egg }, tags: new Set() })
    model.put(egg, { columns: { label }, references: { hen }, tags: new Set() })
    model.touch(hen, 'egg', 'relation')
    model.touch(egg, 'hen', 'relation')
  }

  /** What a rollback has made new again can be added as if it had just been made. */
  #addAgain(thing: Thing | undefined, b: number): void {
    const instance = thing && this.#instances.get(thing)
    if (thing === undefined || instance === undefined) return
    const { kind } = thing
    const { isMade, key: keyNames, columns: names, references: declared } = SHAPES[kind]
    const columns = Object.fromEntries(names.map((name) => [name, instance[name]]))
    const key = Object.fromEntries(keyNames.map((name) => [name, columns[name]]))
    const email = columns['email'] ?? null
    if (!isMade && !this.#model.isFree(kind, key)) return
    if (email !== null && !this.#model.isFree(kind, { email })) return
    const references: Record<string, Thing | null> = {}
    for (const [name, reference] of Object.entries(declared)) {
      const target = pick(this.#held(reference.to), b) ?? null
      if (reference.required === true && target === null) return
      references[name] = target
      // A key that was set before the rollback would contradict the relation.
      Object.assign(instance, this.#model.foreignKey(reference, null))
    }
    if (isMade) expect(instance['id'], `${nameOf(thing)}.id, which PostgreSQL had made`).toBeUndefined()
    for (const name of Object.keys(COLLECTIONS[kind] ?? {}))
      if (Object.hasOwn(instance, name)) instance[name] = []
    this.#model.put(thing, { columns: structuredClone(columns), references, tags: new Set() })
    for (const [name, target] of Object.entries(references)) this.#assign(thing, name, target)
    this.#session.add(instance)
  }

  /** Deletes a thing, and lets go of it whatever refers to it, or deletes that, too. */
  async #delete(thing: Thing | undefined, together: boolean): Promise<void> {
    if (thing === undefined) return
    const model = this.#model
    const going = new Set([thing])
    const letting: { readonly thing: Thing; readonly name: string }[] = []
    // A set gives what is added to it while it is read.
    for (const target of going) {
      for (const referring of model.referring(target)) {
        const { required } = SHAPES[referring.thing.kind].references[referring.name] as Reference
        if (together || required === true) going.add(referring.thing)
        else letting.push(referring)
      }
    }
    for (const one of [...going, ...letting.map((referring) => referring.thing)]) await this.#instance(one)
    // What was said by a key or a collection cannot be unsaid by the relation.
    if (letting.some((one) => model.touched(one.thing, one.name) === 'other')) await this.#flush()
    for (const { thing: holder, name } of letting) if (!going.has(holder)) this.#assign(holder, name, null)
    for (const one of going) this.#takeOutOfCollections(one)
    for (const one of going) {
      const instance = this.#instances.get(one) as Instance
      if (model.isNew(one)) this.#session.expunge(instance)
      else this.#session.delete(instance)
    }
    for (const one of going) model.remove(one)
  }

  /** What is deleted may not be added. */
  #takeOutOfCollections(thing: Thing): void {
    const instance = this.#instances.get(thing) as Instance
    for (const [owner, holder] of this.#instances) {
      for (const name of Object.keys(COLLECTIONS[owner.kind] ?? {})) {
        if (!Object.hasOwn(holder, name)) continue
        const held = holder[name] as Instance[]
        if (held.includes(instance)) held.splice(held.indexOf(instance), 1)
      }
    }
  }

  // Objects change ----------------------------------------------------------------------------------------------------

  async #change(thing: Thing | undefined, b: number): Promise<void> {
    if (thing === undefined) return
    const instance = await this.#instance(thing)
    const { text } = SHAPES[thing.kind]
    instance[text] = textOf(b)
    this.#model.set(thing, { [text]: textOf(b) })
  }

  async #changeInPlace(thing: Thing | undefined, b: number, flag: boolean): Promise<void> {
    if (thing === undefined) return
    const { notes, seen } = (await this.#loaded(thing)) as unknown as Person
    if (flag) notes.list.push(b)
    else seen.setUTCHours(b)
    this.#model.set(thing, structuredClone({ notes, seen }))
  }

  async #changeUnique(thing: Thing | undefined, b: number): Promise<void> {
    if (thing === undefined) return
    const instance = await this.#instance(thing)
    const email = b % 5 === 0 ? null : textOf(b)
    if (email !== null && !this.#model.isFree('person', { email })) return
    instance['email'] = email
    this.#model.set(thing, { email })
  }

  async #changeKey(thing: Thing | undefined, b: number): Promise<void> {
    if (thing === undefined) return
    const model = this.#model
    const instance = await this.#instance(thing)
    const key = { city: textOf(b), number: b % 3 }
    const isReferredTo = [model.world, model.flushed].some(
      (world) => model.referring(thing, world).length > 0,
    )
    if (isReferredTo || !model.isFree('place', key)) return
    Object.assign(instance, key)
    model.set(thing, key)
  }

  async #refer(a: number, b: number, c: number, byKey: boolean): Promise<void> {
    const model = this.#model
    const thing = pick(
      model.things().filter(({ kind }) => Object.keys(SHAPES[kind].references).length > 0),
      a,
    )
    if (thing === undefined) return
    const [name, reference] = pick(Object.entries(SHAPES[thing.kind].references), b) as [string, Reference]
    const candidates: (Thing | null)[] = model.things(reference.to)
    if (reference.required !== true) candidates.push(null)
    const target = pick(candidates, c)
    if (target === undefined) return
    const instance = await this.#instance(thing)
    if (target !== null) await this.#instance(target)
    const touched = model.touched(thing, name)
    if (!byKey) {
      if (touched !== 'other') this.#assign(thing, name, target)
      return
    }
    if (touched !== undefined || (target !== null && model.isNew(target))) return
    Object.assign(instance, model.foreignKey(reference, target))
    model.refer(thing, name, target)
    model.touch(thing, name, 'other')
  }

  #assign(thing: Thing, name: string, target: Thing | null): void {
    const instance = this.#instances.get(thing) as Instance
    instance[name] = target === null ? null : this.#instances.get(target)
    this.#model.refer(thing, name, target)
    this.#model.touch(thing, name, 'relation')
  }

  /** Puts a thing into a collection, or takes one out. */
  async #collect(a: number, b: number, c: number, takesOut: boolean): Promise<void> {
    const model = this.#model
    const owner = pick(
      model.things().filter(({ kind }) => kind in COLLECTIONS),
      a,
    )
    if (owner === undefined) return
    const [name, kind] = pick(Object.entries(COLLECTIONS[owner.kind] ?? {}), b) as [string, Kind]
    const said = (member: Thing): readonly [Thing, string] => saidBy(owner, name, member)
    const isOpen = (member: Thing): boolean => model.touched(...said(member)) === undefined
    const held = await this.#collection(owner, name, kind, c)
    if (held === undefined) return
    if (takesOut) {
      const instance = pick(held, c)
      const member = instance && this.#things.get(instance)
      if (member === undefined || !model.world.has(member) || !isOpen(member)) return
      held.splice(held.indexOf(instance as Instance), 1)
      if (model.isIn(owner, name, member)) model.collect(owner, name, member, false)
      model.touch(...said(member), 'other')
    } else {
      const member = pick(model.things(kind), c)
      const instance = member && (await this.#instance(member))
      if (member === undefined || held.includes(instance as Instance) || !isOpen(member)) return
      held.push(instance as Instance)
      model.collect(owner, name, member, true)
      model.touch(...said(member), 'other')
    }
  }

  /** A collection, loaded or emptied. */
  async #collection(owner: Thing, name: string, kind: Kind, c: number): Promise<Instance[] | undefined> {
    const instance = await this.#instance(owner)
    const model = this.#model
    if (Object.hasOwn(instance, name)) return instance[name] as Instance[]
    const members = (): Thing[] => model.things(kind).filter((member) => model.isIn(owner, name, member))
    if (model.isNew(owner) || c % 4 === 0) {
      const letting = members()
      if (letting.some((member) => model.touched(...saidBy(owner, name, member)) !== undefined))
        return undefined
      instance[name] = []
      for (const member of letting) {
        model.collect(owner, name, member, false)
        model.touch(...saidBy(owner, name, member), 'other')
      }
    } else {
      const { entity } = SHAPES[owner.kind]
      await this.#session.get(entity as typeof Team, this.#keyOf(owner) as string, {
        load: [name as 'members'],
      })
      this.#flushed()
      const found = (instance[name] as Instance[]).map((member) => nameOf(this.#register(kind, member)))
      expect(found.sort(), `${nameOf(owner)}.${name} as loaded`).toEqual(members().map(nameOf).sort())
    }
    return instance[name] as Instance[]
  }

  // The session -------------------------------------------------------------------------------------------------------

  async #flush(): Promise<void> {
    await this.#session.flush()
    this.#flushed()
  }

  async #query(kind: Kind): Promise<void> {
    const { entity } = SHAPES[kind]
    const found = await this.#session.scalars(select(entity as typeof Team))
    this.#flushed()
    const names = found.map((instance) => nameOf(this.#register(kind, instance as unknown as Instance)))
    expect(names.sort(), 'what a query finds').toEqual(this.#model.things(kind).map(nameOf).sort())
    this.#compare()
  }

  async #refresh(thing: Thing | undefined): Promise<void> {
    if (thing === undefined) return
    const instance = await this.#instance(thing)
    await this.#flush()
    await this.#session.refresh(instance)
    this.#compare()
  }

  async #expire(thing: Thing | undefined, all: boolean): Promise<void> {
    if (thing === undefined) return
    const instance = await this.#instance(thing)
    await this.#flush()
    if (all) this.#session.expireAll()
    else this.#session.expire(instance)
  }

  /** A flush that PostgreSQL refuses, with whatever else is in it. */
  async #break(): Promise<void> {
    this.#session.add(new Person({ name: '', notes: { list: [] }, seen: new Date(0) }))
    await expect(this.#session.flush()).rejects.toMatchObject({ sqlState: '23514' })
    if (this.#depth > 0) throw new Undo()
    await this.#rollback()
  }

  async #commit(): Promise<void> {
    const model = this.#model
    await this.#session.commit()
    this.#takenAlong.clear()
    for (const thing of model.things()) {
      const instance = this.#instances.get(thing)
      // With expireOnCommit its key is not known yet.
      if (instance === undefined || thing.made !== undefined || !isExpired(instance, 'id')) continue
      await this.#session.refresh(instance)
    }
    this.#flushed()
    model.commit()
    for (const kind of KINDS) {
      const rows = await this.#observer.rows(kind)
      const expected = model.things(kind).map((thing) => model.row(thing))
      expect(inOrder(rows.map(withoutVersion)), `stored: ${kind}`).toEqual(inOrder(expected))
    }
    const links = model
      .things('person')
      .flatMap((person) =>
        [...model.values(person).tags].map((tag) => [this.#keyOf(person), this.#keyOf(tag)]),
      )
    expect(inOrder(await this.#observer.links()), 'stored: links').toEqual(inOrder(links))
  }

  /** A COMMIT that PostgreSQL refuses. */
  async #breakCommit(hen: Thing | undefined): Promise<void> {
    if (hen === undefined || this.#model.isNew(hen)) return
    const instance = await this.#instance(hen)
    if (Object.hasOwn(instance, 'egg')) delete instance['egg']
    instance['eggId'] = -1
    await expect(this.#session.commit()).rejects.toMatchObject({ sqlState: '23503' })
    await this.#rollback()
  }

  async #rollback(): Promise<void> {
    await this.#session.rollback()
    // What was added by this transaction is detached again, as it was given.
    for (const instance of this.#takenAlong) this.#session.add(instance)
    this.#restored(this.#model.committed)
  }

  async #newSession(takesAlong: boolean): Promise<void> {
    const model = this.#model
    // What was not flushed would stay a change of the objects that go along.
    if (takesAlong) await this.#flush()
    await this.#session.close()
    model.restore(model.committed)
    model.transient.clear()
    this.#session = this.#sessions()
    this.#takenAlong.clear()
    for (const [thing, instance] of [...this.#instances]) {
      if (takesAlong && model.world.has(thing)) {
        this.#session.add(instance)
        this.#takenAlong.add(instance)
      } else this.#instances.delete(thing)
    }
    this.#compare()
  }

  // Comparison --------------------------------------------------------------------------------------------------------

  #flushed(): void {
    const model = this.#model
    model.flush()
    for (const thing of model.things()) {
      const instance = this.#instances.get(thing)
      if (!SHAPES[thing.kind].isMade || thing.made !== undefined || instance === undefined) continue
      expect(instance['id'], `${nameOf(thing)}.id`).toBeDefined()
      thing.made = { id: instance['id'] }
    }
    this.#compare()
  }

  #restored(world: World): void {
    this.#model.restore(world)
    for (const thing of this.#model.transient) {
      const instance = this.#instances.get(thing)
      expect(
        instance !== undefined && this.#session.contains(instance),
        `the session has ${nameOf(thing)}`,
      ).toBe(false)
    }
    this.#compare()
  }

  /** Nothing is left to be flushed, and instances hold what was. */
  #compare(): void {
    const { new: added, dirty, deleted } = this.#session
    const left = [...added, ...dirty, ...deleted].map((instance) => this.#nameOf(instance as Instance))
    expect(left, 'left to be flushed').toEqual([])
    for (const thing of this.#model.things()) {
      const instance = this.#instances.get(thing)
      if (instance === undefined) continue
      expect(this.#session.contains(instance), `the session has ${nameOf(thing)}`).toBe(true)
      for (const [name, value] of Object.entries(this.#model.row(thing))) {
        if (!isExpired(instance, name)) expect(instance[name], `${nameOf(thing)}.${name}`).toEqual(value)
      }
      for (const [name, target] of Object.entries(this.#model.values(thing).references)) {
        if (!Object.hasOwn(instance, name)) continue
        const held = instance[name] as Instance | null
        expect(held && this.#nameOf(held), `${nameOf(thing)}.${name}`).toBe(target && nameOf(target))
      }
    }
  }

  /** The thing that an instance stands for. There is one instance of each. */
  #register(kind: Kind, instance: Instance): Thing {
    const known = this.#things.get(instance)
    if (known !== undefined && this.#instances.get(known) === instance) return known
    const isSame = (thing: Thing): boolean =>
      Object.entries(this.#model.key(thing)).every(([name, value]) => instance[name] === value)
    const thing = this.#model.things(kind).find(isSame)
    if (thing === undefined)
      throw new Error(`A ${kind} that the program has not made: ${JSON.stringify(instance)}`)
    expect(this.#instances.has(thing), `${nameOf(thing)} is there twice`).toBe(false)
    this.#instances.set(thing, instance)
    this.#things.set(instance, thing)
    return thing
  }

  #nameOf(instance: Instance): string {
    const thing = this.#things.get(instance)
    const isOld = thing !== undefined && this.#instances.get(thing) !== instance
    return thing === undefined || isOld ? 'something else' : nameOf(thing)
  }

  #make(thing: Thing, values: Record<string, unknown>): Instance {
    const entity = SHAPES[thing.kind].entity as unknown as new (values: object) => Instance
    const instance = new entity(values)
    this.#instances.set(thing, instance)
    this.#things.set(instance, thing)
    return instance
  }

  /** Things of a kind that the program holds an instance of. */
  #held(kind: Kind): Thing[] {
    return this.#model.things(kind).filter((thing) => this.#instances.has(thing))
  }

  /** The instance of a thing; it may have expired. */
  async #instance(thing: Thing): Promise<Instance> {
    const instance = this.#instances.get(thing)
    if (instance !== undefined) return instance
    const { entity } = SHAPES[thing.kind]
    const found = await this.#session.get(entity as typeof Team, this.#keyOf(thing) as string)
    // It was here already if something else has loaded it, and then nothing was flushed.
    await this.#session.flush()
    this.#register(thing.kind, found as unknown as Instance)
    this.#flushed()
    return found as unknown as Instance
  }

  /** The instance of a thing, all its values known. */
  async #loaded(thing: Thing): Promise<Instance> {
    const instance = await this.#instance(thing)
    if (Object.keys(instance).some((name) => isExpired(instance, name))) {
      await this.#flush()
      await this.#session.refresh(instance)
    }
    return instance
  }

  /** The key as `get` takes it. */
  #keyOf(thing: Thing): unknown {
    const key = this.#model.key(thing)
    const values = Object.values(key)
    return values.length === 1 ? values[0] : key
  }
}

/** What putting a thing into a collection says: about whom, and about which reference or tag. */
function saidBy(owner: Thing, name: string, member: Thing): readonly [Thing, string] {
  if (name === 'tags') return [owner, nameOf(member)]
  if (name === 'people') return [member, nameOf(owner)]
  return [member, referenceBehind(member.kind, name)]
}

function pick<Item>(items: readonly Item[], number: number): Item | undefined {
  return items[number % Math.max(1, items.length)]
}

function textOf(number: number): string {
  return TEXTS[Math.floor(number) % TEXTS.length] as string
}

function isExpired(instance: Instance, name: string): boolean {
  return Object.getOwnPropertyDescriptor(instance, name)?.get !== undefined
}

function withoutVersion({ version: _version, ...row }: Record<string, unknown>): Record<string, unknown> {
  return row
}

/** A list in an order of its own. */
function inOrder(list: readonly unknown[]): unknown[] {
  const named = list.map((item) => ({ item, name: inspect(item, { sorted: true, depth: null }) }))
  return named.sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ item }) => item)
}
