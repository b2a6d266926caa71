/**
 * The unit of work of one session: which instances it tracks, and how their changes become rows. It has no connection: it
 * passes its statements to the session.
 */
import type { MessageSource } from '../internal/channels.js'
import type { StatementsAhead } from '../internal/statements-ahead.js'
import type { EntityMeta, RawRow } from '../schema/entity-meta.js'
import type { EntityQuery } from '../query/entity-statement.js'
import { RAW_INTEGERS } from '../codecs/raw-values.js'
import type { LoadStatement } from '../query/key-statements.js'
import type { Send } from './flush/contract.js'
import { Flusher } from './flush/flusher.js'
import type { Sealed } from './journal.js'
import { knownState, stateOf, type InstanceState } from './instance-state.js'
import { KeyLoader, type GetOptions, type RefreshOptions } from './key-loader.js'
import { expire, expireNamed, Loader } from './loader.js'
import { Merger } from './merge.js'
import { TrackedInstances } from './tracked-instances.js'
import { settleDeletions } from './ownership.js'
import { namedProperties } from './property-names.js'
import { RelationLoader, type Fetched } from './relation-loader.js'
import { hasChanged } from './relation-values.js'

export class UnitOfWork {
  readonly #tracked: TrackedInstances
  readonly #loader: Loader
  readonly #relations: RelationLoader
  readonly #flusher: Flusher
  readonly #send: Send
  readonly #keys: KeyLoader
  readonly #merger: Merger

  /**
   * @param hidesValues Messages show no value, not even of a key.
   * @param source For the channel of flushes.
   */
  constructor(
    send: Send,
    autoflush: () => StatementsAhead | undefined,
    requireRunning: () => void,
    hidesValues: boolean,
    source: MessageSource,
  ) {
    this.#send = send
    this.#tracked = new TrackedInstances(hidesValues)
    const { identities, journal } = this.#tracked
    this.#loader = new Loader(identities, journal, this.#tracked, (state, options) =>
      this.#flusher.willWrite(state, options),
    )
    this.#relations = new RelationLoader(identities, journal, this.#loader, (statement) =>
      this.#fetch(statement),
    )
    this.#keys = new KeyLoader({
      tracked: this.#tracked,
      loader: this.#loader,
      relations: this.#relations,
      autoflush,
      fetch: (statement) => this.#fetch(statement),
    })
    this.#merger = new Merger(this.#tracked, this.#keys, this.#relations, () => this.#settle())
    this.#flusher = new Flusher(this.#tracked, this.#loader, this.#relations, send, requireRunning, source)
  }

  // Tracked objects --------------------------------------------------------------------------------------------------

  add(instance: object): void {
    this.#tracked.add(stateOf(instance))
  }

  delete(instance: object): void {
    this.#tracked.delete(stateOf(instance))
  }

  expunge(instance: object): void {
    this.#tracked.expunge(stateOf(instance))
  }

  /** @param names Properties; default: all columns, and the relations. */
  expire(instance: object, names?: readonly string[]): void {
    const state = this.#persistent(instance, 'expire()')
    if (names === undefined) expire(state)
    else expireNamed(state, namedProperties(state.meta, names))
  }

  expireAll(): void {
    for (const state of this.#tracked.identities.states()) expire(state)
  }

  get new(): object[] {
    const dropped = this.#settle()
    return [...this.#tracked.pending].filter((state) => !dropped.has(state)).map(({ instance }) => instance)
  }

  get deleted(): object[] {
    this.#settle()
    return [...this.#tracked.markedDeleted].map(({ instance }) => instance)
  }

  get dirty(): object[] {
    this.#settle()
    return [...this.#dirtyStates()].map(({ instance }) => instance)
  }

  /** Whether an object has changes that were not flushed. */
  isModified(instance: object): boolean {
    const state = stateOf(instance)
    return state.attachment === this.#tracked && (state.status === 'pending' || hasChanged(state))
  }

  has(instance: object): boolean {
    const state = knownState(instance)
    return state?.attachment === this.#tracked && state.status !== 'deleted'
  }

  // Flush -------------------------------------------------------------------------------------------------------------

  /** True if a flush would write something. */
  get hasWork(): boolean {
    const { pending, markedDeleted } = this.#tracked
    return pending.size > 0 || markedDeleted.size > 0 || this.#dirtyStates().next().done !== true
  }

  /** See {@link Flusher.flush}. */
  flush(): StatementsAhead | undefined {
    const { pending, markedDeleted, awaitingKeys, identities } = this.#tracked
    if (pending.size + markedDeleted.size + awaitingKeys.size === 0 && identities.empty) return undefined
    return this.#flusher.flush()
  }

  // Loading -----------------------------------------------------------------------------------------------------------

  /** Reads the rows of a query. `queued` has to be called when the query takes its place in the queue. */
  reader(query: EntityQuery): { queued: () => void; read: (rows: readonly RawRow[]) => Promise<object[]> } {
    const { identities } = this.#tracked
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
    if (this.#tracked.awaitingKeys.size > 0) await earlierAnswers()
    const states =
      rowsAre === 'deleted'
        ? this.#loader.deleted(meta, rows)
        : this.#loader.states(meta, rows, revision, LOAD_MODES[rowsAre], lacking)
    if (load.length > 0) await this.#relations.load([...new Set(states)], load, without)
    return instancesOf(states)
  }

  /** See {@link KeyLoader.get}. */
  get(meta: EntityMeta, key: unknown, options: GetOptions): Promise<object | null> {
    return this.#keys.get(meta, key, options)
  }

  /** See {@link KeyLoader.refresh}. */
  refresh(instance: object, options: RefreshOptions): Promise<void> {
    return this.#keys.refresh(instance, options)
  }

  /** See {@link Merger.merge}. */
  merge<T extends object>(given: T): Promise<T> {
    return this.#merger.merge(given)
  }

  // Ends --------------------------------------------------------------------------------------------------------------

  /** COMMIT was queued. */
  committing(): Sealed {
    return this.#tracked.committing()
  }

  committed(sealed: Sealed, expireAll: boolean): void {
    this.#tracked.committed(sealed, expireAll)
  }

  commitFailed(sealed: Sealed): void {
    this.#tracked.commitFailed(sealed)
  }

  /** ROLLBACK was queued: a flush that is being prepared must not store anything after it. */
  interrupt(): void {
    this.#flusher.interrupt()
  }

  rolledBack(hadTransaction: boolean): void {
    this.#tracked.rolledBack(hadTransaction)
  }

  savepointEntered(): void {
    // A new revision distinguishes rows that are read inside the savepoint from those read before.
    this.#tracked.journal.enter(++this.#tracked.identities.revision)
  }

  /** @param depth Savepoints that are still open. */
  savepointReleased(depth: number): void {
    this.#tracked.journal.release(depth)
  }

  savepointRolledBack(depth: number): void {
    this.#tracked.rolledBackTo(depth)
  }

  /** The objects that have a row, in no particular order. */
  get attached(): readonly InstanceState[] {
    return this.#tracked.identities.states()
  }

  /** Detaches all objects. */
  close(): void {
    this.#tracked.close()
  }

  /** Updates the set of objects that are deleted with their owners. @returns the new objects that the flush does not store. */
  #settle(): ReadonlySet<InstanceState> {
    try {
      return settleDeletions(this.#tracked, { isFlush: false })
    } catch {
      // The flush throws the same error.
      return new Set()
    }
  }

  *#dirtyStates(): Generator<InstanceState, void, undefined> {
    for (const state of this.#tracked.persistent()) if (!state.markedDeleted && hasChanged(state)) yield state
  }

  #persistent(instance: object, what: string): InstanceState {
    const state = stateOf(instance)
    this.#tracked.requirePersistent(state, what)
    return state
  }

  async #fetch({ text, values }: LoadStatement): Promise<Fetched> {
    let revision = 0
    const queued = (): void => {
      revision = this.#tracked.identities.revision
    }
    const { rows } = await this.#send({ text, values, rowMode: 'array', types: RAW_INTEGERS, queued })
    if (this.#tracked.awaitingKeys.size > 0) await earlierAnswers()
    return { rows: rows as RawRow[], revision }
  }
}

const LOAD_MODES = { read: 'keep', fresh: 'renew', wanted: 'overwrite' } as const

/** The instances take the places of their states: there may be many. */
function instancesOf(states: InstanceState[]): object[] {
  const instances: object[] = states
  for (let index = 0; index < states.length; index++)
    instances[index] = (states[index] as InstanceState).instance
  return instances
}

/** Waits until earlier answers of the same batch have been applied: inserted objects have their keys then. */
function earlierAnswers(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
