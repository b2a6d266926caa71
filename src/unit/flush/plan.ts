/**
 * The statements of a flush, in an order that foreign keys and unique keys allow, as few as possible:
 *
 * 1. deletes from join tables;
 * 2. deletes that free a unique key which a new or changed row takes, after changed rows have stopped referring to the deleted rows;
 * 3. table by table, referenced tables first: changes, new rows in the order of `add`, changes that refer to these. If unique values
 *    move from row to row, write-order.ts finds the order;
 * 4. inserts into join tables;
 * 5. all other deletes, in the opposite order of tables.
 *
 * Stored rows are locked in an order that all flushes keep: see row-locks.ts.
 */
import type { Table } from '../../schema/table.js'
import { EarlyDeletesPlanner, NOTHING_EARLY, type EarlyDeletes } from './early-deletes.js'
import { uniqueConflicts } from './unique-conflicts.js'
import { deleteStep, insertStep, linkStep, incremented, unlinkStep, updates } from './steps.js'
import { EMPTY_PLAN, type FlushPlan, type FlushWork } from './flush-plan.js'
import type { PlannedStep } from './steps.js'
import { refuseLostRows, refuseRowsOfReplaced } from './lost-rows.js'
import { guardAfter, propagateKeys, keyAfter, type PropagatedKeys } from './key-propagation.js'
import { References, type Reference } from './row-references.js'
import type { LinkChanges } from './rows.js'
import { orderRows, tableGroups } from './row-order.js'
import { withLocks } from './row-locks.js'
import { switchRows } from './row-switch.js'
import { completion, halve, isNullable, released, type Halves } from './two-step-rows.js'
import { changedValue, insertedValue, UniqueMoves } from './unique-moves.js'
import { isNew, orderNewRows, orderWrites, runsOf, type WrittenRow } from './write-order.js'
import {
  changeOf,
  foreignKeysOf,
  insertionOf,
  removalOf,
  storedValue,
  type Change,
  type Insertion,
  type Removal,
} from './rows.js'

/** Plans a flush; changes nothing. @throws InvalidValueError, MappingError */
export function planFlush(work: FlushWork): FlushPlan {
  const insertions: Insertion[] = []
  for (const state of work.inserted) insertions.push(insertionOf(state, insertions.at(-1)))
  const changes: Change[] = []
  work.tracked.forEach((state) => {
    const change = state.markedDeleted ? undefined : changeOf(state)
    if (change !== undefined) changes.push(change)
  })
  // Each query asks for a flush, and most find nothing.
  if (insertions.length + changes.length + work.deleted.length + work.links.length === 0) return EMPTY_PLAN
  for (const { table } of [...insertions, ...changes]) table.requireWritable('objects')
  for (const { link } of work.links) link.table.requireWritable('objects')
  const moved = propagateKeys(changes, work.tracked)
  const removals = work.deleted.map((state) => removalOf(state, guardAfter(state, work.guards, moved)))
  const switches = switchRows(insertions, removals, changes, moved, work.verified)
  const { added, changes: switched } = switches
  if (work.assigned !== undefined && switches.insertions.length > 0 && switches.removals.length > 0)
    refuseRowsOfReplaced(work.tracked, work.assigned, switches.insertions, switches.removals)
  const written = switched.length === 0 ? changes : [...changes, ...switched]
  // Rows that refer to a unique value of a deleted object follow it to that of the new one.
  const propagated = switched.length === 0 ? moved : propagateKeys(written, work.tracked)
  // Rows whose keys propagate are written before the rows that get these keys.
  for (const change of changes)
    if (propagated.has(change.state)) change.key = keyAfter(change.state, propagated)
  const planner = new Planner(switches.insertions, written, switches.removals, work.links, propagated)
  const steps = withLocks([...planner.steps()])
  const twice = [...planner.released.keys()].map(({ state, successor }) => successor ?? { state })
  const completed = [...insertions.filter(({ postponed }) => postponed.size > 0), ...twice]
  return { steps, insertions: added, changes, removals, completed, propagated, switched }
}

const NO_CHANGES: ReadonlySet<Change> = new Set()
const NO_REMOVALS: ReadonlySet<Removal> = new Set()

class Planner {
  readonly #insertions: readonly Insertion[]
  readonly #changes: readonly Change[]
  readonly #removals: readonly Removal[]
  readonly #links: readonly LinkChanges[]
  readonly #propagated: PropagatedKeys
  readonly #newRows: References<Insertion>
  readonly #oldRows: References<Removal>
  readonly #moves: UniqueMoves
  /** The rest of each change that was released. */
  readonly #rests = new Map<Change, Change>()
  /** Changes whose rows first stop referring to deleted rows, and are written after the delete. */
  readonly released: Map<Change, Change> = new Map()

  constructor(
    insertions: readonly Insertion[],
    changes: readonly Change[],
    removals: readonly Removal[],
    links: readonly LinkChanges[],
    propagated: PropagatedKeys,
  ) {
    this.#insertions = insertions
    this.#changes = changes
    this.#removals = removals
    this.#links = links
    this.#propagated = propagated
    this.#newRows = new References(insertions, insertedValue)
    this.#moves = new UniqueMoves(changes)
    this.#oldRows = new References(removals, ({ state }, column) => storedValue(state, column))
    if (removals.length > 0) refuseLostRows(insertions, changes, this.#oldRows)
  }

  *steps(): Generator<PlannedStep, void, undefined> {
    for (const { link, columns, removed } of this.#links) {
      if (removed.length > 0) yield unlinkStep(link.table, columns, removed)
    }
    const conflicts = uniqueConflicts(this.#removals, this.#insertions, this.#changes, this.#oldRows)
    const early =
      conflicts.removals.size === 0
        ? NOTHING_EARLY
        : new EarlyDeletesPlanner(conflicts, this.#changes, this.#newRows, this.#oldRows, this.#moves).plan()
    const changes = conflicts.removals.size === 0 ? this.#changes : yield* this.#free(early)
    const groups = tableGroups([...this.#insertions, ...changes])
    for (const group of groups) {
      const isIn = ({ table }: { readonly table: Table }): boolean => group.includes(table)
      yield* this.#writes(group, this.#insertions.filter(isIn), changes.filter(isIn))
    }
    for (const { link, columns, added } of this.#links) {
      if (added.length > 0) yield linkStep(link.table, columns, added)
    }
    if (this.#removals.length === early.removals.size) return
    const late = this.#removals.filter((removal) => !early.removals.has(removal))
    for (const removal of late) {
      if (this.#propagated.has(removal.state)) removal.key = keyAfter(removal.state, this.#propagated)
    }
    yield* this.#deletes(late, early.givingUp)
  }

  /** Deletes the rows that must be deleted first. @returns the changes that are left. */
  *#free(early: EarlyDeletes): Generator<PlannedStep, readonly Change[], undefined> {
    const { releasing } = early
    yield* updates([...early.givingUp].map(released))
    yield* updates([...releasing, ...early.released.values()])
    yield* this.#deletes([...early.removals])
    return this.#changes
      .filter((change) => !releasing.has(change))
      .map((change) => {
        const part = early.released.get(change)
        if (part === undefined) return change
        this.released.set(change, part)
        const rest = { ...change, version: incremented(change.version, 1) }
        this.#rests.set(change, rest)
        return rest
      })
  }

  /** New and changed rows of tables that refer to each other, or of one table. */
  *#writes(
    group: readonly Table[],
    insertions: readonly Insertion[],
    changes: readonly Change[],
  ): Generator<PlannedStep, void, undefined> {
    if (!this.#moves.isEmpty) {
      const rows = [...changes, ...insertions]
      const waits = rows.some(
        (row) => this.#moves.before(row).length + this.#moves.maybeBefore(row).length > 0,
      )
      if (waits) {
        yield* this.#waiting(group, rows)
        yield* updates(insertions.filter(({ postponed }) => postponed.size > 0).map(completion))
        return
      }
    }
    const entangled = insertions.some(
      ({ state }, index) =>
        (index === 0 || insertions[index - 1]?.table !== state.meta.table) &&
        foreignKeysOf(state).some(({ target }) => group.includes(target)),
    )
    // A changed row can refer to a new row only after the new row was inserted.
    const isLate = (change: Change): boolean => this.#newIn(group, change).length > 0
    const late = insertions.length === 0 ? NO_CHANGES : new Set(changes.filter(isLate))
    yield* updates(late.size === 0 ? changes : changes.filter((change) => !late.has(change)))
    const ordered = entangled
      ? orderNewRows(
          insertions,
          (row) => this.#checkedAtOnce(row),
          (cycle) => void this.#postpone(cycle),
        )
      : insertions
    for (const run of runsOf(ordered)) yield insertStep(run)
    yield* updates(insertions.filter(({ postponed }) => postponed.size > 0).map(completion))
    yield* updates([...late])
  }

  /** As `#writes`, for rows that take unique values which other rows free. */
  *#waiting(group: readonly Table[], rows: readonly WrittenRow[]): Generator<PlannedStep, void, undefined> {
    /** Changes that are written in two steps. */
    const halves = new Map<WrittenRow, Halves>()
    const isFirst = new Set<WrittenRow>()
    /** Rows that wait for certain predecessors only, and not for possible ones. */
    const impatient = new Set<WrittenRow>()
    const maybeBefore = (row: WrittenRow): readonly Change[] =>
      impatient.has(row) ? [] : this.#moves.maybeBefore(row)
    const { levels, circular } = orderWrites(rows, {
      before: (row) => {
        const freeing = [...this.#moves.before(row), ...maybeBefore(row)].map((change) => {
          const rest = this.#rests.get(change) ?? change
          return halves.get(rest)?.first ?? rest
        })
        if (isNew(row) || isFirst.has(row)) return freeing.filter((change) => change !== row)
        const half = halves.get(row)
        const earlier = freeing.filter((change) => change.state !== row.state)
        return [
          ...earlier,
          ...(half === undefined ? [] : [half.first]),
          ...this.#newIn(group, row).map(targetOf),
        ]
      },
      notAfter: (row) => (isNew(row) ? this.#checkedAtOnce(row) : []),
      cut: (cycle) => {
        const guessing = [...cycle].filter((row) => maybeBefore(row).length > 0)
        for (const row of guessing) impatient.add(row)
        if (guessing.length > 0) return []
        const newRows = [...cycle].filter(isNew)
        if (newRows.length === cycle.size)
          return this.#postpone(cycle as ReadonlySet<Insertion>) ? [] : undefined
        const firsts = [...cycle].flatMap((change) => {
          // Each is written in two steps at most.
          if (isNew(change) || halves.has(change) || isFirst.has(change)) return []
          const half = halve(change, this.#newIn(group, change))
          if (half === undefined) return []
          this.released.set(change, half.first)
          halves.set(change, half)
          isFirst.add(half.first)
          return [half.first]
        })
        return firsts.length > 0 ? firsts : undefined
      },
    })
    const mayFail = new Set([...circular, ...impatient])
    for (const level of levels) {
      const changes = level.flatMap((row) => (isNew(row) ? [] : [halves.get(row)?.second ?? row]))
      yield* updates(changes, mayFail)
      for (const run of runsOf(level.filter(isNew))) yield insertStep(run)
    }
  }

  /** The foreign keys by which a changed row leads to new rows of the same tables. */
  #newIn(group: readonly Table[], change: Change): readonly Reference<Insertion>[] {
    return this.#newRows.of(change, changedValue).filter(({ target }) => group.includes(target.table))
  }

  /** The new rows that must be inserted before a new row. */
  #checkedAtOnce(row: Insertion): Insertion[] {
    return this.#newRows
      .of(row, insertedValue)
      .filter(
        ({ key }) => key.rules.deferred !== true && !key.columns.some((column) => row.postponed.has(column)),
      )
      .map(({ target }) => target)
  }

  /** Foreign keys of new rows to each other become NULL at first, if they can. @returns whether this has changed any. */
  #postpone(cycle: ReadonlySet<Insertion>): boolean {
    let isCut = false
    if (runsOf([...cycle]).length < 2) return isCut
    for (const row of cycle) {
      for (const { key, target } of this.#newRows.of(row, insertedValue)) {
        if (key.rules.deferred === true || !cycle.has(target)) continue
        const before = row.postponed.size
        row.postponed = new Set([...row.postponed, ...key.columns.filter(isNullable)])
        isCut ||= row.postponed.size > before
      }
    }
    return isCut
  }

  /** @param first Rows whose first step was sent before. */
  *#deletes(
    removals: readonly Removal[],
    first: ReadonlySet<Removal> = NO_REMOVALS,
  ): Generator<PlannedStep, void, undefined> {
    const among = new Set(removals)
    for (const group of tableGroups(removals).reverse()) {
      const statements = orderRows(
        removals.filter(({ table }) => group.includes(table)),
        {
          shapeOf: ({ table }) => table.key,
          dependenciesOf: (row) =>
            this.#oldRows
              .to(row)
              .filter(
                (referring) =>
                  among.has(referring) && (referring.postponed.size === 0 || first.has(referring)),
              ),
          cut: (cycle) => this.#release(cycle),
        },
      )
      yield* updates(
        statements
          .flat()
          .flatMap((row) => (row.postponed.size > 0 && !first.has(row) ? [released(row)] : [])),
      )
      for (const rows of statements) yield deleteStep(rows)
    }
  }

  /** Rows of different tables that refer to each other: their foreign keys become NULL before they are deleted. */
  #release(cycle: ReadonlySet<Removal>): void {
    for (const row of cycle) {
      for (const { key, target } of this.#oldRows.of(row, ({ state }, column) =>
        storedValue(state, column),
      )) {
        if (!cycle.has(target)) continue
        row.postponed = new Set([...row.postponed, ...key.columns.filter(isNullable)])
      }
    }
  }
}

function targetOf({ target }: Reference<Insertion>): Insertion {
  return target
}
