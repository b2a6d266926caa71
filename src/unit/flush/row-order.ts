/** Orders rows that refer to each other, with as few statements as possible. */
import { orderByDependency } from '../../schema/dependency-order.js'
import { ENTITY } from '../../schema/entity-types.js'
import type { Metadata } from '../../schema/metadata.js'
import type { Table } from '../../schema/table.js'
import type { Change, Insertion, Removal } from './rows.js'

/** What orders rows; `Row` is one row to insert or to delete. */
export interface RowOrdering<Row> {
  /** Rows of the same shape can share a statement, and may then refer to each other: foreign keys are checked at its end. */
  shapeOf(row: Row): string
  /** The rows that must come before a row. */
  dependenciesOf(row: Row): readonly Row[]
  /** Rows that depend on each other in a cycle: removes dependencies, if possible. */
  cut(cycle: ReadonlySet<Row>): void
}

/** Puts rows into statements: each statement may depend on earlier ones and on itself. */
export function orderRows<Row>(rows: readonly Row[], ordering: RowOrdering<Row>): Row[][] {
  const byShape = groupBy(rows, (row) => ordering.shapeOf(row))
  if (byShape.length < 2) return byShape
  const statements: { readonly shape: string; readonly rows: Row[] }[] = []
  const placeOf = new Map<Row, number>()

  const place = (component: readonly Row[]): void => {
    const [first] = component
    if (first === undefined) return
    const shape = ordering.shapeOf(first)
    const earliest = Math.max(
      0,
      ...component.flatMap((row) => ordering.dependenciesOf(row)).map((row) => placeOf.get(row) ?? 0),
    )
    let at = statements.findIndex((statement, index) => index >= earliest && statement.shape === shape)
    if (at === -1) at = statements.push({ shape, rows: [] }) - 1
    statements[at]?.rows.push(...component)
    for (const row of component) placeOf.set(row, at)
  }

  for (const cycle of components(rows, ordering)) {
    if (isOneShape(cycle, ordering)) {
      place(cycle)
      continue
    }
    ordering.cut(new Set(cycle))
    for (const component of components(cycle, ordering)) {
      // If they still depend on each other, PostgreSQL decides whether the statements are valid.
      for (const shape of groupBy(component, (row) => ordering.shapeOf(row))) place(shape)
    }
  }
  return statements.map((statement) => statement.rows)
}

function components<Row>(rows: readonly Row[], ordering: RowOrdering<Row>): Row[][] {
  return orderByDependency(rows, (row) => ordering.dependenciesOf(row))
}

function isOneShape<Row>(rows: readonly Row[], ordering: RowOrdering<Row>): boolean {
  const [first, ...others] = rows.map((row) => ordering.shapeOf(row))
  return others.every((shape) => shape === first)
}

/** Groups in the order of their first members. */
export function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Item[][] {
  const groups = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return [...groups.values()]
}

/** The tables of some rows, in groups that refer to each other, those first that others refer to. */
export function tableGroups(rows: readonly (Insertion | Change | Removal)[]): (readonly Table[])[] {
  const used = new Map<Table, Metadata>()
  for (const { table, state } of rows)
    if (!used.has(table)) used.set(table, state.meta.entity[ENTITY].metadata)
  if (used.size < 2) return used.size === 0 ? [] : [[...used.keys()]]
  const groups: (readonly Table[])[] = []
  for (const { writeGroups } of new Set(used.values())) {
    for (const group of writeGroups) {
      const written = group.filter((table) => used.has(table))
      if (written.length > 0) groups.push(written)
    }
  }
  return groups
}
