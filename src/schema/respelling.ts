/**
 * Which texts PostgreSQL may store in another form than they were given. A key among them is read back when its row is written, as a
 * session knows rows by what is stored.
 */

/** Types that round, pad or write values anew. */
export function always(): boolean {
  return true
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Not in PostgreSQL's own form, such as one without hyphens. */
export function isUnusualUuid(text: string): boolean {
  return !UUID.test(text)
}

/** Blanks at the end are cut off where they go beyond the length of a column. */
export function endsWithBlank(text: string): boolean {
  return text.endsWith(' ')
}
