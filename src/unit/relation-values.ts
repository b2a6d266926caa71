/** The values of an instance's relations, and how they differ from an earlier snapshot. */
import { InvalidValueError, MappingError } from '../errors.js'
import { metaOf } from '../schema/entity-meta.js'
import type { Relation } from '../schema/relation-resolution.js'
import type { EncodedText, TableColumn } from '../schema/table-column.js'
import { hasWhole, partialCollection, partOf } from './partial-collections.js'
import { kindOfStranger, knownState, stateIfInstance, type InstanceState } from './instance-state.js'
import { isArray } from '../internal/revoked.js'

/** How a relation differs from the remembered one. */
export interface RelationDifference {
  readonly added: readonly InstanceState[]
  readonly removed: readonly InstanceState[]
}

/** The relations of an instance that were loaded or assigned. */
export function heldRelations({ instance, meta }: InstanceState): readonly Relation[] {
  let held: Relation[] = NONE
  for (const name of meta.relationNames) {
    if (!hasWhole(instance, name)) continue
    if (held === NONE) held = []
    held.push(meta.relations.get(name) as Relation)
  }
  return held
}

// Shared, because most objects hold none, and every flush asks.
const NONE: Relation[] = []

/**
 * What a relation holds now.
 * @throws InvalidValueError if it holds undefined; MappingError if it holds something else than objects of its target.
 */
export function heldBy(state: InstanceState, relation: Relation): InstanceState[] {
  const { name, many, target } = relation
  const held = state.instance[name]
  if (held === undefined) throw isUndefined(state, relation)
  if (many && !isArray(held)) throw new MappingError(`${state.meta.name}.${name} takes an array of objects`)
  const objects: readonly unknown[] = many ? (held as unknown[]) : held === null ? [] : [held]
  const { table } = metaOf(target)
  const members: InstanceState[] = []
  // Also over holes, as `map` would not: an array whose length was increased holds undefined.
  for (let index = 0; index < objects.length; index++) {
    const object = objects[index]
    if (object === undefined) throw isUndefined(state, relation)
    const member = stateIfInstance(object)
    if (member?.meta.table !== table) {
      const given = member?.meta.name ?? kindOfStranger(object)
      throw new MappingError(
        `${state.meta.name}.${name} takes instances of ${metaOf(target).name}, not ${given}`,
      )
    }
    members.push(member)
  }
  return members
}

function isUndefined(
  { instance, meta, snapshot }: InstanceState,
  { name, many }: Relation,
): InvalidValueError {
  const what = instance[name] === undefined ? 'is' : 'holds'
  const remedy = many ? 'it takes an array of objects' : 'use null for none'
  // A class field overwrites the relation with undefined only in the constructor, which does not run for loaded objects.
  const hint = snapshot === undefined && what === 'is' ? `; a field of the class needs 'declare ${name}'` : ''
  return new InvalidValueError(`${meta.name}.${name} ${what} undefined; ${remedy}${hint}`)
}

/** What a relation held when it was loaded or flushed as a whole. */
export function rememberedBy(state: InstanceState, { name }: Relation): InstanceState[] {
  const remembered = state.relations?.get(name) ?? null
  if (remembered === null || partOf(remembered) !== undefined) return []
  const objects = (isArray(remembered) ? remembered : [remembered]) as readonly object[]
  return objects.map((object) => knownState(object) as InstanceState)
}

/**
 * The objects that were added to a relation and removed from it; undefined if it is unchanged.
 * @throws InvalidValueError if it was made from a part of the relation; as {@link heldBy}.
 */
export function differenceOf(state: InstanceState, relation: Relation): RelationDifference | undefined {
  const { instance, relations } = state
  const { name } = relation
  const isRemembered = relations?.has(name) === true
  if (isRemembered && isSame(instance[name], relations.get(name))) return undefined
  requireWhole(state, relation)
  const remembered = rememberedBy(state, relation)
  const held = heldBy(state, relation)
  const now = new Set(held)
  if (remembered.length === 0) return { added: now.size === held.length ? held : [...now], removed: [] }
  const before = new Set(remembered)
  return {
    added: [...now].filter((member) => !before.has(member)),
    removed: [...before].filter((member) => !now.has(member)),
  }
}

/** Whether an object has unflushed changes of columns or relations. Invalid changes count, too. */
export function hasChanged(state: InstanceState): boolean {
  try {
    return state.changes.length > 0 || hasChangedRelation(state)
  } catch {
    // The change is invalid: the flush throws the error.
    return true
  }
}

function hasChangedRelation(state: InstanceState): boolean {
  for (const relation of heldRelations(state)) {
    const difference = differenceOf(state, relation)
    if (difference === undefined) continue
    if (difference.added.length + difference.removed.length > 0) return true
    if (!isKnown(state, relation) && mayLetGo(state, relation)) return true
  }
  return false
}

/** Whether anything was assigned to an object since its flush, also values that are equal or invalid. */
export function isTouched(state: InstanceState): boolean {
  try {
    if (state.changes.length > 0) return true
    return [...heldRelations(state)].some((relation) => differenceOf(state, relation) !== undefined)
  } catch {
    return true
  }
}

/** Whether a relation that holds nothing, and was assigned without being loaded, may have held something in the database. */
function mayLetGo(state: InstanceState, { kind, ownColumns }: Relation): boolean {
  if (kind !== 'belongsTo') return state.snapshot !== undefined
  const { instance, meta } = state
  return ownColumns.every((column) => meta.isExpired(instance, column) || state.value(column) !== null)
}

/** Whether it is known what a relation holds in the database. */
export function isKnown({ relations }: InstanceState, { name }: Relation): boolean {
  return relations?.has(name) === true && partOf(relations.get(name)) === undefined
}

/** Whether a relation needs no query: it was loaded as a whole, or assigned. An equal copy of a part is neither. */
export function needsNoQuery(state: InstanceState, name: string): boolean {
  const { instance, relations } = state
  if (!hasWhole(instance, name)) return false
  const remembered = relations?.get(name)
  return partOf(remembered) === undefined || !isSame(instance[name], remembered)
}

/** Whether only a part of a relation was loaded, also if another array was assigned since then. */
export function isPartlyKnown({ relations }: InstanceState, { name }: Relation): boolean {
  return partOf(relations?.get(name)) !== undefined
}

/**
 * An array that replaces a part of a relation would remove the objects that the part does not show.
 * @param row The object whose relation is to be changed, if it is another one.
 * @throws InvalidValueError
 */
export function requireWhole(state: InstanceState, relation: Relation, row: InstanceState = state): void {
  const { name } = relation
  const part = partOf(state.instance[name])
  const owner = part?.name === name ? knownState(part.owner) : undefined
  const isOfThisRow =
    owner?.meta === row.meta && owner.identity !== undefined && owner.identity === row.identity
  if (!isPartlyKnown(state, relation) && !isOfThisRow) return
  throw new InvalidValueError(
    `${row.meta.name}.${name} of ${String(row)} is assigned, but only a part of it was loaded (load with where, orderBy or limit): ` +
      'the assigned array would remove the objects that are not in the part. Load the whole relation first ' +
      `(\`await session.refresh(object, { load: ['${name}'] })\`) and change that array` +
      (relation.link === undefined ? ', or set the relation or the foreign key of the related object' : ''),
  )
}

/** Assigns the loaded part of a relation to its property, and remembers that only a part is known. */
export function rememberPart(state: InstanceState, name: string, members: readonly object[]): void {
  const part = partialCollection(state.instance, name, members)
  state.relations ??= new Map()
  state.relations.set(name, part)
  state.instance[name] = part
}

/** Remembers what a relation holds in the database. */
export function rememberStored(
  state: InstanceState,
  { name, many }: Relation,
  members: readonly object[],
): void {
  state.relations ??= new Map()
  state.relations.set(name, many ? members : (members[0] ?? null))
}

/** Remembers the current value of a relation as the stored one. */
export function remember(state: InstanceState, { name }: Relation): void {
  const held = state.instance[name] as object | null
  state.relations ??= new Map()
  state.relations.set(name, isArray(held) ? [...(held as object[])] : held)
}

/** Removes a loaded relation: reading it throws RelationNotLoadedError again. */
export function unload({ instance, relations }: InstanceState, name: string): void {
  relations?.delete(name)
  if (Object.hasOwn(instance, name) && !Object.isFrozen(instance)) delete instance[name]
}

function isSame(held: unknown, remembered: unknown): boolean {
  if (!isArray(held) || !isArray(remembered)) return held === remembered
  return held.length === remembered.length && held.every((object, index) => object === remembered[index])
}

/** Whether a foreign key leads to an object now. @param textOf The key of the object. Default: the current one. */
export function refersTo(
  holder: InstanceState,
  columns: readonly TableColumn[],
  target: InstanceState,
  targetColumns: readonly TableColumn[],
  textOf: TextOf = currentText,
): boolean {
  return columns.every((column, index) => {
    const own = holder.text(column)
    if (own === null || own === undefined) return false
    return holder.isSameKey(column, own, textOf(target, targetColumns[index] as TableColumn))
  })
}

/** Whether an object has a row that it can be compared with. */
export function hasRow(state: InstanceState): boolean {
  return state.status === 'persistent'
}

/** The text of a column: the current or the stored one. */
export type TextOf = (state: InstanceState, column: TableColumn) => EncodedText | undefined

/** The current text. */
export function currentText(state: InstanceState, column: TableColumn): EncodedText | undefined {
  return state.text(column)
}
