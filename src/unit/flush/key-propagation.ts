/**
 * ON UPDATE CASCADE and SET NULL: PostgreSQL hands a changed key on to the rows that refer to it, or takes it from them; their
 * objects, if loaded, follow.
 */
import { ENTITY } from '../../schema/entity-types.js'
import type { ForeignKey } from '../../schema/foreign-key.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import { storedValue, tupleOf, type Change } from './rows.js'

/** What the rows of objects get handed, encoded. */
export type HandedOn = ReadonlyMap<InstanceState, ReadonlyMap<TableColumn, EncodedText>>

/** @param followed Whatever is loaded. */
export function handedOn(changes: readonly Change[], followed: readonly InstanceState[]): HandedOn {
  const handed = new Map<InstanceState, Map<TableColumn, EncodedText>>()
  const referring = new Map<ForeignKey, Map<string, InstanceState[]>>()
  const handOn = (owner: InstanceState, news: ReadonlyMap<TableColumn, EncodedText>): void => {
    const { entity, table } = owner.meta
    for (const key of entity[ENTITY].metadata.followers(table)) {
      const { columns, targetColumns, rules } = key
      if (!targetColumns.some((column) => news.has(column))) continue
      const before = tupleOf(targetColumns.map((column) => storedValue(owner, column))) ?? ''
      const after = targetColumns.map((column) =>
        rules.onUpdate === 'set null' ? null : (news.get(column) ?? storedValue(owner, column)),
      )
      const states = referring.get(key) ?? byStored(key, followed)
      referring.set(key, states)
      for (const state of states.get(before) ?? []) {
        const values = handed.get(state) ?? new Map<TableColumn, EncodedText>()
        if (columns.every((column, index) => values.get(column) === after[index])) continue
        for (const [index, column] of columns.entries()) values.set(column, after[index] ?? null)
        handed.set(state, values)
        handOn(state, values)
      }
    }
  }
  for (const { state, columns, values } of changes) {
    if (state.meta.entity[ENTITY].metadata.followers(state.meta.table).length === 0) continue
    handOn(state, new Map(columns.map((column, index) => [column, values[index] ?? null])))
  }
  return handed
}

/** The key that the row of an object has when others have handed on theirs. */
export function keyAfter(state: InstanceState, handed: HandedOn): readonly EncodedText[] {
  return state.meta.table.primaryKey.map(
    (column) => handed.get(state)?.get(column) ?? state.storedText(column),
  )
}

function byStored(
  { table, columns }: ForeignKey,
  states: readonly InstanceState[],
): Map<string, InstanceState[]> {
  const found = new Map<string, InstanceState[]>()
  for (const state of states) {
    // What was frozen is there to be read, and is never written.
    if (state.meta.table !== table || Object.isFrozen(state.instance)) continue
    const tuple = tupleOf(columns.map((column) => state.asKey(column, storedValue(state, column))))
    if (tuple === undefined) continue
    const alike = found.get(tuple)
    if (alike === undefined) found.set(tuple, [state])
    else alike.push(state)
  }
  return found
}
