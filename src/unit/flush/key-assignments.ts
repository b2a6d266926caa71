/**
 * The values that foreign keys get when relations have changed.
 *
 * 1. A key that is assigned along a chain (order, line, allocation) is assigned in the order of dependency, not of `add`.
 * 2. Foreign keys may share columns, such as the tenant. Changes that need different values of one column are refused (see
 *    contradictions.ts).
 * 3. A removed relation sets only those of its columns to NULL that are nullable and that no other relation needs.
 */
import { orderByDependency } from '../../schema/dependency-order.js'
import type { EntityMeta } from '../../schema/entity-meta.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import type { KeyAssignment } from './contract.js'
import { contradict, contradictingAssignments, type Contradiction } from './contradictions.js'
import { HolderKeys, referencesOf, type Reference, type ValueOf } from './holder-keys.js'

/** The values that foreign keys get, by holder. */
export type ResolvedKeys = ReadonlyMap<InstanceState, ReadonlyMap<TableColumn, unknown>>

type AssignedColumns = Pick<KeyAssignment, 'columns' | 'targetColumns'>

const NONE: readonly KeyAssignment[] = []

export class KeyAssignments {
  /** The assignments of each holder, at most one for the same columns of the same table. */
  readonly #byHolder = new Map<InstanceState, KeyAssignment[]>()
  readonly #contradictions: Contradiction[] = []

  /** Of two assignments of the same columns to the same table, the one that leads to an object counts. */
  add(assignment: KeyAssignment): void {
    const assignments = this.#byHolder.get(assignment.holder)
    if (assignments === undefined) {
      this.#byHolder.set(assignment.holder, [assignment])
      return
    }
    const at = assignments.findIndex((one) => isOfSameColumns(one, assignment))
    const known = assignments[at]
    if (known === undefined) {
      assignments.push(assignment)
      return
    }
    if (contradict(known, assignment)) this.#contradictions.push([known, assignment])
    if (rankOf(known) <= rankOf(assignment)) assignments[at] = assignment
  }

  /** Whether there is an assignment of the same columns to the same table. */
  has(assignment: Omit<KeyAssignment, 'source'>): boolean {
    return this.#find(assignment.holder, assignment) !== undefined
  }

  /** The assignment of some columns of a holder. */
  find(
    holder: InstanceState,
    columns: readonly TableColumn[],
    targetColumns: readonly TableColumn[],
  ): KeyAssignment | undefined {
    return this.#find(holder, { columns, targetColumns })
  }

  /** The objects whose columns are assigned the key of a target. */
  *ledTo(
    target: InstanceState,
    columns: readonly TableColumn[],
    targetColumns: readonly TableColumn[],
  ): Generator<InstanceState, void, undefined> {
    for (const holder of this.#byHolder.keys()) {
      if (this.#find(holder, { columns, targetColumns })?.target === target) yield holder
    }
  }

  /** Whether a column gets its value from another object. */
  isAssigned(state: InstanceState, column: TableColumn): boolean {
    return this.#of(state).some(({ target, columns }) => target !== undefined && columns.includes(column))
  }

  /** Objects whose foreign keys are to be set. */
  get holders(): { has(state: InstanceState): boolean } {
    return this.#byHolder
  }

  /** The targets of all assignments, and the columns that these take their values from, unless the target gets them itself. */
  *sources(): Generator<readonly [InstanceState, readonly TableColumn[]], void, undefined> {
    let latest: KeyAssignment | undefined
    for (const assignments of this.#byHolder.values()) {
      for (const assignment of assignments) {
        const { target, targetColumns } = assignment
        // The members of a collection have one target.
        if (target === undefined || (target === latest?.target && targetColumns === latest.targetColumns))
          continue
        latest = assignment
        yield [target, targetColumns.filter((column) => !this.isAssigned(target, column))]
      }
    }
  }

  /**
   * Computes the values of the foreign keys. Changes nothing.
   *
   * @throws InvalidValueError if changes contradict each other, or if a key could not be told from that of another row;
   *   MappingError if an object that must belong to something would belong to nothing.
   */
  resolve(): ResolvedKeys {
    const found = this.#contradictions.find(([{ holder }]) => !holder.markedDeleted)
    if (found !== undefined) throw contradictingAssignments(found)
    const resolved = new Map<InstanceState, ReadonlyMap<TableColumn, unknown>>()
    const valueAfter: ValueOf = (state, column) => {
      const values = resolved.get(state)
      return values?.has(column) === true ? values.get(column) : state.keyValue(column)
    }
    const references = new Map<EntityMeta, readonly Reference[]>()
    let latest: { readonly of: KeyAssignment; readonly values: ReadonlyMap<TableColumn, unknown> } | undefined
    for (const holder of this.#inOrder()) {
      const { meta } = holder
      const known = references.get(meta) ?? referencesOf(holder)
      references.set(meta, known)
      const assignments = this.#of(holder)
      const only = known.length === 1 ? onlyOfNew(holder, assignments) : undefined
      // The new objects of one collection get the same keys.
      if (only !== undefined && latest !== undefined && isSame(only, latest.of)) {
        resolved.set(holder, latest.values)
        continue
      }
      const values = new HolderKeys(holder, assignments, known).values(valueAfter)
      resolved.set(holder, values)
      latest = only && { of: only, values }
    }
    return resolved
  }

  /** The holders, each after the holders whose keys it takes. */
  #inOrder(): readonly InstanceState[] {
    const holders = [...this.#byHolder.keys()]
    // Usually no target is a holder itself.
    if (!holders.some((holder) => this.#leadsToHolder(holder))) return holders
    return orderByDependency(holders, (holder) => this.#sourcesOf(holder)).flat()
  }

  #leadsToHolder(holder: InstanceState): boolean {
    return this.#of(holder).some(({ target }) => target !== undefined && this.#byHolder.has(target))
  }

  #of(holder: InstanceState): readonly KeyAssignment[] {
    return this.#byHolder.get(holder) ?? NONE
  }

  #find(holder: InstanceState, columns: AssignedColumns): KeyAssignment | undefined {
    return this.#of(holder).find((assignment) => isOfSameColumns(assignment, columns))
  }

  /** The objects whose keys have to be known before those of a holder. */
  *#sourcesOf(holder: InstanceState): Generator<InstanceState, void, undefined> {
    for (const { target, targetColumns } of this.#of(holder)) {
      if (target === undefined || target === holder) continue
      if (targetColumns.some((column) => this.isAssigned(target, column))) yield target
    }
  }
}

/** The assignment of a new object that has no other, and whose columns have no values yet: nothing can contradict it. */
function onlyOfNew(
  { instance, snapshot }: InstanceState,
  assignments: readonly KeyAssignment[],
): KeyAssignment | undefined {
  const [only] = assignments
  if (snapshot !== undefined || only?.target === undefined || assignments.length > 1) return undefined
  return only.columns.every(({ property }) => (instance[property] ?? null) === null) ? only : undefined
}

function isSame(one: KeyAssignment, other: KeyAssignment): boolean {
  return (
    one.target === other.target && one.columns === other.columns && one.targetColumns === other.targetColumns
  )
}

/** Whether two assignments set the same columns to the same columns of another table, in any order. */
function isOfSameColumns(one: AssignedColumns, other: AssignedColumns): boolean {
  // Usually of the same relation.
  if (one.columns === other.columns && one.targetColumns === other.targetColumns) return true
  if (one.columns.length !== other.columns.length) return false
  return one.columns.every((column, at) => {
    const from = one.targetColumns[at]
    return other.columns.some(
      (another, index) => isAlike(another, column) && isAlike(other.targetColumns[index], from),
    )
  })
}

/** Whether two columns have the same table and name: two entities of one table have columns of their own. */
function isAlike(one: TableColumn | undefined, other: TableColumn | undefined): boolean {
  return one === other || String(one) === String(other)
}

/** Which of two assignments of the same columns counts. */
function rankOf({ target, source }: KeyAssignment): number {
  const rank = source === 'relation' ? 2 : source === 'deletion' ? 0 : 1
  return target === undefined ? rank : rank + 3
}
