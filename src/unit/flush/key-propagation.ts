/**
 * Applies ON UPDATE CASCADE and SET NULL to loaded objects: where PostgreSQL changes the foreign keys of rows because a key that
 * they refer to changes, the loaded objects of these rows get the same values.
 */
import { ENTITY } from '../../schema/entity-types.js'
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { States } from '../identity-map.js'
import type { InstanceState } from '../instance-state.js'
import type { Guard } from '../tracked-instances.js'
import { storedValue, tupleOf, type Change } from './rows.js'

/** The foreign key values that PostgreSQL propagates to the rows of objects, encoded. */
export type PropagatedKeys = ReadonlyMap<InstanceState, ReadonlyMap<TableColumn, EncodedText>>

/** @param tracked All loaded objects. */
export function propagateKeys(changes: readonly Change[], tracked: States): PropagatedKeys {
  const propagated = new Map<InstanceState, Map<TableColumn, EncodedText>>()
  const referring = new Map<ForeignKey, Map<string, InstanceState[]>>()
  const propagate = (owner: InstanceState, news: ReadonlyMap<TableColumn, EncodedText>): void => {
    const { entity, table } = owner.meta
    for (const key of entity[ENTITY].metadata.propagatingKeys(table)) {
      const { columns, targetColumns, rules } = key
      if (!targetColumns.some((column) => news.has(column))) continue
      const before = tupleOf(targetColumns.map((column) => storedValue(owner, column))) ?? ''
      const after = targetColumns.map((column) =>
        rules.onUpdate === 'set null' ? null : (news.get(column) ?? storedValue(owner, column)),
      )
      const states = referring.get(key) ?? byStored(key, tracked)
      referring.set(key, states)
      for (const state of states.get(before) ?? []) {
        const values = propagated.get(state) ?? new Map<TableColumn, EncodedText>()
        if (columns.every((column, index) => values.get(column) === after[index])) continue
        for (const [index, column] of columns.entries()) values.set(column, after[index] ?? null)
        propagated.set(state, values)
        propagate(state, values)
      }
    }
  }
  for (const { state, columns, values } of changes) {
    if (state.meta.entity[ENTITY].metadata.propagatingKeys(state.meta.table).length === 0) continue
    propagate(state, new Map(columns.map((column, index) => [column, values[index] ?? null])))
  }
  return propagated
}

/** The key of an object's row after the propagation. */
export function keyAfter(state: InstanceState, propagated: PropagatedKeys): readonly EncodedText[] {
  return state.meta.table.primaryKey.map(
    (column) => propagated.get(state)?.get(column) ?? state.storedText(column),
  )
}

/** The loaded objects of a foreign key, by its stored values. */
export function byStored({ table, columns }: ForeignKey, states: States): Map<string, InstanceState[]> {
  const found = new Map<string, InstanceState[]>()
  states.forEach((state) => {
    // A frozen object is read-only; its row is never written.
    if (state.meta.table !== table || Object.isFrozen(state.instance)) return
    const tuple = tupleOf(columns.map((column) => state.asKey(column, storedValue(state, column))))
    if (tuple === undefined) return
    const alike = found.get(tuple)
    if (alike === undefined) found.set(tuple, [state])
    else alike.push(state)
  })
  return found
}

/** The guard of a row, with the foreign key values that it has after the propagation. */
export function guardAfter(
  state: InstanceState,
  guards: ReadonlyMap<InstanceState, Guard>,
  propagated: PropagatedKeys,
): Guard | undefined {
  const [guard, values] = [guards.get(state), propagated.get(state)]
  if (guard === undefined || values === undefined) return guard
  return new Map([...guard].map(([column, text]) => [column, values.get(column) ?? text]))
}
