/**
 * One entity class at run time: makes its instances, sets their properties from rows, keeps snapshots and compares them. A row is
 * an array of PostgreSQL's texts in the order of the table's columns. A snapshot is that array, partly decoded.
 */
import { ExpiredAttributeError, MappingError, RelationNotLoadedError } from '../errors.js'
import { didYouMean } from '../internal/nearest-name.js'
import type { RawTypes } from '../driver/driver.js'
import { readHooks, type EntityHooks } from './entity-hooks.js'
import { ENTITY, type AnyEntity, type InstanceOf } from './entity-types.js'
import { noEntity, requireKeyItself } from './entity-mistakes.js'
import { rawValuesOf } from '../codecs/raw-values.js'
import { fieldsOf } from './class-fields.js'
import { NullReads } from './null-reads.js'
import { expiredProperty, plainProperty } from './properties.js'
import { resolveRelation, type Relation, type TableRegistry } from './relation-resolution.js'
import type { AnyRelation } from './relations.js'
import type { EncodedText, RawValue, TableColumn } from './table-column.js'
import type { Table } from './table.js'
import { isFunction } from '../internal/revoked.js'

/** The metadata of an entity class. @throws MappingError for any other value. */
export function metaOf<E extends AnyEntity>(entity: E): EntityMeta<InstanceOf<E>> {
  if (!isFunction(entity) || !(ENTITY in entity)) {
    throw noEntity(entity)
  }
  return (entity as E)[ENTITY].metadata.entity(entity)
}

/** A row of PostgreSQL: its texts, in the order of the selected columns. */
export type RawRow = RawValue[]

/** The stored values of an instance, by the index of the column. */
export type Snapshot = unknown[]

/** Identifies a row within its table. Equal keys have equal identities, so it can be a key of a Map. */
export type Identity = string | number | bigint | boolean

/** The properties of an instance, by name. */
type Properties = Record<string, unknown>

export class EntityMeta<T extends object = object> {
  readonly entity: AnyEntity
  readonly table: Table
  /** Name of the class, for messages. */
  readonly name: string
  readonly hooks: EntityHooks<T>
  readonly hasHooks: boolean
  /** How its rows are read. */
  readonly rawValues: RawTypes
  /** Properties that are null for a stored text. */
  readonly nullReads: NullReads = new NullReads()
  readonly #registry: TableRegistry
  readonly #declared: Readonly<Record<string, AnyRelation>>
  readonly #make: new () => T
  readonly #relationNames: readonly string[]
  #keylessRows = 0
  #relations: ReadonlyMap<string, Relation> | undefined
  #fields: readonly string[] | undefined
  #expired: readonly PropertyDescriptor[] | undefined

  constructor(entity: AnyEntity, table: Table, registry: TableRegistry) {
    this.entity = entity
    this.table = table
    this.name = (entity as { readonly name?: string }).name ?? table.key
    this.hooks = readHooks(entity, this.name)
    this.hasHooks = Object.keys(this.hooks).length > 0
    this.rawValues = rawValuesOf(table.columns)
    this.#registry = registry
    this.#declared = (entity as { readonly relations?: Record<string, AnyRelation> }).relations ?? {}
    this.#relationNames = Object.keys(this.#declared)
    for (const name of this.#relationNames) this.#declareRelation(name)
    for (const column of table.deferred) this.#declareDeferred(column)
    if (table.readingNull.length > 0) this.nullReads.show(entity.prototype)
    // Not Object.create: V8 reserves space for the properties only for objects of a constructor.
    const Instance = function () {}
    Instance.prototype = entity.prototype
    this.#make = Instance as unknown as new () => T
  }

  /** Columns that the class seems to declare as fields; none in production. */
  get fields(): readonly string[] {
    return (this.#fields ??= fieldsOf(
      this.entity,
      this.table.columns.map(({ property }) => property),
    ))
  }

  /** The relations by name. @throws MappingError at the first call, if a declaration is wrong. */
  get relations(): ReadonlyMap<string, Relation> {
    this.#relations ??= new Map(
      Object.entries(this.#declared).map(([name, relation]) => [
        name,
        resolveRelation(this.table, name, relation, this.#registry),
      ]),
    )
    return this.#relations
  }

  /** The names of the relations. Does not read the related classes. */
  get relationNames(): readonly string[] {
    return this.#relationNames
  }

  /** Whether a property is a relation. Does not read the related classes. */
  hasRelation(name: string): boolean {
    return Object.hasOwn(this.#declared, name)
  }

  /** An instance without properties; its constructor is not run. */
  create(): T {
    return new this.#make()
  }

  /**
   * Sets the properties of some columns from a row. The row becomes the snapshot of these columns: an immutable value is kept
   * decoded, a mutable one as its text or as a number.
   * @param lacking Columns that the row does not have: the instance and its snapshot do not get them.
   */
  fill(
    instance: T,
    columns: readonly TableColumn[],
    row: RawRow,
    lacking: readonly TableColumn[] = [],
  ): Snapshot {
    const properties = instance as Properties
    const snapshot: Snapshot = row
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index] as TableColumn
      if (column.deferred && lacking.includes(column)) {
        snapshot[index] = undefined
        continue
      }
      const raw = row[index] as RawValue
      const value = column.decode(raw)
      properties[column.property] = value
      snapshot[index] = column.snapshotOf(value, raw)
    }
    for (const column of this.table.readingNull) {
      if (this.isMissing(instance, column) || properties[column.property] !== null) continue
      this.setRead(instance, column, null, snapshot[column.index])
    }
    return snapshot
  }

  /**
   * Expires some columns: reading one throws until it is loaded again or set. (A getter cannot await, so it cannot load.)
   */
  expire(instance: T, columns: readonly TableColumn[] = this.table.columns): void {
    this.#expired ??= this.table.columns.map(({ property }) => expiredProperty(this.name, property))
    for (const column of columns) {
      // A column that was never loaded cannot expire.
      if (this.isMissing(instance, column)) continue
      const { property, index } = column
      Object.defineProperty(instance, property, this.#expired[index] as PropertyDescriptor)
    }
  }

  /** Whether a column has expired, and was not set since then. */
  isExpired(instance: T, { property, index }: TableColumn): boolean {
    if (this.#expired === undefined) return false
    return Object.getOwnPropertyDescriptor(instance, property)?.get === this.#expired[index]?.get
  }

  /** Whether an instance lacks a deferred column: it was neither loaded nor set. */
  isMissing(instance: T, { deferred, property }: TableColumn): boolean {
    return deferred && !Object.hasOwn(instance, property)
  }

  /** Removes a deferred column, as if it had not been loaded. */
  defer(instance: T, { property }: TableColumn): void {
    delete (instance as Properties)[property]
  }

  /** The deferred columns that an instance has, expired or not. */
  deferredOf(instance: T): readonly TableColumn[] {
    return this.table.deferred.filter((column) => !this.isMissing(instance, column))
  }

  /** Sets the value of a column, expired or not. */
  set(instance: T, { property }: TableColumn, value: unknown): void {
    Object.defineProperty(instance, property, plainProperty(value))
  }

  /** As {@link set}, of a value that was read. @param stored What the snapshot remembers. */
  setRead(instance: T, column: TableColumn, value: unknown, stored: unknown): void {
    if (column.readsNull && value === null && typeof stored === 'string')
      this.nullReads.define(instance, column, stored)
    else this.set(instance, column, value)
  }

  /** The columns whose values differ from the snapshot, also by a change inside a value. @throws InvalidValueError */
  changes(instance: T, snapshot: Snapshot): TableColumn[] {
    const { columns } = this.table
    let changed: TableColumn[] = NONE
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index] as TableColumn
      if (!this.hasChanged(instance, column, snapshot[index])) continue
      if (changed === NONE) changed = []
      changed.push(column)
    }
    return changed
  }

  /** Whether the value of a column differs from the snapshot. */
  hasChanged(instance: T, column: TableColumn, stored: unknown): boolean {
    if (column.isUsual) return column.hasChanged((instance as Properties)[column.property], stored)
    if (column.deferred && stored === undefined) {
      if (this.isMissing(instance, column)) return false
      // The column was set, but never loaded. `undefined` is no change if PostgreSQL generates the value.
      return (instance as Properties)[column.property] !== undefined || !column.serverFilled
    }
    const value = (instance as Properties)[column.property]
    if (column.readsNull && value === null)
      return (this.nullReads.textOf(instance, column) ?? null) !== stored
    return column.hasChanged(value, stored)
  }

  /** The identity of an instance; undefined while its key is not complete. @throws InvalidValueError */
  identity(instance: T): Identity | undefined {
    if (this.table.isKeyless) return undefined
    const [only, ...others] = this.table.primaryKey
    if (only !== undefined && others.length === 0) {
      const value = (instance as Properties)[only.property]
      return value === undefined || value === null ? undefined : this.identityOf([value])
    }
    const values = this.table.primaryKey.map(({ property }) => (instance as Properties)[property])
    return values.some((value) => value === undefined || value === null) ? undefined : this.identityOf(values)
  }

  /** The identity of a row with all columns. */
  identityOfRow(row: RawRow): Identity {
    // Without a key, each row is an object of its own.
    if (this.table.isKeyless) return ++this.#keylessRows
    const [only, ...others] = this.table.primaryKey
    if (only !== undefined && others.length === 0 && !only.mutable) {
      return only.decode(row[only.index] as RawValue) as Identity
    }
    return this.#identityOfTexts(
      this.table.primaryKey.map((column) => column.canonicalOf(row[column.index] as RawValue)),
    )
  }

  /** The identity of a key that PostgreSQL returned, in the order of the key's columns. */
  identityOfKey(key: readonly RawValue[]): Identity {
    const [only] = this.table.primaryKey
    if (key.length === 1 && only !== undefined && !only.mutable)
      return only.decode(key[0] ?? null) as Identity
    return this.#identityOfTexts(
      this.table.primaryKey.map((column, index) => column.canonicalOf(key[index] ?? null)),
    )
  }

  /** The identity in a snapshot. */
  identityOfStored(snapshot: Snapshot): Identity {
    const [only, ...others] = this.table.primaryKey
    if (only !== undefined && others.length === 0 && !only.mutable) {
      return only.keyOf(snapshot[only.index]) as Identity
    }
    return this.#identityOfTexts(
      this.table.primaryKey.map((column) => column.canonical(snapshot[column.index])),
    )
  }

  /** The identity of key values, in the order of the key's columns. Values that are equal for PostgreSQL have the same identity. */
  identityOf(values: readonly unknown[]): Identity {
    const [only] = this.table.primaryKey
    if (values.length === 1 && only !== undefined && !only.mutable) {
      return only.keyOf(values[0]) as Identity
    }
    return this.#identityOfTexts(this.table.primaryKey.map((column, index) => column.encode(values[index])))
  }

  #identityOfTexts(texts: readonly EncodedText[]): Identity {
    return JSON.stringify(texts)
  }

  /**
   * The values of a key in the form that `get` takes: a value, or for a composite key an object with its properties.
   * @throws MappingError if a part is missing, or a property is no part of the key.
   */
  keyValues(key: unknown): unknown[] {
    const { primaryKey } = this.table
    this.table.requireKey()
    if (primaryKey.length === 1) {
      requireKeyItself(this.name, this.table, key)
      return [key]
    }
    if (typeof key !== 'object' || key === null) {
      throw new MappingError(
        `The key of ${this.table.key} is an object with ${primaryKey.map(({ property }) => property).join(' and ')}`,
      )
    }
    for (const [name, value] of Object.entries(key)) {
      if (value === undefined || primaryKey.some(({ property }) => property === name)) continue
      const properties = primaryKey.map(({ property }) => property)
      throw new MappingError(
        `The key of ${this.table.key} has no '${name}', only ${properties.join(' and ')}${didYouMean(name, properties)}`,
      )
    }
    return primaryKey.map(({ property }) => {
      const value = (key as Properties)[property]
      if (value === undefined) throw new MappingError(`The key of ${this.table.key} needs ${property}`)
      return value
    })
  }

  /** A deferred column is an own property after it was loaded or set. Before, reading it throws an error that says so. */
  #declareDeferred({ property }: TableColumn): void {
    const { name: className } = this
    Object.defineProperty(this.entity.prototype, property, {
      configurable: true,
      get(): never {
        throw new ExpiredAttributeError(
          `${className}.${property} is deferred: it is not loaded unless it is asked for. Load it with ` +
            `\`await session.refresh(instance, { columns: ['${property}'] })\`, or with the object (undefer).`,
        )
      },
      set(this: object, value: unknown) {
        Object.defineProperty(this, property, plainProperty(value))
      },
    })
  }

  /** A relation is an own property after it was loaded or assigned. Before, reading it throws an error that says so. */
  #declareRelation(name: string): void {
    const { name: className } = this
    if (this.table.has(name))
      throw new MappingError(`${this.table.key}.${name} is both a column and a relation`)
    Object.defineProperty(this.entity.prototype, name, {
      configurable: true,
      get(): never {
        throw new RelationNotLoadedError(
          `${className}.${name} is neither loaded nor assigned. Load it with the object (load: ['${name}']), ` +
            `or assign it. A new object has no relations to load: give them to build(${className}, { ${name}: ... }), or assign them first.`,
        )
      },
      set(this: object, value: unknown) {
        Object.defineProperty(this, name, plainProperty(value))
      },
    })
  }
}

const NONE: TableColumn[] = []
