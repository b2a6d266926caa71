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

interface AssignmentId extends AssignedColumns {
  readonly id: string
}

export class KeyAssignments {
  readonly #byHolder = new Map<InstanceState, Map<string, KeyAssignment>>()
  readonly #contradictions: Contradiction[] = []
  /** The id that was made last. Consecutive assignments usually have the same relation. */
  #latest: AssignmentId | undefined = undefined

  /** Of two assignments of the same columns to the same table, the one that leads to an object counts. */
  add(assignment: KeyAssignment): void {
    const { holder } = assignment
    const assignments = this.#byHolder.get(holder) ?? new Map<string, KeyAssignment>()
    const id = this.#idOf(assignment)
    const known = assignments.get(id)
    if (known !== undefined && contradict(known, assignment)) this.#contradictions.push([known, assignment])
    if (known !== undefined && rankOf(known) > rankOf(assignment)) return
    this.#byHolder.set(holder, assignments.set(id, assignment))
  }

  /** Whether there is an assignment of the same columns to the same table. */
  has(assignment: Omit<KeyAssignment, 'source'>): boolean {
    return this.#byHolder.get(assignment.holder)?.has(this.#idOf(assignment)) === true
  }

  /** The assignment of some columns of a holder. */
  find(
    holder: InstanceState,
    columns: readonly TableColumn[],
    targetColumns: readonly TableColumn[],
  ): KeyAssignment | undefined {
    return this.#byHolder.get(holder)?.get(this.#idOf({ columns, targetColumns }))
  }

  /** The objects whose columns are assigned the key of a target. */
  *ledTo(
    target: InstanceState,
    columns: readonly TableColumn[],
    targetColumns: readonly TableColumn[],
  ): Generator<InstanceState, void, undefined> {
    const id = this.#idOf({ columns, targetColumns })
    for (const [holder, assignments] of this.#byHolder) {
      if (assignments.get(id)?.target === target) yield holder
    }
  }

  /** Whether a column gets its value from another object. */
  isAssigned(state: InstanceState, column: TableColumn): boolean {
    for (const { target, columns } of this.#byHolder.get(state)?.values() ?? []) {
      if (target !== undefined && columns.includes(column)) return true
    }
    return false
  }

  /** Objects whose foreign keys are to be set. */
  get holders(): { has(state: InstanceState): boolean } {
    return this.#byHolder
  }

  /** The targets of all assignments, and the columns that these take their values from, unless the target gets them itself. */
  *sources(): Generator<readonly [InstanceState, readonly TableColumn[]], void, undefined> {
    let latest: KeyAssignment | undefined
    for (const assignments of this.#byHolder.values()) {
      for (const assignment of assignments.values()) {
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
      const assignments = [...(this.#byHolder.get(holder)?.values() ?? [])]
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
    for (const { target } of this.#byHolder.get(holder)?.values() ?? [])
      if (target !== undefined && this.#byHolder.has(target)) return true
    return false
  }

  /** Equal for assignments of the same columns to the same target columns. */
  #idOf({ columns, targetColumns }: AssignedColumns): string {
    const latest = this.#latest
    if (latest?.columns === columns && latest.targetColumns === targetColumns) return latest.id
    const id = idOf({ columns, targetColumns })
    this.#latest = { columns, targetColumns, id }
    return id
  }

  /** The objects whose keys have to be known before those of a holder. */
  *#sourcesOf(holder: InstanceState): Generator<InstanceState, void, undefined> {
    for (const { target, targetColumns } of this.#byHolder.get(holder)?.values() ?? []) {
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

function idOf({ columns, targetColumns }: AssignedColumns): string {
  // `String(column)` contains the table, because an object of another table may be looked up by the same relation.
  const pairs = columns.map((column, at) => `${String(column)} ${String(targetColumns[at])}`)
  return pairs.length === 1 ? (pairs[0] as string) : pairs.sort().join()
}

/** Which of two assignments of the same columns counts. */
function rankOf({ target, source }: KeyAssignment): number {
  const rank = source === 'relation' ? 2 : source === 'deletion' ? 0 : 1
  return target === undefined ? rank : rank + 3
}
