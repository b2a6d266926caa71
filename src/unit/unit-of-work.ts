/**
 * The unit of work of one session: which instances it follows, and how their changes become rows. It knows no
 * connection: it hands statements to whoever owns it.
 */
import { IllegalStateError, InvalidOptionError, NoResultError, StaleDataError } from '../errors.js'
import { sendAfter } from '../internal/statements-ahead.js'
import type { EntityMeta, RawRow } from '../schema/entity-meta.js'
import type { EntityQuery } from '../query/entity-statement.js'
import { RAW_INTEGERS } from '../codecs/raw-values.js'
import { kindOf } from '../codecs/codec.js'
import { checkWithout, filtersOf, NO_FILTERS_OFF, type WithoutFilters } from '../schema/filters.js'
import { selectByKey, type LoadStatement } from '../query/key-statements.js'
import { isFilledIn } from '../schema/filled-in.js'
import { checkPath } from '../query/select.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import { Flusher, type Flush, type Send } from './flush/flusher.js'
import type { Sealed } from './journal.js'
import { IdentityMap } from './identity-map.js'
import { knownState, stateOf, type InstanceState } from './instance-state.js'
import { expire, expireNamed, Loader, type LoadMode } from './loader.js'
import { TrackedInstances } from './tracked-instances.js'
import { hasWhole } from './partial-collections.js'
import { settleDeletions } from './ownership.js'
import { namedProperties, propertiesToRefresh, requireNames } from './property-names.js'
import { RelationLoader, type Fetched } from './relation-loader.js'
import { hasChanged, heldBy, heldRelations } from './relation-values.js'

/** How a row is read by its key. */
export interface ReadOptions {
  readonly forUpdate?: boolean | undefined
  readonly load?: readonly string[] | undefined
  /** Filters that are off; true: all. */
  readonly withoutFilters?: true | readonly string[] | undefined
}

interface GetOptions extends ReadOptions {
  readonly populateExisting?: boolean | undefined
  /** Deferred columns to load. */
  readonly undefer?: readonly string[] | undefined
}

interface KeyReading {
  readonly mode: LoadMode
  readonly forUpdate: boolean
  readonly flush: Flush | undefined
  /** The filters that the row need not meet. */
  readonly without: WithoutFilters
  /** The columns that are not read. */
  readonly lacking: readonly TableColumn[]
}

export class UnitOfWork {
  readonly #members = new TrackedInstances()
  readonly #loader: Loader
  readonly #relations: RelationLoader
  readonly #flusher: Flusher
  readonly #send: Send
  /** How many merges are under way, and the objects that they have made: another one may ask for the same key. */
  #merges = 0
  readonly #made = new IdentityMap()
  /** Flushes before a query, unless that is off. */
  readonly #autoflush: () => Flush | undefined

  constructor(send: Send, autoflush: () => Flush | undefined, requireRunning: () => void) {
    this.#send = send
    this.#autoflush = autoflush
    const { identities, journal } = this.#members
    this.#loader = new Loader(identities, journal, this.#members, (state) => this.#flusher.willWrite(state))
    this.#relations = new RelationLoader(identities, journal, this.#loader, (statement) =>
      this.#fetch(statement),
    )
    this.#flusher = new Flusher(this.#members, this.#loader, this.#relations, send, requireRunning)
  }

  // Which objects it follows ------------------------------------------------------------------------------------------

  add(instance: object): void {
    this.#members.add(stateOf(instance))
  }

  delete(instance: object): void {
    this.#members.delete(stateOf(instance))
  }

  expunge(instance: object): void {
    this.#members.expunge(stateOf(instance))
  }

  /** @param names Properties; default: all columns, and the relations. */
  expire(instance: object, names?: readonly string[]): void {
    const state = this.#persistent(instance, 'expire()')
    if (names === undefined) expire(state)
    else expireNamed(state, namedProperties(state.meta, names))
  }

  expireAll(): void {
    for (const state of this.#members.identities.states()) expire(state)
  }

  get new(): object[] {
    this.#settle()
    return [...this.#members.pending].map(({ instance }) => instance)
  }

  get deleted(): object[] {
    this.#settle()
    return [...this.#members.markedDeleted].map(({ instance }) => instance)
  }

  get dirty(): object[] {
    this.#settle()
    return [...this.#dirtyStates()].map(({ instance }) => instance)
  }

  /** Whether an object has changes that were not flushed. */
  isModified(instance: object): boolean {
    const state = stateOf(instance)
    return state.attachment === this.#members && (state.status === 'pending' || hasChanged(state))
  }

  has(instance: object): boolean {
    const state = knownState(instance)
    return state?.attachment === this.#members && state.status !== 'deleted'
  }

  // Flush -------------------------------------------------------------------------------------------------------------

  /** True if a flush would find something. */
  get hasWork(): boolean {
    const { pending, markedDeleted } = this.#members
    return pending.size > 0 || markedDeleted.size > 0 || this.#dirtyStates().next().done !== true
  }

  /** See {@link Flusher.flush}. */
  flush(): Flush | undefined {
    const { pending, markedDeleted, awaitingKeys, identities } = this.#members
    if (pending.size + markedDeleted.size + awaitingKeys.size === 0 && identities.empty) return undefined
    return this.#flusher.flush()
  }

  // Loading -----------------------------------------------------------------------------------------------------------

  /** Reads the rows of a query. `queued` has to be called when the query takes its place in the queue. */
  reader(query: EntityQuery): { queued: () => void; read: (rows: readonly RawRow[]) => Promise<object[]> } {
    const { identities } = this.#members
    let { revision } = identities
    return {
      queued: () => {
        revision = identities.revision
      },
      read: (rows) => this.#read(query, rows, revision),
    }
  }

  /** The instances of the rows of a query, with the relations that it names. */
  async #read(query: EntityQuery, rows: readonly RawRow[], revision: number): Promise<object[]> {
    const { meta, load, lacking, rowsAre, without } = query
    if (this.#members.awaitingKeys.size > 0) await earlierAnswers()
    const states =
      rowsAre === 'deleted'
        ? this.#loader.deleted(meta, rows)
        : this.#loader.states(meta, rows, revision, LOAD_MODES[rowsAre], lacking)
    if (load.length > 0) await this.#relations.load([...new Set(states)], load, without)
    return instancesOf(states)
  }

  /** The object with a key: without a query if it is here already. Null if there is none. */
  async get(
    meta: EntityMeta,
    key: unknown,
    { forUpdate = false, populateExisting = false, load = [], undefer = [], withoutFilters }: GetOptions,
  ): Promise<object | null> {
    for (const path of load) checkPath(meta, path)
    const without = withoutOf(meta, withoutFilters)
    requireNames('undefer', undefer)
    const lacking = meta.table.lackingWithout(undefer)
    const values = meta.keyValues(key)
    const identity = meta.identityOf(values)
    const identities = this.#members.identities.of(meta)
    const asItIs = !forUpdate && !populateExisting
    const isWhole = ({ instance, expired }: InstanceState): boolean =>
      expired === undefined && undefer.every((name) => !meta.isMissing(instance, meta.table.column(name)))
    let state = identities.get(identity)
    let flush: Flush | undefined
    if (!asItIs || state === undefined || !load.every(isHeldBy(state))) {
      flush = this.#autoflush()
      if (flush?.sent !== undefined) await flush.sent
      // It may have been new until now.
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
        // One that has come since then has a row, which this query came too early for; one that filters hide may have it still.
        const isGone =
          known?.insertGeneration === generation && known !== undefined && this.#members.identities.has(known)
        if (isGone && filtersOf(meta, without).length === 0) this.#members.gone(known)
        return null
      }
    }
    if (load.length > 0) await this.#relations.load([state], load, without)
    return state.instance
  }

  /** Reads the row of an object again; changes that were not flushed are lost. */
  async refresh(
    instance: object,
    {
      columns: names,
      forUpdate = false,
      load = [],
      withoutFilters,
    }: ReadOptions & { readonly columns?: readonly string[] | undefined },
  ): Promise<void> {
    const state = this.#persistent(instance, 'refresh()')
    const { meta } = state
    requireNames('load', load)
    for (const path of load) checkPath(meta, path)
    const named = names && propertiesToRefresh(meta, names, load)
    const without = withoutOf(meta, withoutFilters)
    for (const [arrival, states] of this.#members.awaitingKeys) if (states.includes(state)) await arrival
    // What it waits for may have been undone.
    this.#persistent(instance, 'refresh()')
    // It loads again what the object holds, and what is named.
    const lacking = stillLacking(
      state,
      meta.table.deferred.filter((column) => named?.columns.includes(column) !== true),
    )
    if (named === undefined) expire(state)
    else expireNamed(state, named)
    const flush = this.#autoflush()
    if (flush?.sent !== undefined) await flush.sent
    this.#persistent(instance, 'refresh()')
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

  /** Takes over the values of an object that this session does not follow. */
  async merge<T extends object>(given: T): Promise<T> {
    this.#merges++
    try {
      return (await this.#merge(stateOf(given), new Map())).instance as T
    } finally {
      if (--this.#merges === 0) this.#made.clear()
    }
  }

  // Ends --------------------------------------------------------------------------------------------------------------

  /** COMMIT is on its way. */
  committing(): Sealed {
    return this.#members.committing()
  }

  committed(sealed: Sealed, expireAll: boolean): void {
    this.#members.committed(sealed, expireAll)
  }

  commitFailed(sealed: Sealed): void {
    this.#members.commitFailed(sealed)
  }

  /** ROLLBACK is on its way: what is being prepared must not be stored after it. */
  interrupt(): void {
    this.#flusher.interrupt()
  }

  rolledBack(hadTransaction: boolean): void {
    this.#members.rolledBack(hadTransaction)
  }

  savepointEntered(): void {
    // What is read inside is told from what was read before.
    this.#members.journal.enter(++this.#members.identities.revision)
  }

  /** @param depth Savepoints that are still open. */
  savepointReleased(depth: number): void {
    this.#members.journal.release(depth)
  }

  savepointRolledBack(depth: number): void {
    this.#members.rolledBackTo(depth)
  }

  /** Lets go of everything. */
  close(): void {
    this.#members.close()
  }

  /** Brings up to date what is deleted because of others. */
  #settle(): void {
    try {
      settleDeletions(this.#members)
    } catch {
      // The flush will say why.
    }
  }

  *#dirtyStates(): Generator<InstanceState, void, undefined> {
    for (const state of this.#members.persistent()) if (!state.markedDeleted && hasChanged(state)) yield state
  }

  #persistent(instance: object, what: string): InstanceState {
    const state = stateOf(instance)
    this.#members.requirePersistent(state, what)
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

  async #fetch({ text, values }: LoadStatement): Promise<Fetched> {
    let revision = 0
    const queued = (): void => {
      revision = this.#members.identities.revision
    }
    const { rows } = await this.#send({ text, values, rowMode: 'array', types: RAW_INTEGERS, queued })
    if (this.#members.awaitingKeys.size > 0) await earlierAnswers()
    return { rows: rows as RawRow[], revision }
  }

  async #merge(given: InstanceState, merged: Map<InstanceState, InstanceState>): Promise<InstanceState> {
    const known = given.attachment === this.#members ? given : merged.get(given)
    if (known !== undefined) return known
    const { instance, meta } = given
    const key = meta.table.primaryKey.map((column) => given.value(column))
    const { target, isMade } = await this.#mergeTarget(meta, key)
    const hasRow = target.status === 'persistent'
    merged.set(given, target)
    // What its constructor filled in says nothing about the row.
    const isGiven = (column: TableColumn): boolean =>
      given.snapshot !== undefined || !isFilledIn(instance, column)
    const { version } = meta.table
    const comparesVersions = hasRow && version !== undefined && isGiven(version)
    if (comparesVersions && given.value(version) !== target.value(version)) {
      throw new StaleDataError(`The ${meta.name} to merge was changed by somebody else since it was loaded`)
    }
    for (const column of meta.table.columns) {
      const isUnknown = meta.isExpired(instance, column) || meta.isMissing(instance, column)
      const value = isUnknown ? undefined : instance[column.property]
      const counts = value !== undefined && column.definition.generated === undefined && isGiven(column)
      if (isMade || counts) {
        // A copy of what could be changed in place.
        target.instance[column.property] = column.mutable ? column.restore(column.snapshot(value)) : value
      }
    }
    for (const relation of heldRelations(given)) {
      if (!relation.cascades.has('add')) continue
      const members: object[] = []
      for (const member of heldBy(given, relation)) members.push((await this.#merge(member, merged)).instance)
      // What it held before has to be known, to find what was taken out.
      if (hasRow) await this.#relations.load([target], [relation.name], NO_FILTERS_OFF)
      target.instance[relation.name] = relation.many ? members : (members[0] ?? null)
    }
    if (!hasRow) this.#members.add(target)
    return target
  }

  /** The object with a key, also one that another merge has made while this one was looking for it; or one made now. */
  async #mergeTarget(
    meta: EntityMeta,
    key: readonly unknown[],
  ): Promise<{ readonly target: InstanceState; readonly isMade: boolean }> {
    const isKeyed = key.every((value) => value !== undefined && value !== null)
    if (isKeyed) {
      const found = await this.get(meta, keyOf(meta, key), {})
      if (found !== null) return { target: stateOf(found), isMade: false }
      const identity = meta.identityOf(key)
      const known = this.#members.identities.of(meta).get(identity) ?? this.#made.of(meta).get(identity)
      if (known !== undefined) return { target: known, isMade: false }
    }
    const target = stateOf(meta.create())
    if (isKeyed) this.#made.of(meta).set(meta.identityOf(key), target)
    return { target, isMade: true }
  }
}

function withoutOf(meta: EntityMeta, names: ReadOptions['withoutFilters']): WithoutFilters {
  if (names === undefined) return NO_FILTERS_OFF
  if (names === true) return 'all'
  if (Array.isArray(names)) return names.length === 0 ? NO_FILTERS_OFF : checkWithout(meta, names)
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

const LOAD_MODES = { read: 'keep', fresh: 'renew', wanted: 'overwrite' } as const

/** The instances take the places of their states: there may be many. */
function instancesOf(states: InstanceState[]): object[] {
  const instances: object[] = states
  for (let index = 0; index < states.length; index++)
    instances[index] = (states[index] as InstanceState).instance
  return instances
}

/** Lets answers take effect that came before, with the same packet: an object that was inserted has its key then. */
function earlierAnswers(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

/** Whether the first relation of a path was loaded or assigned: it needs no query then. */
function isHeldBy({ instance }: InstanceState): (path: string) => boolean {
  return (path) => hasWhole(instance, path.split('.', 1)[0] as string)
}

function keyOf({ table }: EntityMeta, values: readonly unknown[]): unknown {
  if (values.length === 1) return values[0]
  return Object.fromEntries(table.primaryKey.map(({ property }, index) => [property, values[index]]))
}
