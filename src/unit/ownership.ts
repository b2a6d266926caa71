/**
 * The current owner of an object, unflushed changes included. It decides which objects are deleted with an owner, and which are
 * orphans (`delete-orphan`).
 *
 * It is determined again before each flush, so that an object with a new owner is not deleted with an earlier one.
 */
import { InvalidValueError } from '../errors.js'
import type { Relation } from '../schema/relation-resolution.js'
import { metaOf } from '../schema/entity-meta.js'
import type { InstanceState } from './instance-state.js'
import type { Guard, TrackedInstances } from './tracked-instances.js'
import { givenValue } from './flush/contradictions.js'
import { hasWhole } from './partial-collections.js'
import { ReferringObjects } from './referring-objects.js'
import { RelationChanges } from './relation-changes.js'
import { differenceOf, heldBy, heldRelations, isKnown, rememberedBy, refersTo } from './relation-values.js'
import { storedValue } from './flush/rows.js'

/** Whether a relation deletes the objects that are removed from it. */
function deletesOrphans({ cascades }: Relation): boolean {
  return cascades.has('delete-orphan')
}

/**
 * Decides which objects the next flush deletes.
 *
 * @param options `isFlush: false`: new objects that belong to a deleted one stay, because they may get another owner until the flush.
 * @returns the new objects that the flush does not store.
 * @throws MappingError, InvalidValueError for invalid values of relations.
 */
export function settleDeletions(
  tracked: TrackedInstances,
  { isFlush = true }: { readonly isFlush?: boolean } = {},
): ReadonlySet<InstanceState> {
  const related = tracked.related()
  const cascading = [...tracked.roots.keys()].some(cascadesDelete)
  const owners = related.filter((state) => state.meta.relationNames.length > 0 && hasOrphanRelation(state))
  const isSettled = tracked.markedDeleted.size === tracked.roots.size && tracked.adopted.size === 0
  if (!cascading && owners.length === 0 && isSettled) return NOTHING
  return new Settlement(tracked, related).apply(isFlush)
}

const NOTHING: ReadonlySet<InstanceState> = new Set()

function cascadesDelete({ meta }: InstanceState): boolean {
  if (meta.relationNames.length === 0) return false
  for (const { cascades } of meta.relations.values()) if (cascades.has('delete')) return true
  return false
}

/** Whether the object has relations that delete orphans, or is in one. */
export function hasOrphanRelation(state: InstanceState): boolean {
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
  readonly #tracked: TrackedInstances
  readonly #related: readonly InstanceState[]
  /** The changed relations, also of deleted objects. */
  readonly #changes: RelationChanges
  readonly #deletions = new Map<InstanceState, Guard | undefined>()
  readonly #referring: ReferringObjects
  /** Objects with which others are deleted. */
  readonly #owners = new Set<InstanceState>()

  constructor(tracked: TrackedInstances, related: readonly InstanceState[]) {
    this.#tracked = tracked
    this.#related = related
    this.#changes = RelationChanges.of(tracked, { deletions: false })
    this.#referring = new ReferringObjects(tracked.identities, tracked.pending)
  }

  apply(isFlush: boolean): ReadonlySet<InstanceState> {
    const { roots } = this.#tracked
    for (const root of roots.keys()) this.#deletions.set(root, undefined)
    for (const state of this.#related) this.#markOrphans(state)
    const orphans = [...this.#deletions.keys()].filter((state) => !roots.has(state))
    const expunged = new Set<InstanceState>()
    const passed = new Set<InstanceState>()
    // Cascades begin with the orphans, because no call of `add` keeps their members. The calls of `delete` follow, the latest first:
    // an object that was added between two calls is deleted with the later one only.
    for (const orphan of orphans) this.#cascade(orphan, Infinity, passed, expunged)
    for (const [root, call] of [...roots].reverse()) this.#cascade(root, call, passed, expunged)
    this.#requireNotHeld(expunged)
    this.#tracked.settle(this.#deletions, this.#owners)
    if (isFlush) for (const state of expunged) if (state.status === 'pending') this.#tracked.expunge(state)
    this.#expungeOrphans()
    return expunged
  }

  /**
   * Marks everything for deletion that belongs to an object, directly or indirectly.
   * @param call Objects that were added after this call stay.
   * @param passed Objects whose members were marked already.
   * @param expunged Receives the new objects.
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
          const isSpared = (this.#tracked.spared.get(member) ?? 0) >= call
          if (!isSpared && member.status === 'pending') expunged.add(member)
          else if (!isSpared && state.status !== 'pending') this.#markDeleted(member, relation)
          if (this.#deletions.has(member)) this.#owners.add(state)
          else if (!expunged.has(member)) continue
          reached.add(member)
        }
      }
    }
  }

  /**
   * An object that stays may hold none of the new objects that are not stored: it would add them, and their owner, again.
   * @throws InvalidValueError
   */
  #requireNotHeld(expunged: ReadonlySet<InstanceState>): void {
    if (expunged.size === 0) return
    for (const state of this.#related) {
      if (this.#deletions.has(state) || expunged.has(state)) continue
      for (const relation of heldRelations(state)) {
        const member = heldBy(state, relation).find((one) => expunged.has(one))
        if (member === undefined) continue
        throw new InvalidValueError(
          `${state.meta.name}.${relation.name} of ${state} holds ${member}, which is not stored because it belongs to an object that ` +
            'is deleted in the same flush: give it to another object, or take it out of the relation',
        )
      }
    }
  }

  #markOrphan(member: InstanceState, relation: Relation): void {
    if (this.#tracked.spared.get(member) !== Infinity) this.#markDeleted(member, relation)
  }

  #markDeleted(member: InstanceState, relation: Relation): void {
    const { status, snapshot } = member
    if (status === 'transient' || status === 'deleted' || snapshot === undefined) return
    if (this.#deletions.has(member)) return
    const isHeldByKey = relation.kind === 'hasMany' || relation.kind === 'hasOne'
    this.#deletions.set(member, isHeldByKey ? guardOf(member, relation) : undefined)
  }

  /** Orphans: objects that were removed from a relation with `delete-orphan`, or have removed their owner, and have no other one. */
  #markOrphans(state: InstanceState): void {
    for (const relation of heldRelations(state)) {
      if (deletesOrphans(relation) && isKnown(state, relation)) {
        for (const member of differenceOf(state, relation)?.removed ?? []) {
          if (member.status === 'persistent' && this.#belongsToNothing(member, relation)) {
            this.#markOrphan(member, relation)
          }
        }
      }
      const opposite = oppositeOf(state, relation)
      if (opposite === undefined || state.status !== 'persistent') continue
      const hadOwner = relation.ownColumns.every((column) => storedValue(state, column) !== null)
      if (hadOwner && this.#changes.ownerOf(state, opposite) === null) this.#markOrphan(state, opposite)
    }
  }

  #belongsToNothing(member: InstanceState, relation: Relation): boolean {
    const owner = this.#changes.ownerOf(member, relation)
    if (owner !== undefined) return owner === null
    return relation.targetColumns.some((column) => isNothing(member.value(column)))
  }

  /** Expunges new objects that a relation with `delete-orphan` had added to the session, and does not contain any more. */
  #expungeOrphans(): void {
    const { adopted } = this.#tracked
    for (let isDone = adopted.size === 0; !isDone;) {
      isDone = true
      const held = new Map<Relation, Set<InstanceState>>()
      for (const owner of this.#tracked.related()) {
        for (const relation of owner.markedDeleted ? [] : heldRelations(owner)) {
          if (!deletesOrphans(relation)) continue
          const all = held.get(relation) ?? new Set()
          held.set(relation, all)
          for (const member of heldBy(owner, relation)) all.add(member)
        }
      }
      for (const [state, relations] of adopted) {
        const isHeld = (relation: Relation): boolean => {
          const owner = this.#changes.ownerOf(state, relation)
          return held.get(relation)?.has(state) === true || owner?.attachment === this.#tracked
        }
        const isOrphan = ![...relations].every(isHeld)
        if (!isOrphan) continue
        adopted.delete(state)
        if (state.status !== 'pending' || state.attachment !== this.#tracked) continue
        this.#tracked.expunge(state)
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
    if (assigned === owner) return !isGivenAway(member, relation, owner)
    if (assigned !== undefined || this.#referring.isOfSuccessor(member, owner, relation)) return false
    return (
      refersTo(member, targetColumns, owner, ownColumns) ||
      // The key of the owner may have changed since.
      refersTo(member, targetColumns, owner, ownColumns, storedValue)
    )
  }
}

/** Whether the program has set the foreign key of an object to that of another owner, although a relation holds it. */
function isGivenAway(member: InstanceState, relation: Relation, owner: InstanceState): boolean {
  const { targetColumns, ownColumns } = relation
  const isGiven = targetColumns.every((column) => {
    const value = givenValue(member, column)
    // The constructor may have asked for a value.
    return !isNothing(value) && (member.snapshot !== undefined || ![0, 0n, ''].includes(value as number))
  })
  return isGiven && !refersTo(member, targetColumns, owner, ownColumns)
}

function guardOf(member: InstanceState, { targetColumns }: Relation): Guard {
  return new Map(targetColumns.map((column) => [column, storedValue(member, column)]))
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined
}
