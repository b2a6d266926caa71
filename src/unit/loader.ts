/** Makes instances from rows: each row has one instance in a session, no matter which statement has read it. */
import type { EntityMeta, RawRow } from '../schema/entity-meta.js'
import type { RawValue, TableColumn } from '../schema/table-column.js'
import type { IdentityMap } from './identity-map.js'
import { InstanceState, type Attachment, type InstanceStatus } from './instance-state.js'
import type { Journal } from './journal.js'
import type { Named } from './property-names.js'
import { unload } from './relation-values.js'

/**
 * How a row changes an instance that the session holds already.
 *
 * - `keep`: it keeps its values, unless they have expired.
 * - `renew`: it takes the row's values, except where it has changes that were not flushed. For rows that were locked or
 *   changed by the statement: values that were read before may be out of date.
 * - `overwrite`: it takes the row's values, also over changes that were not flushed.
 */
export type LoadMode = 'keep' | 'renew' | 'overwrite'

type WillBeWritten = (state: InstanceState, options?: { readonly changes: boolean }) => boolean

export class Loader {
  readonly #identities: IdentityMap
  readonly #journal: Journal
  readonly #attachment: Attachment
  /** Whether the next flush writes or deletes the row of an object; with `changes: false` apart from changes of its own columns. */
  readonly #willBeWritten: WillBeWritten

  constructor(
    identities: IdentityMap,
    journal: Journal,
    attachment: Attachment,
    willBeWritten: WillBeWritten,
  ) {
    this.#identities = identities
    this.#journal = journal
    this.#attachment = attachment
    this.#willBeWritten = willBeWritten
  }

  /**
   * The instances of rows, in their order. The rows become snapshots. An object that was flushed after the query was queued is
   * newer: it keeps its values, or stays deleted. An object that was read in a transaction that was rolled back since has
   * expired; an object that is read in a savepoint expires with its rollback.
   * @param rows All columns of the table, in their order.
   * @param revision The revision of the identity map when the query was queued.
   * @param lacking The columns that the rows do not hold. Default: all that are deferred.
   */
  states(
    meta: EntityMeta,
    rows: readonly RawRow[],
    revision: number,
    mode: LoadMode = 'keep',
    lacking: readonly TableColumn[] = meta.table.deferred,
  ): InstanceState[] {
    const identities = this.#identities.of(meta)
    const isOvertaken = this.#identities.revision > revision
    const isRolledBack = this.#identities.isRolledBack(revision)
    const loads = this.#journal.loads(revision)
    return rows.map((row) => {
      const identity = meta.identityOfRow(row)
      let known = identities.get(identity)
      if (isOvertaken) {
        known ??= this.#identities.leftSince(revision, meta, identity)
        if (known !== undefined && known.revision > revision) {
          if (!isRolledBack) complete(known, row, lacking)
          return known
        }
      }
      if (known !== undefined) {
        if (isRolledBack) return known
        const isCompleted = complete(known, row, lacking)
        const isFilled = mode !== 'keep' || known.expired !== undefined
        if (isFilled) this.fill(known, row, mode, lacking)
        if (isFilled || isCompleted) loads?.loaded.add(known)
        return known
      }
      const state = newState(meta, row, 'persistent', this.#attachment, lacking)
      state.identity = identity
      identities.set(identity, state)
      loads?.loaded.add(state)
      if (isRolledBack) expire(state)
      return state
    })
  }

  /** Instances of deleted rows: no session tracks them. */
  deleted(meta: EntityMeta, rows: readonly RawRow[]): InstanceState[] {
    return rows.map((row) => {
      const state = newState(meta, row, 'detached', undefined, [])
      state.snapshot = undefined
      return state
    })
  }

  /**
   * Takes over a row. A value that was assigned after its column expired is kept, and counts as a change, except with `overwrite`.
   * An object that will be written or deleted keeps its version, also if only the version is read again: so the flush fails if the
   * row has changed meanwhile. (With `overwrite`, its own changes are lost, and do not count.)
   * Columns that the row lacks keep their values with `keep`, and become deferred if these have expired or may be out of date.
   */
  fill(
    state: InstanceState,
    row: RawRow,
    mode: LoadMode,
    lacking: readonly TableColumn[] = state.meta.table.deferred,
  ): void {
    const { instance, meta, snapshot, expired } = state
    const changed = mode === 'renew' ? new Set(state.changes) : undefined
    const { version } = meta.table
    if (mode === 'overwrite') forgetRelations(state)
    if (version !== undefined && this.#isOvertaken(state, version, row, mode)) {
      row[version.index] = snapshot?.[version.index] as RawValue
    }
    state.snapshot = meta.table.columns.map((column, index) => {
      // A column that keeps its value keeps its snapshot, too: otherwise it would count as changed, and be written.
      if (mode === 'keep' && expired !== 'all' && expired?.has(column) !== true) return snapshot?.[index]
      if (column.deferred && lacking.includes(column)) {
        // An assigned value is kept, and will be written: the stored one is unknown.
        const stays =
          changed === undefined ? mode === 'keep' && !meta.isExpired(instance, column) : changed.has(column)
        if (!stays) meta.defer(instance, column)
        return undefined
      }
      const raw = row[index] as RawValue
      const value = column.decode(raw)
      const wanted =
        mode === 'overwrite' ||
        (changed === undefined ? meta.isExpired(instance, column) : !changed.has(column))
      const stored = column.snapshotOf(value, raw)
      if (wanted) meta.setRead(instance, column, value, stored)
      return stored
    })
    state.expired = undefined
  }

  /** Whether a row has another version than the object whose changes are not flushed. */
  #isOvertaken(state: InstanceState, version: TableColumn, row: RawRow, mode: LoadMode): boolean {
    const known = state.snapshot?.[version.index]
    if (known === undefined || version.decode(row[version.index] ?? null) === known) return false
    if (state.markedDeleted) return true
    if (mode === 'overwrite') return this.#willBeWritten(state, { changes: false })
    // An object that has expired as a whole has no unflushed changes from before.
    return state.expired !== 'all' && this.#willBeWritten(state)
  }
}

/** Adds deferred columns of a row that the object does not have. @returns whether there were any. */
function complete(state: InstanceState, row: RawRow, lacking: readonly TableColumn[]): boolean {
  const { instance, meta } = state
  const { deferred } = meta.table
  if (deferred.length === lacking.length) return false
  const added = deferred.filter((column) => meta.isMissing(instance, column) && !lacking.includes(column))
  if (added.length === 0) return false
  // A new snapshot: the previous one is kept for a rollback.
  const snapshot = [...(state.snapshot ?? [])]
  for (const column of added) {
    const raw = row[column.index] as RawValue
    const value = column.decode(raw)
    snapshot[column.index] = column.snapshotOf(value, raw)
    meta.setRead(instance, column, value, snapshot[column.index])
  }
  state.snapshot = snapshot
  return true
}

function newState(
  meta: EntityMeta,
  row: RawRow,
  status: InstanceStatus,
  attachment: Attachment | undefined,
  lacking: readonly TableColumn[],
): InstanceState {
  const instance = meta.create()
  const state = new InstanceState(instance, meta, status, attachment)
  state.snapshot = meta.fill(instance, meta.table.columns, row, lacking)
  meta.hooks.afterLoad?.(instance)
  return state
}

/** Removes loaded relations: reading one throws RelationNotLoadedError again. */
function forgetRelations(state: InstanceState): void {
  for (const name of state.meta.relationNames) unload(state, name)
  state.relations = undefined
}

/** Expires an instance: some columns, or all columns and relations. */
export function expire(state: InstanceState, columns?: readonly TableColumn[]): void {
  const { instance, meta } = state
  // A column that was never loaded cannot expire.
  const held = columns?.filter((column) => !meta.isMissing(instance, column))
  meta.expire(instance, held)
  if (held === undefined) {
    state.expired = 'all'
    forgetRelations(state)
  } else if (held.length > 0 && state.expired !== 'all') {
    state.expired = new Set([...(state.expired ?? []), ...held])
  }
}

/** As {@link expire}, of columns and relations by name. */
export function expireNamed(state: InstanceState, { columns, relations }: Named): void {
  if (columns.length > 0) expire(state, columns)
  for (const name of relations) unload(state, name)
}
