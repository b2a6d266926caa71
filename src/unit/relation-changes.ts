/**
 * Converts changed relations to changes of rows: foreign keys to set, and rows of join tables to insert and to delete.
 *
 * Relations that set the same foreign key differently are refused (see flush/contradictions.ts). An object that was removed from one
 * collection and added to another has moved.
 */
import { InvalidValueError } from '../errors.js'
import { metaOf } from '../schema/entity-meta.js'
import type { Relation, RelationLink } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'
import { deletedByDatabase } from './cascade.js'
import { KeyAssignments } from './flush/key-assignments.js'
import type { KeyAssignment, KeySetting } from './flush/contract.js'
import { followMovedKeys, type KeptRelation } from './flush/moved-keys.js'
import { differenceOf, heldRelations, remember, rememberedBy } from './relation-values.js'
import { storedValue, type LinkChanges } from './flush/rows.js'

interface Pair {
  readonly relation: Relation
  readonly link: RelationLink
  readonly owner: InstanceState
  readonly member: InstanceState
}

interface LinkRow {
  readonly pair: Pair
  readonly values: EncodedText[]
}

/** The objects whose relations may have changed. */
export interface RelatedInstances {
  related(): readonly InstanceState[]
  /** Objects that are not deleted with their owners. */
  readonly spared: ReadonlySet<InstanceState>
}

export class RelationChanges {
  readonly #deletions: boolean
  readonly #keys = new KeyAssignments()
  readonly #linked: Pair[] = []
  readonly #unlinked: Pair[] = []
  /** The relations to remember once the flush was sent. */
  readonly #touched: { readonly state: InstanceState; readonly relation: Relation }[] = []

  private constructor(deletions: boolean) {
    this.#deletions = deletions
  }

  /**
   * Looks for changes.
   * @param members The tracked objects, also those that are to be deleted.
   * @param options `deletions: false`: as if nothing were deleted.
   */
  static of(
    members: RelatedInstances,
    { deletions = true }: { readonly deletions?: boolean } = {},
  ): RelationChanges {
    const changes = new RelationChanges(deletions)
    const own: (() => void)[] = []
    const kept: KeptRelation[] = []
    for (const state of members.related()) {
      if (state.meta.relationNames.length === 0) continue
      if (deletions && state.markedDeleted) {
        changes.#removeMembersOfDeleted(state, members.spared)
        continue
      }
      for (const relation of heldRelations(state)) {
        const difference = differenceOf(state, relation)
        // The objects that stay in a changed collection keep their foreign keys.
        if (difference === undefined || relation.many) kept.push({ state, relation })
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
    followMovedKeys(kept, changes.#keys)
    return changes
  }

  /** Columns that foreign keys refer to and only PostgreSQL can fill in, of rows that have no value yet. */
  get needed(): Map<InstanceState, Set<TableColumn>> {
    const needed = new Map<InstanceState, Set<TableColumn>>()
    const need = (state: InstanceState, columns: readonly TableColumn[]): void => {
      for (const column of columns) {
        if (!column.serverFilled || state.value(column) !== undefined) continue
        needed.set(state, (needed.get(state) ?? new Set()).add(column))
      }
    }
    for (const [target, columns] of this.#keys.sources()) need(target, columns)
    for (const { relation, owner, member } of this.#linked) {
      need(owner, relation.ownColumns)
      need(member, relation.targetColumns)
    }
    return needed
  }

  /** The object that a member is given to by a relation or its other side; null: to none; undefined: nothing is said. */
  ownerOf(member: InstanceState, { targetColumns, ownColumns }: Relation): InstanceState | null | undefined {
    const assignment = this.#keys.find(member, targetColumns, ownColumns)
    return assignment && (assignment.target ?? null)
  }

  /** The same for the relation of the member itself. */
  targetOf(holder: InstanceState, { ownColumns, targetColumns }: Relation): InstanceState | null | undefined {
    const assignment = this.#keys.find(holder, ownColumns, targetColumns)
    return assignment && (assignment.target ?? null)
  }

  /** What is given to an owner by a relation or its other side. */
  ledTo(owner: InstanceState, { targetColumns, ownColumns }: Relation): Iterable<InstanceState> {
    return this.#keys.ledTo(owner, targetColumns, ownColumns)
  }

  /** Objects whose foreign keys are to be set. */
  get holders(): { has(state: InstanceState): boolean } {
    return this.#keys.holders
  }

  /**
   * Sets the foreign keys; nothing is set if one of them is refused.
   *
   * @returns what was set, the latest last.
   * @throws InvalidValueError if changes contradict each other, or a foreign key could not be told from that of another row;
   *   MappingError if an object that must belong to something would belong to nothing.
   */
  apply(): KeySetting[] {
    const settings: KeySetting[] = []
    for (const [state, values] of this.#keys.resolve()) {
      // Its row is deleted, so what it refers to does not matter; its values may have expired.
      if (state.markedDeleted) continue
      const { instance } = state
      for (const [column, value] of values) {
        const before = instance[column.property]
        if (before === value) continue
        settings.push({ state, column, before, value })
        instance[column.property] = value
      }
    }
    return settings
  }

  /** The changes of join tables. @throws InvalidValueError if both sides say different things about a pair. */
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
      const added = new Map<string, LinkRow>()
      const removed = new Map<string, LinkRow>()
      for (const pair of pairs) {
        const isLinked = linked.has(pair)
        if (!isLinked && !(hasRow(pair.owner) && hasRow(pair.member))) continue
        const values = linkValues(pair, columns, isLinked ? heldIn : storedValue)
        ;(isLinked ? added : removed).set(JSON.stringify(values), { pair, values })
      }
      for (const [id, { pair }] of removed) {
        const other = added.get(id)
        if (other !== undefined) throw linkedAndUnlinked(other.pair, pair)
      }
      return { link, columns, added: rowsOf(added), removed: rowsOf(removed) }
    })
  }

  /** The flush was sent: the relations are now as they are stored. @returns the objects with changed relations. */
  remember(): Set<InstanceState> {
    for (const { state, relation } of this.#touched) remember(state, relation)
    return new Set(this.#touched.map(({ state }) => state))
  }

  /**
   * Members of an object that is deleted belong to nothing, if they can; otherwise PostgreSQL has the last word. ON DELETE CASCADE
   * would delete the members that `add` has kept, too.
   */
  #removeMembersOfDeleted(owner: InstanceState, spared: ReadonlySet<InstanceState>): void {
    for (const relation of owner.meta.relations.values()) {
      const { kind, target, targetColumns } = relation
      if (kind === 'belongsTo' || kind === 'manyToMany') continue
      const isCascading = deletedByDatabase(owner, relation)
      const kept = [...spared].filter(({ meta }) => meta.table === metaOf(target).table)
      const members = isCascading ? kept : [...rememberedBy(owner, relation), ...kept]
      if (targetColumns.some(({ definition }) => definition.nullable)) {
        this.#removeMembers(owner, relation, members, 'by deletion')
      } else if (isCascading) {
        // Refused unless they get another owner.
        this.#removeMembers(owner, relation, members, 'by owner')
      }
    }
  }

  #assignOwn(holder: InstanceState, relation: Relation, target: InstanceState | undefined): void {
    const { ownColumns: columns, targetColumns } = relation
    const wasLeading =
      holder.snapshot !== undefined && columns.every((column) => storedValue(holder, column) !== null)
    this.#keys.add({
      holder,
      columns,
      target,
      targetColumns,
      said: 'itself',
      of: holder.meta,
      relation,
      wasLeading,
    })
  }

  #assignMembers(
    owner: InstanceState,
    relation: Relation,
    added: readonly InstanceState[],
    removed: readonly InstanceState[],
  ): void {
    this.#removeMembers(owner, relation, removed, 'by owner')
    for (const holder of added) this.#keys.add(assignmentOf(holder, owner, relation, 'by owner', owner))
  }

  #removeMembers(
    owner: InstanceState,
    relation: Relation,
    removed: readonly InstanceState[],
    said: KeyAssignment['said'],
  ): void {
    const { ownColumns, targetColumns: columns } = relation
    for (const holder of removed) {
      const assignment = assignmentOf(holder, undefined, relation, said, owner)
      if (!hasRow(holder) || (this.#deletions && holder.markedDeleted)) continue
      const refers =
        refersTo(holder, columns, owner, ownColumns) ||
        // The key of the owner may have changed since.
        refersTo(holder, columns, owner, ownColumns, storedValue)
      if (refers) this.#keys.add(assignment)
    }
  }
}

/** What the relation of an owner says about a member. */
function assignmentOf(
  holder: InstanceState,
  target: InstanceState | undefined,
  relation: Relation,
  said: KeyAssignment['said'],
  owner: InstanceState,
): KeyAssignment {
  const { ownColumns: targetColumns, targetColumns: columns } = relation
  return { holder, columns, target, targetColumns, said, of: owner.meta, relation, owner }
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
    if (own === null || own === undefined) return false
    return holder.isSameKey(column, own, textOf(target, targetColumns[index] as TableColumn))
  })
}

function hasRow(state: InstanceState): boolean {
  return state.status === 'persistent'
}

/** The columns of a row of the join table, in the order of the table, so that both sides write the same. The two keys may share some. */
function linkColumns({ own, other }: RelationLink): readonly TableColumn[] {
  return [...new Set([...own, ...other])].sort((a, b) => a.index - b.index)
}

/** @throws InvalidValueError if both sides share a column of the link, and have different values of it. */
function linkValues(
  { relation, link, owner, member }: Pair,
  columns: readonly TableColumn[],
  textOf: TextOf,
): EncodedText[] {
  return columns.map((column) => {
    const texts: (EncodedText | undefined)[] = []
    const [own, other] = [link.own.indexOf(column), link.other.indexOf(column)]
    if (own !== -1) texts.push(textOf(owner, relation.ownColumns[own] as TableColumn))
    if (other !== -1) texts.push(textOf(member, relation.targetColumns[other] as TableColumn))
    const [text, another = text] = texts
    if (column.normal(text) !== column.normal(another))
      throw cannotLink(owner, relation, member, column, [text, another])
    // It says what is wrong where there is none.
    return text ?? column.encode(text)
  })
}

function cannotLink(
  owner: InstanceState,
  relation: Relation,
  member: InstanceState,
  column: TableColumn,
  texts: readonly (EncodedText | undefined)[],
): InvalidValueError {
  const values = texts.map((text) =>
    text === null || text === undefined ? undefined : owner.shown(column, column.decode(text)),
  )
  const shown = values.includes(undefined) ? '' : `: ${values.join(' and ')}`
  return new InvalidValueError(
    `${owner.meta.name}.${relation.name} cannot link ${owner} with ${member}: they need different values of ${column}${shown}`,
  )
}

function linkedAndUnlinked(added: Pair, removed: Pair): InvalidValueError {
  const nameOf = ({ owner, relation }: Pair): string => `${owner.meta.name}.${relation.name} of ${owner}`
  return new InvalidValueError(
    `Changes contradict each other: ${added.member} was put into ${nameOf(added)}, and ${removed.member} was taken out of ` +
      `${nameOf(removed)}. Both are the same row of ${added.link.table.key}: make one of the changes only`,
  )
}

/** Which text of a column counts. */
type TextOf = (state: InstanceState, column: TableColumn) => EncodedText | undefined

function heldIn(state: InstanceState, column: TableColumn): EncodedText | undefined {
  return state.text(column)
}

function rowsOf(rows: ReadonlyMap<string, LinkRow>): EncodedText[][] {
  return [...rows.values()].map(({ values }) => values)
}
