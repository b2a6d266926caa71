/** Reads rows without converting their values, because the columns convert them. */
import type { RawTypes, TypeParsers } from '../driver/driver.js'

/** Type parsers that leave every text as it is. */
export const RAW_TEXT: TypeParsers = { getTypeParser: () => asIs }

/** As {@link RAW_TEXT}, but integers come as numbers. */
export const RAW_INTEGERS: TypeParsers = { getTypeParser: (oid) => (isInteger(oid) ? Number : asIs) }

/** As {@link RAW_INTEGERS}, and instants come as dates: for rows of all columns of a table. */
export function rawValuesOf(
  columns: readonly { readonly isInstant: boolean; readonly index: number }[],
): RawTypes {
  const instants = new Set(columns.filter(({ isInstant }) => isInstant).map(({ index }) => index))
  return { ...RAW_INTEGERS, instants }
}

const INT2 = 21
const INT4 = 23

function isInteger(oid: number): boolean {
  return oid === INT2 || oid === INT4
}

function asIs(text: string): string {
  return text
}
