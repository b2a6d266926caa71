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
    refuseName(
      prototype,
      name,
      `A result has no '${name}': ${instead}. Others: scalar(), scalars(), oneOrNone(), mappings()`,
    )
  }
}

const OF_STREAM =
  'a stream is read by for await (const row of session.stream(...)); execute() returns all rows at once'

/** The same for streams: names of a result, and `for ... of` without `await`. */
export function refuseResultNames(prototype: object): void {
  for (const name of ['rows', 'all', 'first', 'one', 'scalars'])
    refuseName(prototype, name, `A stream has no '${name}': ${OF_STREAM}`)
  // A method, not a getter: `inspect` looks whether there is one.
  Object.defineProperty(prototype, Symbol.iterator, {
    configurable: true,
    value: (): never => {
      throw new IllegalStateError(`An await is missing: ${OF_STREAM}`)
    },
  })
}

function refuseName(prototype: object, name: string, message: string): void {
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(): never {
      throw new IllegalStateError(message)
    },
  })
}
