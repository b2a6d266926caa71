/** The flush: from changed objects to statements that are under way. */
import type { StatementResult, TypeParsers } from '../../driver/driver.js'
import type { EncodedValue } from '../../driver/values.js'
import { AbortedError, IllegalStateError, StaleDataError } from '../../errors.js'
import { flushChannel } from '../../internal/channels.js'
import { metaOf, type RawRow } from '../../schema/entity-meta.js'
import { NO_FILTERS_OFF } from '../../schema/filters.js'
import { RAW_INTEGERS } from '../../codecs/raw-values.js'
import { selectByKeys } from '../../query/key-statements.js'
import type { Relation } from '../../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import { allocateKeys } from '../../query/write-statements.js'
import { linksOf, unknownAssigned, unknownToDelete } from '../cascade.js'
import { FlushApplier } from './apply.js'
import { planFlush, type FlushPlan } from './plan.js'
import type { Step } from './steps.js'
import type { InstanceState } from '../instance-state.js'
import type { Loader } from '../loader.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { settleDeletions } from '../ownership.js'
import { refersTo, RelationChanges } from '../relation-changes.js'
import type { RelationLoader } from '../relation-loader.js'
import { hasChanged, heldBy, heldRelations } from '../relation-values.js'
import { groupBy } from './row-order.js'
import { explainSwap } from './swapped-values.js'
import { withoutKeys } from './new-keys.js'
import { VerifiedDeletions } from './verified-deletions.js'
import { foreignKeysOf, type Change } from './rows.js'

/** A statement of the unit of work; its rows are arrays of what PostgreSQL gives. */
export interface UnitStatement {
  readonly text: string
  readonly values: readonly EncodedValue[]
  readonly rowMode: 'array'
  readonly types: TypeParsers
  /** Called when it takes its place in the queue. */
  readonly queued?: () => void
}

/** Queues a statement before it returns, unless it has to wait for its turn. */
export type Send = (statement: UnitStatement) => Promise<StatementResult>

/** A flush that is under way. */
export interface Flush {
  /** Settles when all of its statements are queued; undefined if they are already. */
  readonly sent: Promise<void> | undefined
  /** Settles when they have been answered. */
  readonly done: Promise<void>
}

// Hooks may add objects whose hooks add objects.
const MOST_ROUNDS = 100

/** What is being read of a relation that is not loaded. */
interface Recall {
  readonly relation: Relation
  readonly loaded: Promise<void>
}

export class Flusher {
  readonly #members: TrackedInstances
  readonly #loader: Loader
  readonly #relations: RelationLoader
  readonly #applier: FlushApplier
  readonly #send: Send
  /** Throws where the statements would be refused. */
  readonly #requireRunning: () => void
  /** Objects whose hooks have run for the flush that is being prepared. */
  readonly #hooked = new Set<InstanceState>()
  readonly #deletions: VerifiedDeletions
  /** Something has to be loaded before it can go on. */
  #preparing: Promise<void> | undefined = undefined
  /** Counts the transactions that were rolled back. */
  #transaction = 0

  constructor(
    members: TrackedInstances,
    loader: Loader,
    relations: RelationLoader,
    send: Send,
    requireRunning: () => void,
  ) {
    this.#members = members
    this.#loader = loader
    this.#relations = relations
    this.#send = send
    this.#requireRunning = requireRunning
    this.#deletions = new VerifiedDeletions(
      members,
      loader,
      (statement) => this.#fetch(statement),
      (statement) => send(sendable(statement)),
    )
    this.#applier = new FlushApplier(members.identities, members.journal, members, () => members.persistent())
  }

  /**
   * Sends what has changed. Usually its statements are queued when it returns, so that COMMIT or a query can travel with
   * them; it has to load something first where new rows need keys that PostgreSQL makes, where objects have expired, and
   * where a delete takes along what is not loaded.
   *
   * @returns undefined if nothing has changed.
   * @throws InvalidValueError, MappingError, IllegalStateError: nothing was sent, and nothing has changed.
   */
  flush(): Flush | undefined {
    const preparing = this.#preparing ?? this.#begin()
    if (preparing === undefined) return this.#write()
    let rest: Flush | undefined
    const transaction = this.#transaction
    const sent = preparing.then(async () => {
      if (this.#transaction !== transaction) throw rolledBackMeanwhile()
      // Others may have waited for the same, and gone on.
      if (this.#preparing === preparing) this.#preparing = undefined
      rest = this.flush()
      await rest?.sent
    })
    const done = sent.then(() => rest?.done)
    done.catch(ignore)
    return { sent, done }
  }

  #begin(): Promise<void> | undefined {
    const transaction = this.#transaction
    const failed = (): void => {
      if (this.#transaction !== transaction) return
      this.#preparing = undefined
      this.#startOver()
    }
    try {
      this.#preparing = this.#prepare()
      this.#preparing?.catch(failed)
      return this.#preparing
    } catch (error) {
      failed()
      throw error
    }
  }

  /** ROLLBACK is on its way: what is being prepared must not be stored after it. */
  interrupt(): void {
    this.#transaction++
    this.#preparing = undefined
    this.#startOver()
  }

  /** Whether the next flush will write the row of an object: for its own changes, or those of what is related to it. */
  willWrite(state: InstanceState): boolean {
    try {
      return (
        state.markedDeleted ||
        state.changes.length > 0 ||
        RelationChanges.of(this.#members.related()).holders.has(state)
      )
    } catch {
      // The flush will say why.
      return true
    }
  }

  #startOver(): void {
    this.#hooked.clear()
    this.#deletions.startOver()
  }

  /** Runs cascades and hooks. Undefined if everything is known that the statements need. */
  #prepare(): Promise<void> | undefined {
    const members = this.#members
    for (let round = 0; ; round++) {
      if (round === MOST_ROUNDS) {
        throw new IllegalStateError(
          `The hooks of entities were still adding objects after ${MOST_ROUNDS} rounds`,
        )
      }
      members.addRelated()
      settleDeletions(members)
      const hooks = this.#hooksToRun()
      // They may read anything.
      const loads = [...this.#fillExpired(hooks.keys())]
      if (loads.length > 0) return Promise.all(loads).then(ignore)
      if (hooks.size === 0) break
      for (const [state, hook] of hooks) {
        hook(state.instance)
        this.#hooked.add(state)
      }
    }
    const recalls = [...this.#recallUnknown()]
    const loads = [
      ...this.#awaitChanged(),
      ...recalls.map(({ loaded }) => loaded),
      ...this.#deletions.verify(new Set(recalls.map(({ relation }) => metaOf(relation.target).table))),
    ]
    if (loads.length === 0) {
      const relations = RelationChanges.of(this.#members.related())
      loads.push(...this.#fillExpired(this.#changed(relations)), ...this.#makeKeys(relations))
    }
    return loads.length === 0 ? undefined : Promise.all(loads).then(ignore)
  }

  #write(): Flush | undefined {
    const members = this.#members
    const { pending, markedDeleted, journal } = members
    this.#startOver()
    const relations = RelationChanges.of(this.#members.related())
    relations.apply()
    const plan = planFlush({
      inserted: [...pending],
      followed: members.identities.states(),
      deleted: [...markedDeleted],
      guards: members.guards,
      links: [...linksOf(markedDeleted), ...relations.links()],
    })
    if (plan.steps.length === 0) {
      relations.remember()
      return undefined
    }
    this.#requireRunning()
    this.#applier.applied(plan)
    for (const state of relations.remember()) {
      if (state.snapshot !== undefined && state.status === 'persistent')
        journal.updated(state, state.snapshot)
    }
    for (const change of plan.changes) forgetStaleRelations(change)
    for (const [state, values] of plan.propagated)
      forgetStaleRelations({ state, columns: [...values.keys()] })
    const done = flushChannel.hasSubscribers
      ? flushChannel.tracePromise(() => this.#run(plan.steps), figuresOf(plan))
      : this.#run(plan.steps)
    done.catch(ignore)
    members.flushed(
      plan.changes.map(({ state }) => state),
      done,
    )
    return { sent: undefined, done }
  }

  async #run(steps: readonly Step[]): Promise<void> {
    const [only, ...others] = steps
    if (only !== undefined && others.length === 0) await this.#take(only)
    else await Promise.all(steps.map((step) => this.#take(step)))
  }

  async #take(step: Step): Promise<void> {
    const sent = this.#applier.sent(step)
    let answer: StatementResult
    try {
      answer = await this.#send(sendable(step.statement))
    } catch (error) {
      if (step.circular === true) explainSwap(error)
      throw error
    }
    this.#applier.answered(step, sent, answer)
  }

  /** Reads rows. */
  async #fetch(statement: {
    readonly text: string
    readonly values: readonly EncodedValue[]
  }): Promise<RawRow[]> {
    const { identities } = this.#members
    let { revision } = identities
    const queued = (): void => {
      revision = identities.revision
    }
    const { rows } = await this.#send({ ...sendable(statement), queued })
    if (identities.isRolledBack(revision)) throw rolledBackMeanwhile()
    return rows as RawRow[]
  }

  /** The hooks that have not run for this flush yet. */
  #hooksToRun(): Map<InstanceState, (instance: object) => void> {
    const hooks = new Map<InstanceState, (instance: object) => void>()
    const want = (state: InstanceState, hook: ((instance: object) => void) | undefined): void => {
      if (hook !== undefined && !this.#hooked.has(state)) hooks.set(state, hook)
    }
    for (const state of this.#members.pending) want(state, state.meta.hooks.beforeInsert)
    let relations: RelationChanges | undefined
    for (const state of this.#members.identities.states('hooks')) {
      const { beforeUpdate, beforeDelete } = state.meta.hooks
      if (state.markedDeleted) want(state, beforeDelete)
      else if (beforeUpdate !== undefined) {
        relations ??= RelationChanges.of(this.#members.related())
        if (state.changes.length > 0 || relations.holders.has(state)) want(state, beforeUpdate)
      }
    }
    return hooks
  }

  /** What was changed again while its row is being inserted can be found by its key only when that is known. */
  *#awaitChanged(): Generator<Promise<void>, void, undefined> {
    for (const [arrival, states] of this.#members.awaitingKeys) {
      if (states.some((state) => state.markedDeleted || hasChanged(state))) yield arrival
    }
  }

  /** What has to be deleted with its owner, or let go by it, but is not loaded. */
  *#recallUnknown(): Generator<Recall, void, undefined> {
    const unknown = new Map<Relation, InstanceState[]>()
    for (const state of this.#members.identities.related()) {
      const relations = new Set([
        ...unknownAssigned(state),
        ...(state.markedDeleted ? unknownToDelete(state) : []),
      ])
      for (const relation of relations) {
        const owners = unknown.get(relation)
        if (owners === undefined) unknown.set(relation, [state])
        else owners.push(state)
      }
    }
    for (const [relation, owners] of unknown) {
      const going = owners.filter(({ markedDeleted }) => markedDeleted)
      const assigned = owners.filter(({ markedDeleted }) => !markedDeleted)
      // What was assigned replaces what filters let a query see.
      if (assigned.length > 0) {
        yield { relation, loaded: this.#relations.recall(assigned, relation, NO_FILTERS_OFF) }
      }
      // What the rows say now counts, not what was read of them earlier, nor whether filters hide them.
      if (going.length > 0)
        yield { relation, loaded: this.#relations.recall(going, relation, 'all', 'renew') }
    }
  }

  /** What an update of its row may be made of. */
  #changed({ holders }: RelationChanges): InstanceState[] {
    return this.#members.identities
      .states()
      .filter(
        (state) =>
          state.expired !== undefined &&
          !state.markedDeleted &&
          (state.changes.length > 0 || holders.has(state)),
      )
  }

  /** What was set on expired objects can be compared with the stored row only when that is loaded. */
  *#fillExpired(states: Iterable<InstanceState>): Generator<Promise<void>, void, undefined> {
    const expired = [...states].filter((state) => state.expired !== undefined)
    for (const alike of groupBy(expired, ({ meta }) => meta.table.key)) yield this.#fillAlike(alike)
  }

  async #fillAlike(states: readonly InstanceState[]): Promise<void> {
    const [{ meta }] = states as [InstanceState]
    const keys = states.map(({ key }) => key)
    const rows = await this.#fetch(selectByKeys(meta.table, keys))
    const byIdentity = new Map(rows.map((row) => [meta.identityOfRow(row), row]))
    for (const state of states) {
      const row = state.identity === undefined ? undefined : byIdentity.get(state.identity)
      if (row === undefined) {
        throw new StaleDataError(`The row of a ${meta.name} that was changed after it had expired is gone`)
      }
      this.#loader.fill(state, row, 'keep')
      this.#members.journal.loads(this.#members.identities.revision)?.loaded.add(state)
    }
  }

  /**
   * Has PostgreSQL make keys for new objects, so that the foreign keys of others can lead to them; waits for those that are
   * under way, of objects whose foreign keys are to be set as well.
   */
  *#makeKeys({ needed, holders }: RelationChanges): Generator<Promise<void>, void, undefined> {
    yield* this.#allocate(withoutKeys(needed, this.#members.pending))
    for (const [arrival, states] of this.#members.awaitingKeys) {
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
          // One that was set in the meantime stays.
          state.instance[column.property] ??= column.decode(row[at] as EncodedText)
        }
      }
      const states = group.map(([state]) => state)
      this.#members.journal.filled(states, [...columns])
    })
  }
}

/** A foreign key was changed itself: what its relation had loaded is not what it leads to. */
function forgetStaleRelations({ state, columns }: Pick<Change, 'state' | 'columns'>): void {
  if (!foreignKeysOf(state).some((key) => key.columns.some((column) => columns.includes(column)))) return
  for (const relation of heldRelations(state)) {
    const { kind, ownColumns, targetColumns, name } = relation
    if (kind !== 'belongsTo' || !ownColumns.some((column) => columns.includes(column))) continue
    const [target] = heldBy(state, relation)
    if (target === undefined ? isNull(state, ownColumns) : refersTo(state, ownColumns, target, targetColumns))
      continue
    delete state.instance[name]
    state.relations?.delete(name)
  }
}

function isNull(state: InstanceState, columns: readonly TableColumn[]): boolean {
  return columns.some((column) => state.value(column) === null)
}

function sendable({
  text,
  values,
}: {
  readonly text: string
  readonly values: readonly EncodedValue[]
}): UnitStatement {
  return { text, values, rowMode: 'array', types: RAW_INTEGERS }
}

function figuresOf({ insertions, changes, removals }: FlushPlan): {
  inserted: number
  updated: number
  deleted: number
} {
  return { inserted: insertions.length, updated: changes.length, deleted: removals.length }
}

function rolledBackMeanwhile(): AbortedError {
  return new AbortedError(
    'The transaction or savepoint was rolled back while this flush was being prepared: nothing was stored',
  )
}

function ignore(): void {
  // Whoever asked for the flush waits for `done`.
}
