/**
 * Refuses a foreign key that holds the key of a new object which is not stored, because it was taken out of the session: by `expunge`,
 * with an object that is deleted, or by the rollback of a savepoint. The table may hold a row with that key all the same, so it is asked.
 *
 * In a REPEATABLE READ or SERIALIZABLE transaction the answer is that of its snapshot: a row that another transaction has inserted since
 * is not found, and its key is refused. If the row was deleted since, PostgreSQL refuses the key. Neither loses anything.
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
  /** The values of the foreign key. */
  readonly tuple: string
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
    const { dropped, pending, identities } = this.#tracked
    const index = new KeyIndex(dropped)
    const found: Dangling[] = []
    const asked = new Set<string>()
    const look = (holder: InstanceState, changed?: readonly TableColumn[]): void => {
      for (const key of foreignKeysOf(holder)) {
        if (key.rules.deferred === true) continue
        if (changed !== undefined && !key.columns.some((column) => changed.includes(column))) continue
        if (key.columns.some((column) => relations?.isAssigned(holder, column) === true)) continue
        const tuple = equalTupleOf(key.columns, (column) => textOf(holder, column))
        const target = tuple === undefined ? undefined : index.find(key, tuple)
        if (tuple === undefined || target === undefined) continue
        const name = `${index.nameOf(key)} ${tuple}`
        if (asked.has(name) || this.#found.has(name)) continue
        asked.add(name)
        found.push({ holder, key, dropped: target, name, tuple })
      }
    }
    for (const state of pending) look(state)
    for (const state of identities.states()) {
      if (state.markedDeleted) continue
      const changes = changesOf(state)
      if (changes.length > 0) look(state, changes)
    }
    if (found.length === 0) return found
    const held = new KeyIndex([...pending, ...identities.states().filter((state) => !state.markedDeleted)])
    return found.filter(({ key, tuple }) => held.find(key, tuple) === undefined)
  }
}

/** Objects by the values of the columns that foreign keys lead to. */
class KeyIndex {
  readonly #states: Iterable<InstanceState>
  readonly #byKey = new Map<string, ReadonlyMap<string, InstanceState>>()

  constructor(states: Iterable<InstanceState>) {
    this.#states = states
  }

  nameOf({ target, targetColumns }: ForeignKey): string {
    return `${target.key} ${targetColumns.map(({ index }) => index).join()}`
  }

  /** The object that a foreign key with some values leads to. */
  find(key: ForeignKey, tuple: string): InstanceState | undefined {
    const name = this.nameOf(key)
    let byTuple = this.#byKey.get(name)
    if (byTuple === undefined) {
      byTuple = this.#index(key)
      this.#byKey.set(name, byTuple)
    }
    return byTuple.get(tuple)
  }

  #index({ target, targetColumns }: ForeignKey): Map<string, InstanceState> {
    const byTuple = new Map<string, InstanceState>()
    for (const state of this.#states) {
      if (state.meta.table !== target) continue
      const tuple = equalTupleOf(targetColumns, (column) => textOf(state, column))
      if (tuple !== undefined && !byTuple.has(tuple)) byTuple.set(tuple, state)
    }
    return byTuple
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
