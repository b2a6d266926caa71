/** What is given in place of an entity, or of a key. */
import { kindOf } from '../codecs/codec.js'
import { MappingError } from '../errors.js'
import { isFunction, isInstance, isObject } from '../internal/revoked.js'
import { ColumnRef } from './column-ref.js'
import { ENTITY } from './entity-types.js'
import type { Table } from './table.js'

export function noEntity(given: unknown): MappingError {
  return new MappingError(`Not an entity, but ${descriptionOf(given)}`)
}

function descriptionOf(given: unknown): string {
  if (given === undefined)
    return 'undefined: is its name misspelt, or do modules import each other in a circle?'
  if (isInstance(given, ColumnRef))
    return 'a column: select(Entity) reads entities; for single columns write SQL, as text or with the sql tag'
  const made: unknown = isObject(given) ? given.constructor : undefined
  if (isFunction(made) && ENTITY in made) return `an instance: give its class, ${made.name}`
  return `${kindOf(given)}: give a class that extends Base.entity(...)`
}

/**
 * @param name Name of the class of the entity, whose key is one column.
 * @throws MappingError for no key at all, and for conditions in its place.
 */
export function requireKeyItself(name: string, table: Table, key: unknown): void {
  if (key === undefined) {
    throw new MappingError(
      `The key of ${name} is undefined: get(${name}, key) takes a value. Does a variable or a parameter lack it?`,
    )
  }
  const isByName = isObject(key) && Object.getPrototypeOf(key) === Object.prototype
  if (!isByName || !Object.keys(key).every((property) => property === 'where' || table.has(property))) return
  const own = table.primaryKey[0]?.property ?? ''
  throw new MappingError(
    `get(${name}, key) takes the value of ${own} itself, not an object. By other columns: scalars(select(${name}).where(eq(...)))`,
  )
}
