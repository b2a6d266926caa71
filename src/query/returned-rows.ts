/** Matches the rows that a statement returned with the rows that it wrote. */
import type { RawValue, TableColumn } from '../schema/table-column.js'
import type { WriteStatement } from './write-statements.js'

/**
 * Brings the returned rows into the order of the rows that were sent.
 *
 * @param count How many were sent.
 * @returns Their values, those of `returning` first; undefined if the rows cannot be matched.
 */
export function matchReturned(
  { order, returning }: WriteStatement,
  returned: readonly RawValue[][],
  count: number,
): readonly RawValue[][] | undefined {
  if (order === 'sent') return returned
  if (order === 'key') return isOneDirection(returned, returning) ? returned : undefined
  const matched = new Array<RawValue[]>(count)
  for (const row of returned) matched[Number(row[returning.length]) - 1] = row
  return matched
}

/**
 * A sequence counts in the order in which rows are inserted. So returned rows whose keys only rise (or only fall) are in that
 * order.
 */
function isOneDirection(rows: readonly RawValue[][], returning: readonly TableColumn[]): boolean {
  const at = returning.findIndex(({ definition }) => definition.primaryKey === true)
  let before: number | bigint | undefined
  let rises: boolean | undefined
  for (const row of rows) {
    const key = exact(row[at] as string | number)
    const isHigher = before === undefined ? undefined : key > before
    rises ??= isHigher
    if (isHigher !== rises) return false
    before = key
  }
  return true
}

/** An integer, as a bigint if it has too many digits for an exact number. */
function exact(integer: string | number): number | bigint {
  return typeof integer === 'number' || integer.length <= 15 ? Number(integer) : BigInt(integer)
}
