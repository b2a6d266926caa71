/** The flush of a session: prepares it, plans it, queues its statements and applies their answers to the instances. */
import { StaleDataError } from '../../errors.js'
import {
  flushChannel,
  statementChannel,
  type MessageSource,
  type StatementSubject,
} from '../../internal/channels.js'
import { addHint } from '../../internal/error-hint.js'
import type { StatementsAhead } from '../../internal/statements-ahead.js'
import type { TableColumn } from '../../schema/table-column.js'
import { linksOf } from '../cascade.js'
import type { InstanceState } from '../instance-state.js'
import type { Loader } from '../loader.js'
import { RelationChanges } from '../relation-changes.js'
import type { RelationLoader } from '../relation-loader.js'
import { heldBy, heldRelations, refersTo } from '../relation-values.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { FlushApplier } from './apply.js'
import { rolledBackMeanwhile, sendable, unset, type Send } from './contract.js'
import type { FlushPlan } from './flush-plan.js'
import { planFlush } from './plan.js'
import { FlushPreparation } from './preparation.js'
import { explainReferences } from './referred-keys.js'
import { foreignKeysOf, type Change } from './rows.js'
import type { Step } from './steps.js'
import { explainSwap } from './swapped-values.js'

export class Flusher {
  readonly #tracked: TrackedInstances
  readonly #preparation: FlushPreparation
  readonly #applier: FlushApplier
  readonly #send: Send
  /** Throws if statements would be refused now. */
  readonly #requireRunning: () => void
  readonly #source: MessageSource
  /** Set while the flush loads rows. */
  #preparing: Promise<void> | undefined = undefined
  /** Incremented by each rollback. */
  #transaction = 0

  constructor(
    tracked: TrackedInstances,
    loader: Loader,
    relations: RelationLoader,
    send: Send,
    requireRunning: () => void,
    source: MessageSource,
  ) {
    this.#source = source
    this.#tracked = tracked
    this.#preparation = new FlushPreparation(tracked, loader, relations, send)
    this.#send = send
    this.#requireRunning = requireRunning
    this.#applier = new FlushApplier(tracked.identities, tracked.journal, tracked, () => tracked.persistent())
  }

  /**
   * Writes all changes. Usually the statements are queued when it returns, so COMMIT or a query is sent in the same batch.
   * Something has to be loaded first if new rows need keys that PostgreSQL makes, if changed objects have expired, or if a
   * delete cascades to objects that are not loaded.
   *
   * @returns undefined if nothing has changed.
   * @throws InvalidValueError, MappingError, IllegalStateError: nothing was sent, and nothing has changed.
   */
  flush(): StatementsAhead | undefined {
    const preparing = this.#preparing ?? this.#begin()
    if (preparing === undefined) return this.#write()
    let rest: StatementsAhead | undefined
    const transaction = this.#transaction
    const sent = preparing.then(async () => {
      if (this.#transaction !== transaction) throw rolledBackMeanwhile()
      // Another flush may have waited for the same preparation, and finished it.
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
      this.#preparation.reset()
    }
    try {
      this.#preparing = this.#preparation.prepare()
      this.#preparing?.catch(failed)
      return this.#preparing
    } catch (error) {
      failed()
      throw error
    }
  }

  /** ROLLBACK was queued: a flush that is being prepared must not store anything after it. */
  interrupt(): void {
    this.#transaction++
    this.#preparing = undefined
    this.#preparation.reset()
  }

  /** Whether the next flush will write the row of an object, for its own changes or those of related objects. */
  willWrite(state: InstanceState, { changes = true }: { readonly changes?: boolean } = {}): boolean {
    try {
      return (
        state.markedDeleted ||
        (changes && state.changes.length > 0) ||
        RelationChanges.of(this.#tracked).holders.has(state)
      )
    } catch {
      // The flush throws the same error.
      return true
    }
  }

  #write(): StatementsAhead | undefined {
    const tracked = this.#tracked
    const { pending, markedDeleted, journal } = tracked
    const relations = this.#preparation.changes()
    const verified = this.#preparation.verified()
    this.#preparation.reset()
    const settings = relations.apply()
    let plan: FlushPlan
    try {
      plan = planFlush({
        inserted: [...pending],
        tracked: tracked.identities,
        deleted: [...markedDeleted],
        guards: tracked.guards,
        verified,
        assigned: relations,
        links: [...linksOf(markedDeleted), ...relations.links()],
      })
      if (plan.steps.length > 0) this.#requireRunning()
    } catch (error) {
      unset(settings)
      throw error
    }
    if (plan.steps.length === 0) {
      relations.remember()
      return undefined
    }
    journal.set(settings)
    const released = this.#applier.applied(plan)
    for (const state of relations.remember()) {
      if (state.snapshot !== undefined && state.status === 'persistent')
        journal.updated(state, state.snapshot)
    }
    for (const change of plan.changes) forgetStaleRelations(change)
    for (const [state, values] of plan.propagated)
      forgetStaleRelations({ state, columns: [...values.keys()] })
    for (const key of released) forgetStaleRelations(key)
    const done = flushChannel.hasSubscribers
      ? flushChannel.tracePromise(() => this.#runSteps(plan), { ...this.#source, ...countsOf(plan) })
      : this.#runSteps(plan)
    done.catch(ignore)
    tracked.flushed(
      plan.changes.map(({ state }) => state),
      done,
    )
    return { sent: undefined, done }
  }

  // `then` instead of `await`: half the promises, and a flush has them for each statement.
  #runSteps(plan: FlushPlan): Promise<void> {
    const [first, second] = plan.steps
    if (first !== undefined && second === undefined) return this.#runStep(first, plan)
    return Promise.all(plan.steps.map((step) => this.#runStep(step, plan))).then(ignore)
  }

  #runStep(step: Step, plan: FlushPlan): Promise<void> {
    const sent = this.#applier.sent(step)
    const subject = statementChannel.hasSubscribers ? subjectOf(step) : undefined
    return this.#send(sendable(step.statement), subject).then(
      (answer) => this.#applier.answered(step, sent, answer),
      (error: unknown) => {
        if (step.circular === true) explainSwap(error)
        explainReferences(error, step, plan.insertions)
        if (error instanceof StaleDataError) nameRows(error, step)
        throw error
      },
    )
  }
}

/** The subject of a statement for its channel; undefined for a join table. */
function subjectOf({ kind, states }: Step): StatementSubject | undefined {
  const collection = states[0]?.meta.table.key
  if (kind === 'link' || collection === undefined) return undefined
  return { operation: kind === 'lock' ? 'SELECT' : kind.toUpperCase(), collection }
}

/** A foreign key column was assigned: removes the loaded object of its relation if the key leads to another row now. */
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

const MOST_NAMED = 3

/** Names the rows of a statement that did not find all of its rows, if they are few. */
function nameRows(error: StaleDataError, { states }: Step): void {
  if (states.length > 0 && states.length <= MOST_NAMED)
    addHint(error, ` Among: ${states.map(String).join('; ')}.`)
}

function countsOf({ insertions, changes, removals }: FlushPlan): {
  inserted: number
  updated: number
  deleted: number
} {
  return { inserted: insertions.length, updated: changes.length, deleted: removals.length }
}

function ignore(): void {
  // The caller of the flush waits for `done`, and gets the error there. The flush has no value.
}
