/**
 * A row that is deleted while a new row takes its primary key (in SQLAlchemy a "row switch"). If other rows may refer to it, it is
 * changed to the values of the new row: PostgreSQL would refuse to delete it, although its key would be there again at once.
 *
 * If a foreign key on the table has ON DELETE CASCADE, SET NULL or SET DEFAULT, the row is deleted and inserted, because the program
 * has declared what happens to the rows that refer to it.
 *
 * The objects of the relations of the deleted object lose their owner, as by any other delete, unless their foreign keys are NOT NULL.
 */
import { orderByDependency } from '../../schema/dependency-order.js'
import { ENTITY } from '../../schema/entity-types.js'
import type { EncodedText, TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import type { InstanceState } from '../instance-state.js'
import type { PropagatedKeys } from './key-propagation.js'
import {
  removalOf,
  storedValue,
  textIfValid,
  tupleOf,
  versionOf,
  type Change,
  type Insertion,
  type Removal,
} from './rows.js'
import { UniqueMoves } from './unique-moves.js'

/** The rows of a flush. */
export interface RowSwitches {
  /** The new objects, those that get a deleted row as well. */
  readonly added: readonly Insertion[]
  /** Rows to insert and to delete: those that are changed instead are left out. */
  readonly insertions: readonly Insertion[]
  readonly removals: readonly Removal[]
  /** The changes of deleted rows to new ones. */
  readonly changes: readonly Change[]
}

/** The deleted objects whose rows new objects will probably get. */
export function replacedObjects(
  pending: ReadonlySet<InstanceState>,
  deleted: ReadonlySet<InstanceState>,
): ReadonlySet<InstanceState> {
  if (pending.size === 0 || deleted.size === 0) return NOTHING
  const tables = new Set([...deleted].filter(mayBeReferredTo).map(({ meta }) => meta.table))
  if (tables.size === 0) return NOTHING
  const taken = new Set<string>()
  for (const state of pending) {
    const { table } = state.meta
    if (!tables.has(table)) continue
    const name = keyOf(table, (column) => textIfValid(state, column))
    // A relation may be about to set a key that is not known: any row may be taken then.
    if (name !== undefined) taken.add(name)
    else if (!table.primaryKey.some(({ serverFilled }) => serverFilled)) taken.add(table.key)
  }
  const isTaken = (state: InstanceState): boolean => {
    const { table } = state.meta
    const name = keyOf(table, (column) => storedValue(state, column))
    return tables.has(table) && (taken.has(table.key) || (name !== undefined && taken.has(name)))
  }
  return new Set([...deleted].filter(isTaken))
}

const NOTHING: ReadonlySet<InstanceState> = new Set()

/**
 * @param others Other rows that change.
 * @param verified Objects whose rows are locked.
 */
export function switchRows(
  insertions: readonly Insertion[],
  removals: readonly Removal[],
  others: readonly Change[],
  propagated: PropagatedKeys,
  verified: ReadonlySet<InstanceState>,
): RowSwitches {
  const none = { added: insertions, insertions, removals, changes: [] }
  if (insertions.length === 0 || removals.length === 0) return none
  const deleted = new Map<string, Removal>()
  for (const removal of removals) {
    const { state, table, guard } = removal
    // A guarded row that is not locked may belong to another owner by now, and then stays as it is.
    const isSure = (guard === undefined || verified.has(state)) && !propagated.has(state)
    const name = isSure ? keyOf(table, (column) => storedValue(state, column)) : undefined
    if (name !== undefined) deleted.set(name, removal)
  }
  const changes = new Map<Insertion | Removal, Change>()
  for (const insertion of insertions) {
    const name = keyOf(insertion.table, ({ index }) => insertion.values[index])
    const removal = name === undefined ? undefined : deleted.get(name)
    if (name === undefined || removal === undefined || !mayBeReferredTo(removal.state)) continue
    deleted.delete(name)
    const change = changeTo(insertion, removal.state)
    changes.set(insertion, change)
    changes.set(removal, change)
  }
  for (const circular of circularOf([...new Set(changes.values())], others))
    for (const [row, change] of changes) if (change === circular) changes.delete(row)
  if (changes.size === 0) return none
  return {
    // The key is that of the stored row, and not read back.
    added: insertions.map((row) => (changes.has(row) ? { ...row, respelled: [] } : row)),
    insertions: insertions.filter((row) => !changes.has(row)),
    removals: removals.filter((row) => !changes.has(row)),
    changes: [...new Set(changes.values())],
  }
}

/** Changes whose rows take unique values from each other in a cycle, which works only if they are deleted first. */
function circularOf(changes: readonly Change[], others: readonly Change[]): readonly Change[] {
  if (changes.length === 0) return changes
  const all = [...others, ...changes]
  const moves = new UniqueMoves(all)
  const cycles = orderByDependency(all, (change) => moves.before(change)).filter(({ length }) => length > 1)
  return cycles.flat().filter(({ successor }) => successor !== undefined)
}

/** The primary key of a row, for comparison; undefined if PostgreSQL makes it. */
function keyOf(table: Table, valueOf: (column: TableColumn) => EncodedText | undefined): string | undefined {
  const tuple = tupleOf(table.primaryKey.map(valueOf))
  return tuple === undefined ? undefined : `${table.key} ${tuple}`
}

/** Whether rows may refer to a row so that PostgreSQL would refuse to delete it, and no foreign key says what to do then. */
function mayBeReferredTo({ meta: { table, entity } }: InstanceState): boolean {
  const { metadata } = entity[ENTITY]
  const rules = metadata.tables
    .filter(({ isView }) => !isView)
    .flatMap((other) => metadata.foreignKeys(other))
    .filter(({ target }) => target === table)
    .map((key) => key.rules)
  const leavesRows = rules.every(
    ({ onDelete = 'no action' }) => onDelete === 'no action' || onDelete === 'restrict',
  )
  return leavesRows && rules.some(({ deferred }) => deferred !== true)
}

/** Columns that the new object leaves to PostgreSQL keep their values. */
function changeTo({ state, table, values, respelled }: Insertion, replaced: InstanceState): Change {
  const isWritten = (column: TableColumn): boolean =>
    values[column.index] !== undefined && column !== table.version && !table.primaryKey.includes(column)
  const others = table.columns.filter(isWritten)
  // The row must be found, also if it consists of its key.
  const columns = others.length > 0 ? others : table.primaryKey.slice(0, 1)
  const readBack = table.columns.filter(
    (column) => values[column.index] === undefined && !column.serverUpdated && column !== table.version,
  )
  return {
    state: replaced,
    successor: { state, readBack },
    table,
    columns,
    values: columns.map(({ index }) => values[index] ?? null),
    respelled: respelled.filter((column) => columns.includes(column)),
    key: removalOf(replaced).key,
    version: versionOf(replaced),
  }
}
