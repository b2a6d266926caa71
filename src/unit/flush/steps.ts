/** One statement of a flush for some of its rows. */
import type { TableColumn } from '../../schema/table-column.js'
import type { Table } from '../../schema/table.js'
import { insertRows } from '../../query/insert-statements.js'
import {
  deleteMatching,
  deleteRows,
  linkRows,
  updateRows,
  type WriteStatement,
} from '../../query/write-statements.js'
import { deleteGuarded } from '../../query/guarded-delete.js'
import type { MatchedRows } from '../../query/lock-statements.js'
import type { LockStrength } from '../../query/own-lock.js'
import type { InstanceState } from '../instance-state.js'
import type { LinkChanges } from './rows.js'
import { groupBy } from './row-order.js'
import { versionOf, type Change, type Insertion, type Removal } from './rows.js'

/** One statement, and the objects of its rows. */
export interface Step {
  readonly statement: WriteStatement
  readonly kind: 'insert' | 'update' | 'delete' | 'link' | 'lock'
  readonly states: readonly InstanceState[]
  /** The stored rows that it changes or deletes. */
  readonly touched?: TouchedRows | undefined
  /** True if some of its rows take unique values from each other in a cycle. */
  readonly circular?: boolean | undefined
  /** True if its objects are new, although it changes rows (see row-switch.ts). */
  readonly switches?: boolean | undefined
}

/** A step whose statement is written once it is known whether it locks its rows. */
export interface PlannedStep extends Omit<Step, 'statement'> {
  /** @param lock Locks the rows that it changes or deletes, in the order of their key, before it changes the first. */
  write(lock?: LockStrength): WriteStatement
}

/** Stored rows that a statement changes or deletes. */
export interface TouchedRows extends MatchedRows {
  readonly table: Table
  /** The columns that it changes; undefined: it deletes the rows. */
  readonly changed: readonly TableColumn[] | undefined
}

const NO_STEPS: readonly PlannedStep[] = []

export function insertStep(rows: readonly Insertion[]): PlannedStep {
  const [first] = rows as readonly [Insertion]
  const columns = first.table.columns.filter(({ index }) => first.values[index] !== undefined)
  const places = columns.map(({ index }) => index)
  return {
    kind: 'insert',
    write: () => insertRows(first.table, columns, rows.map(firstValues), places, respelledOf(rows)),
    states: rows.map(({ state }) => state),
  }
}

/** The columns of keys that are read back. */
function respelledOf(rows: readonly (Insertion | Change)[]): readonly TableColumn[] {
  const respelled = new Set<TableColumn>()
  for (const row of rows) for (const column of row.respelled) respelled.add(column)
  return respelled.size === 0 ? NOT_RESPELLED : [...respelled].sort((a, b) => a.index - b.index)
}

const NOT_RESPELLED: readonly TableColumn[] = []

/** The values that a new row is inserted with, by index of the column. */
function firstValues({ table, values, postponed }: Insertion): readonly (string | null | undefined)[] {
  if (postponed.size === 0) return values
  return table.columns.map((column) => (postponed.has(column) ? null : values[column.index]))
}

/** @param circular Rows that take unique values from each other. */
export function updates(changes: readonly Change[], circular?: ReadonlySet<object>): readonly PlannedStep[] {
  if (changes.length === 0) return NO_STEPS
  return alike(changes).map((rows) => {
    const [{ table, columns, successor }] = rows as [Change]
    const states = rows.map(({ state }) => state)
    const respelled = respelledOf(rows).filter((column) => columns.includes(column))
    const readBack = successor === undefined ? respelled : [...respelled, ...successor.readBack]
    return {
      kind: 'update',
      write: (lock) => updateRows(table, columns, rows, readBack, lock),
      states: successor === undefined ? states : rows.map((row) => row.successor?.state ?? row.state),
      touched: touchedRows(states, columns),
      switches: successor !== undefined,
      circular: circular !== undefined && rows.some((row) => circular.has(row)),
    }
  })
}

/** The stored rows of objects of one table, by their keys. Rows that the flush inserts are left out. */
export function touchedRows(states: readonly InstanceState[], changed: TouchedRows['changed']): TouchedRows {
  const [first] = states as readonly [InstanceState]
  const { table } = first.meta
  const stored = states.filter(({ snapshot }) => snapshot !== undefined)
  return { table, columns: table.primaryKey, rows: stored.map(({ key }) => key), changed }
}

/** Groups changes of the same columns: each group is one statement. @param changes At least one. */
function alike(changes: readonly Change[]): (readonly Change[])[] {
  const [first, ...others] = changes as readonly [Change, ...Change[]]
  // Most flushes change the same columns of one table.
  const isLikeFirst = ({ table, columns, successor }: Change): boolean =>
    table === first.table &&
    readBackBy(successor) === readBackBy(first.successor) &&
    columns.length === first.columns.length &&
    columns.every((column, index) => column === first.columns[index])
  if (others.every(isLikeFirst)) return [changes]
  return groupBy(changes, ({ table, columns, successor }) => {
    return `${table.key} ${readBackBy(successor)} ${columns.map(({ index }) => index).join()}`
  })
}

/** What is read back for a new object: a part of a change may change the same columns as another object that leaves other columns out. */
function readBackBy(successor: Change['successor']): string {
  return successor === undefined ? '' : `new ${successor.readBack.map(({ index }) => index).join()}`
}

export function deleteStep(rows: readonly Removal[]): PlannedStep {
  const [{ table }] = rows as readonly [Removal]
  // A foreign key that was set to NULL first, to break a cycle, is NULL now.
  const isGuarded = (column: TableColumn): boolean =>
    rows.some(({ guard, postponed }) => guard?.has(column) === true && !postponed.has(column))
  const guarded = table.columns.filter(isGuarded)
  const keyed = rows.map(({ state, key, postponed, guard }) => ({
    key,
    version: incremented(versionOf(state), postponed.size > 0 ? 1 : 0),
    guard: guarded.map((column) => (postponed.has(column) ? null : (guard?.get(column) ?? null))),
  }))
  const states = rows.map(({ state }) => state)
  return {
    kind: 'delete',
    write: (lock) =>
      guarded.length === 0 ? deleteRows(table, keyed, lock) : deleteGuarded(table, guarded, keyed, lock),
    states,
    touched: touchedRows(states, undefined),
  }
}

/** Takes rows out of a join table. */
export function unlinkStep(
  table: Table,
  columns: readonly TableColumn[],
  rows: LinkChanges['removed'],
): PlannedStep {
  return {
    kind: 'link',
    write: (lock) => deleteMatching(table, columns, rows, lock),
    states: [],
    touched: { table, columns, rows, changed: undefined },
  }
}

/** Puts rows into a join table, with the defaults of its other columns. */
export function linkStep(
  table: Table,
  columns: readonly TableColumn[],
  rows: LinkChanges['added'],
): PlannedStep {
  const others = table.columns.filter(
    (column) => column.definition.default !== undefined && !columns.includes(column),
  )
  // Two sessions that insert the same rows wait for each other: in one order they do not deadlock.
  const complete = inOneOrder(rows).map((row) => [
    ...row,
    ...others.map((column) => column.encodeStored(column.definition.default?.())),
  ])
  return { kind: 'link', write: () => linkRows(table, [...columns, ...others], complete), states: [] }
}

function inOneOrder<Row>(rows: readonly Row[]): Row[] {
  const named = rows.map((row) => ({ row, name: JSON.stringify(row) }))
  return named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)).map(({ row }) => row)
}

export function incremented(version: string | null | undefined, by: number): string | null | undefined {
  return by === 0 || version === null || version === undefined ? version : String(Number(version) + by)
}
