/** The parsers for the values of one result. */
import { InvalidStatementError } from '../errors.js'

/** How values of a result are parsed: an object like `pg.types`. */
export interface ValueParsers {
  getTypeParser(oid: number, format?: 'text'): (text: string) => unknown
}

/** The `types` of a statement. @throws InvalidStatementError if they are no parsers. */
export function parsersOf(types: unknown): ValueParsers | undefined {
  if (types === undefined) return undefined
  const { getTypeParser } = Object(types) as Partial<ValueParsers>
  if (typeof getTypeParser === 'function') return types as ValueParsers
  throw new InvalidStatementError(
    'The types of a statement must have a method getTypeParser(oid, format), like pg.types',
  )
}
