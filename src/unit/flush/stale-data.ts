/** Rows that a flush did not find. */
import type { DatabaseError } from '../../database-errors.js'
import { StaleDataError } from '../../errors.js'
import { shortfallOf } from '../../query/write-statements.js'

/** What the failure of a statement of a flush means, if it is that not all of its rows were found. */
export function staleDataError({ sqlState, message }: DatabaseError): StaleDataError | undefined {
  const shortfall = sqlState === '22P02' ? shortfallOf(message) : undefined
  if (shortfall === undefined) return undefined
  if (shortfall.what === 'stored') {
    return new StaleDataError(
      `A flush stored ${shortfall.rows}: a trigger or a rule kept the others out, or changed their keys. Nothing of the ` +
        'transaction is stored.',
    )
  }
  return new StaleDataError(
    `A flush found ${shortfall.rows}: the others were deleted, or changed since they were loaded, by somebody else or by a ` +
      'bulk statement of this session (which can give them anew: returning()). Nothing of the transaction is stored; run ' +
      'it again with a new session, which reads them again.',
  )
}
