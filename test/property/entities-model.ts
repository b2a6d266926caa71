/**
 * What a session must make of objects that are added, changed and deleted, as a model: one world that the program sees,
 * and the worlds to which a rollback leads back.
 */
import { SHAPES, type Kind, type Reference } from './entities-schema.js'

/** An object, whatever its values are. */
export interface Thing {
  readonly kind: Kind
  readonly number: number
  /** The key that PostgreSQL made, while there is a row. */
  made: Readonly<Record<string, unknown>> | undefined
}

/** The values of an object. */
export interface Values {
  readonly columns: Readonly<Record<string, unknown>>
  readonly references: Readonly<Record<string, Thing | null>>
  readonly tags: ReadonlySet<Thing>
}

export type World = ReadonlyMap<Thing, Values>

/** How something was said in this flush, since what was said in one way may not be unsaid in another. */
export type Touch = 'relation' | 'other'

export class Model {
  /** What the objects say. */
  world: World = new Map()
  /** What was flushed. */
  flushed: World = new Map()
  /** What is stored for others to see. */
  committed: World = new Map()
  /** Objects that a rollback has made new again. */
  readonly transient: Set<Thing> = new Set()
  #touched = new Map<string, Touch>()
  #count = 0

  things(kind?: Kind): Thing[] {
    const all = [...this.world.keys()]
    return kind === undefined ? all : all.filter((thing) => thing.kind === kind)
  }

  values(thing: Thing): Values {
    const values = this.world.get(thing)
    if (values === undefined) throw new Error(`The program uses what is not there: ${nameOf(thing)}`)
    return values
  }

  create(kind: Kind): Thing {
    return { kind, number: ++this.#count, made: undefined }
  }

  /** It has no row yet. */
  isNew(thing: Thing): boolean {
    return !this.flushed.has(thing)
  }

  put(thing: Thing, values: Values): void {
    this.world = new Map(this.world).set(thing, values)
    this.transient.delete(thing)
  }

  set(thing: Thing, columns: Readonly<Record<string, unknown>>): void {
    const values = this.values(thing)
    this.put(thing, { ...values, columns: { ...values.columns, ...columns } })
  }

  refer(thing: Thing, name: string, target: Thing | null): void {
    const values = this.values(thing)
    this.put(thing, { ...values, references: { ...values.references, [name]: target } })
  }

  /** Whether a collection should hold a thing. */
  isIn(owner: Thing, name: string, member: Thing): boolean {
    if (name === 'tags') return this.values(owner).tags.has(member)
    if (name === 'people') return this.values(member).tags.has(owner)
    return this.values(member).references[referenceBehind(member.kind, name)] === owner
  }

  /** Puts a thing into a collection, or takes it out. */
  collect(owner: Thing, name: string, member: Thing, isIn: boolean): void {
    if (name === 'tags') this.#link(owner, member, isIn)
    else if (name === 'people') this.#link(member, owner, isIn)
    else this.refer(member, referenceBehind(member.kind, name), isIn ? owner : null)
  }

  #link(person: Thing, tag: Thing, isLinked: boolean): void {
    const values = this.values(person)
    const tags = new Set(values.tags)
    if (isLinked) tags.add(tag)
    else tags.delete(tag)
    this.put(person, { ...values, tags })
  }

  remove(thing: Thing): void {
    const world = new Map(this.world)
    world.delete(thing)
    for (const [person, values] of world) {
      if (!values.tags.has(thing)) continue
      world.set(person, { ...values, tags: new Set([...values.tags].filter((tag) => tag !== thing)) })
    }
    this.world = world
  }

  touch(thing: Thing, what: string, how: Touch): void {
    this.#touched.set(`${nameOf(thing)} ${what}`, how)
  }

  touched(thing: Thing, what: string): Touch | undefined {
    return this.#touched.get(`${nameOf(thing)} ${what}`)
  }

  /** Who refers to a thing, and how. */
  referring(target: Thing, world: World = this.world): { readonly thing: Thing; readonly name: string }[] {
    return [...world].flatMap(([thing, { references }]) =>
      Object.entries(references).flatMap(([name, other]) => (other === target ? [{ thing, name }] : [])),
    )
  }

  /** Whether no row stands in the way of a unique value; rows that the same flush deletes do not. */
  isFree(kind: Kind, unique: Readonly<Record<string, unknown>>): boolean {
    const has = ({ columns }: Values): boolean =>
      Object.entries(unique).every(([name, value]) => columns[name] === value)
    const isOne = ([thing, values]: readonly [Thing, Values]): boolean => thing.kind === kind && has(values)
    return (
      ![...this.world].some(isOne) && ![...this.flushed].some((row) => isOne(row) && this.world.has(row[0]))
    )
  }

  flush(): void {
    this.flushed = this.world
    this.#touched.clear()
  }

  commit(): void {
    this.flush()
    this.committed = this.world
  }

  /** Back to a world that was flushed. */
  restore(world: World): void {
    for (const thing of new Set([...this.world.keys(), ...this.flushed.keys()])) {
      if (world.has(thing)) continue
      thing.made = undefined
      this.transient.add(thing)
    }
    this.world = world
    this.flush()
  }

  key(thing: Thing): Record<string, unknown> {
    const { columns } = this.values(thing)
    return Object.fromEntries(
      SHAPES[thing.kind].key.map((name) => [name, thing.made?.[name] ?? columns[name]]),
    )
  }

  /** The row that a thing should have, by property. */
  row(thing: Thing): Record<string, unknown> {
    const { columns, references } = this.values(thing)
    const row: Record<string, unknown> = { ...columns, ...thing.made }
    for (const [name, reference] of Object.entries(SHAPES[thing.kind].references)) {
      Object.assign(row, this.foreignKey(reference, references[name] ?? null))
    }
    return row
  }

  foreignKey({ columns }: Reference, target: Thing | null): Record<string, unknown> {
    const key = target === null ? {} : this.key(target)
    return Object.fromEntries(Object.entries(columns).map(([name, own]) => [own, key[name] ?? null]))
  }
}

/** The reference whose other side is a collection. */
export function referenceBehind(kind: Kind, collection: string): string {
  const found = Object.entries(SHAPES[kind].references).find(([, one]) => one.collection === collection)
  return (found as [string, Reference])[0]
}

export function nameOf({ kind, number }: Thing): string {
  return `${kind}${number}`
}
