/** Cascades: the objects that are added or deleted together with an object. */
import { IllegalStateError } from '../errors.js'
import { metaOf } from '../schema/entity-meta.js'
import { ENTITY } from '../schema/entity-types.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { EncodedText } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'
import { differenceOf, heldBy, heldRelations, isKnown, isPartlyKnown } from './relation-values.js'
import { storedValue, type LinkChanges } from './flush/rows.js'

const NONE: readonly InstanceState[] = []

/** The objects that are new in the relations of an object, and are added with it. */
export function addedWith(state: InstanceState): readonly InstanceState[] {
  let all = NONE
  for (const relation of heldRelations(state)) {
    // Called for every relation, because it also checks the objects that the relation holds.
    const added = differenceOf(state, relation)?.added ?? NONE
    if (relation.cascades.has('add')) all = all === NONE ? added : [...all, ...added]
  }
  return all
}

/** @throws IllegalStateError if a relation without cascade `add` holds an object that was not added. Checked after all were added. */
export function requireAllAttached(state: InstanceState): void {
  for (const relation of heldRelations(state)) {
    if (relation.cascades.has('add')) continue
    for (const member of differenceOf(state, relation)?.added ?? []) requireAttached(state, relation, member)
  }
}

/**
 * The detached objects that are added with a detached object: the objects of its relations, and those that were removed from them
 * while it was detached, because their rows change.
 */
export function reattachedWith(state: InstanceState): readonly InstanceState[] {
  if (state.status !== 'detached') return []
  return heldRelations(state).flatMap((relation) => {
    if (!relation.cascades.has('add')) return []
    const all = [...heldBy(state, relation), ...(differenceOf(state, relation)?.removed ?? [])]
    return all.filter(({ status, snapshot }) => status === 'detached' && snapshot !== undefined)
  })
}

/** Notes the new objects in relations that delete orphans: they are orphans once they are removed from these relations. */
export function noteAdopted(state: InstanceState, adopted: Map<InstanceState, Set<Relation>>): void {
  for (const relation of heldRelations(state)) {
    if (!relation.cascades.has('delete-orphan')) continue
    for (const member of heldBy(state, relation)) {
      if (member.status !== 'pending') continue
      adopted.set(member, (adopted.get(member) ?? new Set<Relation>()).add(relation))
    }
  }
}

/** The new objects in the relations of a deleted object: they are expunged at once, and added again with another owner. */
export function* newWith(state: InstanceState): Generator<InstanceState, void, undefined> {
  for (const relation of heldRelations(state)) {
    if (!relation.cascades.has('delete')) continue
    for (const member of heldBy(state, relation)) if (member.status === 'pending') yield member
  }
}

/**
 * Relations that are not loaded and whose objects are deleted with their owner, unless PostgreSQL deletes them.
 * @param isReplaced A new object gets the row of the owner: also relations whose objects lose their owner.
 */
export function* unknownToDelete(
  state: InstanceState,
  isReplaced: boolean,
): Generator<Relation, void, undefined> {
  for (const relation of state.meta.relations.values()) {
    if (isKnown(state, relation) || !isLetGo(relation, isReplaced)) continue
    if (relation.link !== undefined || !deletedByDatabase(state, relation)) yield relation
  }
}

/**
 * The same for loaded relations, although filters may have hidden some of the objects from the query.
 * @param isReplaced As in {@link unknownToDelete}.
 */
export function* filteredToDelete(
  state: InstanceState,
  isReplaced: boolean,
): Generator<Relation, void, undefined> {
  for (const relation of state.meta.relations.values()) {
    const { kind, link } = relation
    if (kind === 'belongsTo' || !isLetGo(relation, isReplaced) || !isFiltered(relation)) continue
    if (isKnown(state, relation) && (link !== undefined || !deletedByDatabase(state, relation)))
      yield relation
  }
}

/** Whether the objects of a relation are deleted with their owner, or lose it because a new object gets its row. */
function isLetGo({ kind, cascades, target, targetColumns }: Relation, isReplaced: boolean): boolean {
  if (cascades.has('delete')) return true
  const isHeldByKey = (kind === 'hasMany' || kind === 'hasOne') && !metaOf(target).table.isView
  return isReplaced && isHeldByKey && targetColumns.some(({ definition }) => definition.nullable)
}

function isFiltered({ target, link }: Relation): boolean {
  const { filters, metadata } = target[ENTITY]
  return Object.keys(filters).length > 0 || (link !== undefined && metadata.filters(link.table) !== undefined)
}

/** Relations that were assigned without being loaded: the objects that they held before must be loaded and removed. */
export function* unknownAssigned(state: InstanceState): Generator<Relation, void, undefined> {
  for (const relation of heldRelations(state)) {
    if (relation.kind === 'belongsTo' || isKnown(state, relation)) continue
    // A copy of the loaded part changes nothing; any other array was refused.
    if (!isPartlyKnown(state, relation)) yield relation
  }
}

/**
 * Whether other rows are deleted or detached together with an object: then its own row is verified first, because another session
 * may have given it another owner.
 */
export function hasDependents(state: InstanceState): boolean {
  if (state.meta.relationNames.length === 0) return false
  for (const relation of state.meta.relations.values()) {
    if (relation.kind === 'belongsTo') continue
    if (isKnown(state, relation)) return true
    const goes = relation.link !== undefined || relation.cascades.has('delete')
    if (goes && !deletedByDatabase(state, relation)) return true
  }
  return false
}

/** The rows of join tables that are deleted with their owners, unless PostgreSQL deletes them. */
export function linksOf(owners: Iterable<InstanceState>): LinkChanges[] {
  const removed = new Map<Relation, EncodedText[][]>()
  for (const owner of owners) {
    for (const relation of owner.meta.relations.values()) {
      if (relation.link === undefined || deletedByDatabase(owner, relation)) continue
      const rows = removed.get(relation) ?? []
      removed.set(relation, rows)
      rows.push(relation.ownColumns.map((column) => storedValue(owner, column)))
    }
  }
  return [...removed].flatMap(([{ link }, rows]) =>
    link === undefined ? [] : [{ link, columns: link.own, added: [], removed: rows }],
  )
}

/** Whether the rows of a relation refer to their owner by a foreign key with ON DELETE CASCADE. */
export function deletedByDatabase(
  { meta }: InstanceState,
  { target, targetColumns, link }: Relation,
): boolean {
  const { table, metadata } = target[ENTITY]
  const own = link?.own ?? targetColumns
  return metadata
    .foreignKeys(link?.table ?? table)
    .some(
      ({ target: owner, columns, rules }) =>
        owner === meta.table &&
        rules.onDelete === 'cascade' &&
        columns.length === own.length &&
        columns.every((column) => own.includes(column)),
    )
}

function requireAttached(owner: InstanceState, { name, target }: Relation, member: InstanceState): void {
  if (member.attachment !== undefined) return
  throw new IllegalStateError(
    `${owner.meta.name}.${name} holds a ${metaOf(target).name} that was not added to the session, and the relation does ` +
      `not add it: call session.add() for it, or give the relation the cascade 'add'`,
  )
}
