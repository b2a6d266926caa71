/** The methods of a session for entities, with SQLAlchemy's names. */
import { Executor } from '../execution/executor.js'
import { InvalidOptionError, MappingError, NoResultError } from '../errors.js'
import { addForeignNames, OF_SESSION } from '../internal/foreign-names.js'
import { checkCallback, checkObject, refuseUnknownKeys } from '../internal/validate.js'
import { metaOf } from '../schema/entity-meta.js'
import type { AnyEntity, DeferredName, KeyOf } from '../schema/entity-types.js'
import type { KnownPath, Loaded } from '../schema/relations.js'
import type { FlushCoordinator } from './flush-coordinator.js'
import { isArray, isObject } from '../internal/revoked.js'

/** Options of `session.get` and `session.getOne`. */
export interface GetOptions<Path extends string = string, Deferred extends string = string> {
  /** Relations to load, as `select(...).load(...)` does. */
  readonly load?: readonly Path[] | undefined
  /** Deferred columns to load. Default: none. */
  readonly undefer?: readonly Deferred[] | undefined
  /** True: lock the row until the transaction ends, and read it again. Default false. */
  readonly forUpdate?: boolean | undefined
  /** True: read the row again, and overwrite unflushed changes. Default false. */
  readonly populateExisting?: boolean | undefined
  /** Filters of entities to turn off, for the object and for its relations; true: all. Default: none. */
  readonly withoutFilters?: true | readonly string[] | undefined
}

/** Options of `session.refresh`. */
export interface RefreshOptions<T extends object = object> {
  /**
   * Columns to read again; they may be deferred. Default: all columns that the object has. By default relations that are not in
   * `load` are not loaded afterwards; with `columns` they stay loaded. An object with other unflushed changes keeps its version.
   */
  readonly columns?: readonly (keyof T & string)[] | undefined
  /**
   * Relations to load, also those that are loaded already: their unflushed changes are lost (with a `belongsTo`, those of its
   * foreign key, too). Columns of the related objects stay unchanged. Paths may be longer: `'songs.album'`.
   */
  readonly load?: readonly string[] | undefined
  /** True: lock the row until the transaction ends. Default false. */
  readonly forUpdate?: boolean | undefined
  /** Filters of entities to turn off for these relations; true: all. The row itself is read without filters. */
  readonly withoutFilters?: true | readonly string[] | undefined
}

/** The part of a `Session` that is about entities. */
export abstract class EntitySession extends Executor {
  readonly #entities: FlushCoordinator

  static {
    addForeignNames(this.prototype, OF_SESSION)
  }

  constructor(entities: FlushCoordinator) {
    super(entities.runner)
    this.#entities = entities
  }

  /**
   * Adds a new object to the session: the next flush inserts its row. A detached object is attached again; an object that was
   * marked with `delete` is kept. The objects in its relations are added with it, unless their `cascade` excludes `add`.
   *
   * @throws IllegalStateError if another open session tracks it, if this session has another object with its key, or if code
   *   outside of an open nested block calls it; MappingError.
   * @example
   * session.add(new Song({ title: 'Blue' }))
   */
  add(instance: object): void {
    this.#entities.requireOpen()
    this.#entities.requireNotBeside('add')
    this.#now(() => this.#entities.unit.add(instance))
  }

  /** Calls `add` for each object. @throws as `add`; MappingError if the argument is not iterable. */
  addAll(instances: Iterable<object>): void {
    if (!isIterable(instances))
      throw new MappingError('addAll takes an array of objects; one object is for add')
    for (const instance of instances) this.add(instance)
  }

  /**
   * Marks an object for deletion: the next flush deletes its row, and the objects of its relations with `cascade: ['delete']`.
   * @throws IllegalStateError if it has no row, or if code outside of an open nested block calls it.
   */
  delete(instance: object): void {
    this.#entities.requireOpen()
    this.#entities.requireNotBeside('delete')
    this.#now(() => this.#entities.unit.delete(instance))
  }

  /**
   * Detaches an object from the session; a new object is not inserted. Its row stays as it is.
   * @throws IllegalStateError if it is not in this session.
   */
  expunge(instance: object): void {
    this.#entities.requireOpen()
    this.#entities.unit.expunge(instance)
  }

  /**
   * The object with a key, or null. If the session has the object, it is returned without a query (and without a flush), unless
   * it has expired or an option needs a query.
   *
   * @param key The primary key; composite: an object by property.
   * @throws as `execute`, where a query is needed.
   * @example
   * const album = await session.get(Album, id, { load: ['songs'] })
   */
  get<E extends AnyEntity, const Path extends string = never>(
    entity: E,
    key: KeyOf<E>,
    options: GetOptions<KnownPath<E, Path>, DeferredName<E>> = {},
  ): Promise<Loaded<E, Path> | null> {
    return this.#attend(() => this.#get(entity, key, options)) as Promise<Loaded<E, Path> | null>
  }

  /** As `get`. @throws NoResultError if there is none. */
  getOne<E extends AnyEntity, const Path extends string = never>(
    entity: E,
    key: KeyOf<E>,
    options: GetOptions<KnownPath<E, Path>, DeferredName<E>> = {},
  ): Promise<Loaded<E, Path>> {
    return this.#attend(async () => {
      const found = await this.#get(entity, key, options)
      if (found === null)
        throw new NoResultError(
          `There is no ${metaOf(entity).name} with this key. If there may be none: get()`,
        )
      return found as Loaded<E, Path>
    })
  }

  /**
   * Reads the row of an object again. Its unflushed changes are lost. Without `columns`, so are its loaded relations, except those
   * in `load`, which are loaded again: reading another one throws RelationNotLoadedError. (SQLAlchemy loads it when it is read.)
   * @throws NoResultError if the row is gone; IllegalStateError unless the object has a row and is in this session;
   *   MappingError for a name that does not exist.
   * @example
   * await session.refresh(album, { columns: ['name'], load: ['songs'] })
   */
  refresh<T extends object>(instance: T, options: RefreshOptions<T> = {}): Promise<void> {
    return this.#attend(async () => {
      this.#entities.requireOpen()
      checkObject('refresh', options)
      refuseUnknownKeys('refresh', options, ['columns', 'load', 'forUpdate', 'withoutFilters'], REFRESH_WORDS)
      requireList(options.load)
      await this.#entities.unit.refresh(instance, options)
    })
  }

  /**
   * Copies the values of an object that is not in this session (of another session, or made from a request) to the session's
   * object with its key. That object is loaded if necessary; if there is no such row, it is a new object. The given object
   * stays unchanged. Values that the constructor of a new object has filled in (defaults, NULL) do not replace stored values.
   *
   * @returns the object of this session.
   * @throws StaleDataError if both have a `version()` and these differ.
   * @example
   * const song = await session.merge(new Song({ id, title: 'Help!' }))
   */
  merge<T extends object>(instance: T): Promise<T> {
    return this.#attend(async () => {
      this.#entities.requireOpen()
      this.#entities.requireNotBeside('merge')
      return await this.#entities.unit.merge(instance)
    })
  }

  /**
   * Expires an object: reading a value throws ExpiredAttributeError (a relation: RelationNotLoadedError) until it is refreshed,
   * loaded again, or assigned. Unflushed changes are lost.
   *
   * @param names Columns and relations. Default: all of them.
   * @throws IllegalStateError unless the object has a row and is in this session; MappingError for a name that does not exist.
   */
  expire<T extends object>(instance: T, names?: readonly (keyof T & string)[]): void {
    this.#entities.requireOpen()
    this.#entities.unit.expire(instance, names)
  }

  /** As `expire`, for every object of the session that has a row. */
  expireAll(): void {
    this.#entities.requireOpen()
    this.#entities.unit.expireAll()
  }

  /**
   * Writes all changes now: new objects get their server-generated values. Many rows of a table are one statement, and all
   * statements one round trip (two, where new rows refer to new rows whose keys PostgreSQL makes). `commit` does this,
   * too, and queries do unless `autoflush` is off.
   *
   * @throws DatabaseError, StaleDataError: the transaction has failed, roll it back. InvalidValueError, MappingError: nothing
   *   was sent; fix the object and continue. InvalidStatementError: the values of one column take more than a gigabyte, and
   *   nothing was sent; flush fewer objects at a time.
   */
  flush(): Promise<void> {
    return this.#attend(async () => {
      this.#entities.requireOpen()
      await this.#entities.flush()?.done
    })
  }

  /** Runs a block whose queries do not flush. Queries of code outside of the block do, and so does commit. */
  noAutoflush<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    return this.#entities.runner.attend('block', async () => {
      checkCallback('noAutoflush', work)
      this.#entities.requireOpen()
      return await this.#entities.autoflushBlocks.run(work)
    })
  }

  /** Objects that the next flush will insert, in the order of `add`. */
  get new(): object[] {
    return this.#entities.unit.new
  }

  /** Objects with changes that were not flushed. */
  get dirty(): object[] {
    return this.#entities.unit.dirty
  }

  /** Objects that the next flush will delete. */
  get deleted(): object[] {
    return this.#entities.unit.deleted
  }

  /** Whether an object of this session has unflushed changes, including changes inside json values, arrays and Dates. */
  isModified(instance: object): boolean {
    return this.#entities.unit.isModified(instance)
  }

  /** Whether an object is in the session; false once its deletion was flushed. */
  contains(instance: object): boolean {
    const given: unknown = instance
    return typeof given === 'object' && given !== null && this.#entities.unit.has(given)
  }

  #get(entity: AnyEntity, key: unknown, options: GetOptions): Promise<object | null> {
    this.#entities.requireOpen()
    refuseUnknownKeys(
      'get',
      options,
      ['load', 'undefer', 'forUpdate', 'populateExisting', 'withoutFilters'],
      GET_WORDS,
    )
    requireList(options.load)
    return this.#entities.unit.get(metaOf(entity), key, options)
  }

  /** Runs a call whose errors have the caller's line, also if the call had to wait. */
  #attend<Value>(work: () => Promise<Value>): Promise<Value> {
    const { runner } = this.#entities
    return runner.attend('query', async () => {
      try {
        return await work()
      } catch (error) {
        throw runner.explain(error)
      }
    })
  }

  #now(work: () => void): void {
    try {
      work()
    } catch (error) {
      throw this.#entities.runner.explain(error)
    }
  }
}

const LOAD = "load: ['posts']"
const GET_WORDS = { relations: LOAD, include: LOAD, populate: LOAD, lock: 'forUpdate: true' }
const REFRESH_WORDS = { undefer: "columns: ['body']" }

/** @throws InvalidOptionError unless it is an array: the characters of a text would be taken for names. */
function requireList(load: unknown): void {
  if (load === undefined || isArray(load)) return
  const name = typeof load === 'string' && /^[\w.]+$/.test(load) ? load : 'songs'
  throw new InvalidOptionError('load', `load must be an array of relations: ['${name}']`)
}

function isIterable(value: unknown): boolean {
  return isObject(value) && Symbol.iterator in value
}
