/**
 * Types whose values PostgreSQL may store in another form than the sent one. A key of such a type is read back when its row is
 * written, because a session identifies rows by their stored key.
 */

/** Types that round, pad or respell values. */
export function always(): boolean {
  return true
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Not in PostgreSQL's own form, such as one without hyphens. */
export function isUnusualUuid(text: string): boolean {
  return !UUID.test(text)
}

/** One text for all texts of the same number; other texts stay unchanged. */
export function plainNumber(text: string): string {
  const [, sign = '', whole = '', fraction = ''] = NUMBER.exec(text) ?? []
  if (whole + fraction === '') return text
  const kept = fraction === '' ? '' : `.${fraction}`
  const digits = `${whole === '' ? '0' : whole}${kept}`
  return sign === '-' && /[1-9]/.test(digits) ? `-${digits}` : digits
}

// A point without digits after it, zeros in front and at the end say nothing.
const NUMBER = /^\s*([+-]?)0*(\d*)(?:\.(\d*?)0*)?\s*$/

/** Blanks at the end do not count. */
export function withoutBlanks(text: string): string {
  return text.replace(/ +$/, '')
}

/** Blanks at the end are cut off where they go beyond the length of a column. */
export function endsWithBlank(text: string): boolean {
  return text.endsWith(' ')
}
