/**
 * The objects of a session whose foreign keys refer to an object, no matter how they were loaded. Made for one flush, during which
 * nothing changes.
 */
import { metaOf } from '../schema/entity-meta.js'
import type { Relation } from '../schema/relation-resolution.js'
import { givenValue } from './flush/contradictions.js'
import { storedValue, textIfValid, tupleOf } from './flush/rows.js'
import type { IdentityMap } from './identity-map.js'
import type { InstanceState } from './instance-state.js'

export class ReferringObjects {
  readonly #identities: IdentityMap
  readonly #pending: Iterable<InstanceState>
  readonly #byKey = new Map<Relation, ReadonlyMap<string, readonly InstanceState[]>>()
  readonly #newKeys = new Map<Relation, ReadonlySet<string>>()

  /** @param pending New objects. */
  constructor(identities: IdentityMap, pending: Iterable<InstanceState>) {
    this.#identities = identities
    this.#pending = pending
  }

  /** Objects with a row whose foreign key equals the key of an owner. */
  to(owner: InstanceState, relation: Relation): readonly InstanceState[] {
    const tuple = tupleOf(relation.ownColumns.map((column) => textIfValid(owner, column)))
    return (tuple === undefined ? undefined : this.#keysOf(relation).get(tuple)) ?? NONE
  }

  /**
   * Whether the program has set the foreign key of an object to the key of a deleted owner, and a new object gets that key: it belongs to
   * the new one.
   */
  isOfSuccessor(member: InstanceState, owner: InstanceState, relation: Relation): boolean {
    if (!relation.targetColumns.some((column) => givenValue(member, column) !== undefined)) return false
    const tuple = tupleOf(relation.ownColumns.map((column) => storedValue(owner, column)))
    return tuple !== undefined && this.#newKeysOf(owner, relation).has(tuple)
  }

  #newKeysOf({ meta }: InstanceState, relation: Relation): ReadonlySet<string> {
    const known = this.#newKeys.get(relation)
    if (known !== undefined) return known
    const keys = new Set<string>()
    for (const state of this.#pending) {
      if (state.meta.table !== meta.table) continue
      const tuple = tupleOf(relation.ownColumns.map((column) => textIfValid(state, column)))
      if (tuple !== undefined) keys.add(tuple)
    }
    this.#newKeys.set(relation, keys)
    return keys
  }

  #keysOf(relation: Relation): ReadonlyMap<string, readonly InstanceState[]> {
    const known = this.#byKey.get(relation)
    if (known !== undefined) return known
    const found = new Map<string, InstanceState[]>()
    for (const state of this.#identities.of(metaOf(relation.target)).values()) {
      const tuple = tupleOf(
        relation.targetColumns.map((column) => state.asKey(column, textIfValid(state, column))),
      )
      if (tuple === undefined) continue
      const alike = found.get(tuple)
      if (alike === undefined) found.set(tuple, [state])
      else alike.push(state)
    }
    this.#byKey.set(relation, found)
    return found
  }
}

const NONE: readonly InstanceState[] = []
