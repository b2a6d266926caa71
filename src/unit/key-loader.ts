/** Reads objects by their keys: `session.get`, `session.getOne` and `session.refresh`. */
import { IllegalStateError, InvalidOptionError, NoResultError } from '../errors.js'
import { requireNames } from '../internal/validate.js'
import { sendAfter, type StatementsAhead } from '../internal/statements-ahead.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import { kindOf } from '../codecs/codec.js'
import { checkWithout, filtersOf, NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import { selectByKey, type LoadStatement } from '../query/key-statements.js'
import { checkPath } from '../query/relation-path.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import { stateOf, type InstanceState } from './instance-state.js'
import { expire, expireNamed, type Loader, type LoadMode } from './loader.js'
import { propertiesToRefresh } from './property-names.js'
import type { Fetched, RelationLoader } from './relation-loader.js'
import { hasChanged, needsNoQuery } from './relation-values.js'
import type { TrackedInstances } from './tracked-instances.js'
import { isArray } from '../internal/revoked.js'

/** How a row is read by its key. */
interface ReadOptions {
  readonly forUpdate?: boolean | undefined
  readonly load?: readonly string[] | undefined
  /** Filters that are off; true: all. */
  readonly withoutFilters?: true | readonly string[] | undefined
}

/** Options of {@link KeyLoader.get}. */
export interface GetOptions extends ReadOptions {
  readonly populateExisting?: boolean | undefined
  /** Deferred columns to load. */
  readonly undefer?: readonly string[] | undefined
}

/** Options of {@link KeyLoader.refresh}. */
export interface RefreshOptions extends ReadOptions {
  /** Default: all columns that the object has. */
  readonly columns?: readonly string[] | undefined
}

interface KeyReading {
  readonly mode: LoadMode
  readonly forUpdate: boolean
  readonly flush: StatementsAhead | undefined
  /** The filters that the row need not meet. */
  readonly without: WithoutFilters
  /** The columns that are not read. */
  readonly lacking: readonly TableColumn[]
}

/** What reading by key needs from the unit of work. */
export interface KeyLoaderParts {
  readonly tracked: TrackedInstances
  readonly loader: Loader
  readonly relations: RelationLoader
  /** Flushes before a query, unless autoflush is off. */
  readonly autoflush: () => StatementsAhead | undefined
  readonly fetch: (statement: LoadStatement) => Promise<Fetched>
}

export class KeyLoader {
  readonly #tracked: TrackedInstances
  readonly #loader: Loader
  readonly #relations: RelationLoader
  readonly #autoflush: () => StatementsAhead | undefined
  readonly #fetch: (statement: LoadStatement) => Promise<Fetched>

  constructor({ tracked, loader, relations, autoflush, fetch }: KeyLoaderParts) {
    this.#tracked = tracked
    this.#loader = loader
    this.#relations = relations
    this.#autoflush = autoflush
    this.#fetch = fetch
  }

  /** The object with a key, or null. There is no query if the session holds the object. */
  async get(
    meta: EntityMeta,
    key: unknown,
    { forUpdate = false, populateExisting = false, load = [], undefer = [], withoutFilters }: GetOptions,
  ): Promise<object | null> {
    for (const path of load) checkRelation(meta, path)
    const without = withoutOf(meta, withoutFilters)
    requireNames('undefer', undefer)
    for (const name of undefer) refuseRelated(meta, 'undefer', name)
    const lacking = meta.table.deferredExcept(undefer)
    const values = meta.keyValues(key)
    const identity = meta.identityOf(values)
    const identities = this.#tracked.identities.of(meta)
    const asItIs = !forUpdate && !populateExisting
    const isWhole = ({ instance, expired }: InstanceState): boolean =>
      expired === undefined && undefer.every((name) => !meta.isMissing(instance, meta.table.column(name)))
    let state = identities.get(identity)
    let flush: StatementsAhead | undefined
    if (!asItIs || state === undefined || !load.every(isHeldBy(state))) {
      flush = this.#autoflush()
      if (flush?.sent !== undefined) await flush.sent
      // The flush may have inserted it.
      state = identities.get(identity)
      if (asItIs && state !== undefined) await flush?.done
    }
    if (!asItIs || state === undefined || !isWhole(state)) {
      const encoded = meta.table.primaryKey.map((column, index) => column.encode(values[index]))
      const mode = populateExisting ? 'overwrite' : forUpdate ? 'renew' : 'keep'
      const known = state
      const generation = known?.insertGeneration
      const reading = { mode, forUpdate, flush, without, lacking: stillLacking(state, lacking) } as const
      state = await this.#readByKey(meta, encoded, reading)
      if (state === undefined) {
        // Not expunged if the object was inserted after the query was sent, nor if a filter may hide its row. An object with changes
        // stays, too, so that the flush fails instead of losing them.
        const isGone =
          known?.insertGeneration === generation && known !== undefined && this.#tracked.identities.has(known)
        if (isGone && !hasChanged(known) && filtersOf(meta, without).length === 0) this.#tracked.gone(known)
        return null
      }
    }
    if (load.length > 0) await this.#relations.load([state], load, without)
    return state.instance
  }

  /** Reads the row of an object again; changes that were not flushed are lost. */
  async refresh(
    instance: object,
    { columns: names, forUpdate = false, load = [], withoutFilters }: RefreshOptions,
  ): Promise<void> {
    const state = this.#persistent(instance)
    const { meta } = state
    for (const path of load) checkRelation(meta, path)
    if (isArray(names)) for (const name of names) refuseRelated(meta, 'columns', name)
    const named = names && propertiesToRefresh(meta, names, load)
    const without = withoutOf(meta, withoutFilters)
    for (const [arrival, states] of this.#tracked.awaitingKeys) if (states.includes(state)) await arrival
    // The INSERT may have been rolled back meanwhile.
    this.#persistent(instance)
    // Deferred columns are read again if the object holds them, or if they are named.
    const lacking = stillLacking(
      state,
      meta.table.deferred.filter((column) => named?.columns.includes(column) !== true),
    )
    if (named === undefined) expire(state)
    else expireNamed(state, named)
    const flush = this.#autoflush()
    if (flush?.sent !== undefined) await flush.sent
    this.#persistent(instance)
    const reading = { mode: 'keep', forUpdate, flush, without: 'all', lacking } as const
    const read = await this.#readByKey(meta, state.key, reading)
    if (read === undefined)
      throw new NoResultError(`The row of this ${meta.name} is gone, so it cannot be refreshed`)
    if (read !== state) {
      throw new IllegalStateError(
        `The row of this ${meta.name} has its key in another form than the object was given, so that the session has another ` +
          'object for it: declare the column with the type that it has in the database, or give keys as PostgreSQL writes them',
      )
    }
    if (load.length > 0) await this.#relations.load([state], load, without)
  }

  #persistent(instance: object): InstanceState {
    const state = stateOf(instance)
    this.#tracked.requirePersistent(state, 'refresh()')
    return state
  }

  async #readByKey(
    meta: EntityMeta,
    key: readonly EncodedText[],
    { mode, forUpdate, flush, without, lacking }: KeyReading,
  ): Promise<InstanceState | undefined> {
    const lock = forUpdate ? ' for update' : ''
    const statement = selectByKey(meta.table, key, lock, filtersOf(meta, without), lacking)
    const { rows, revision } = await sendAfter(flush, () => this.#fetch(statement))
    return this.#loader.states(meta, rows, revision, mode, lacking)[0]
  }
}

/** @throws InvalidOptionError for a relation with options, which only queries have; MappingError. */
function checkRelation(meta: EntityMeta, path: unknown): void {
  if (typeof path === 'object' && path !== null) throw onlyByQuery(meta, 'load', 'songs')
  checkPath(meta, path as string)
}

/** @throws InvalidOptionError for a column of a related object (`songs.body`). */
function refuseRelated(meta: EntityMeta, option: string, name: string): void {
  const [relation = '', column] = name.split('.')
  if (column !== undefined && meta.hasRelation(relation)) throw onlyByQuery(meta, option, relation, column)
}

function onlyByQuery(
  { name }: EntityMeta,
  option: string,
  relation: string,
  column = 'body',
): InvalidOptionError {
  return new InvalidOptionError(
    option,
    `${option} of get() and refresh() takes ${option === 'load' ? 'names of relations' : `columns of ${name} itself`}. Parts of a ` +
      'relation, and deferred columns of related objects, are loaded by a query, also for objects that the session has already: ' +
      `select(${name}).where(...).load('${relation}', { undefer: ['${column}'] })`,
  )
}

function withoutOf(meta: EntityMeta, names: ReadOptions['withoutFilters']): WithoutFilters {
  if (names === undefined) return NO_FILTERS_OFF
  if (names === true) return 'all'
  if (isArray(names)) return names.length === 0 ? NO_FILTERS_OFF : checkWithout(meta, names)
  throw new InvalidOptionError(
    'withoutFilters',
    `withoutFilters takes the names of filters in an array, or true for all, not ${kindOf(names)}`,
  )
}

/** The columns that need not be read: an object keeps the deferred columns that it has by reading them again. */
function stillLacking(
  state: InstanceState | undefined,
  lacking: readonly TableColumn[],
): readonly TableColumn[] {
  if (state === undefined || lacking.length === 0) return lacking
  return lacking.filter((column) => state.meta.isMissing(state.instance, column))
}

/** Whether the first relation of a path was loaded or assigned: it needs no query then. */
function isHeldBy(state: InstanceState): (path: string) => boolean {
  return (path) => needsNoQuery(state, path.split('.', 1)[0] as string)
}
