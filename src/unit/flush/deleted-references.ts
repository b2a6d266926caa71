/**
 * Applies ON DELETE to loaded objects, as key-propagation.ts applies ON UPDATE:
 *
 * - CASCADE: PostgreSQL has deleted the rows of the objects with the row that these refer to, and so on. The objects stay in the session, so that a
 *   later change of them fails, but `get` looks for their rows again.
 * - SET NULL: the foreign keys of the objects become NULL. SET DEFAULT: the foreign keys expire.
 *
 * Rows that were not loaded are not followed: what refers to them stays as it is.
 */
import { ENTITY } from '../../schema/entity-types.js'
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import { byStored } from './key-propagation.js'
import type { FlushPlan } from './flush-plan.js'
import { storedValue, tupleOf } from './rows.js'

/** A foreign key that PostgreSQL changes because it refers to a deleted row. */
export interface ReleasedKey {
  readonly state: InstanceState
  readonly columns: readonly TableColumn[]
  /** The object of the deleted row. */
  readonly owner: InstanceState
  /** The columns are NULL; otherwise their values are unknown. */
  readonly isNull: boolean
}

/** What happens to loaded objects because rows that they refer to are deleted. */
export interface DeleteEffects {
  /** Objects whose rows are deleted, unless another session has given them another owner. */
  readonly orphaned: ReadonlySet<InstanceState>
  readonly released: readonly ReleasedKey[]
}

type Deleting = Pick<FlushPlan, 'removals' | 'insertions' | 'changes'>

/** Call it when the changes of the flush are applied. @param tracked All loaded objects. */
export function effectsOfDeletes(plan: Deleting, tracked: () => Iterable<InstanceState>): DeleteEffects {
  const orphaned = new Set<InstanceState>()
  const released: ReleasedKey[] = []
  const deleted = new Set(
    plan.removals.map(({ state }) => state).filter((state) => deletingKeys(state).length > 0),
  )
  if (deleted.size === 0) return { orphaned, released }
  const states = [...tracked()]
  const referring = new Map<ForeignKey, ReadonlyMap<string, readonly InstanceState[]>>()
  // Iterating a set includes the elements that are added meanwhile.
  for (const owner of deleted) {
    for (const key of deletingKeys(owner)) {
      const { columns, targetColumns, rules } = key
      const tuple = tupleOf(targetColumns.map((column) => storedValue(owner, column)))
      const byKey = referring.get(key) ?? byStored(key, states)
      referring.set(key, byKey)
      for (const state of (tuple === undefined ? undefined : byKey.get(tuple)) ?? []) {
        if (rules.onDelete === 'cascade') {
          orphaned.add(state)
          deleted.add(state)
        } else if (!isWrittenLater(state, key, plan)) {
          const nullable = columns.filter(({ definition }) => definition.nullable)
          // The definition may name some of the columns only.
          const isNull = rules.onDelete === 'set null' && rules.definition === undefined
          released.push({ state, columns: nullable, owner, isNull })
        }
      }
    }
  }
  return { orphaned, released }
}

function deletingKeys({ meta }: InstanceState): readonly ForeignKey[] {
  return meta.entity[ENTITY].metadata.deletingKeys(meta.table)
}

/** Whether a foreign key was written after the delete, because another row has the deleted key by now. */
function isWrittenLater(
  state: InstanceState,
  { columns, target, targetColumns }: ForeignKey,
  plan: Deleting,
): boolean {
  const { insertions, changes } = plan
  const isWritten =
    insertions.some((insertion) => insertion.state === state) ||
    changes.some(
      (change) => change.state === state && columns.some((column) => change.columns.includes(column)),
    )
  if (!isWritten) return false
  const valuesOf = (holder: InstanceState, held: readonly TableColumn[]): string | undefined =>
    tupleOf(held.map((column) => storedValue(holder, column)))
  const tuple = valuesOf(state, columns)
  return [...insertions, ...changes].some(
    (row) => row.state.meta.table === target && valuesOf(row.state, targetColumns) === tuple,
  )
}
