/**
 * The order of new and changed rows that depend on each other, in as few statements as possible.
 *
 * A row that takes a unique value comes after the statement of the changed row that frees it: PostgreSQL checks each row when it
 * is written, and the order within a statement is that of its plan.
 */
import { orderByDependency } from '../../schema/dependency-order.js'
import type { Table } from '../../schema/table.js'
import { groupBy } from './row-order.js'
import type { Change, Insertion } from './rows.js'

/** A new or a changed row. */
export type WrittenRow = Insertion | Change

export interface WriteOrdering {
  /** Rows that must have been written by an earlier statement. */
  before(row: WrittenRow): readonly WrittenRow[]
  /** New rows that must come before a new row; also in the same statement, as foreign keys are checked at its end. */
  notAfter(row: WrittenRow): readonly WrittenRow[]
  /**
   * Removes dependencies of rows that wait for each other in a cycle.
   * @returns rows to be written in addition; undefined if no dependency could be removed.
   */
  cut(cycle: ReadonlySet<WrittenRow>): readonly WrittenRow[] | undefined
}

/** The rows in the order in which they are written. */
export interface WriteOrder {
  /** The rows of each level can be written at once, changed ones first. */
  readonly levels: readonly (readonly WrittenRow[])[]
  /** Rows that still wait for each other. */
  readonly circular: ReadonlySet<WrittenRow>
}

/** @param rows The rows, in the order that they keep if no dependency decides. */
export function orderWrites(rows: readonly WrittenRow[], ordering: WriteOrdering): WriteOrder {
  const parts = components(rows, ordering).flatMap((cycle) => cutCycle(cycle, ordering))
  const circular = parts.filter((part) => part.length > 1 && !part.every(isNew)).flat()
  return { levels: levelsOf(parts, ordering), circular: new Set(circular) }
}

/** Cuts a cycle as long as a dependency can be removed. */
function cutCycle(cycle: readonly WrittenRow[], ordering: WriteOrdering): (readonly WrittenRow[])[] {
  const added = cycle.length === 1 ? undefined : ordering.cut(new Set(cycle))
  if (added === undefined) return [cycle]
  return components([...added, ...cycle], ordering).flatMap((part) => cutCycle(part, ordering))
}

function components(rows: readonly WrittenRow[], ordering: WriteOrdering): WrittenRow[][] {
  return orderByDependency(rows, (row) => [...ordering.before(row), ...ordering.notAfter(row)])
}

function levelsOf(parts: readonly (readonly WrittenRow[])[], ordering: WriteOrdering): WrittenRow[][] {
  const levels: WrittenRow[][] = []
  const levelOf = new Map<WrittenRow, number>()
  // New rows keep their order.
  const lastOf = new Map<string, number>()
  for (const part of parts) {
    let level = 0
    for (const row of part) {
      if (isNew(row)) level = Math.max(level, lastOf.get(row.table.key) ?? 0)
      for (const earlier of ordering.before(row)) level = Math.max(level, (levelOf.get(earlier) ?? -1) + 1)
      for (const earlier of ordering.notAfter(row)) level = Math.max(level, levelOf.get(earlier) ?? 0)
    }
    for (const row of part) {
      if (isNew(row)) lastOf.set(row.table.key, level)
      levelOf.set(row, level)
      const rows = levels[level] ?? []
      levels[level] = rows
      rows.push(row)
    }
  }
  return levels
}

export function isNew(row: WrittenRow): row is Insertion {
  return 'shape' in row
}

/** Rows that follow one another and leave the same columns to PostgreSQL are one statement. */
export function runsOf(rows: readonly Insertion[]): Insertion[][] {
  const runs: Insertion[][] = []
  for (const row of rows) {
    const run = runs.at(-1)
    if (run?.[0]?.shape === row.shape) run.push(row)
    else runs.push([row])
  }
  return runs
}

/**
 * New rows that refer to each other, those first that others refer to, in as few statements as that takes. Rows of one table keep their
 * order otherwise.
 */
export function orderNewRows(
  rows: readonly Insertion[],
  dependenciesOf: (row: Insertion) => readonly Insertion[],
  cut: (cycle: ReadonlySet<Insertion>) => void,
): Insertion[] {
  const isOneShape = ([first, ...others]: readonly Insertion[]): boolean =>
    others.every(({ shape }) => shape === first?.shape)
  if (isOneShape(rows)) return [...rows]
  const ordered = orderByDependency(rows, dependenciesOf).flatMap((cycle) => {
    // In one statement, which is checked at its end.
    if (isOneShape(cycle)) return cycle
    cut(new Set(cycle))
    // If they still depend on each other, PostgreSQL decides whether the statements are valid.
    return orderByDependency(cycle, dependenciesOf).flatMap((part) =>
      groupBy(part, ({ shape }) => shape).flat(),
    )
  })
  return statementsOf(ordered, dependenciesOf).flat()
}

/** Puts each row into the first statement that comes neither before what it needs nor before earlier rows of its table. */
function statementsOf(
  ordered: readonly Insertion[],
  dependenciesOf: (row: Insertion) => readonly Insertion[],
): Insertion[][] {
  const statements: Insertion[][] = []
  const placeOf = new Map<Insertion, number>()
  const lastOf = new Map<Table, number>()
  /** The statements of each shape, in order. */
  const ofShape = new Map<string, number[]>()
  for (const row of ordered) {
    let earliest = lastOf.get(row.table) ?? 0
    for (const needed of dependenciesOf(row)) earliest = Math.max(earliest, placeOf.get(needed) ?? 0)
    const places = ofShape.get(row.shape) ?? []
    ofShape.set(row.shape, places)
    let at = places.length
    while (at > 0 && (places[at - 1] as number) >= earliest) at--
    const place = places[at] ?? statements.push([]) - 1
    if (at === places.length) places.push(place)
    statements[place]?.push(row)
    placeOf.set(row, place)
    lastOf.set(row.table, place)
  }
  return statements
}
