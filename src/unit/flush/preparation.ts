/**
 * The preparation of a flush: cascades, hooks, and loading of what the plan needs (keys that PostgreSQL makes, expired rows, relations
 * of deleted objects).
 */
import { IllegalStateError, StaleDataError } from '../../errors.js'
import { metaOf, type RawRow } from '../../schema/entity-meta.js'
import { NO_FILTERS_OFF } from '../../schema/filters.js'
import { selectByKeys, type LoadStatement } from '../../query/key-statements.js'
import type { Relation } from '../../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import { allocateKeys } from '../../query/insert-statements.js'
import { filteredToDelete, unknownAssigned, unknownToDelete } from '../cascade.js'
import type { InstanceState } from '../instance-state.js'
import type { Loader } from '../loader.js'
import { settleDeletions } from '../ownership.js'
import { RelationChanges } from '../relation-changes.js'
import type { RelationLoader } from '../relation-loader.js'
import { hasChanged } from '../relation-values.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { rolledBackMeanwhile, sendable, type Send } from './contract.js'
import { DroppedKeys } from './dropped-keys.js'
import { keysToAllocate } from './new-keys.js'
import { groupBy } from './row-order.js'
import { replacedObjects } from './row-switch.js'
import { SpelledKeys } from './spelled-keys.js'
import { VerifiedDeletions } from './verified-deletions.js'

// Hooks may add objects whose hooks add objects.
const MOST_ROUNDS = 100

/** A relation whose objects are being loaded. */
interface Recall {
  readonly relation: Relation
  readonly loaded: Promise<void>
}

export class FlushPreparation {
  readonly #tracked: TrackedInstances
  readonly #loader: Loader
  readonly #relations: RelationLoader
  readonly #send: Send
  /** Objects whose hooks have run for the flush that is being prepared. */
  readonly #hooked = new Set<InstanceState>()
  readonly #deletions: VerifiedDeletions
  readonly #dropped: DroppedKeys
  readonly #spelled: SpelledKeys
  /** Objects to delete whose loaded relations were read again without filters. */
  readonly #unfiltered = new Set<InstanceState>()
  /** The changed relations, once nothing has to be loaded. */
  #changes: RelationChanges | undefined = undefined

  constructor(tracked: TrackedInstances, loader: Loader, relations: RelationLoader, send: Send) {
    this.#tracked = tracked
    this.#loader = loader
    this.#relations = relations
    this.#send = send
    const fetch = (statement: LoadStatement): Promise<RawRow[]> => this.#fetch(statement)
    this.#dropped = new DroppedKeys(tracked, fetch)
    this.#spelled = new SpelledKeys(tracked, fetch)
    this.#deletions = new VerifiedDeletions(tracked, loader, fetch, (statement) => send(sendable(statement)))
  }

  /** Forgets which hooks have run: the next flush is prepared from the start. */
  reset(): void {
    this.#changes = undefined
    this.#hooked.clear()
    this.#unfiltered.clear()
    this.#deletions.reset()
    this.#dropped.reset()
    this.#spelled.reset()
  }

  /** The changed relations. Call it directly after `prepare` has found that everything is known. */
  changes(): RelationChanges {
    return this.#changes ?? RelationChanges.of(this.#tracked)
  }

  /** Objects that are deleted with an owner, and whose rows are locked. Call it before `reset`. */
  verified(): ReadonlySet<InstanceState> {
    return this.#deletions.verified
  }

  /** Runs cascades and hooks, and loads what the statements need. Undefined if everything is known already. */
  prepare(): Promise<void> | undefined {
    const tracked = this.#tracked
    let hasColumnsOnly: boolean
    for (let round = 0; ; round++) {
      if (round === MOST_ROUNDS) {
        throw new IllegalStateError(
          `The hooks of entities were still adding objects after ${MOST_ROUNDS} rounds`,
        )
      }
      hasColumnsOnly = tracked.hasColumnsOnly
      if (!hasColumnsOnly) {
        tracked.addRelated()
        settleDeletions(tracked)
      }
      const hooks = this.#hooksToRun()
      if (hooks.size === 0) break
      // A hook may read any property, so expired objects are loaded before it runs.
      const loads = this.#fillExpired(hooks.keys())
      if (loads.length > 0) return Promise.all(loads).then(ignore)
      for (const [state, hook] of hooks) {
        hook(state.instance)
        this.#hooked.add(state)
      }
    }
    const loads = hasColumnsOnly ? this.#loadsForColumns() : this.#loadsForRelations()
    return loads.length === 0 ? undefined : Promise.all(loads).then(ignore)
  }

  #loadsForColumns(): Promise<void>[] {
    const arrivals = this.#awaitChanged()
    return arrivals.length > 0 ? arrivals : [...this.#fillExpired(this.#changed()), ...this.#dropped.check()]
  }

  #loadsForRelations(): Promise<void>[] {
    const { pending, markedDeleted } = this.#tracked
    const replaced = replacedObjects(pending, markedDeleted)
    const recalls = [...this.#recallUnknown(replaced)]
    const loads = [
      ...this.#awaitChanged(),
      ...this.#spelled.ask(),
      ...recalls.map(({ loaded }) => loaded),
      ...this.#deletions.verify(
        new Set(recalls.map(({ relation }) => metaOf(relation.target).table)),
        replaced,
      ),
    ]
    if (loads.length === 0) {
      const relations = RelationChanges.of(this.#tracked)
      loads.push(
        ...this.#fillExpired(this.#changed(relations.holders)),
        ...this.#makeKeys(relations),
        ...this.#dropped.check(relations),
      )
      this.#changes = loads.length === 0 ? relations : undefined
    }
    return loads
  }

  /** The hooks that have not run for this flush yet. */
  #hooksToRun(): Map<InstanceState, (instance: object) => void> {
    const hooks = new Map<InstanceState, (instance: object) => void>()
    const want = (state: InstanceState, hook: ((instance: object) => void) | undefined): void => {
      if (hook !== undefined && !this.#hooked.has(state)) hooks.set(state, hook)
    }
    for (const state of this.#tracked.pending) want(state, state.meta.hooks.beforeInsert)
    let relations: RelationChanges | undefined
    for (const state of this.#tracked.identities.states('hooks')) {
      const { beforeUpdate, beforeDelete } = state.meta.hooks
      if (state.markedDeleted) want(state, beforeDelete)
      else if (beforeUpdate !== undefined) {
        relations ??= RelationChanges.of(this.#tracked)
        if (state.changes.length > 0 || relations.holders.has(state)) want(state, beforeUpdate)
      }
    }
    return hooks
  }

  /** Objects that were changed again while their INSERT is running: they are updated by their keys, which must be known. */
  #awaitChanged(): Promise<void>[] {
    const arrivals: Promise<void>[] = []
    for (const [arrival, states] of this.#tracked.awaitingKeys) {
      if (states.some((state) => state.markedDeleted || hasChanged(state))) arrivals.push(arrival)
    }
    return arrivals
  }

  /**
   * Loads the relations whose objects have to be deleted with their owner, or detached from it.
   * @param replaced Objects whose rows new objects get.
   */
  *#recallUnknown(replaced: ReadonlySet<InstanceState>): Generator<Recall, void, undefined> {
    const unknown = new Map<Relation, InstanceState[]>()
    for (const state of this.#tracked.identities.related()) {
      const relations = new Set([
        ...unknownAssigned(state),
        ...(state.markedDeleted ? unknownToDelete(state, replaced.has(state)) : []),
      ])
      if (state.markedDeleted) yield* this.#recallFiltered(state, replaced.has(state))
      for (const relation of relations) {
        const owners = unknown.get(relation)
        if (owners === undefined) unknown.set(relation, [state])
        else owners.push(state)
      }
    }
    for (const [relation, owners] of unknown) {
      const going = owners.filter(({ markedDeleted }) => markedDeleted)
      const assigned = owners.filter(({ markedDeleted }) => !markedDeleted)
      // An assigned relation replaces only the rows that a query would see with its filters.
      if (assigned.length > 0) {
        yield { relation, loaded: this.#relations.recall(assigned, relation, NO_FILTERS_OFF) }
      }
      // The current rows count, even if the objects were read before, or filters hide them.
      if (going.length > 0)
        yield { relation, loaded: this.#relations.recall(going, relation, 'all', { mode: 'renew' }) }
    }
  }

  /** Loads the objects of loaded relations that filters have hidden, once for a flush. */
  *#recallFiltered(owner: InstanceState, isReplaced: boolean): Generator<Recall, void, undefined> {
    if (this.#unfiltered.has(owner)) return
    this.#unfiltered.add(owner)
    for (const relation of filteredToDelete(owner, isReplaced)) {
      // The members of a collection with a join table do not tell whom they belong to.
      const addsHidden = relation.link !== undefined
      const options = { mode: 'renew', keepsRelations: !addsHidden, addsHidden } as const
      yield { relation, loaded: this.#relations.recall([owner], relation, 'all', options) }
    }
  }

  /** Expired objects whose rows the flush may update, or delete in a version that it does not know. */
  #changed(holders?: RelationChanges['holders']): InstanceState[] {
    return this.#tracked.identities.filter(
      (state) =>
        state.expired !== undefined &&
        (state.markedDeleted
          ? lacksVersion(state)
          : state.changes.length > 0 || holders?.has(state) === true),
    )
  }

  /** Loads the rows of expired objects: assigned values can be compared only with loaded ones, and versions were rolled back. */
  #fillExpired(states: Iterable<InstanceState>): Promise<void>[] {
    const expired = [...states].filter((state) => state.expired !== undefined)
    return groupBy(expired, ({ meta }) => meta.table.key).map((alike) => this.#fillAlike(alike))
  }

  async #fillAlike(states: readonly InstanceState[]): Promise<void> {
    const [{ meta }] = states as [InstanceState]
    const keys = states.map(({ key }) => key)
    const rows = await this.#fetch(selectByKeys(meta.table, keys))
    const byIdentity = new Map(rows.map((row) => [meta.identityOfRow(row), row]))
    for (const state of states) {
      const row = state.identity === undefined ? undefined : byIdentity.get(state.identity)
      if (row === undefined) {
        throw new StaleDataError(
          `The row of ${state} is gone: PostgreSQL has deleted it with a row that it referred to (ON DELETE CASCADE), or another ` +
            'transaction has deleted it. It cannot be changed or deleted: expunge() the object, or run the transaction again',
        )
      }
      this.#loader.fill(state, row, 'keep')
      this.#tracked.journal.loads(this.#tracked.identities.revision)?.loaded.add(state)
    }
  }

  /**
   * Lets PostgreSQL make keys for new objects that foreign keys refer to. Waits for keys of running INSERTs that are needed,
   * also of objects whose own foreign keys are to be set.
   */
  *#makeKeys({ needed, holders }: RelationChanges): Generator<Promise<void>, void, undefined> {
    yield* this.#allocate(keysToAllocate(needed, this.#tracked.pending))
    for (const [arrival, states] of this.#tracked.awaitingKeys) {
      if (states.some((state) => needed.has(state) || holders.has(state))) yield arrival
    }
  }

  #allocate(needed: ReadonlyMap<InstanceState, ReadonlySet<TableColumn>>): Promise<void>[] {
    const alike = groupBy([...needed], ([{ meta }, columns]) => `${meta.table.key} ${[...columns].join()}`)
    return alike.map(async (group) => {
      const [[{ meta }, columns]] = group as [(typeof group)[number]]
      const statement = allocateKeys(meta.table, [...columns], group.length)
      for (const [index, row] of (await this.#fetch(statement)).entries()) {
        const state = group[index]?.[0] as InstanceState
        for (const [at, column] of [...columns].entries()) {
          // A key that was assigned meanwhile is kept.
          state.instance[column.property] ??= column.decode(row[at] as EncodedText)
        }
      }
      const states = group.map(([state]) => state)
      this.#tracked.journal.filled(states, [...columns])
    })
  }

  /** Reads rows. */
  async #fetch(statement: LoadStatement): Promise<RawRow[]> {
    const { identities } = this.#tracked
    let { revision } = identities
    const queued = (): void => {
      revision = identities.revision
    }
    const { rows } = await this.#send({ ...sendable(statement), queued })
    if (identities.isRolledBack(revision)) throw rolledBackMeanwhile()
    return rows as RawRow[]
  }
}

function lacksVersion({ meta, snapshot }: InstanceState): boolean {
  const { version } = meta.table
  return version !== undefined && snapshot?.[version.index] === undefined
}

function ignore(): void {
  // The flush waits for all of them, and needs no value.
}
