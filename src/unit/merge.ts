/** Merges objects that the session does not track into the objects with their keys: `session.merge`. */
import { StaleDataError } from '../errors.js'
import { GIVEN, isFilledIn, noteFilledIn } from '../schema/filled-in.js'
import { NO_FILTERS_OFF } from '../schema/filters.js'
import type { EntityMeta } from '../schema/entity-meta.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { TableColumn } from '../schema/table-column.js'
import { foreignKeysOf } from './flush/rows.js'
import { IdentityMap } from './identity-map.js'
import { stateOf, type InstanceState } from './instance-state.js'
import type { KeyLoader } from './key-loader.js'
import { hasOrphanRelation } from './ownership.js'
import type { RelationLoader } from './relation-loader.js'
import {
  differenceOf,
  hasChanged,
  heldBy,
  heldRelations,
  isPartlyKnown,
  requireWhole,
} from './relation-values.js'
import type { TrackedInstances } from './tracked-instances.js'

export class Merger {
  readonly #tracked: TrackedInstances
  readonly #loader: KeyLoader
  readonly #relations: RelationLoader
  /** Updates the set of objects to delete. */
  readonly #settle: () => void
  /** How many merges are running. */
  #merges = 0
  /** The objects that running merges have made: another merge may need the same key. */
  readonly #made = new IdentityMap()

  constructor(tracked: TrackedInstances, loader: KeyLoader, relations: RelationLoader, settle: () => void) {
    this.#settle = settle
    this.#tracked = tracked
    this.#loader = loader
    this.#relations = relations
  }

  /**
   * Copies the values of an object into the session's object with the same key, which is kept, as by `add`, if it was to be deleted.
   *
   * @returns the session's object.
   */
  async merge<T extends object>(given: T): Promise<T> {
    this.#merges++
    try {
      const merged = new Map<InstanceState, InstanceState>()
      const { instance } = await this.#merge(stateOf(given), merged)
      this.#keepOrphans(merged.values())
      return instance as T
    } finally {
      if (--this.#merges === 0) this.#made.clear()
    }
  }

  /** Orphans that were merged stay, unless they got another owner by the merge. */
  #keepOrphans(targets: Iterable<InstanceState>): void {
    // Only a changed relation makes orphans.
    if (!this.#tracked.related().some((state) => hasOrphanRelation(state) && hasChanged(state))) return
    this.#settle()
    for (const target of targets) if (target.markedDeleted) this.#tracked.keep(target)
  }

  /** @param setByOwner Columns that a relation of the owner sets. */
  async #merge(
    given: InstanceState,
    merged: Map<InstanceState, InstanceState>,
    setByOwner: readonly TableColumn[] = [],
  ): Promise<InstanceState> {
    const known = given.attachment === this.#tracked ? given : merged.get(given)
    if (known !== undefined) return known
    const { instance, meta } = given
    const key = meta.table.primaryKey.map((column) => given.value(column))
    // A value that the constructor has filled in is not a value of the caller.
    const isGiven = (column: TableColumn): boolean =>
      given.snapshot !== undefined || !isFilledIn(instance, column)
    // Given deferred values are compared with stored ones: what is equal is not written.
    const deferred = meta
      .deferredOf(instance)
      .filter((column) => !meta.isExpired(instance, column) && isGiven(column))
    const { target, isMade } = await this.#mergeTarget(meta, key, deferred)
    const hasRow = target.status === 'persistent'
    merged.set(given, target)
    const { version } = meta.table
    const comparesVersions = hasRow && version !== undefined && isGiven(version)
    if (comparesVersions && given.value(version) !== target.value(version)) {
      throw new StaleDataError(
        `The ${meta.name} to merge was changed by another transaction since it was loaded`,
      )
    }
    // The values would go with a row that is deleted, on its own or with an owner.
    if (hasRow && this.#tracked.roots.size > 0) this.#tracked.add(target)
    const ofRelations = hasRow ? relationColumns(given, setByOwner) : NO_COLUMNS
    for (const column of meta.table.columns) {
      if (ofRelations.has(column)) continue
      const isUnknown = meta.isExpired(instance, column) || meta.isMissing(instance, column)
      const value = isUnknown ? undefined : instance[column.property]
      const counts = value !== undefined && column.definition.generated === undefined && isGiven(column)
      const kept = value === null ? meta.nullReads.textOf(instance, column) : undefined
      if (kept !== undefined) meta.setRead(target.instance, column, null, kept)
      else if (isMade || counts) {
        // A value that can be changed in place is copied.
        target.instance[column.property] = column.mutable ? copyOf(given, column, value) : value
      }
    }
    if (isMade && given.snapshot !== undefined) noteCopied(given, target)
    for (const relation of heldRelations(given)) {
      if (!relation.cascades.has('add')) continue
      // An unchanged copy of a part of a relation changes nothing.
      if (isPartlyKnown(given, relation) && differenceOf(given, relation) === undefined) continue
      if (hasRow) requireWhole(given, relation, target)
      const members: object[] = []
      const isHeldByKey = relation.kind === 'hasMany' || relation.kind === 'hasOne'
      const keys = isHeldByKey ? relation.targetColumns : []
      for (const member of heldBy(given, relation))
        members.push((await this.#merge(member, merged, keys)).instance)
      // The stored relation must be known, to find the objects that were removed from it.
      if (hasRow) await this.#relations.load([target], [relation.name], NO_FILTERS_OFF)
      target.instance[relation.name] = relation.many ? members : (members[0] ?? null)
    }
    if (!hasRow) this.#tracked.add(target)
    return target
  }

  /** The object with a key: the session's, one that another merge has made meanwhile, or a new one. */
  async #mergeTarget(
    meta: EntityMeta,
    key: readonly unknown[],
    deferred: readonly TableColumn[],
  ): Promise<{ readonly target: InstanceState; readonly isMade: boolean }> {
    const isKeyed = key.every((value) => value !== undefined && value !== null)
    if (isKeyed) {
      const found = await this.#loader.get(meta, keyOf(meta, key), {
        undefer: deferred.map(({ property }) => property),
      })
      if (found !== null) return { target: stateOf(found), isMade: false }
      const identity = meta.identityOf(key)
      const known = this.#tracked.identities.of(meta).get(identity) ?? this.#made.of(meta).get(identity)
      if (known !== undefined) return { target: known, isMade: false }
    }
    const target = stateOf(meta.create())
    if (isKeyed) this.#made.of(meta).set(meta.identityOf(key), target)
    return { target, isMade: true }
  }
}

/** The unchanged foreign keys of a copy are no values of the program, so they do not contradict its relations. */
function noteCopied(given: InstanceState, { instance, meta }: InstanceState): void {
  const { changes } = given
  const keys = new Set(foreignKeysOf(given).flatMap(({ columns }) => columns))
  for (const { kind, ownColumns } of meta.relations.values())
    if (kind === 'belongsTo') for (const column of ownColumns) keys.add(column)
  noteFilledIn(
    instance,
    meta.table.columns.map((column) =>
      keys.has(column) && !changes.includes(column) ? instance[column.property] : GIVEN,
    ),
  )
}

/** Parts of the value that were read as null keep their texts. */
function copyOf({ snapshot }: InstanceState, column: TableColumn, value: unknown): unknown {
  if (value === undefined) return undefined
  const text = column.encode(value, snapshot?.[column.index])
  return column.restore(column.snapshotOf(value, text))
}

const NO_COLUMNS: ReadonlySet<TableColumn> = new Set()

/** Unchanged foreign keys that relations set. They are not copied: a copy would contradict a changed relation. */
function relationColumns(given: InstanceState, setByOwner: readonly TableColumn[]): ReadonlySet<TableColumn> {
  if (given.snapshot === undefined || (setByOwner.length === 0 && !given.holdsRelation)) return NO_COLUMNS
  const { changes } = given
  const isCarried = ({ kind, cascades }: Relation): boolean => kind === 'belongsTo' && cascades.has('add')
  const columns = heldRelations(given)
    .filter(isCarried)
    .flatMap(({ ownColumns }) => ownColumns)
  return new Set(
    [...columns, ...setByOwner].filter(
      (column) => column.definition.primaryKey !== true && !changes.includes(column),
    ),
  )
}

function keyOf({ table }: EntityMeta, values: readonly unknown[]): unknown {
  if (values.length === 1) return values[0]
  return Object.fromEntries(table.primaryKey.map(({ property }, index) => [property, values[index]]))
}
