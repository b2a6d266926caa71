/**
 * Refuses a foreign key that holds the key of a new object which is not stored, because it was taken out of the session: by `expunge`,
 * with an object that is deleted, or by the rollback of a savepoint. The table may hold a row with that key all the same, so it is asked.
 */
import { InvalidValueError } from '../../errors.js'
import { selectExistence, type LoadStatement } from '../../query/key-statements.js'
import type { RawRow } from '../../schema/entity-meta.js'
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { RelationChanges } from '../relation-changes.js'
import type { TrackedInstances } from '../tracked-instances.js'
import { equalTupleOf, foreignKeysOf } from './rows.js'

/** A foreign key that holds the key of a dropped object. */
interface Dangling {
  readonly holder: InstanceState
  readonly key: ForeignKey
  readonly dropped: InstanceState
  /** Names the row that must exist. */
  readonly name: string
}

const NONE: readonly Promise<void>[] = []

export class DroppedKeys {
  readonly #tracked: TrackedInstances
  readonly #fetch: (statement: LoadStatement) => Promise<RawRow[]>
  /** Rows that were found for the flush that is being prepared. */
  readonly #found = new Set<string>()

  constructor(tracked: TrackedInstances, fetch: (statement: LoadStatement) => Promise<RawRow[]>) {
    this.#tracked = tracked
    this.#fetch = fetch
  }

  /** The next flush is prepared from the start. */
  reset(): void {
    this.#found.clear()
  }

  /**
   * Asks for the rows of foreign keys that may lead to nothing; each promise rejects with an InvalidValueError if there is none.
   * @param relations Foreign keys that they set do not count.
   */
  check(relations?: RelationChanges): readonly Promise<void>[] {
    if (this.#tracked.dropped.size === 0) return NONE
    return this.#dangling(relations).map((dangling) => this.#ask(dangling))
  }

  async #ask({ holder, key, dropped, name }: Dangling): Promise<void> {
    const values = key.targetColumns.map((column) => textOf(dropped, column) as EncodedText)
    const rows = await this.#fetch(selectExistence(key.target, key.targetColumns, values))
    if (rows.length > 0) {
      this.#found.add(name)
      return
    }
    const names = key.columns.map(({ property }) => property).join(', ')
    const { name: holds } = holder.meta
    const { name: kind } = dropped.meta
    throw new InvalidValueError(
      `${holds}.${names} of ${holder} is the key of ${dropped}, which is not stored: it was taken out of the session ` +
        `(by expunge(), with an object that is deleted, or by the rollback of a savepoint). add() that ${kind} again, or give the ${holds} the key of another one`,
    )
  }

  #dangling(relations: RelationChanges | undefined): Dangling[] {
    const { pending, identities } = this.#tracked
    const found: Dangling[] = []
    const asked = new Set<string>()
    const look = (holder: InstanceState, changed?: readonly TableColumn[]): void => {
      for (const key of foreignKeysOf(holder)) {
        if (key.rules.deferred === true) continue
        if (changed !== undefined && !key.columns.some((column) => changed.includes(column))) continue
        if (key.columns.some((column) => relations?.isAssigned(holder, column) === true)) continue
        const dropped = this.#droppedBy(holder, key)
        if (dropped === undefined || asked.has(dropped.name) || this.#found.has(dropped.name)) continue
        asked.add(dropped.name)
        found.push(dropped)
      }
    }
    for (const state of pending) look(state)
    for (const state of identities.states()) {
      if (state.markedDeleted) continue
      const changes = changesOf(state)
      if (changes.length > 0) look(state, changes)
    }
    return found
  }

  /** The dropped object that a foreign key leads to; undefined if the session has another object with its key. */
  #droppedBy(holder: InstanceState, key: ForeignKey): Dangling | undefined {
    const { columns, target, targetColumns } = key
    const { dropped, pending, identities } = this.#tracked
    const tuple = equalTupleOf(columns, (column) => textOf(holder, column))
    if (tuple === undefined) return undefined
    const isTarget = (state: InstanceState): boolean =>
      state.meta.table === target && equalTupleOf(targetColumns, (column) => textOf(state, column)) === tuple
    const found = [...dropped].find(isTarget)
    if (found === undefined || [...pending].some(isTarget)) return undefined
    if ([...identities.of(found.meta).values()].some((state) => !state.markedDeleted && isTarget(state)))
      return undefined
    const name = `${target.key} ${targetColumns.map(({ index }) => index).join()} ${tuple}`
    return { holder, key, dropped: found, name }
  }
}

/** None for values that cannot be encoded: the flush throws the error. */
function changesOf(state: InstanceState): readonly TableColumn[] {
  try {
    return state.changes
  } catch {
    return []
  }
}

/** Undefined for a value that cannot be stored. */
function textOf(state: InstanceState, column: TableColumn): EncodedText | undefined {
  try {
    const value = state.value(column)
    return value === undefined ? undefined : column.encodeStored(value)
  } catch {
    return undefined
  }
}
