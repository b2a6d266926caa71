/**
 * The statements of a flush, in an order that foreign keys and unique keys allow, as few as possible:
 *
 * 1. rows that leave tables in between;
 * 2. deletes that free a unique key which a new or changed row takes, when changed rows have let go of what is deleted;
 * 3. table by table, those first that others refer to: changes, new rows in the order of `add`, changes that refer to these;
 * 4. rows for tables in between;
 * 5. all other deletes, in the opposite order of tables.
 *
 * Changes and deletes go by primary key, so that two sessions that write the same rows do not deadlock.
 */
import { ENTITY } from '../schema/entity-types.js'
import type { TableColumn } from '../schema/table-column.js'
import type { Table } from '../schema/table.js'
import {
  deleteMatching,
  deleteRows,
  insertRows,
  linkRows,
  updateRows,
  type WriteStatement,
} from '../schema/write-statements.js'
import { earlyRemovals, type EarlyRemovals } from './early-removals.js'
import type { InstanceState } from './instance-state.js'
import { handedOn, keyAfter, type HandedOn } from './key-cascade.js'
import { References } from './references.js'
import type { LinkChanges } from './relation-changes.js'
import { groupBy, orderRows } from './row-order.js'
import {
  changeOf,
  foreignKeysOf,
  insertionOf,
  removalOf,
  storedValue,
  versionOf,
  type Change,
  type Insertion,
  type Removal,
} from './written-rows.js'

/** One statement, and the objects behind its rows. */
export interface Step {
  readonly statement: WriteStatement
  readonly kind: 'insert' | 'update' | 'delete' | 'link'
  readonly states: readonly InstanceState[]
}

/** What a flush writes. */
export interface FlushPlan {
  readonly steps: readonly Step[]
  readonly insertions: readonly Insertion[]
  readonly changes: readonly Change[]
  readonly removals: readonly Removal[]
  /** Rows that are written twice: with foreign keys that are NULL for a while, and as they should be. */
  readonly completed: readonly { readonly state: InstanceState }[]
  /** What PostgreSQL changes about the rows of other objects. */
  readonly handed: HandedOn
}

/** What has to be written. */
export interface FlushWork {
  readonly inserted: readonly InstanceState[]
  /** Objects that may have changed. */
  readonly followed: readonly InstanceState[]
  readonly deleted: readonly InstanceState[]
  readonly links: readonly LinkChanges[]
}

/** Plans a flush; nothing is changed by it. @throws InvalidValueError, MappingError */
export function planFlush(work: FlushWork): FlushPlan {
  const insertions: Insertion[] = []
  for (const state of work.inserted) insertions.push(insertionOf(state, insertions.at(-1)))
  const changes: Change[] = []
  for (const state of work.followed) {
    const change = state.doomed ? undefined : changeOf(state)
    if (change !== undefined) changes.push(change)
  }
  for (const { table } of [...insertions, ...changes]) table.requireWritable()
  for (const { link } of work.links) link.table.requireWritable()
  const handed = handedOn(changes, work.followed)
  // Those that hand on their keys are written before those that get them.
  for (const change of changes) if (handed.has(change.state)) change.key = keyAfter(change.state, handed)
  const removals = work.deleted.map(removalOf)
  const planner = new Planner(insertions, changes, removals, work.links, handed)
  const steps = [...planner.steps()]
  const completed = [...insertions.filter(({ postponed }) => postponed.size > 0), ...planner.released.keys()]
  return { steps, insertions, changes, removals, completed, handed }
}

const NO_STEPS: readonly Step[] = []
const NO_CHANGES: ReadonlySet<Change> = new Set()

class Planner {
  readonly #insertions: readonly Insertion[]
  readonly #changes: readonly Change[]
  readonly #removals: readonly Removal[]
  readonly #links: readonly LinkChanges[]
  readonly #handed: HandedOn
  readonly #newRows: References<Insertion>
  readonly #oldRows: References<Removal>
  /** Changes whose rows let go of others first, and are written when these are gone. */
  readonly released: Map<Change, Change> = new Map()

  constructor(
    insertions: readonly Insertion[],
    changes: readonly Change[],
    removals: readonly Removal[],
    links: readonly LinkChanges[],
    handed: HandedOn,
  ) {
    this.#insertions = insertions
    this.#changes = changes
    this.#removals = removals
    this.#links = links
    this.#handed = handed
    this.#newRows = new References(insertions, insertedValue)
    this.#oldRows = new References(removals, ({ state }, column) => storedValue(state, column))
  }

  *steps(): Generator<Step, void, undefined> {
    for (const { link, columns, removed } of this.#links) {
      if (removed.length > 0) yield linkStep(deleteMatching(link.table, columns, removed))
    }
    const early = earlyRemovals(this.#removals, this.#insertions, this.#changes, this.#oldRows)
    const changes = early.removals.size === 0 ? this.#changes : yield* this.#free(early)
    const groups = tableGroups([...this.#insertions, ...changes])
    for (const group of groups) {
      const isIn = ({ table }: { readonly table: Table }): boolean => group.includes(table)
      yield* this.#writes(group, this.#insertions.filter(isIn), changes.filter(isIn))
    }
    for (const { link, columns, added } of this.#links) {
      if (added.length > 0) yield linkStep(linkTo(link.table, columns, added))
    }
    if (this.#removals.length === early.removals.size) return
    const late = this.#removals.filter((removal) => !early.removals.has(removal))
    for (const removal of late) {
      if (this.#handed.has(removal.state)) removal.key = keyAfter(removal.state, this.#handed)
    }
    yield* this.#deletes(late)
  }

  /** Deletes what has to go early. @returns the changes that are left. */
  *#free(early: EarlyRemovals): Generator<Step, readonly Change[], undefined> {
    const releasing = new Set(this.#releasing(early))
    yield* updates([...releasing, ...this.released.values()])
    yield* this.#deletes([...early.removals])
    return this.#changes
      .filter((change) => !releasing.has(change))
      .map((change) =>
        this.released.has(change) ? { ...change, version: raised(change.version, 1) } : change,
      )
  }

  /** New and changed rows of tables that refer to each other, or of one table. */
  *#writes(
    group: readonly Table[],
    insertions: readonly Insertion[],
    changes: readonly Change[],
  ): Generator<Step, void, undefined> {
    const entangled = insertions.some(
      ({ state }, index) =>
        (index === 0 || insertions[index - 1]?.table !== state.meta.table) &&
        foreignKeysOf(state).some(({ target }) => group.includes(target)),
    )
    // A changed row may lead to a new one only once that is there.
    const isLate = (change: Change): boolean => this.#newRows.of(change, changedValue).length > 0
    const late = insertions.length === 0 ? NO_CHANGES : new Set(changes.filter(isLate))
    yield* updates(late.size === 0 ? changes : changes.filter((change) => !late.has(change)))
    const statements = entangled
      ? orderRows(insertions, {
          shapeOf: ({ shape }) => shape,
          dependenciesOf: (row) => this.#checkedAtOnce(row),
          cut: (circle) => this.#postpone(circle),
        })
      : groupBy(insertions, ({ shape }) => shape)
    for (const rows of statements) yield insertStep(rows)
    yield* updates(insertions.filter(({ postponed }) => postponed.size > 0).map(completion))
    yield* updates([...late])
  }

  /** The new rows that have to be there before a new row. */
  #checkedAtOnce(row: Insertion): Insertion[] {
    return this.#newRows
      .of(row, insertedValue)
      .filter(
        ({ key }) => key.rules.deferred !== true && !key.columns.some((column) => row.postponed.has(column)),
      )
      .map(({ target }) => target)
  }

  #postpone(circle: ReadonlySet<Insertion>): void {
    for (const row of circle) {
      for (const { key, target } of this.#newRows.of(row, insertedValue)) {
        if (key.rules.deferred === true || !circle.has(target)) continue
        row.postponed = new Set([...row.postponed, ...key.columns.filter(isNullable)])
      }
    }
  }

  /**
   * Changed rows that stop referring to a row that is deleted early. Those that also need what comes later (a new row, or a
   * key that is freed by the delete) only let go of it now.
   */
  *#releasing({ removals, takers }: EarlyRemovals): Generator<Change, void, undefined> {
    for (const change of this.#changes) {
      const columns = this.#oldRows
        .of(change, ({ state }, column) =>
          change.columns.includes(column) ? storedValue(state, column) : undefined,
        )
        .flatMap(({ key, target }) => (removals.has(target) ? key.columns : []))
      if (columns.length === 0) continue
      if (!takers.has(change) && this.#newRows.of(change, changedValue).length === 0) yield change
      else this.#letGo(change, columns.filter(isNullable))
    }
  }

  #letGo(change: Change, columns: readonly TableColumn[]): void {
    if (columns.length === 0) return
    this.released.set(change, { ...change, columns, values: columns.map(() => null) })
  }

  *#deletes(removals: readonly Removal[]): Generator<Step, void, undefined> {
    const among = new Set(removals)
    for (const group of tableGroups(removals).reverse()) {
      const statements = orderRows(
        removals.filter(({ table }) => group.includes(table)),
        {
          shapeOf: ({ table }) => table.key,
          dependenciesOf: (row) =>
            this.#oldRows
              .to(row)
              .filter((referring) => among.has(referring) && referring.postponed.size === 0),
          cut: (circle) => this.#release(circle),
        },
      )
      yield* updates(statements.flat().flatMap((row) => (row.postponed.size > 0 ? [released(row)] : [])))
      for (const rows of statements) yield deleteStep(rows)
    }
  }

  /** Rows of different tables that refer to each other let go of each other before they are deleted. */
  #release(circle: ReadonlySet<Removal>): void {
    for (const row of circle) {
      for (const { key, target } of this.#oldRows.of(row, ({ state }, column) =>
        storedValue(state, column),
      )) {
        if (!circle.has(target)) continue
        row.postponed = new Set([...row.postponed, ...key.columns.filter(isNullable)])
      }
    }
  }
}

/** The tables of some rows, in groups that refer to each other, those first that others refer to. */
function tableGroups(rows: readonly (Insertion | Change | Removal)[]): (readonly Table[])[] {
  const used = new Set(rows.map(({ table }) => table))
  if (used.size < 2) return used.size === 0 ? [] : [[...used]]
  const metadata = new Set(rows.map(({ state }) => state.meta.entity[ENTITY].metadata))
  return [...metadata]
    .flatMap(({ tableGroups: groups }) => groups)
    .map((group) => group.filter((table) => used.has(table)))
    .filter((group) => group.length > 0)
}

function insertStep(rows: readonly Insertion[]): Step {
  const [first] = rows as readonly [Insertion]
  const columns = first.table.columns.filter(({ index }) => first.values[index] !== undefined)
  const places = columns.map(({ index }) => index)
  return {
    kind: 'insert',
    statement: insertRows(first.table, columns, rows.map(storedFirst), places),
    states: rows.map(({ state }) => state),
  }
}

/** The values that a new row is inserted with, by index of the column. */
function storedFirst({ table, values, postponed }: Insertion): readonly (string | null | undefined)[] {
  if (postponed.size === 0) return values
  return table.columns.map((column) => (postponed.has(column) ? null : values[column.index]))
}

function updates(changes: readonly Change[]): readonly Step[] {
  if (changes.length === 0) return NO_STEPS
  return alike(changes).map((rows) => {
    const [first] = rows as [Change]
    const sorted = byKey(rows)
    const statement = updateRows(first.table, first.columns, sorted)
    return { kind: 'update', statement, states: sorted.map(({ state }) => state) }
  })
}

/** Changes of the same columns travel together. @param changes At least one. */
function alike(changes: readonly Change[]): (readonly Change[])[] {
  const [first, ...others] = changes as readonly [Change, ...Change[]]
  // Most flushes change one thing.
  const isLikeFirst = ({ table, columns }: Change): boolean =>
    table === first.table &&
    columns.length === first.columns.length &&
    columns.every((column, index) => column === first.columns[index])
  if (others.every(isLikeFirst)) return [changes]
  return groupBy(changes, ({ table, columns }) => `${table.key} ${columns.map(({ index }) => index).join()}`)
}

function deleteStep(rows: readonly Removal[]): Step {
  const [first] = rows as readonly [Removal]
  const sorted = byKey(rows)
  const keyed = sorted.map(({ state, key, postponed }) => ({
    key,
    version: raised(versionOf(state), postponed.size > 0 ? 1 : 0),
  }))
  return {
    kind: 'delete',
    statement: deleteRows(first.table, keyed),
    states: sorted.map(({ state }) => state),
  }
}

function linkStep(statement: WriteStatement): Step {
  return { kind: 'link', statement, states: [] }
}

/** Rows for a table in between, with the defaults of its other columns. */
function linkTo(table: Table, columns: readonly TableColumn[], rows: LinkChanges['added']): WriteStatement {
  const others = table.columns.filter(
    (column) => column.definition.default !== undefined && !columns.includes(column),
  )
  const complete = rows.map((row) => [
    ...row,
    ...others.map((column) => column.encodeStored(column.definition.default?.())),
  ])
  return linkRows(table, [...columns, ...others], complete)
}

/** What was stored as NULL first. */
function completion({ state, table, values, postponed }: Insertion): Change {
  const columns = [...postponed]
  const key = table.primaryKey.map(({ index }) => values[index] ?? null)
  const version = table.version && (values[table.version.index] ?? null)
  return { state, table, columns, values: columns.map(({ index }) => values[index] ?? null), key, version }
}

function released({ state, table, key, postponed }: Removal): Change {
  const columns = [...postponed]
  return { state, table, columns, values: columns.map(() => null), key, version: versionOf(state) }
}

function insertedValue({ values }: Insertion, { index }: TableColumn): string | null | undefined {
  return values[index]
}

/** Only what has changed: the rest leads where it led before. */
function changedValue({ columns, values, state }: Change, column: TableColumn): string | null | undefined {
  const at = columns.indexOf(column)
  return at === -1 ? storedValue(state, column) : values[at]
}

function isNullable({ definition }: TableColumn): boolean {
  return definition.nullable
}

function raised(version: string | null | undefined, by: number): string | null | undefined {
  return by === 0 || version === null || version === undefined ? version : String(Number(version) + by)
}

function byKey<Row extends { readonly key: readonly (string | null)[] }>(rows: readonly Row[]): Row[] {
  if (rows.length < 2) return [...rows]
  const named = rows.map((row) => ({ row, name: nameOf(row.key) }))
  return named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)).map(({ row }) => row)
}

function nameOf(key: readonly (string | null)[]): string {
  const [only] = key
  return key.length === 1 && typeof only === 'string' ? only : JSON.stringify(key)
}
