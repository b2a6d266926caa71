/** Writes names, literals and expressions of DDL, which cannot have parameters. */
import { InvalidStatementError, MappingError } from '../errors.js'
import { kindOf } from '../codecs/codec.js'
import { SqlFragment } from '../sql.js'

// PostgreSQL truncates longer names without an error.
const LONGEST_NAME_BYTES = 63

/** Returns the name. @throws MappingError if it is empty, has a NUL character, or is longer than PostgreSQL's 63 bytes. */
export function checkName(kind: string, name: unknown): string {
  if (typeof name !== 'string' || name === '' || name.includes('\0')) {
    throw new MappingError(
      `Not a name for a ${kind}: ${typeof name === 'string' ? JSON.stringify(name) : kindOf(name) + usage(kind)}`,
    )
  }
  if (Buffer.byteLength(name) > LONGEST_NAME_BYTES) {
    throw new MappingError(`The name of a ${kind} has at most ${LONGEST_NAME_BYTES} bytes: ${name}`)
  }
  return name
}

/** What was probably meant by something else than a name. */
function usage(kind: string): string {
  return kind === 'column'
    ? ". Everything but the name is said by methods: text('title').notNull(), a length by varchar({ length: 20 })"
    : ''
}

/**
 * The text of a fragment for DDL.
 * @throws MappingError if it has parameters, which DDL cannot have.
 */
export function definitionSql(where: string, fragment: SqlFragment<unknown>): string {
  if (!(fragment instanceof SqlFragment)) throw new MappingError(`${where} must be written with the sql tag`)
  let text: string
  try {
    text = fragment.text
  } catch (cause) {
    if (cause instanceof InvalidStatementError)
      throw new MappingError(`${where}: ${cause.message}`, { cause })
    throw cause
  }
  if (fragment.values.length > 0) {
    throw new MappingError(
      `${where} is part of a definition and cannot contain parameters: write the value as SQL text`,
    )
  }
  if (text.trim() === '' || text.includes('\0')) throw new MappingError(`${where} is not SQL`)
  return text
}

/** A string as an SQL literal. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new MappingError('A NUL character cannot stand in SQL')
  return `'${text.replaceAll("'", "''")}'`
}
