/**
 * Properties that callers who know node-postgres, or arrays, expect of a result: reading one throws an error that names the right
 * property.
 */
import { IllegalStateError } from '../errors.js'

const INSTEAD: Readonly<Record<string, string>> = {
  rows: 'all() returns its rows',
  length: 'all().length is the number of its rows, rowCount that of returned or changed ones',
  0: 'first() returns its first row, one() the only one',
  map: 'all() returns its rows as an array',
  filter: 'all() returns its rows as an array',
  find: 'all() returns its rows as an array',
  forEach: 'all() returns its rows as an array; for ... of works on the result itself',
}

/** Adds the names to the prototype of results. Not to the type: TypeScript refuses them by itself. */
export function refuseArrayNames(prototype: object): void {
  for (const [name, instead] of Object.entries(INSTEAD)) {
    Object.defineProperty(prototype, name, {
      configurable: true,
      get(): never {
        throw new IllegalStateError(
          `A result has no '${name}': ${instead}. Others: scalar(), scalars(), oneOrNone(), mappings()`,
        )
      },
    })
  }
}
