/**
 * The current owner of an object, unflushed changes included. It decides which objects are deleted with an owner, and which are
 * orphans (`delete-orphan`).
 *
 * It is determined again before each flush, so that an object with a new owner is not deleted with an earlier one.
 */
import type { Relation } from '../schema/relation-resolution.js'
import { metaOf } from '../schema/entity-meta.js'
import type { InstanceState } from './instance-state.js'
import type { Guard, TrackedInstances } from './tracked-instances.js'
import { hasWhole } from './partial-collections.js'
import { ReferringObjects } from './referring-objects.js'
import { RelationChanges } from './relation-changes.js'
import { differenceOf, heldBy, heldRelations, isKnown, rememberedBy, refersTo } from './relation-values.js'
import { storedValue } from './flush/rows.js'

/** Whether a relation deletes the objects that are removed from it. */
export function deletesOrphans({ cascades }: Relation): boolean {
  return cascades.has('delete-orphan')
}

/** Decides which objects the next flush deletes. @throws MappingError, InvalidValueError for invalid values of relations. */
export function settleDeletions(members: TrackedInstances): void {
  const related = members.related()
  const cascading = [...members.roots.keys()].some(cascadesDelete)
  const owners = related.filter((state) => state.meta.relationNames.length > 0 && hasOrphanRelation(state))
  const isSettled = members.markedDeleted.size === members.roots.size && members.brought.size === 0
  if (!cascading && owners.length === 0 && isSettled) return
  new Settlement(members, related).apply()
}

function cascadesDelete({ meta }: InstanceState): boolean {
  if (meta.relationNames.length === 0) return false
  for (const { cascades } of meta.relations.values()) if (cascades.has('delete')) return true
  return false
}

/** Whether the object has relations that delete orphans, or is in one. */
function hasOrphanRelation(state: InstanceState): boolean {
  for (const relation of state.meta.relations.values()) {
    if (deletesOrphans(relation) || oppositeOf(state, relation) !== undefined) return true
  }
  return false
}

/** The relation of the target of a `belongsTo` that deletes orphans by the same foreign key. */
function oppositeOf({ meta }: InstanceState, { kind, target, ownColumns }: Relation): Relation | undefined {
  if (kind !== 'belongsTo') return undefined
  for (const relation of metaOf(target).relations.values()) {
    if (!deletesOrphans(relation) || metaOf(relation.target).table !== meta.table) continue
    const { targetColumns } = relation
    if (targetColumns.length === ownColumns.length && targetColumns.every((one) => ownColumns.includes(one)))
      return relation
  }
  return undefined
}

class Settlement {
  readonly #members: TrackedInstances
  readonly #related: readonly InstanceState[]
  /** The changed relations, also of deleted objects. */
  readonly #changes: RelationChanges
  readonly #condemned = new Map<InstanceState, Guard | undefined>()
  readonly #referring: ReferringObjects
  /** Objects with which others are deleted. */
  readonly #owners = new Set<InstanceState>()

  constructor(members: TrackedInstances, related: readonly InstanceState[]) {
    this.#members = members
    this.#related = related
    this.#changes = RelationChanges.of(members, { deletions: false })
    this.#referring = new ReferringObjects(members.identities)
  }

  apply(): void {
    const { roots } = this.#members
    for (const root of roots.keys()) this.#condemned.set(root, undefined)
    for (const state of this.#related) this.#condemnOrphans(state)
    const orphans = [...this.#condemned.keys()].filter((state) => !roots.has(state))
    const expunged = new Set<InstanceState>()
    const passed = new Set<InstanceState>()
    // From orphans, which no call keeps. Then from the latest call on: what was added between two calls goes with the later one only.
    for (const orphan of orphans) this.#cascade(orphan, Infinity, passed, expunged)
    for (const [root, call] of [...roots].reverse()) this.#cascade(root, call, passed, expunged)
    this.#members.settle(this.#condemned, this.#owners)
    for (const state of expunged) if (state.status === 'pending') this.#members.expunge(state)
    this.#expungeOrphans()
  }

  /**
   * Condemns what belongs to an object, down to the last.
   * @param call Objects that were added after this call stay.
   * @param passed Objects whose members were condemned already.
   * @param expunged Gets the new objects.
   */
  #cascade(
    owner: InstanceState,
    call: number,
    passed: Set<InstanceState>,
    expunged: Set<InstanceState>,
  ): void {
    const reached = new Set([owner])
    // Iterating a set includes the elements that are added meanwhile.
    for (const state of reached) {
      if (passed.has(state)) continue
      passed.add(state)
      for (const relation of state.meta.relations.values()) {
        if (!relation.cascades.has('delete')) continue
        for (const member of this.#belongingTo(state, relation)) {
          if (member.status === 'pending') expunged.add(member)
          else if ((this.#members.spared.get(member) ?? 0) < call) this.#condemn(member, relation)
          if (!this.#condemned.has(member)) continue
          this.#owners.add(state)
          reached.add(member)
        }
      }
    }
  }

  #condemn(member: InstanceState, relation: Relation): void {
    const { status, snapshot } = member
    if (status === 'transient' || status === 'deleted' || snapshot === undefined) return
    if (this.#condemned.has(member)) return
    const isHeldByKey = relation.kind === 'hasMany' || relation.kind === 'hasOne'
    this.#condemned.set(member, isHeldByKey ? guardOf(member, relation) : undefined)
  }

  /** Orphans: objects that were removed from a relation with `delete-orphan`, or have removed their owner, and have no other one. */
  #condemnOrphans(state: InstanceState): void {
    for (const relation of heldRelations(state)) {
      if (deletesOrphans(relation) && isKnown(state, relation)) {
        for (const member of differenceOf(state, relation)?.removed ?? []) {
          if (member.status === 'persistent' && this.#belongsToNothing(member, relation)) {
            this.#condemn(member, relation)
          }
        }
      }
      const opposite = oppositeOf(state, relation)
      if (opposite === undefined || state.status !== 'persistent') continue
      const hadOwner = relation.ownColumns.every((column) => storedValue(state, column) !== null)
      if (hadOwner && this.#changes.ownerOf(state, opposite) === null) this.#condemn(state, opposite)
    }
  }

  #belongsToNothing(member: InstanceState, relation: Relation): boolean {
    const owner = this.#changes.ownerOf(member, relation)
    if (owner !== undefined) return owner === null
    return relation.targetColumns.some((column) => isNothing(member.value(column)))
  }

  /** Expunges new objects that a relation with `delete-orphan` had added to the session, and does not contain any more. */
  #expungeOrphans(): void {
    const { brought } = this.#members
    for (let isDone = brought.size === 0; !isDone;) {
      isDone = true
      const held = new Map<Relation, Set<InstanceState>>()
      for (const owner of this.#members.related()) {
        for (const relation of owner.markedDeleted ? [] : heldRelations(owner)) {
          if (!deletesOrphans(relation)) continue
          const all = held.get(relation) ?? new Set()
          held.set(relation, all)
          for (const member of heldBy(owner, relation)) all.add(member)
        }
      }
      for (const [state, relations] of brought) {
        const isHeld = (relation: Relation): boolean => {
          const owner = this.#changes.ownerOf(state, relation)
          return held.get(relation)?.has(state) === true || owner?.attachment === this.#members
        }
        const isOrphan = ![...relations].every(isHeld)
        if (!isOrphan) continue
        brought.delete(state)
        if (state.status !== 'pending' || state.attachment !== this.#members) continue
        this.#members.expunge(state)
        isDone = false
      }
    }
  }

  /** The objects that belong to an owner by a relation. */
  *#belongingTo(owner: InstanceState, relation: Relation): Generator<InstanceState, void, undefined> {
    const holds = hasWhole(owner.instance, relation.name)
    const held = holds ? heldBy(owner, relation) : rememberedBy(owner, relation)
    switch (relation.kind) {
      case 'manyToMany':
        yield* held
        return
      case 'belongsTo': {
        const { ownColumns, targetColumns } = relation
        const assigned = this.#changes.targetOf(owner, relation)
        if (assigned !== undefined) {
          if (assigned !== null) yield assigned
          return
        }
        for (const target of held) if (refersTo(owner, ownColumns, target, targetColumns)) yield target
        return
      }
      default: {
        const candidates = new Set([...rememberedBy(owner, relation), ...held])
        for (const member of this.#changes.ledTo(owner, relation)) candidates.add(member)
        for (const member of this.#referring.to(owner, relation)) candidates.add(member)
        for (const member of candidates) if (this.#belongsTo(member, owner, relation)) yield member
      }
    }
  }

  #belongsTo(member: InstanceState, owner: InstanceState, relation: Relation): boolean {
    const { targetColumns, ownColumns } = relation
    const assigned = this.#changes.ownerOf(member, relation)
    if (assigned === owner) return true
    if (assigned === null) {
      // An object that needs an owner, and was only removed from a collection, is deleted with its last owner.
      const isRequired = targetColumns.every(({ definition }) => !definition.nullable)
      return isRequired && rememberedBy(owner, relation).includes(member)
    }
    if (assigned !== undefined) return false
    return (
      refersTo(member, targetColumns, owner, ownColumns) ||
      // The key of the owner may have changed since.
      refersTo(member, targetColumns, owner, ownColumns, storedValue)
    )
  }
}

function guardOf(member: InstanceState, { targetColumns }: Relation): Guard {
  return new Map(targetColumns.map((column) => [column, storedValue(member, column)]))
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined
}
