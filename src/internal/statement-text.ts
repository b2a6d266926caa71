/** Analyses the text of a statement or script before it is sent. */
import { InvalidStatementError } from '../errors.js'

/** @throws InvalidStatementError for what PostgreSQL cannot be sent as it is: NUL ends a text, and half a character would become U+FFFD. */
export function requireText(what: string, text: string): void {
  if (text.includes('\0'))
    throw new InvalidStatementError(`The text of a ${what} must not hold a NUL character`)
  if (!text.isWellFormed()) {
    throw new InvalidStatementError(`The text of a ${what} must not hold half a character (a lone surrogate)`)
  }
}

/**
 * @param open The parts around it.
 * @throws InvalidStatementError if a part stands inside itself: it would have no end.
 */
export function refuseCycle(label: string, open: readonly { readonly label?: string | undefined }[]): void {
  const labels = open.flatMap((level) => level.label ?? [])
  const at = labels.indexOf(label)
  if (at === -1) return
  throw new InvalidStatementError(
    `${[...labels.slice(at), label].join(' asks ')}: a query inside a filter is filtered, too, so this has no end. ` +
      'Turn the filter off in one of these queries with withoutFilters()',
  )
}

const WHITE_SPACE = /\s/
const LINE_END = /[\r\n]/

/** Where the first word starts: after white space, comments (which nest in PostgreSQL) and empty statements. */
export function startOf(text: string): number {
  let at = 0
  for (let depth = 0; at < text.length;) {
    if (text.startsWith('/*', at)) {
      depth++
      at += 2
    } else if (depth > 0) {
      const ends = text.startsWith('*/', at)
      if (ends) depth--
      at += ends ? 2 : 1
    } else if (text.startsWith('--', at)) {
      while (at < text.length && !LINE_END.test(text.charAt(at))) at++
    } else if (text.charAt(at) === ';' || WHITE_SPACE.test(text.charAt(at))) {
      at++
    } else {
      break
    }
  }
  return at
}
