/** What is added and deleted together with an object. */
import { IllegalStateError } from '../errors.js'
import { metaOf } from '../schema/entity-meta.js'
import { ENTITY } from '../schema/entity-types.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { EncodedText } from '../schema/table-column.js'
import type { InstanceState } from './instance-state.js'
import type { LinkChanges } from './relation-changes.js'
import { differenceOf, heldBy, heldRelations, isKnown, rememberedBy } from './relation-values.js'
import { storedValue } from './written-rows.js'

/** Whatever hangs on an object and is to be added with it, as far as it is new in its relation. */
export function addedWith(state: InstanceState): readonly InstanceState[] {
  return heldRelations(state).flatMap((relation) => {
    // What it holds is checked in any case.
    const added = differenceOf(state, relation)?.added ?? []
    return relation.cascades.has('add') ? added : []
  })
}

/** @throws IllegalStateError if a relation that adds nothing holds what was not added. Asked when all had their turn to be added. */
export function requireAllAttached(state: InstanceState): void {
  for (const relation of heldRelations(state)) {
    if (relation.cascades.has('add')) continue
    for (const member of differenceOf(state, relation)?.added ?? []) requireAttached(state, relation, member)
  }
}

/**
 * The detached objects that come with one that is added again: what its relations hold, and what was taken out of them since,
 * as its rows have to be told.
 */
export function returningWith(state: InstanceState): readonly InstanceState[] {
  if (state.status !== 'detached') return []
  return heldRelations(state).flatMap((relation) => {
    if (!relation.cascades.has('add')) return []
    const all = [...heldBy(state, relation), ...(differenceOf(state, relation)?.removed ?? [])]
    return all.filter(({ status, snapshot }) => status === 'detached' && snapshot !== undefined)
  })
}

/** Whatever hangs on an object and is to be deleted with it, as far as it is loaded. */
export function* deletedWith(state: InstanceState): Generator<InstanceState, void, undefined> {
  for (const relation of heldRelations(state)) {
    if (!relation.cascades.has('delete')) continue
    yield* new Set([...rememberedBy(state, relation), ...heldBy(state, relation)])
  }
}

/** Relations whose objects have to be deleted with their owner, but are not known; those that PostgreSQL deletes excepted. */
export function* unknownToDelete(state: InstanceState): Generator<Relation, void, undefined> {
  for (const relation of state.meta.relations.values()) {
    if (!relation.cascades.has('delete') || isKnown(state, relation)) continue
    if (relation.link !== undefined || !deletedByDatabase(state, relation)) yield relation
  }
}

/** Relations that were assigned without being loaded: what they held before is not known, and has to be let go. */
export function* unknownAssigned(state: InstanceState): Generator<Relation, void, undefined> {
  for (const relation of heldRelations(state)) {
    if (relation.kind !== 'belongsTo' && !isKnown(state, relation)) yield relation
  }
}

/** The rows in between that have to go with their owners; those that PostgreSQL deletes excepted. */
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

/** A foreign key on the owner that says ON DELETE CASCADE. */
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
