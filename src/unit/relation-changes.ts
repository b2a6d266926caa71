/**
 * What changed relations mean for the rows: foreign keys to set, and rows of tables in between to insert and to delete.
 *
 * Where two relations say something about the same foreign key, being taken out of a collection counts least, being put
 * into one more, and what the object itself says most.
 */
import { InvalidValueError, MappingError } from '../errors.js'
import type { Relation, RelationLink } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'
import { deletedByDatabase } from './cascade.js'
import { differenceOf, heldRelations, remember, rememberedBy } from './relation-values.js'
import { storedValue } from './written-rows.js'

/** A foreign key that must lead to an object, or to none. */
interface KeyAssignment {
  readonly holder: InstanceState
  readonly columns: readonly TableColumn[]
  readonly target: InstanceState | undefined
  readonly targetColumns: readonly TableColumn[]
}

/** Rows of one table in between, by their encoded values. */
export interface LinkChanges {
  readonly link: RelationLink
  readonly columns: readonly TableColumn[]
  readonly added: readonly (readonly EncodedText[])[]
  readonly removed: readonly (readonly EncodedText[])[]
}

interface Pair {
  readonly relation: Relation
  readonly link: RelationLink
  readonly owner: InstanceState
  readonly member: InstanceState
}

export class RelationChanges {
  /** By holder and columns. */
  readonly #keys = new Map<InstanceState, Map<string, KeyAssignment>>()
  readonly #linked: Pair[] = []
  readonly #unlinked: Pair[] = []
  /** What has to be remembered once the changes are on their way. */
  readonly #touched: { readonly state: InstanceState; readonly relation: Relation }[] = []

  /** Looks for changes. @param states What the session follows, also what is to be deleted. */
  static of(states: Iterable<InstanceState>): RelationChanges {
    const changes = new RelationChanges()
    const own: (() => void)[] = []
    for (const state of states) {
      if (state.meta.relationNames.length === 0) continue
      if (state.doomed) {
        changes.#letGo(state)
        continue
      }
      for (const relation of heldRelations(state)) {
        const difference = differenceOf(state, relation)
        if (difference === undefined) continue
        changes.#touched.push({ state, relation })
        const { added, removed } = difference
        const { link } = relation
        if (relation.kind === 'belongsTo') own.push(() => changes.#assignOwn(state, relation, added[0]))
        else if (link === undefined) changes.#assignMembers(state, relation, added, removed)
        else {
          for (const member of added) changes.#linked.push({ relation, link, owner: state, member })
          for (const member of removed) changes.#unlinked.push({ relation, link, owner: state, member })
        }
      }
    }
    for (const assign of own) assign()
    return changes
  }

  /** Columns that others refer to, that nobody but PostgreSQL can fill in, and that it has not filled in yet. */
  get needed(): Map<InstanceState, Set<TableColumn>> {
    const needed = new Map<InstanceState, Set<TableColumn>>()
    const need = (state: InstanceState, columns: readonly TableColumn[]): void => {
      for (const column of columns) {
        if (!column.serverFilled || state.value(column) !== undefined) continue
        needed.set(state, (needed.get(state) ?? new Set()).add(column))
      }
    }
    for (const assignments of this.#keys.values()) {
      for (const { target, targetColumns } of assignments.values()) {
        if (target !== undefined) need(target, targetColumns)
      }
    }
    for (const { relation, owner, member } of this.#linked) {
      need(owner, relation.ownColumns)
      need(member, relation.targetColumns)
    }
    return needed
  }

  /** Objects whose foreign keys are to be set. */
  get holders(): { has(state: InstanceState): boolean } {
    return this.#keys
  }

  /** Sets the foreign keys. @throws MappingError for one that takes no NULL, where an object was taken out of a collection. */
  apply(): void {
    for (const assignments of this.#keys.values()) {
      for (const { holder, columns, target, targetColumns } of assignments.values()) {
        for (const [index, column] of columns.entries()) {
          const value = target === undefined ? null : target.value(targetColumns[index] as TableColumn)
          holder.instance[column.property] = value
        }
      }
    }
  }

  /** The changes of tables in between. */
  links(): LinkChanges[] {
    const byTable = new Map<string, Pair[]>()
    for (const pair of [...this.#linked, ...this.#unlinked]) {
      const id = [pair.link.table.key, ...linkColumns(pair.link).map(({ name }) => name)].join('\0')
      const pairs = byTable.get(id)
      if (pairs === undefined) byTable.set(id, [pair])
      else pairs.push(pair)
    }
    const linked = new Set(this.#linked)
    return [...byTable.values()].map((pairs) => {
      const { link } = pairs[0] as Pair
      const columns = linkColumns(link)
      const added = unique(
        pairs.filter((pair) => linked.has(pair)).map((pair) => linkValues(pair, columns, heldIn)),
      )
      const removed = unique(
        pairs
          .filter((pair) => !linked.has(pair) && hasRow(pair.owner) && hasRow(pair.member))
          .map((pair) => linkValues(pair, columns, storedValue)),
      )
      // Both sides may say something; what is there at the end is what one of them has put in.
      for (const id of added.keys()) removed.delete(id)
      return { link, columns, added: [...added.values()], removed: [...removed.values()] }
    })
  }

  /** From now on, what the relations hold is what is stored. @returns whose relations these are. */
  remember(): Set<InstanceState> {
    for (const { state, relation } of this.#touched) remember(state, relation)
    return new Set(this.#touched.map(({ state }) => state))
  }

  /** Members of an object that is deleted belong to nothing, if they can; otherwise PostgreSQL has the last word. */
  #letGo(owner: InstanceState): void {
    for (const relation of heldRelations(owner)) {
      const { kind, targetColumns } = relation
      if (kind === 'belongsTo' || kind === 'manyToMany' || deletedByDatabase(owner, relation)) continue
      if (targetColumns.every(({ definition }) => definition.nullable)) {
        this.#assignMembers(owner, relation, [], rememberedBy(owner, relation))
      }
    }
  }

  #assignOwn(holder: InstanceState, relation: Relation, target: InstanceState | undefined): void {
    const { ownColumns: columns, targetColumns } = relation
    this.#assign({ holder, columns, target, targetColumns })
  }

  #assignMembers(
    owner: InstanceState,
    relation: Relation,
    added: readonly InstanceState[],
    removed: readonly InstanceState[],
  ): void {
    const { ownColumns, targetColumns: columns } = relation
    for (const holder of removed) {
      if (!hasRow(holder) || holder.doomed || this.#keys.get(holder)?.has(idOf(columns)) === true) continue
      const refers =
        refersTo(holder, columns, owner, ownColumns) ||
        // The key of the owner may have changed since.
        refersTo(holder, columns, owner, ownColumns, storedValue)
      if (!refers) continue
      this.#assign({ holder, columns, target: undefined, targetColumns: ownColumns })
    }
    for (const holder of added) this.#assign({ holder, columns, target: owner, targetColumns: ownColumns })
  }

  #assign(assignment: KeyAssignment): void {
    const { holder, columns } = assignment
    const assignments = this.#keys.get(holder) ?? new Map<string, KeyAssignment>()
    this.#keys.set(holder, assignments.set(idOf(columns), assignment))
  }

  /**
   * @throws MappingError if an object that must belong to something would belong to nothing; InvalidValueError if a foreign key
   * could not be told from that of another row.
   */
  check(): void {
    for (const assignments of this.#keys.values()) {
      for (const assignment of assignments.values()) {
        checkExact(assignment)
        const { holder, columns, target } = assignment
        const required = columns.find(({ definition }) => !definition.nullable)
        if (target !== undefined || required === undefined || holder.doomed) continue
        throw new MappingError(
          `A ${holder.meta.name} would belong to nothing, but ${required} takes no NULL: give it another owner, or ` +
            'delete it with session.delete()',
        )
      }
    }
  }
}

/** Whether a foreign key will hold all of the key that it takes over: objects have dates, PostgreSQL microseconds. */
function checkExact({ holder, columns, target, targetColumns }: KeyAssignment): void {
  for (const [index, column] of columns.entries()) {
    const from = targetColumns[index] as TableColumn
    const value = target?.value(from)
    if (!(value instanceof Date) || holder.text(column, value) === target?.text(from)) continue
    throw new InvalidValueError(
      `${column} cannot follow ${from}: a Date does not hold the microseconds by which their values differ`,
    )
  }
}

/** Whether a foreign key leads to an object now. @param textOf What the key of the object is. */
export function refersTo(
  holder: InstanceState,
  columns: readonly TableColumn[],
  target: InstanceState,
  targetColumns: readonly TableColumn[],
  textOf: TextOf = heldIn,
): boolean {
  return columns.every((column, index) => {
    const own = holder.text(column)
    return own !== null && own !== undefined && own === textOf(target, targetColumns[index] as TableColumn)
  })
}

function hasRow(state: InstanceState): boolean {
  return state.status === 'persistent'
}

function idOf(columns: readonly TableColumn[]): string {
  return columns.map(({ index }) => index).join()
}

/** The columns of a row in between, in the order of the table, so that both sides write the same. */
function linkColumns({ own, other }: RelationLink): readonly TableColumn[] {
  return [...own, ...other].sort((a, b) => a.index - b.index)
}

function linkValues(
  { relation, link, owner, member }: Pair,
  columns: readonly TableColumn[],
  textOf: TextOf,
): EncodedText[] {
  return columns.map((column) => {
    const own = link.own.indexOf(column)
    const text =
      own === -1
        ? textOf(member, relation.targetColumns[link.other.indexOf(column)] as TableColumn)
        : textOf(owner, relation.ownColumns[own] as TableColumn)
    // It says what is wrong where there is none.
    return text ?? column.encode(text)
  })
}

/** Which text of a column counts. */
type TextOf = (state: InstanceState, column: TableColumn) => EncodedText | undefined

function heldIn(state: InstanceState, column: TableColumn): EncodedText | undefined {
  return state.text(column)
}

function unique(rows: readonly EncodedText[][]): Map<string, EncodedText[]> {
  return new Map(rows.map((row) => [JSON.stringify(row), row]))
}
