/**
 * Arrays of related objects that a query chose (`load('songs', { where, limit })`). They cannot be changed. The unit of work does not
 * treat them as the whole relation, so an object that is missing in the array is not removed from the relation. Assigned to another
 * object, such an array is treated as the whole relation of that object.
 */
import { isArray } from '../internal/revoked.js'

const PARTIAL: unique symbol = Symbol.for('lifeguard.partial') as never

/** The array for the property of a relation of which only a part was loaded. */
export function partialCollection(owner: object, objects: readonly object[]): readonly object[] {
  const part = [...objects]
  Object.defineProperty(part, PARTIAL, { value: owner })
  return Object.freeze(part)
}

/** Whether an object has a relation: it was loaded as a whole, or assigned. */
export function hasWhole(instance: object, name: string): boolean {
  if (!Object.hasOwn(instance, name)) return false
  const held: unknown = (instance as Record<string, unknown>)[name]
  return !isArray(held) || (held as { readonly [PARTIAL]?: object })[PARTIAL] !== instance
}
