/**
 * The order in which a flush locks stored rows: table by table, referenced tables first, and within a table by key. All flushes keep
 * this order, so no two of them deadlock over rows that they change or delete.
 *
 * An UPDATE or DELETE of many rows locks them in the order of its plan, several statements lock in the order of the statements, and deletes
 * go through the tables in the opposite order. So rows are locked beforehand if the statements alone would not keep the order: in the
 * statement itself if it is the only one for its table, otherwise by a statement before it, in the same batch. Rows that PostgreSQL locks by
 * itself (for foreign keys, cascades, and unique values that two transactions insert) are not in this order.
 */
import { ENTITY } from '../../schema/entity-types.js'
import { lockRows } from '../../query/lock-statements.js'
import type { LockStrength } from '../../query/own-lock.js'
import type { Metadata } from '../../schema/metadata.js'
import type { Table } from '../../schema/table.js'
import type { TableColumn } from '../../schema/table-column.js'
import type { InstanceState } from '../instance-state.js'
import { groupBy } from './row-order.js'
import { touchedRows, type PlannedStep, type Step, type TouchedRows } from './steps.js'
import { uniqueKeysOf } from './unique-keys.js'

/** What a flush does to the stored rows of one table. */
interface TouchedTable {
  readonly table: Table
  readonly rank: number
  readonly parts: TouchedRows[]
  /** The position in the flush at which the table is touched first. */
  readonly first: number
}

/** Writes the statements, with locks where they would not keep the order. */
export function withLocks(steps: readonly PlannedStep[]): readonly Step[] {
  const [only, second] = steps
  // Most flushes write one table.
  if (only !== undefined && second === undefined) return [onlyStep(only)]
  const tables = touchedTables(steps)
  const [first, ...others] = tables
  if (first === undefined || (others.length === 0 && isOneRow(first.parts, first.table)))
    return steps.map((step) => written(step))
  const ordered: Step[] = []
  const locked = new Set<Table>()
  for (const [index, step] of steps.entries()) {
    const own = tables.find(({ table }) => table === step.touched?.table)
    let lock: LockStrength | undefined
    if (own !== undefined && !locked.has(own.table)) {
      // Tables that come before this one in the order, but later in the flush.
      for (const touched of tables) {
        if (touched.rank >= own.rank || touched.first < index || locked.has(touched.table)) continue
        ordered.push(lockStep(touched.parts, touched.table))
        locked.add(touched.table)
      }
      if (own.parts.length === 1) lock = lockOf(own.parts, own.table)
      else if (!isOneRow(own.parts, own.table)) ordered.push(lockStep(own.parts, own.table))
      locked.add(own.table)
    }
    ordered.push(written(step, lock))
  }
  return ordered
}

function onlyStep(step: PlannedStep): Step {
  const { touched } = step
  return written(step, touched && lockOf([touched], touched.table))
}

// Field by field: V8 copies an object by `...` twenty times slower.
function written(step: PlannedStep, lock?: LockStrength): Step {
  const { kind, states, touched, circular, switches } = step
  return { kind, states, touched, circular, switches, statement: step.write(lock) }
}

/** How the only statement that touches a table locks its rows; undefined if it need not. */
function lockOf(parts: readonly TouchedRows[], table: Table): LockStrength | undefined {
  return parts[0]?.rows.length === 0 || isOneRow(parts, table) ? undefined : strengthOf(parts, table)
}

/**
 * The locks that go ahead of reading rows again, so that nothing can change in them before the flush: in the same order, and with
 * the rows that the flush changes or deletes in the tables before theirs.
 *
 * @param touched What the flush is going to change or delete, the rows to be read again among it, and the columns that change
 *   (undefined: any, or the row is deleted).
 * @param tables The tables of the rows to be read again.
 */
export function locksAhead(
  touched: readonly (readonly [InstanceState, TouchedRows['changed']])[],
  tables: ReadonlySet<Table>,
): readonly Step[] {
  const alike = groupBy(
    touched,
    ([{ meta }, changed]) => `${meta.table.key} ${changed?.map(({ index }) => index).join()}`,
  )
  const ordered = touchedTables(
    alike.map((group) => {
      const [[, changed]] = group as [(typeof group)[number]]
      const states = group.map(([state]) => state)
      return { states, touched: touchedRows(states, changed) }
    }),
  )
  const last = ordered.findLastIndex(({ table }) => tables.has(table))
  return ordered.slice(0, last + 1).map(({ parts, table }) => lockStep(parts, table))
}

/** In the order in which they have to be locked. */
function touchedTables(steps: readonly Pick<PlannedStep, 'states' | 'touched'>[]): TouchedTable[] {
  const byTable = new Map<Table, TouchedTable>()
  let ranks: ReadonlyMap<Table, number> | undefined
  for (const [first, { touched }] of steps.entries()) {
    if (touched === undefined || touched.rows.length === 0) continue
    const { table } = touched
    const known = byTable.get(table)
    if (known !== undefined) {
      known.parts.push(touched)
      continue
    }
    ranks ??= ranksOf(steps.flatMap(({ states }) => states))
    // A join table that is related to no object of the flush comes last, because no other table refers to it.
    byTable.set(table, { table, rank: ranks.get(table) ?? ranks.size, parts: [touched], first })
  }
  return [...byTable.values()].sort((a, b) => a.rank - b.rank || (a.table.key < b.table.key ? -1 : 1))
}

/** The place of each table in the order. */
function ranksOf(states: readonly InstanceState[]): Map<Table, number> {
  const metadata = new Set<Metadata>()
  let last: Table | undefined
  for (const { meta } of states) {
    if (meta.table !== last) metadata.add(meta.entity[ENTITY].metadata)
    last = meta.table
  }
  const orders = [...metadata].map(({ writeGroups }) => writeGroups.flat())
  orders.sort(([a], [b]) => ((a?.key ?? '') < (b?.key ?? '') ? -1 : 1))
  return new Map(orders.flat().map((table, index) => [table, index]))
}

function isOneRow(parts: readonly TouchedRows[], table: Table): boolean {
  const [only] = parts
  if (parts.length === 1 && only !== undefined)
    return only.rows.length === 1 && only.columns === table.primaryKey
  const keys = new Set<string>()
  for (const { rows, columns } of parts) {
    if (columns !== table.primaryKey) return false
    for (const key of rows) keys.add(JSON.stringify(key))
    if (keys.size > 1) return false
  }
  return true
}

/** A delete, or a change of a column that foreign keys may lead to, needs the stronger lock. */
function strengthOf(parts: readonly TouchedRows[], table: Table): LockStrength {
  const keys = uniqueKeysOf(table)
  const isKeyColumn = (column: TableColumn): boolean => keys.some((columns) => columns.includes(column))
  return parts.some(({ changed }) => changed?.some(isKeyColumn) !== false) ? 'update' : 'no key update'
}

function lockStep(parts: readonly TouchedRows[], table: Table): Step {
  const byColumns = new Map<string, TouchedRows>()
  for (const part of parts) {
    const id = part.columns.map(({ index }) => index).join()
    const known = byColumns.get(id)
    byColumns.set(id, known === undefined ? part : { ...known, rows: [...known.rows, ...part.rows] })
  }
  const statement = lockRows(table, [...byColumns.values()], strengthOf(parts, table))
  return { kind: 'lock', statement, states: [] }
}
