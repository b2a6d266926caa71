/** Advice for the error about a table or column of an entity that the database does not have. */
import { UndefinedColumnError, UndefinedTableError } from '../database-errors.js'
import { addHint } from '../internal/error-hint.js'

/**
 * Adds advice to the error of a statement that was made of declarations.
 * @param entity Name of the class, if it is known.
 */
export function noteMissing(error: unknown, entity?: string): unknown {
  if (!(error instanceof UndefinedTableError) && !(error instanceof UndefinedColumnError)) return error
  const declared = entity === undefined ? 'An entity declares it' : `The entity ${entity} declares it`
  addHint(
    error,
    error instanceof UndefinedColumnError
      ? `. ${declared}: has a migration not run, or is the search_path another one? (metadata.createAll() does not change tables that exist)`
      : `. ${declared}: has a migration not run, or metadata.createAll()? Or is the search_path another one?`,
  )
  return error
}
