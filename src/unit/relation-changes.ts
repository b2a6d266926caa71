/**
 * Converts changed relations to changes of rows: foreign keys to set, and rows of join tables to insert and to delete.
 *
 * Relations that set the same foreign key differently are refused (see flush/contradictions.ts). An object that was removed from one
 * collection and added to another has moved.
 */
import { metaOf } from '../schema/entity-meta.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { TableColumn } from '../schema/table-column.js'
import type { IdentityMap } from './identity-map.js'
import type { InstanceState } from './instance-state.js'
import { deletedByDatabase } from './cascade.js'
import { KeyAssignments } from './flush/key-assignments.js'
import type { KeyAssignment, KeySetting } from './flush/contract.js'
import { followMovedKeys, type KeptRelation } from './flush/moved-keys.js'
import { linkChanges, type Pair } from './link-changes.js'
import { hasWhole } from './partial-collections.js'
import { ReferringObjects } from './referring-objects.js'
import {
  differenceOf,
  hasRow,
  heldRelations,
  isKnown,
  refersTo,
  remember,
  rememberedBy,
} from './relation-values.js'
import { storedValue, type LinkChanges } from './flush/rows.js'

/** The objects whose relations may have changed. */
export interface RelatedInstances {
  related(): readonly InstanceState[]
  readonly identities: IdentityMap
  /** New objects. */
  readonly pending: Iterable<InstanceState>
  /** Objects that are not deleted with their owners. */
  readonly spared: ReadonlyMap<InstanceState, unknown>
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
   * @param tracked The tracked objects, also those that are to be deleted.
   * @param options `deletions: false`: as if nothing were deleted.
   */
  static of(
    tracked: RelatedInstances,
    { deletions = true }: { readonly deletions?: boolean } = {},
  ): RelationChanges {
    const changes = new RelationChanges(deletions)
    const own: (() => void)[] = []
    const kept: KeptRelation[] = []
    const referring = new ReferringObjects(tracked.identities, tracked.pending)
    for (const state of tracked.related()) {
      if (state.meta.relationNames.length === 0) continue
      if (deletions && state.markedDeleted) {
        changes.#removeMembersOfDeleted(state, tracked, referring)
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

  /** The owner that a relation or its other side gives to a member; null: none; undefined: no relation has changed it. */
  ownerOf(member: InstanceState, { targetColumns, ownColumns }: Relation): InstanceState | null | undefined {
    const assignment = this.#keys.find(member, targetColumns, ownColumns)
    return assignment && (assignment.target ?? null)
  }

  /** The same for the relation of the member itself. */
  targetOf(holder: InstanceState, { ownColumns, targetColumns }: Relation): InstanceState | null | undefined {
    const assignment = this.#keys.find(holder, ownColumns, targetColumns)
    return assignment && (assignment.target ?? null)
  }

  /** The objects that a relation or its other side gives to an owner. */
  ledTo(owner: InstanceState, { targetColumns, ownColumns }: Relation): Iterable<InstanceState> {
    return this.#keys.ledTo(owner, targetColumns, ownColumns)
  }

  /** Whether a relation gives a column its value. */
  isAssigned(state: InstanceState, column: TableColumn): boolean {
    return this.#keys.isAssigned(state, column)
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
    return linkChanges(this.#linked, this.#unlinked)
  }

  /** The flush was sent: the relations are now as they are stored. @returns the objects with changed relations. */
  remember(): Set<InstanceState> {
    for (const { state, relation } of this.#touched) remember(state, relation)
    return new Set(this.#touched.map(({ state }) => state))
  }

  /**
   * Members of a deleted object lose their owner if their foreign keys are nullable; otherwise PostgreSQL decides. It does not decide
   * about the members that were removed from the relation before, and those that `add` has kept: they belong to nothing, and ON DELETE
   * CASCADE would delete them all the same.
   */
  #removeMembersOfDeleted(
    owner: InstanceState,
    { spared }: RelatedInstances,
    referring: ReferringObjects,
  ): void {
    for (const relation of owner.meta.relations.values()) {
      const { kind, target, targetColumns } = relation
      // The rows of a view follow those of its tables.
      if (kind === 'belongsTo' || kind === 'manyToMany' || metaOf(target).table.isView) continue
      const isCascading = deletedByDatabase(owner, relation)
      const isNullable = targetColumns.some(({ definition }) => definition.nullable)
      const kept = [...spared.keys()].filter(({ meta }) => meta.table === metaOf(target).table)
      const removed = new Set<InstanceState>()
      const members = new Set<InstanceState>()
      if (isKnown(owner, relation)) {
        if (hasWhole(owner.instance, relation.name))
          for (const member of differenceOf(owner, relation)?.removed ?? []) removed.add(member)
        if (!isCascading && isNullable) {
          for (const member of rememberedBy(owner, relation)) members.add(member)
          for (const member of referring.to(owner, relation)) members.add(member)
        }
      }
      for (const member of kept)
        if (isNullable) members.add(member)
        else if (isCascading) removed.add(member)
      const isOfOwner = (member: InstanceState): boolean => !referring.isOfSuccessor(member, owner, relation)
      this.#removeMembers(owner, relation, [...removed].filter(isOfOwner), 'owner')
      this.#removeMembers(owner, relation, [...members].filter(isOfOwner), 'deletion')
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
      source: 'relation',
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
    this.#removeMembers(owner, relation, removed, 'owner')
    for (const holder of added) this.#keys.add(assignmentOf(holder, owner, relation, 'owner', owner))
  }

  #removeMembers(
    owner: InstanceState,
    relation: Relation,
    removed: Iterable<InstanceState>,
    source: KeyAssignment['source'],
  ): void {
    const { ownColumns, targetColumns: columns } = relation
    for (const holder of removed) {
      const assignment = assignmentOf(holder, undefined, relation, source, owner)
      if (!hasRow(holder) || (this.#deletions && holder.markedDeleted)) continue
      const refers =
        refersTo(holder, columns, owner, ownColumns) ||
        // The key of the owner may have changed since.
        refersTo(holder, columns, owner, ownColumns, storedValue)
      if (refers) this.#keys.add(assignment)
    }
  }
}

/** The assignment that a relation of an owner makes for a member. */
function assignmentOf(
  holder: InstanceState,
  target: InstanceState | undefined,
  relation: Relation,
  source: KeyAssignment['source'],
  owner: InstanceState,
): KeyAssignment {
  const { ownColumns: targetColumns, targetColumns: columns } = relation
  return { holder, columns, target, targetColumns, source, of: owner.meta, relation, owner }
}
