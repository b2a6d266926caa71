/** Refuses wrong arguments of a column where it is declared: later errors would not lead to that line. */
import { kindOf, RefusedValue, type Codec } from '../codecs/codec.js'
import { MappingError } from '../errors.js'
import { SqlFragment } from '../sql.js'

/** @throws MappingError for a value that the type of the column refuses. */
export function checkDefault(codec: Codec<unknown>, value: unknown): void {
  try {
    codec.encode(value)
  } catch (error) {
    if (error instanceof RefusedValue)
      throw new MappingError(`The default of this column is wrong: it ${error.message}`)
    // Other errors of a codec of the application are thrown where the default is used.
  }
}

/** @param usage The call as it should be. @throws MappingError */
export function requireSql(usage: string, given: unknown): void {
  if (given instanceof SqlFragment) return
  throw new MappingError(`SQL is written with the sql tag, ${usage}, not ${kindOf(given)}`)
}

/** @throws MappingError unless it is text, such as `'albums.id'`. */
export function requireColumnName(target: unknown): void {
  if (typeof target === 'string') return
  throw new MappingError(
    `references() takes the name of a column in the database, references('albums.id'), not ${kindOf(target)}`,
  )
}
