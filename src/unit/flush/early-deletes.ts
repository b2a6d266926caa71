/**
 * Rows that must be deleted first, because other rows take their unique values, and the changes that must be written before, so that
 * no row refers to them any more.
 *
 * A row with a NOT NULL foreign key can only refer to another row when that exists, and that may be the row that takes the unique
 * value. Then the deleted row gives up its value (it becomes NULL), and is deleted last, with the others.
 */
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { References } from './row-references.js'
import { storedValue, type Change, type Insertion, type Removal } from './rows.js'
import { isNullable } from './two-step-rows.js'
import type { UniqueConflicts } from './unique-conflicts.js'
import { changedValue, type UniqueMoves } from './unique-moves.js'

export interface EarlyDeletes {
  readonly removals: ReadonlySet<Removal>
  /** Changes that are written before the deletes. */
  readonly releasing: ReadonlySet<Change>
  /** Changes of which a part is written before the deletes. */
  readonly released: ReadonlyMap<Change, Change>
  /** Rows that give up unique values: their columns are `postponed`. */
  readonly givingUp: ReadonlySet<Removal>
}

export const NOTHING_EARLY: EarlyDeletes = {
  removals: new Set(),
  releasing: new Set(),
  released: new Map(),
  givingUp: new Set(),
}

export class EarlyDeletesPlanner {
  readonly #conflicts: UniqueConflicts
  readonly #changes: readonly Change[]
  readonly #newRows: References<Insertion>
  readonly #oldRows: References<Removal>
  readonly #moves: UniqueMoves

  /** @param newRows The new rows, by the values that they will have. @param oldRows The deleted rows, by their stored values. */
  constructor(
    conflicts: UniqueConflicts,
    changes: readonly Change[],
    newRows: References<Insertion>,
    oldRows: References<Removal>,
    moves: UniqueMoves,
  ) {
    this.#conflicts = conflicts
    this.#changes = changes
    this.#newRows = newRows
    this.#oldRows = oldRows
    this.#moves = moves
  }

  plan(): EarlyDeletes {
    const removals = new Set(this.#conflicts.removals)
    const givingUp = new Set<Removal>()
    for (const change of this.#changes) {
      for (const removal of this.#stillNeeded(change, removals)) {
        if (!this.#giveUp(removal)) continue
        givingUp.add(removal)
        removals.delete(removal)
      }
    }
    const releasing = new Set<Change>()
    const released = new Map<Change, Change>()
    for (const change of this.#changes) {
      const columns = this.#letGo(change, removals).flatMap(({ key }) => writtenOf(change, key))
      if (columns.length === 0) continue
      if (!this.#waits(change)) releasing.add(change)
      else {
        // A column that cannot be NULL gets its new value at once.
        const early = columns.filter((column) => isNullable(column) || this.#isReady(change, column))
        const values = early.map((column) =>
          isNullable(column) ? null : (changedValue(change, column) ?? null),
        )
        if (early.length > 0) released.set(change, { ...change, columns: early, values })
      }
    }
    return { removals, releasing, released, givingUp }
  }

  /** The foreign keys by which a row refers to deleted rows until it is written. Keys may share a column that stays as it is. */
  #letGo(change: Change, removals: ReadonlySet<Removal>): ReturnType<References<Removal>['of']> {
    return this.#oldRows
      .of(change, ({ state }, column) => storedValue(state, column))
      .filter(({ key, target }) => removals.has(target) && writtenOf(change, key).length > 0)
  }

  /** Whether a change also needs something that is written later: a new row, or a value that is freed by a delete or by another change. */
  #waits(change: Change): boolean {
    return (
      this.#conflicts.takers.has(change) ||
      this.#newRows.of(change, changedValue).length > 0 ||
      this.#moves.before(change).length > 0
    )
  }

  /** Whether a foreign key of a change leads to a row that is there already. */
  #isReady(change: Change, column: TableColumn): boolean {
    if (this.#newRows.of(change, changedValue).some(({ key }) => key.columns.includes(column))) return false
    return !this.#moves.referred(change).some(({ key }) => key.columns.includes(column))
  }

  /** The deleted rows that a change can let go of only when it is written as a whole. */
  #stillNeeded(change: Change, removals: ReadonlySet<Removal>): Removal[] {
    const needed = this.#letGo(change, removals).filter(
      ({ key }) =>
        !writtenOf(change, key).some((column) => isNullable(column) || this.#isReady(change, column)),
    )
    return needed.length > 0 && this.#waits(change) ? needed.map(({ target }) => target) : []
  }

  /** The values that others take become NULL. @returns whether they can; a row that may stay after all keeps them. */
  #giveUp(removal: Removal): boolean {
    if (removal.guard !== undefined) return false
    const columns = (this.#conflicts.taken.get(removal) ?? []).map((key) => key.find(isNullable))
    if (columns.length === 0 || columns.includes(undefined)) return false
    // Its references to other deleted rows as well: it is written once.
    const leading = this.#oldRows
      .of(removal, ({ state }, column) => storedValue(state, column))
      .flatMap(({ key }) => key.columns.filter(isNullable))
    removal.postponed = new Set([...(columns as TableColumn[]), ...leading])
    return true
  }
}

function writtenOf({ columns }: Change, key: ForeignKey): TableColumn[] {
  return key.columns.filter((column) => columns.includes(column))
}
