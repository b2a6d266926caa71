/** The session's data about an instance. It is stored outside of the instance, so the object has no additional properties. */
import { MappingError } from '../errors.js'
import { ReturnOverride } from '../internal/return-override.js'
import { kindOf } from '../codecs/codec.js'
import { metaOf, type EntityMeta, type Identity, type Snapshot } from '../schema/entity-meta.js'
import { ENTITY, type AnyEntity } from '../schema/entity-types.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import { hasWhole } from './partial-collections.js'
import { isRevoked, REVOKED } from '../internal/revoked.js'

/**
 * As in SQLAlchemy:
 *
 * - `transient`: made by its constructor, and in no session.
 * - `pending`: added; its row will be inserted by the next flush.
 * - `persistent`: it has a row, and the session tracks its changes.
 * - `deleted`: its row was deleted in the transaction that is still open.
 * - `detached`: it has (or had) a row, and no session tracks it.
 */
export type InstanceStatus = 'transient' | 'pending' | 'persistent' | 'deleted' | 'detached'

/** What an instance knows of its session. */
export interface Attachment {
  /** True once the session was closed: its instances may be added to another session. */
  readonly closed: boolean
  /** Messages show no value, not even of a key (`hideParameters`). */
  readonly hidesValues: boolean
}

/** What a relation held when it was loaded or flushed: the object or null, or the objects. */
export type RememberedRelation = object | null | readonly object[]

/** The tracking of an object that is not only read. Made when needed: most objects are only read, and there may be thousands. */
interface Tracking {
  relations: Map<string, RememberedRelation> | undefined
  expired: 'all' | ReadonlySet<TableColumn> | undefined
  revision: number
  insertGeneration: number
  markedDeleted: boolean
  /** Foreign keys that equal the key of their target in PostgreSQL, although it is written differently. */
  spellings: Map<TableColumn, readonly [EncodedText, EncodedText]> | undefined
}

function newTracking(): Tracking {
  return {
    relations: undefined,
    expired: undefined,
    revision: 0,
    insertGeneration: 0,
    markedDeleted: false,
    spellings: undefined,
  }
}

export class InstanceState {
  readonly instance: Record<string, unknown>
  readonly meta: EntityMeta
  #status: InstanceStatus
  #attachment: Attachment | undefined
  /** Its key in the identity map; set while it is persistent or deleted. */
  identity: Identity | undefined = undefined
  /**
   * The stored values by index of the column; set once it has a row. Replaced when the row changes, filled in when
   * PostgreSQL answers.
   */
  snapshot: Snapshot | undefined = undefined
  #tracking: Tracking | undefined = undefined

  constructor(instance: object, meta: EntityMeta, status: InstanceStatus, attachment?: Attachment) {
    this.instance = instance as Record<string, unknown>
    this.meta = meta
    this.#status = status
    this.#attachment = attachment
    new Stamp(instance, this)
  }

  get status(): InstanceStatus {
    if (this.#attachment?.closed !== true) return this.#status
    return this.#status === 'pending' || this.#status === 'transient' ? 'transient' : 'detached'
  }

  /** The session that tracks it; undefined if none does. */
  get attachment(): Attachment | undefined {
    return this.#attachment?.closed === true ? undefined : this.#attachment
  }

  become(status: InstanceStatus, attachment: Attachment | undefined): void {
    this.#status = status
    this.#attachment = attachment
  }

  /** The remembered relations by name: those that were loaded or flushed. */
  get relations(): Map<string, RememberedRelation> | undefined {
    return this.#tracking?.relations
  }

  set relations(relations: Map<string, RememberedRelation> | undefined) {
    if (relations !== this.relations) (this.#tracking ??= newTracking()).relations = relations
  }

  /** The columns that have expired since it was loaded; some may have been set in the meantime. */
  get expired(): 'all' | ReadonlySet<TableColumn> | undefined {
    return this.#tracking?.expired
  }

  set expired(expired: 'all' | ReadonlySet<TableColumn> | undefined) {
    if (expired !== this.expired) (this.#tracking ??= newTracking()).expired = expired
  }

  /** The revision of the identity map at which its row was written last: rows that were read before it are older. */
  get revision(): number {
    return this.#tracking?.revision ?? 0
  }

  set revision(revision: number) {
    ;(this.#tracking ??= newTracking()).revision = revision
  }

  /** How often its INSERT was rolled back: a late answer may belong to an earlier INSERT. */
  get insertGeneration(): number {
    return this.#tracking?.insertGeneration ?? 0
  }

  set insertGeneration(insertGeneration: number) {
    ;(this.#tracking ??= newTracking()).insertGeneration = insertGeneration
  }

  /** `delete` was called, and not flushed yet. */
  get markedDeleted(): boolean {
    return this.#tracking?.markedDeleted ?? false
  }

  set markedDeleted(markedDeleted: boolean) {
    if (markedDeleted !== this.markedDeleted) (this.#tracking ??= newTracking()).markedDeleted = markedDeleted
  }

  /** Notes that PostgreSQL considers a value of a foreign key equal to a key in another form. */
  noteSpelling(column: TableColumn, own: EncodedText, other: EncodedText): void {
    const tracking = (this.#tracking ??= newTracking())
    ;(tracking.spellings ??= new Map()).set(column, [own, other])
  }

  /** Whether a value of a foreign key is equal to a key, as far as is known. */
  isSameKey(column: TableColumn, own: EncodedText, other: EncodedText | undefined): boolean {
    return own === other || this.asKey(column, own) === other
  }

  /** A value of a foreign key, in the form of the key that it is known to equal; otherwise unchanged. */
  asKey<Text extends EncodedText | undefined>(column: TableColumn, own: Text): Text | EncodedText {
    const known = this.#tracking?.spellings?.get(column)
    return known?.[0] === own ? (known?.[1] ?? own) : own
  }

  /** The stored key, encoded. Call it only for an object with a row. */
  get key(): EncodedText[] {
    return this.meta.table.primaryKey.map((column) => this.storedText(column))
  }

  /** The stored value, encoded, of a column of a key or of the version. */
  storedText(column: TableColumn): EncodedText {
    const stored = this.snapshot?.[column.index]
    return column.mutable ? (stored as EncodedText) : column.encode(stored)
  }

  /** The current value of a column; if it has expired, the value that was loaded last. Undefined if it was not loaded. */
  value(column: TableColumn): unknown {
    const { instance, meta, snapshot } = this
    if (meta.isMissing(instance, column)) return undefined
    if (this.expired === undefined || !meta.isExpired(instance, column)) return instance[column.property]
    return column.restore(snapshot?.[column.index])
  }

  /** As {@link value}, of a column of a relation. @throws InvalidValueError if the value is null although a text is stored. */
  keyValue(column: TableColumn): unknown {
    const value = this.value(column)
    if (value !== null || this.meta.nullReads.textOf(this.instance, column) === undefined) return value
    throw column.readNull()
  }

  /**
   * The text of a value of a column of a relation; undefined if there is no value. For the stored value it is PostgreSQL's text,
   * because a Date does not hold microseconds.
   * @param value Default: the current one.
   * @throws InvalidValueError as {@link keyValue}.
   */
  text(column: TableColumn, value: unknown = this.keyValue(column)): EncodedText | undefined {
    const stored = this.snapshot?.[column.index]
    if (value === undefined || value === null) return value
    if (!column.mutable || column.hasChanged(value, stored)) return column.encode(value, stored)
    return column.canonical(stored)
  }

  /** The columns that have expired and were not set since. */
  get expiredColumns(): readonly TableColumn[] {
    return this.expired !== undefined
      ? this.meta.table.columns.filter((column) => this.meta.isExpired(this.instance, column))
      : []
  }

  /** The columns whose values differ from the stored ones. @throws InvalidValueError */
  get changes(): readonly TableColumn[] {
    const { instance, meta, snapshot, expired } = this
    if (snapshot === undefined) return []
    if (expired === undefined) return meta.changes(instance, snapshot)
    return meta.table.columns.filter((column) => {
      if (meta.isExpired(instance, column) || meta.isMissing(instance, column)) return false
      // It was assigned after it had expired; the stored value is unknown.
      if (expired === 'all' || expired.has(column)) return true
      return meta.hasChanged(instance, column, snapshot[column.index])
    })
  }

  /** Whether any relation was loaded or assigned. */
  get holdsRelation(): boolean {
    const { instance, meta } = this
    for (const name of meta.relationNames) if (hasWhole(instance, name)) return true
    return false
  }

  /**
   * A value of one of its columns for messages. Undefined if it could say something about a person, and unless the object is in an open
   * session whose engine shows values (`hideParameters`): of an object without a session it is not known.
   */
  shown(column: TableColumn, value: unknown): string | undefined {
    return this.attachment?.hidesValues === false ? shownValue(column, value) : undefined
  }

  /** Name of its class, and its key if that may be shown, for messages. */
  toString(): string {
    const { meta, snapshot } = this
    const kind = `${snapshot === undefined ? 'a new' : 'a stored'} ${meta.name}`
    const parts = meta.table.primaryKey.map((column) => {
      const value = snapshot === undefined ? this.value(column) : column.restore(snapshot[column.index])
      const shown = this.shown(column, value)
      return shown === undefined ? undefined : `${column.property} ${shown}`
    })
    return parts.includes(undefined) ? kind : `${kind}, ${parts.join(', ')}`
  }
}

/** A value for messages; undefined if it could say something about a person. */
function shownValue({ definition }: TableColumn, value: unknown): string | undefined {
  const isPlain =
    typeof value === 'string'
      ? definition.type.ddl === 'uuid'
      : typeof value === 'number' || typeof value === 'bigint'
  return isPlain ? String(value) : undefined
}

/**
 * Ties the state to the instance by a private field: faster than a WeakMap, and invisible to everything that inspects objects
 * (spread, JSON, structuredClone, comparison, console.log).
 */
class Stamp extends ReturnOverride {
  #state: InstanceState

  constructor(instance: object, state: InstanceState) {
    super(instance)
    this.#state = state
  }

  static stateOf(instance: object): InstanceState | undefined {
    return #state in instance ? instance.#state : undefined
  }
}

/** The state of an instance; undefined if it was never passed to a session. */
export function knownState(instance: object): InstanceState | undefined {
  return Stamp.stateOf(instance)
}

/** The state of an instance; a transient one if it is new. @throws MappingError if it is no instance of an entity. */
export function stateOf(instance: unknown): InstanceState {
  const state = stateIfInstance(instance)
  if (state !== undefined) return state
  throw new MappingError(`Not an instance of an entity, but ${kindOfStranger(instance)}`)
}

/** As {@link stateOf}; undefined if it is no instance of an entity. */
export function stateIfInstance(instance: unknown): InstanceState | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined
  const known = Stamp.stateOf(instance)
  if (known !== undefined) return known
  if (isRevoked(instance)) return undefined
  const entity: unknown = instance.constructor
  if (typeof entity !== 'function' || !(ENTITY in entity)) return undefined
  return new InstanceState(instance, metaOf(entity as unknown as AnyEntity), 'transient')
}

/** Describes a value that is no instance of an entity, with a hint on the probable mistake. */
export function kindOfStranger(value: unknown): string {
  if (isRevoked(value)) return REVOKED
  if (typeof value === 'function')
    return ENTITY in value
      ? `the class ${value.name} itself (by its key, get() the object first, or run deleteFrom(${value.name}).where(...))`
      : 'a function'
  if (Array.isArray(value)) return 'an array (of several objects: addAll() adds them)'
  if (typeof value !== 'object' || value === null) return kindOf(value)
  if ('then' in value) return 'a promise: an await is missing'
  const { constructor } = value as { readonly constructor?: unknown }
  if (typeof constructor === 'function' && constructor !== Object) {
    return `an object of the class ${constructor.name}, which is no entity`
  }
  return 'a plain object (a copy by spread or JSON is not one: use merge on `new Entity(copy)`)'
}
