/** Applies a flush to the instances: when its statements are queued, and again when PostgreSQL has answered. */
import type { DatabaseError } from '../../database-errors.js'
import type { StatementResult } from '../../driver/driver.js'
import { IllegalStateError, StaleDataError } from '../../errors.js'
import type { RawRow, Snapshot } from '../../schema/entity-meta.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import { matchReturned } from '../../query/returned-rows.js'
import { shortfallOf } from '../../query/write-statements.js'
import { effectsOfDeletes, type DeleteEffects, type ReleasedKey } from './deleted-references.js'
import type { FlushPlan } from './flush-plan.js'
import type { Step } from './steps.js'
import { hasRespelledKey, type Change, type Insertion } from './rows.js'
import type { IdentityMap } from '../identity-map.js'
import type { Attachment, InstanceState } from '../instance-state.js'
import type { Journal } from '../journal.js'
import { expire } from '../loader.js'
import { RespelledKeys } from '../respelled-keys.js'

/** The state of a step's objects when its statement was sent. */
interface Sent {
  readonly snapshots: readonly Snapshot[]
  readonly insertGenerations: readonly number[]
}

// An object that has expired without any column is read again by `get`, and keeps its values.
const NO_COLUMNS: ReadonlySet<TableColumn> = new Set()

const NOTHING_SENT: Sent = { snapshots: [], insertGenerations: [] }

export class FlushApplier {
  readonly #identities: IdentityMap
  readonly #journal: Journal
  readonly #attachment: Attachment
  /** Foreign keys that have lost their deleted owners, by owner. */
  readonly #released = new WeakMap<InstanceState, readonly ReleasedKey[]>()
  /** All objects with a row. */
  readonly #tracked: () => Iterable<InstanceState>

  constructor(
    identities: IdentityMap,
    journal: Journal,
    attachment: Attachment,
    tracked: () => Iterable<InstanceState>,
  ) {
    this.#tracked = tracked
    this.#identities = identities
    this.#journal = journal
    this.#attachment = attachment
  }

  /**
   * The statements were queued. The changes count as stored from now on, so they are not written twice. If a statement fails, the
   * transaction has failed, and its rollback undoes this, too.
   * @returns foreign keys that have lost a deleted owner.
   */
  applied(plan: FlushPlan): readonly ReleasedKey[] {
    const { insertions, changes, removals, completed, propagated, switched } = plan
    this.#identities.revision++
    for (const { state } of removals) this.#deleted(state)
    const displaced = [
      ...[...propagated].map(([state, values]) => this.#propagated(state, values)),
      ...insertions.map((insertion) => this.#inserted(insertion)),
      ...changes.map((change) => this.#updated(change)),
    ]
    for (const change of switched) continueVersion(change)
    for (const { state } of completed) incrementVersion(state)
    for (const state of displaced) {
      // An object that got a new key itself is still tracked.
      if (state !== undefined && !this.#identities.has(state)) this.#displaced(state)
    }
    return this.#referredToDeleted(effectsOfDeletes(plan, this.#tracked))
  }

  /** A statement of the flush is sent. @returns what its answer is compared with. */
  sent({ statement, states }: Step): Sent {
    if (statement.returning.length === 0) return NOTHING_SENT
    return {
      snapshots: states.map(({ snapshot }) => snapshot as Snapshot),
      insertGenerations: states.map(({ insertGeneration }) => insertGeneration),
    }
  }

  /** PostgreSQL has run the statement of a step. */
  answered({ kind, statement, states, switches }: Step, sent: Sent, result: StatementResult): void {
    const { returning, order } = statement
    if (kind === 'delete' && order === 'ordinal') this.#restoreUndeleted(states, result.rows as RawRow[])
    else if (kind === 'delete' && result.command === 'DELETE') warnOfMissing(states, result.rowCount ?? 0)
    if (returning.length === 0) return
    // The INSERT may have been rolled back meanwhile, and even repeated. An expunged object still gets the key of its row.
    const isCurrent = ({ status, insertGeneration }: InstanceState, index: number): boolean =>
      (status === 'persistent' || status === 'detached') && insertGeneration === sent.insertGenerations[index]
    const current = states.every(isCurrent) ? states : states.filter(isCurrent)
    if (kind === 'insert' || switches === true) this.#journal.filled(current, returning)
    const rows = matchReturned(statement, result.rows as RawRow[], states.length)
    if (rows === undefined) throw notMatched(states)
    const respelled = new RespelledKeys()
    states.forEach((state, index) => {
      if (current !== states && !isCurrent(state, index)) return
      const row = rows[index] as RawRow
      respelled.note(state, returning, row)
      this.#fill(state, returning, row, sent.snapshots[index] as Snapshot)
    })
    respelled.noteReferences(this.#tracked)
  }

  /** PostgreSQL has deleted rows that loaded objects refer to: see `effectsOfDeletes`. */
  #referredToDeleted({ orphaned, released }: DeleteEffects): readonly ReleasedKey[] {
    for (const state of orphaned) state.expired ??= NO_COLUMNS
    for (const key of released) {
      const { state, columns, owner, isNull } = key
      if (isNull) this.#propagated(state, new Map(columns.map((column) => [column, null])))
      else expire(state, columns)
      this.#released.set(owner, [...(this.#released.get(owner) ?? []), key])
    }
    return released
  }

  /** @returns the object that had its key before. */
  #inserted(insertion: Insertion): InstanceState | undefined {
    const { state, values } = insertion
    const { instance, meta } = state
    state.become('persistent', this.#attachment)
    state.revision = this.#identities.revision
    // Snapshots of values that can change in place hold their encoded form.
    const snapshot: Snapshot = values
    for (const { index, mutable, property } of meta.table.columns) {
      if (!mutable) snapshot[index] = instance[property]
    }
    state.snapshot = snapshot
    // A key that PostgreSQL may store in another form is known after the answer, as a generated key is.
    state.identity = hasRespelledKey(insertion) ? undefined : meta.identity(instance)
    this.#journal.inserted(state)
    return this.#identities.add(state)
  }

  /** @returns the object that had its key before. */
  #updated(change: Change): InstanceState | undefined {
    const { state, columns, values, computed } = change
    const { instance } = state
    for (const [column, value] of computed ?? []) instance[column.property] = value
    const before = state.snapshot as Snapshot
    this.#journal.updated(state, before)
    const after = [...before]
    for (const [index, column] of columns.entries()) {
      after[column.index] = column.snapshotOf(instance[column.property], values[index] ?? null)
    }
    state.snapshot = after
    state.revision = this.#identities.revision
    incrementVersion(state)
    if (!columns.some(({ definition }) => definition.primaryKey === true)) return undefined
    return this.#moved(state, hasRespelledKey(change))
  }

  /** PostgreSQL has propagated a changed key to its row. @returns the object that had its key before. */
  #propagated(
    state: InstanceState,
    values: ReadonlyMap<TableColumn, EncodedText>,
  ): InstanceState | undefined {
    // Its row is deleted by the same flush.
    if (state.status === 'deleted') return undefined
    const { instance, meta } = state
    const before = state.snapshot as Snapshot
    this.#journal.updated(state, before)
    const after = [...before]
    for (const [column, text] of values) {
      const { index, property, mutable } = column
      after[index] = mutable ? text : column.decode(text)
      // An assigned value is written by the flush itself.
      const keeps = meta.isExpired(instance, column) || column.hasChanged(instance[property], before[index])
      if (!keeps) instance[property] = column.decode(text)
    }
    state.snapshot = after
    state.revision = this.#identities.revision
    return this.#moved(state)
  }

  /**
   * The key of the row has changed.
   * @param mayRespell The key may be stored in another form: its identity is known after the answer.
   * @returns the object that had its key before.
   */
  #moved(state: InstanceState, mayRespell = false): InstanceState | undefined {
    const identity = mayRespell ? undefined : state.meta.identityOfStored(state.snapshot as Snapshot)
    if (identity === state.identity) return undefined
    this.#journal.departed(state)
    this.#identities.leave(state)
    state.identity = identity
    return this.#identities.add(state)
  }

  /** Detaches an object whose key another object has now: its row must have been deleted, or the flush fails. */
  #displaced(state: InstanceState): void {
    this.#journal.departed(state, { isDetached: true })
    state.become('detached', undefined)
  }

  #deleted(state: InstanceState): void {
    this.#journal.deleted(state)
    this.#journal.departed(state)
    state.revision = this.#identities.revision
    this.#identities.leave(state)
    state.become('deleted', this.#attachment)
    state.markedDeleted = false
  }

  /** Rows that were to be deleted with an owner, but have another owner by now, still exist: their objects expire. */
  #restoreUndeleted(states: readonly InstanceState[], deleted: readonly RawRow[]): void {
    if (deleted.length === states.length) return
    const gone = new Set(deleted.map(([ordinal]) => states[Number(ordinal) - 1]))
    for (const state of states) {
      if (gone.has(state) || state.status !== 'deleted' || state.attachment !== this.#attachment) continue
      this.#journal.stayed(state)
      state.become('persistent', this.#attachment)
      this.#identities.add(state)
      expire(state)
      for (const { state: referring, columns } of this.#released.get(state) ?? []) expire(referring, columns)
    }
  }

  /**
   * Takes over values that PostgreSQL has filled in or stored in another form. A value that was assigned meanwhile is kept, and
   * counts as a change unless it was flushed.
   */
  #fill(state: InstanceState, columns: readonly TableColumn[], row: RawRow, sent: Snapshot): void {
    const { instance, meta } = state
    const snapshot = state.snapshot as Snapshot
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index] as TableColumn
      // A later flush has written the column.
      if (snapshot[column.index] !== sent[column.index]) continue
      // A deferred column stays deferred.
      if (meta.isMissing(instance, column)) continue
      const raw = row[index] ?? null
      const wasGiven = sent[column.index] !== undefined
      // A key that could not be matched keeps its assigned form; so does a frozen object. What PostgreSQL computes may become NULL.
      if (wasGiven && ((raw === null && !column.serverUpdated) || Object.isFrozen(instance))) continue
      const value = column.decode(raw)
      const isExpired = meta.isExpired(instance, column)
      const stored = column.snapshotOf(value, raw)
      if (!isExpired && !meta.hasChanged(instance, column, snapshot[column.index])) {
        if (column.readsNull) meta.setRead(instance, column, value, stored)
        else instance[column.property] = value
      }
      snapshot[column.index] = stored
    }
    if (state.identity !== undefined) return
    state.identity = meta.identityOfStored(snapshot)
    const displaced = state.attachment === this.#attachment ? this.#identities.add(state) : undefined
    if (displaced !== undefined) this.#displaced(displaced)
  }
}

function incrementVersion({ instance, meta, snapshot }: InstanceState): void {
  const { version } = meta.table
  if (version === undefined || snapshot === undefined) return
  const next = Number(snapshot[version.index]) + 1
  snapshot[version.index] = next
  instance[version.property] = next
}

/** The row of a deleted object is changed to that of a new one: its version goes on. */
function continueVersion({ version, successor }: Change): void {
  const column = successor?.state.meta.table.version
  if (successor === undefined || column === undefined) return
  const { state } = successor
  ;(state.snapshot as Snapshot)[column.index] = Number(version)
  incrementVersion(state)
}

function notMatched([state]: readonly InstanceState[]): IllegalStateError {
  return new IllegalStateError(
    `PostgreSQL gave keys to new rows of ${state?.meta.table.key ?? ''} that do not ascend as those of a sequence: which row has ` +
      'which key is not known. Declare a key that a function makes with serverDefault(), not as serial.',
  )
}

function warnOfMissing(states: readonly InstanceState[], count: number): void {
  if (count >= states.length) return
  process.emitWarning(
    `DELETE was to remove ${states.length} rows of ${states[0]?.meta.table.key ?? ''} and found ${count}: the others were ` +
      'gone already. A version() column makes that an error.',
    { type: 'LifeguardWarning', code: 'LIFEGUARD_MISSING_ROWS' },
  )
}

/** The error of a statement that did not find or store all of its rows; undefined for any other error. */
export function staleDataError({ sqlState, message }: DatabaseError): StaleDataError | undefined {
  const shortfall = sqlState === '22P02' ? shortfallOf(message) : undefined
  if (shortfall === undefined) return undefined
  if (shortfall.what === 'stored') {
    return new StaleDataError(
      `A flush stored ${shortfall.rows}: a trigger or a rule kept the others out, or changed their keys. Nothing of the ` +
        'transaction is stored.',
    )
  }
  return new StaleDataError(
    `A flush found ${shortfall.rows}: another transaction, or a bulk statement of this session, has deleted the others, or ` +
      'changed them since they were loaded. Nothing of the transaction is stored. Run it again with a new session, which reads ' +
      'them again; a bulk statement returns the changed rows with returning(). With autoflush off, flush() changes and deletes of ' +
      'its rows before it.',
  )
}
