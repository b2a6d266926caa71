/**
 * Arrays of related objects that a query chose (`load('songs', { where, limit })`). They cannot be changed. The unit of work does not
 * treat them as the whole relation, so an object that is missing in the array is not removed from the relation. A state remembers
 * the part in the place of the whole relation, so that an array that is assigned later is not taken for the whole relation either.
 * Assigned to an object of another row, or to another relation, a part is treated as the whole relation there.
 */
import { isArray } from '../internal/revoked.js'

const PARTIAL: unique symbol = Symbol.for('lifeguard.partial') as never

interface Part {
  readonly owner: object
  readonly name: string
}

/** The array for the property of a relation of which only a part was loaded. */
export function partialCollection(
  owner: object,
  name: string,
  objects: readonly object[],
): readonly object[] {
  const part = [...objects]
  const mark: Part = { owner, name }
  Object.defineProperty(part, PARTIAL, { value: mark })
  return Object.freeze(part)
}

/** The object and the relation that an array is a part of; undefined if it is not the array of {@link partialCollection}. */
export function partOf(held: unknown): Part | undefined {
  return isArray(held) ? (held as { readonly [PARTIAL]?: Part })[PARTIAL] : undefined
}

/** Whether an object has a relation: it was loaded as a whole, or assigned. */
export function hasWhole(instance: object, name: string): boolean {
  if (!Object.hasOwn(instance, name)) return false
  const part = partOf((instance as Record<string, unknown>)[name])
  return part?.owner !== instance || part.name !== name
}
